/** I4: one job per idempotency key; I9: nothing is done for a job that is over; and no step of a job is done twice. */
import type { HistoryLine } from "../history.ts";
import { CANCEL_GRACE_MS } from "../runtime-settings.ts";
import type { Ownership } from "./ownership.ts";
import { grouped, isEnding, type Story } from "./story.ts";
import type { Report } from "./violation.ts";

const keyOf = (payload: Readonly<Record<string, unknown>>): unknown => payload["idempotency_key"];

export function checkIdempotency({ acceptances, connections }: Story, report: Report): void {
  for (const { id, client, received } of connections) {
    // Whoever asks twice asks for the same; only who means harm does not.
    const refusal = received.find(({ message }) => message.payload["code"] === "DUPLICATE_KEY");
    if (refusal && client !== "hostile")
      report("I4", `${id}: a key was refused that its owner had used for nothing else`);
  }
  const keyed = acceptances.flatMap(({ job, connection, request }) => {
    const envelope = request as { readonly idempotency_key?: unknown } | undefined;
    const key = request && (keyOf(request.payload) ?? envelope?.idempotency_key);
    return key === undefined || connection.client === "hostile"
      ? []
      : [{ job, owner: `${connection.principal} ${String(key)}` }];
  });
  for (const [owner, all] of grouped(keyed, (item) => item.owner)) {
    const jobs = new Set(all.map(({ job }) => job));
    if (jobs.size > 1) report("I4", `key ${owner} has made ${jobs.size} jobs: ${[...jobs].join(", ")}`);
  }
  for (const [job, all] of grouped(keyed, (item) => item.job)) {
    const owners = new Set(all.map(({ owner }) => owner));
    if (owners.size > 1) report("I4", `job ${job} has the keys ${[...owners].join(" and ")}`);
  }
}

export function checkEffects({ lines }: Story, ownership: Ownership, report: Report): void {
  const done = new Map<string, number>();
  const returned = new Map<string, number>();
  for (const line of lines) {
    if (line.kind === "step") returned.set(`${line.job} ${line.name}`, line.at);
    // What a runtime was at when it lost its job is the matter of I5.
    if (line.kind !== "effect" || ownership.lossBefore(line) !== undefined) continue;
    const key = `${line.job} ${line.name}`;
    const isStep = line.name.startsWith("step-");
    // A step that was in flight may be done again; one whose result was kept may not, and a plain operation never.
    if (isStep && returned.has(key)) report("I4", `job ${line.job}: ${line.name} was done again after it had returned`);
    if (!isStep && done.has(key)) report("I4", `job ${line.job}: ${line.name} was done twice`);
    done.set(key, line.at);
  }
  for (const line of lines) if (line.kind === "effect") done.set(`${line.job} ${line.name}`, line.at);
  for (const key of returned.keys())
    if (!done.has(key)) report("I4", `a step has returned that was never done: ${key}`);
}

/** How much longer anything may take on a machine that others use. */
const LENIENCE_MS = 20_000;
const AFTER_END_MS = 1_000;
const TROUBLES: readonly string[] = ["fault", "relief", "died", "healed"] satisfies readonly HistoryLine["kind"][];

export function checkCancellation({ connections, lines }: Story, ownership: Ownership, report: Report): void {
  const endedAt = new Map<string, number>();
  const agreedAt = new Map<string, number>();
  for (const connection of connections) {
    for (const passed of connection.received) {
      const { at, message } = passed;
      const job = message.job_id ?? message.payload["job_id"];
      if (typeof job !== "string") continue;
      const first = (map: Map<string, number>): void => void map.set(job, Math.min(map.get(job) ?? at, at));
      if (isEnding(passed, connection.wire)) first(endedAt);
      else if (message.type === "job.cancelled" || message.type === "cancel.accepted") first(agreedAt);
    }
  }
  // A runtime that is down, or stopped, keeps no deadline; the one that follows it ends its jobs.
  const troubles = lines.filter(({ kind }) => TROUBLES.includes(kind));
  for (const [job, at] of agreedAt) {
    const end = endedAt.get(job) ?? lines.at(-1)?.at ?? at;
    const last = troubles.findLast((line) => line.at < end)?.at ?? at;
    if (end - Math.max(at, last) > CANCEL_GRACE_MS + LENIENCE_MS) {
      report("I9", `job ${job} ended ${Math.round(end - at)} ms after its cancellation was agreed on`);
    }
  }
  for (const line of lines) {
    if (line.kind !== "effect" || ownership.lossBefore(line) !== undefined) continue;
    const end = endedAt.get(line.job);
    if (end !== undefined && line.at > end + AFTER_END_MS) {
      report("I9", `job ${line.job}: ${line.name} was done ${Math.round(line.at - end)} ms after its end`);
    }
  }
}
