/** `@arcp/node`: a runtime on a path of an existing `http` or `https` server. */
export { type ArcpUpgradeHandle, type AttachArcpUpgradeOptions, attachArcpUpgrade } from "./attach.ts";
