/** How a client says that a job has ended. */
import type { JsonObject } from "./stage.ts";

/** What the step `wait` reports. */
export interface Ended {
  readonly status: unknown;
  readonly result: unknown;
  readonly error: { readonly code?: unknown; readonly message?: unknown };
  readonly events: readonly { readonly kind: unknown; readonly body: JsonObject }[];
  /** The messages of its logs. */
  readonly logs: readonly unknown[];
}

/** The report of the step, with what is missing as nothing. */
export function toEnded(report: JsonObject): Ended {
  const events = (Array.isArray(report["events"]) ? report["events"] : []) as Ended["events"];
  return {
    status: report["status"],
    result: report["result"],
    error: (report["error"] ?? {}) as Ended["error"],
    events,
    logs: events.filter(({ kind }) => kind === "log").map(({ body }) => body["message"]),
  };
}
