/** Times as they are typed. */
import { InvalidArgumentError } from "commander";
import { UsageError } from "./exit-code.ts";

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `30m`, `2h`, `1d`, in milliseconds; `undefined` for anything else. */
export function readDuration(text: string): number | undefined {
  const [, count, unit = ""] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  return count === undefined ? undefined : Number(count) * (UNIT_MS[unit] ?? 0);
}

/** RFC 3339, or from now. Throws {@link UsageError}, which names the option. */
export function readInstant(text: string, option: string): Date {
  const fromNow = readDuration(text);
  const at = fromNow === undefined ? new Date(text) : new Date(Date.now() + fromNow);
  if (Number.isNaN(at.getTime())) {
    throw new UsageError(`${option}: expected RFC 3339 or a time from now such as 30m, got "${text}"`);
  }
  return at;
}

/** RFC 3339, or before now. Throws {@link UsageError}, which names the option. */
export function readPastInstant(text: string, option: string): Date {
  const ago = readDuration(text);
  const at = ago === undefined ? new Date(text) : new Date(Date.now() - ago);
  if (Number.isNaN(at.getTime())) {
    throw new UsageError(`${option}: expected RFC 3339 or a time before now such as 2h, got "${text}"`);
  }
  return at;
}

/** For options that take seconds. */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0)) throw new InvalidArgumentError("Expected a positive number of seconds.");
  return seconds;
}

/** The same, for what may be no time at all. */
export const parseSecondsOrZero = (text: string): number => (text.trim() === "0" ? 0 : parseSeconds(text));
