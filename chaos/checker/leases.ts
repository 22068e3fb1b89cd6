/** I6: nothing outside of a lease is reached, what is inside is, and no lease or limit ends early. */
import { RUNTIME_LIMITS_SEC } from "../submissions.ts";
import type { Stored } from "./stored.ts";
import type { Story } from "./story.ts";
import type { Report } from "./violation.ts";

const MS_PER_SECOND = 1_000;
/** What every probing job may reach, whatever else is at work. */
const ALWAYS_OPEN: readonly string[] = ["open/file"];

export function checkLeases({ lines }: Story, stored: Stored, report: Report): void {
  let asleepMs = 0;
  for (const line of lines) {
    if (line.kind === "canary") report("I6", `somebody was where no lease leads: ${line.what}`);
    if (line.kind === "fault") asleepMs += sleepOf(line.fault);
    if (line.kind !== "reached") continue;
    if (line.outcome === "closed") report("I6", `job ${line.job} has reached ${line.target} outside of its lease`);
    if (ALWAYS_OPEN.includes(line.target) && line.outcome === "refused: PERMISSION_DENIED") {
      report("I6", `job ${line.job} was refused ${line.target}, which its lease covers`);
    }
  }
  for (const { id, status } of stored.jobs.values()) {
    // The shortest limit that anybody asks for: only a machine that sleeps comes near it.
    if (status === "timed_out" && asleepMs < RUNTIME_LIMITS_SEC.short * MS_PER_SECOND - SLACK_MS) {
      report("I6", `job ${id} has timed out before its time`);
    }
  }
}

/** Longer than any episode. */
const SLACK_MS = 600_000;

function sleepOf(text: string): number {
  const fault = JSON.parse(text) as { readonly do: string; readonly ms?: number };
  return fault.do === "sleep" ? (fault.ms ?? 0) : 0;
}
