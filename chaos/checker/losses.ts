/** I3: what was accepted, acknowledged or seen is on disk, as it was; what agents counted is whole and in order. */

import type { Stored, StoredJob } from "./stored.ts";
import type { Story } from "./story.ts";
import type { Report } from "./violation.ts";

/** Kinds of entries that every session is shown (`ENTRY`): what is stored is never renumbered. */
const SHOWN_TO_ALL: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5, 6, 7, 10, 20, 21]);

export function checkLosses({ connections, acceptances, lines }: Story, stored: Stored, report: Report): void {
  if (stored.integrity !== "ok") report("I3", `the database is damaged: ${stored.integrity}`);
  for (const what of stored.damage) report("I3", `the database cannot be read: ${what}`);
  for (const { job, connection } of acceptances) {
    if (!stored.jobs.has(job)) report("I3", `job ${job} was accepted on ${connection.id} and is not on disk`);
  }
  for (const line of lines) {
    if (line.kind !== "flushed") continue;
    const job = stored.jobs.get(line.job);
    const counts = job === undefined ? 0 : countsOf(job).length;
    if (counts < line.count) report("I3", `job ${line.job}: ${line.count} events were on disk, ${counts} are`);
  }
  for (const job of stored.jobs.values()) checkJournal(job, report);
  const isShared = lines.some((line) => line.kind === "born" && line.node !== undefined);
  checkFeeds(stored, isShared, report);
  for (const { wire, received, sessionId, client } of connections) {
    if (wire !== "1.1" || sessionId === undefined || client === "hostile") continue;
    const feed = stored.feeds.get(sessionId) ?? [];
    for (const { message, payload } of received) {
      if (message.event_seq === undefined) continue;
      const item = feed[message.event_seq - 1];
      if (item === undefined) report("I3", `session ${sessionId}: ${message.event_seq} was seen and is not on disk`);
      else if (item.payload !== payload || item.job !== message.job_id) {
        report("I3", `session ${sessionId}: ${message.event_seq} was seen as something else than what is on disk`);
      }
    }
  }
}

/** The numbers that a counting agent has written, in order. */
function countsOf({ entries }: StoredJob): readonly number[] {
  return entries.flatMap(({ payload }) => {
    if (!payload.includes('"counted"')) return [];
    const { body } = JSON.parse(payload) as { readonly body?: { readonly attributes?: { readonly count?: number } } };
    return body?.attributes?.count === undefined ? [] : [body.attributes.count];
  });
}

function checkJournal(job: StoredJob, report: Report): void {
  const gap = job.entries.findIndex(({ n }, index) => n !== index + 1);
  if (gap !== -1) report("I3", `job ${job.id}: entry ${gap + 1} is missing on disk`);
  if (job.entries.length !== job.lastN) report("I3", `job ${job.id} has ${job.entries.length} of ${job.lastN} entries`);
  const counts = countsOf(job);
  const wrong = counts.findIndex((count, index) => count !== index + 1);
  if (wrong !== -1)
    report("I3", `job ${job.id}: what its agent counted is ${counts.slice(wrong, wrong + 3).join()} at ${wrong + 1}`);
}

function checkFeeds({ feeds, jobs }: Stored, isShared: boolean, report: Report): void {
  for (const [session, feed] of feeds) {
    const gap = feed.findIndex(({ seq }, index) => seq !== index + 1);
    if (gap !== -1) report("I2", `session ${session}: number ${gap + 1} is missing on disk`);
    const numbered = new Set(feed.map(({ job, n }) => `${job} ${n}`));
    for (const job of jobs.values()) {
      if (job.sessionId !== session) continue;
      // What another runtime wrote while nobody had the session is numbered when somebody has it again.
      const upTo = isShared ? Math.max(0, ...feed.filter((item) => item.job === job.id).map(({ n }) => n)) : job.lastN;
      const left = job.entries.find(
        ({ n, code }) => n <= upTo && SHOWN_TO_ALL.has(code) && !numbered.has(`${job.id} ${n}`),
      );
      if (left) report("I3", `session ${session}: entry ${left.n} of its job ${job.id} has no number`);
    }
    for (const item of feed) {
      if (!jobs.has(item.job))
        report("I3", `session ${session}: ${item.seq} is of job ${item.job}, which is not on disk`);
    }
  }
}
