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
  // Who asks for a job's history again is told of its end again.
  const asked = own.flatMap(({ sent }) => sent.filter(({ message }) => message.type === "job.subscribe"));
  const observed = new Set(asked.map(({ message }) => message.payload["job_id"] ?? message.job_id));
  const endedAt = new Map<string, number>();
  const numbered = new Map<number, Passed>();
  for (const passed of own.flatMap(({ received }) => received)) {
    if (passed.message.event_seq !== undefined) numbered.set(passed.message.event_seq, passed);
  }
  for (const [seq, passed] of [...numbered].sort(([a], [b]) => a - b)) {
    const job = passed.message.job_id;
    if (job === undefined || observed.has(job)) continue;
    const end = endedAt.get(job);
    if (end !== undefined)
      report("I1", `session ${session}: ${passed.message.type} ${seq} of job ${job}, which ended at ${end}`);
    if (isEnding(passed, "1.1")) endedAt.set(job, seq);
  }
}
