/** I12: memory is bounded; I13: the runtime comes back, accepted jobs end, and everybody hears of it; I17: artifacts are whole. */

import { DURABLE_AGENTS } from "../agents.ts";
import type { Stored } from "./stored.ts";
import type { Story } from "./story.ts";
import type { Report } from "./violation.ts";

const MIB = 1024 * 1024;
const MAX_RSS_BYTES = 700 * MIB;
/** A slice of a feed, and what was written before anybody saw that it does not leave. */
const MAX_QUEUED_BYTES = 8 * MIB;

export function checkMemory({ lines }: Story, report: Report): void {
  const queued = lines.find((line) => line.kind === "memory" && line.queuedBytes > MAX_QUEUED_BYTES);
  if (queued?.kind === "memory") {
    report("I12", `${Math.round(queued.queuedBytes / MIB)} MiB waited for one socket in life ${queued.life}`);
  }
  const over = lines.find((line) => line.kind === "memory" && line.rssBytes > MAX_RSS_BYTES);
  if (over?.kind === "memory") report("I12", `life ${over.life} had ${Math.round(over.rssBytes / MIB)} MiB in memory`);
}

export function checkLiveness({ lines, acceptances }: Story, stored: Stored, report: Report): void {
  const settled = lines.find((line) => line.kind === "settled");
  for (const missing of settled?.missing ?? []) report("I13", missing);
  if (settled === undefined) return;
  for (const job of new Set(acceptances.map((acceptance) => acceptance.job))) {
    const status = stored.jobs.get(job)?.status;
    if (status === "pending" || status === "running") report("I13", `job ${job} was accepted and is still ${status}`);
    const agent = stored.jobs.get(job)?.agent ?? "";
    const isWhole = status === "success" || status === "cancelled";
    if (DURABLE_AGENTS.includes(agent) && !isWhole) report("I13", `job ${job} of a durable agent ended with ${status}`);
  }
}

export function checkArtifacts({ lines }: Story, stored: Stored, report: Report): void {
  for (const line of lines) {
    if (line.kind !== "artifact") continue;
    const digest = stored.artifacts.get(line.id);
    if (digest !== line.sha256) report("I17", `artifact ${line.id} of job ${line.job} is ${digest ?? "not there"}`);
  }
}
