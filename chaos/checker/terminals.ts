/** I1: exactly one terminal message per job, the last of its job, the same for everybody and on disk. */

import type { Stored } from "./stored.ts";
import type { ConnectionStory, Passed, Story } from "./story.ts";
import { grouped, isEnding } from "./story.ts";
import type { Report } from "./violation.ts";

interface Heard {
  readonly connection: ConnectionStory;
  readonly passed: Passed;
}

export function checkTerminals({ connections }: Story, stored: Stored, report: Report): void {
  const heard: Heard[] = connections.flatMap((connection) =>
    connection.received.filter((passed) => isEnding(passed, connection.wire)).map((passed) => ({ connection, passed })),
  );
  for (const [wire, ofWire] of grouped(heard, ({ connection }) => connection.wire)) {
    for (const [job, endings] of grouped(ofWire, ({ passed }) => passed.message.job_id)) {
      const said = new Set(endings.map(({ passed }) => `${passed.message.type} ${passed.payload}`));
      if (said.size > 1)
        report("I1", `job ${job} ended in ${said.size} ways on wire ${wire}: ${[...said].join(" | ")}`);
    }
  }
  for (const [session, own] of grouped(connections, ({ sessionId }) => sessionId)) {
    if (session !== undefined) checkSession(session, own, report);
  }
  for (const { id, status, lastN, entries } of stored.jobs.values()) {
    const terminal = entries.filter(({ code }) => code === TERMINAL_CODES.result || code === TERMINAL_CODES.error);
    if (terminal.length > 1) report("I1", `job ${id} has ${terminal.length} terminal entries on disk`);
    if (terminal.length === 1 && terminal[0]?.n !== lastN) report("I1", `job ${id} has entries after its end on disk`);
    const isOver = status !== "running" && status !== "pending";
    if (isOver !== terminal.length > 0) report("I1", `job ${id} is ${status} with ${terminal.length} terminal entries`);
  }
}

/** As the store has them (`ENTRY`): what is stored is never renumbered. */
const TERMINAL_CODES = { result: 20, error: 21 } as const;

/** Of one session: no second ending under another number, nothing of a job after its ending. */
function checkSession(session: string, own: readonly ConnectionStory[], report: Report): void {
  const mayEnd = allowedEndings(own);
  const ended = new Map<string, number>();
  const numbered = new Map<number, Passed>();
  for (const passed of own.flatMap(({ received }) => received)) {
    if (passed.message.event_seq !== undefined) numbered.set(passed.message.event_seq, passed);
  }
  for (const [seq, passed] of [...numbered].sort(([a], [b]) => a - b)) {
    const job = passed.message.job_id;
    if (job === undefined) continue;
    const { endings, mayFollow } = mayEnd(job);
    const before = ended.get(job) ?? 0;
    if (isEnding(passed, "1.1")) ended.set(job, before + 1);
    const isTooMany = isEnding(passed, "1.1") ? before >= endings : before > 0 && !mayFollow(passed);
    if (isTooMany) report("I1", `session ${session}: ${passed.message.type} ${seq} of job ${job}, which has ended`);
  }
}

/** Who submits a job again is told of its end again, and of a result in pieces; who asks for its history, of all of it. */
function allowedEndings(own: readonly ConnectionStory[]) {
  const sent = own.flatMap((connection) => connection.sent.map(({ message }) => message));
  const submits = grouped(
    sent.filter(({ type }) => type === "job.submit"),
    ({ payload }) => payload["idempotency_key"],
  );
  const subscribed = grouped(
    sent.filter(({ type }) => type === "job.subscribe"),
    ({ payload, job_id }) => payload["job_id"] ?? job_id,
  );
  const requests = new Map(sent.map((message) => [message.id, message]));
  const keys = new Map(
    own.flatMap(({ received }) =>
      received
        .filter(({ message }) => message.type === "job.accepted")
        .map(({ message: { payload } }) => {
          const request = requests.get(String(payload["request_id"]));
          return [payload["job_id"], request?.payload["idempotency_key"]] as const;
        }),
    ),
  );
  const answered = new Set(keys.values());
  // Which of them made a job whose acceptance never came in cannot be known: as often as any of them was sent.
  const unanswered = Math.max(1, ...[...submits].map(([key, all]) => (answered.has(key) ? 1 : all.length)));
  return (job: string): { readonly endings: number; readonly mayFollow: (passed: Passed) => boolean } => {
    const observations = subscribed.get(job)?.length ?? 0;
    const key = keys.get(job);
    const submissions = key === undefined ? unanswered : (submits.get(key)?.length ?? 1);
    const mayFollow = ({ message }: Passed): boolean =>
      observations > 0 || (submissions > 1 && message.payload["kind"] === "result_chunk");
    return { endings: submissions + observations, mayFollow };
  };
}
