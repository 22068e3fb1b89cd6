import type { Terminal } from "./terminal.ts";

/** How the status of a job is shown, wherever it is. */
export const STATUS_STYLES: Readonly<Record<string, Parameters<Terminal["style"]>[0]>> = {
  pending: "gray",
  running: "cyan",
  success: "green",
  error: "red",
  cancelled: "yellow",
  timed_out: "red",
};
