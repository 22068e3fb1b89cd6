/** The requirements of a runtime that no case can decide from outside, each with the reason. */

export const UNSEEN: Readonly<Record<string, string>> = {};
