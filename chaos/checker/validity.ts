/** Has an episode shown anything? One in which nothing was at work when something went wrong proves nothing. */
import { isEnding, type Story } from "./story.ts";

/** Fewer jobs than this are no work. */
const MIN_JOBS = 10;

/** Why the episode does not count; `undefined` if it does. */
export function whyVoid({ lines, connections, acceptances }: Story): string | undefined {
  const jobs = new Set(acceptances.map(({ job }) => job));
  if (jobs.size < MIN_JOBS) return `${jobs.size} jobs were accepted: nobody was at work`;
  const healedAt = lines.find(({ kind }) => kind === "healed")?.at ?? Number.POSITIVE_INFINITY;
  const traces = lines.filter(
    ({ kind, at }) => at < healedAt && (kind === "died" || kind === "failpoint" || kind === "closed"),
  );
  if (traces.length === 0) return "no fault has left a trace";
  const startedAt = new Map<string, number>();
  for (const { job, at } of acceptances) startedAt.set(job, Math.min(startedAt.get(job) ?? at, at));
  const endedAt = new Map<string, number>();
  for (const { received, wire } of connections) {
    for (const passed of received) {
      const job = passed.message.job_id;
      if (job !== undefined && isEnding(passed, wire))
        endedAt.set(job, Math.min(endedAt.get(job) ?? passed.at, passed.at));
    }
  }
  const isAtWork = (at: number): boolean =>
    [...startedAt].some(([job, since]) => since < at && (endedAt.get(job) ?? Number.POSITIVE_INFINITY) > at);
  if (!traces.some(({ at }) => isAtWork(at))) return "no job was running when something went wrong";
  return undefined;
}
