/**
 * What a runtime measures of every job that was asked for over wire 1.0, by the names that are reserved for it (RFC
 * §17.3.1). Jobs of wire 1.1 are left as they are.
 */
import type { Clock } from "@arcp/core";
import { codeOf10 } from "@arcp/core/v1.0";
import { ENTRY } from "../store/store.ts";
import { jsonOf } from "./entry-text.ts";
import type { Job } from "./job.ts";

/** Counts the invocation now, and tells before the job's last entry how long it took and what went wrong. */
export function measure(job: Job, clock: Clock): void {
  const { origin, agent } = job;
  if (origin === undefined) return;
  const createdAt = Date.parse(job.createdAt);
  const startedAt = clock.now();
  const tell = (name: string, value: number, unit: string, dimensions: object): void =>
    job.tell(ENTRY.metric, "metric", jsonOf({ name, value, unit, dimensions }));
  if (origin.command === "tool.invoke") tell("tool.invocations", 1, "count", { tool: agent });
  job.beforeEnd((outcome) => {
    const now = clock.now();
    if (outcome.status !== "success") tell("errors.total", 1, "count", { tool: agent, code: codeOf10(outcome.error) });
    tell("latency.ms", Math.max(0, startedAt - createdAt), "ms", { tool: agent, phase: "queue" });
    tell("latency.ms", Math.max(0, now - startedAt), "ms", { tool: agent, phase: "exec" });
    tell("latency.ms", Math.max(0, now - createdAt), "ms", { tool: agent, phase: "total" });
  });
}
