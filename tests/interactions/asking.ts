/** A job whose agent asks people, and what a test needs to look at that. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import { type Harness, type HarnessOptions, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import type { Frame10, RawClient10 } from "../support/raw-client-10.ts";

export interface Asking extends AsyncDisposable {
  readonly harness: Harness;
  readonly clock: ManualClock;
  readonly puppet: Puppet;
  /** The client that asked for the job. */
  readonly client: RawClient10;
  readonly jobId: string;
  readonly run: Run;
}

/** A runtime with a clock of its own and a job in a test's hands, asked for over wire 1.0. */
export async function askingJob(server: HarnessOptions["server"] = {}, opening: object = {}): Promise<Asking> {
  const clock = new ManualClock();
  const puppet = new Puppet();
  const harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock, ...server } });
  const client = await harness.rawSession10("alice", opening);
  const { job_id } = await client.invoke("puppet");
  return {
    ...{ harness, clock, puppet, client, jobId: String(job_id), run: await puppet.next() },
    [Symbol.asyncDispose]: () => harness[Symbol.asyncDispose](),
  };
}

export interface AuditedJob extends Asking {
  /** The database. */
  readonly file: string;
}

/** The same with a store in a file, whose audit can be read. */
export async function auditedJob(server: HarnessOptions["server"] = {}): Promise<AuditedJob> {
  const directory = mkdtempSync(join(tmpdir(), "arcp-asking-"));
  const file = join(directory, "journal.db");
  const store = sqliteStore({ path: file });
  const job = await askingJob({ eventLog: store, ...server });
  return {
    ...{ ...job, file },
    async [Symbol.asyncDispose]() {
      await job[Symbol.asyncDispose]();
      await store.close();
      rmSync(directory, { recursive: true });
    },
  };
}

export interface AuditLine {
  readonly at: number;
  readonly action: string;
  readonly principal: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of the facts
  readonly facts: any;
}

/** What the runtime has recorded for whoever audits, oldest first. */
export async function auditOf({ file, client }: AuditedJob): Promise<readonly AuditLine[]> {
  // A reply leaves after what was written before it is durable.
  await client.ask("session.list_jobs");
  const database = new Database(file, { readonly: true });
  try {
    const rows = database.prepare("SELECT * FROM audit ORDER BY key").all();
    return (rows as (AuditLine & { facts: string; session_id: string; job_id: string })[]).map((row) => {
      const { session_id, job_id } = row;
      return { ...row, facts: { session_id, job_id, ...JSON.parse(row.facts) } };
    });
  } finally {
    database.close();
  }
}

/** What became of a promise so far, without waiting for it. */
export interface Outcome<Value> {
  readonly value?: Value;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of an error
  readonly error?: any;
  readonly isSettled: boolean;
  readonly times: number;
}

/** Watches a promise: {@link Outcome} as it is whenever it is looked at. */
export function watched<Value>(promise: Promise<Value>): Outcome<Value> {
  const outcome: { value?: Value; error?: unknown; isSettled: boolean; times: number } = { isSettled: false, times: 0 };
  promise.then(
    (value) => Object.assign(outcome, { value, isSettled: true, times: outcome.times + 1 }),
    (error) => Object.assign(outcome, { error, isSettled: true, times: outcome.times + 1 }),
  );
  return outcome;
}

/** The request that asks a client, now or later. */
export const asked = (client: RawClient10, nth = 0): Promise<Frame10> =>
  client.sees((frame) => requestsOf(client)[nth] === frame, "a question");

const REQUESTS: readonly string[] = ["human.input.request", "human.choice.request", "permission.request"];

export const requestsOf = (client: RawClient10): readonly Frame10[] => client.ofType(...REQUESTS);

/** What a client was told of the end of a question. */
export const closingsOf = (client: RawClient10, requestId: string): readonly Frame10[] =>
  client.frames.filter(({ type, payload, correlation_id, causation_id }) =>
    ["human.input.cancelled", "human.input.response", "human.choice.response"].includes(type)
      ? correlation_id === requestId
      : type === "event.emit" && payload.name === "human.input.resolved" && causation_id === requestId,
  );

/** The states that a client was told of, in order. */
export const statesOf = (client: RawClient10): readonly string[] =>
  client
    .ofType("event.emit")
    .filter(({ payload }) => payload.name === "job.state")
    .map(({ payload }) => payload.data.state);

/** Answers a request. Resolves with what the runtime says to that. */
export const respond = (client: RawClient10, request: Frame10, value: unknown, more: object = {}): Promise<Frame10> =>
  client.ask("human.input.response", { value, ...more }, { correlation_id: request.id });

export const choose = (client: RawClient10, request: Frame10, choiceId: string): Promise<Frame10> =>
  client.ask("human.choice.response", { choice_id: choiceId }, { correlation_id: request.id });

export const grant = (client: RawClient10, request: Frame10, payload: object = {}): Promise<Frame10> =>
  client.ask("permission.grant", payload, { correlation_id: request.id });

export const deny = (client: RawClient10, request: Frame10, payload: object = {}): Promise<Frame10> =>
  client.ask("permission.deny", payload, { correlation_id: request.id });
