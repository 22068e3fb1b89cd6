/** A batch as the arguments of `commit_batch`. */
import { createHash } from "node:crypto";
import type { JobId, SessionId } from "@arcp/core";
import { auditTexts, type Batch, type CredentialRecord, type JobRecord, type SessionRecord } from "@arcp/runtime";
import { bigintArray, textArray } from "./arrays.ts";
import type { Value } from "./connections.ts";
import { CREDENTIAL_STATES } from "./rows.ts";
import { storable, storableJson } from "./texts.ts";

/** Names that the arrays refer to by their places, from 1 on. In one order in every batch: that is how rows are locked. */
class Places<Id extends string> {
  readonly ids: readonly Id[];
  readonly #places = new Map<Id, number>();

  constructor(ids: Iterable<Id>) {
    this.ids = [...new Set(ids)].sort();
    this.ids.forEach((id, index) => {
      this.#places.set(id, index + 1);
    });
  }

  of(id: Id): number {
    return this.#places.get(id) ?? 0;
  }
}

/** What the batch stores, without who stores it. `epochOf`: the epoch of a session as this node has it; 0 if it has none. */
export function batchValues(batch: Batch, epochOf: (id: SessionId) => number): Value[] {
  const made = new Set(batch.jobs.map(({ id }) => id));
  const jobs = new Places<JobId>(jobsOf(batch));
  const sessions = new Places<SessionId>([...batch.runs.keys(), ...batch.follows.map(({ sessionId }) => sessionId)]);
  const rest = restOf(batch, epochOf, jobs, sessions);
  return [
    ...jobArrays(batch, jobs, made),
    ...entryArrays(batch, jobs),
    textArray(sessions.ids.map(storable)),
    bigintArray(sessions.ids.map(epochOf)),
    ...runArrays(batch, jobs, sessions),
    storableJson(rest),
  ];
}

/** Is it the same batch that these are the values of? */
export function digestOf(values: readonly Value[]): string {
  const hash = createHash("sha256");
  for (const value of values) hash.update(Buffer.isBuffer(value) ? value : String(value)).update("\0");
  return hash.digest("hex");
}

function* jobsOf(batch: Batch): Iterable<JobId> {
  yield* batch.entries.keys();
  yield* batch.jobChanges.keys();
  for (const runs of batch.runs.values()) for (const { jobId } of runs) yield jobId;
  for (const { jobId } of batch.follows) yield jobId;
}

/** The epoch of a job that is made or only named is no matter. A change of a job that is made is part of its making. */
function jobArrays(batch: Batch, { ids }: Places<JobId>, made: ReadonlySet<JobId>): Value[] {
  const changes = ids.map((id) => (made.has(id) ? undefined : batch.jobChanges.get(id)));
  const epochs = ids.map((id, index) => {
    if (made.has(id)) return null;
    const [change, entries] = [changes[index], batch.entries.get(id)];
    // Whoever has two opinions about an epoch is stale by one of them.
    if (change !== undefined && entries !== undefined && change.epoch !== entries.epoch) return -1;
    return change?.epoch ?? entries?.epoch ?? null;
  });
  return [
    textArray(ids.map(storable)),
    bigintArray(epochs),
    textArray(changes.map((change) => change?.status ?? null)),
    bigintArray(changes.map((change) => change?.endedAt ?? null)),
    textArray(changes.map((change) => (change?.budget ? JSON.stringify(change.budget) : null))),
    bigintArray(changes.map((change) => change?.lastN ?? null)),
    bigintArray(changes.map((change) => change?.lastEventSeq ?? null)),
  ];
}

function entryArrays(batch: Batch, jobs: Places<JobId>): Value[] {
  const [places, ns, times, codes]: [number[], number[], number[], number[]] = [[], [], [], []];
  const payloads: string[] = [];
  for (const [id, { list }] of batch.entries) {
    const place = jobs.of(id);
    for (const { n, ts, code, payload } of list) {
      places.push(place);
      ns.push(n);
      times.push(ts);
      codes.push(code);
      payloads.push(storable(payload));
    }
  }
  return [bigintArray(places), bigintArray(ns), bigintArray(times), bigintArray(codes), textArray(payloads)];
}

function runArrays(batch: Batch, jobs: Places<JobId>, sessions: Places<SessionId>): Value[] {
  const columns: [number[], number[], number[], number[], number[]] = [[], [], [], [], []];
  for (const [id, runs] of batch.runs) {
    // The last one counts, should a number be there twice.
    for (const run of new Map(runs.map((run) => [run.seq, run])).values()) {
      [sessions.of(id), run.seq, jobs.of(run.jobId), run.n, run.count].forEach((value, index) => {
        columns[index]?.push(value);
      });
    }
  }
  return columns.map(bigintArray);
}

/** What is rare, by the names of columns. Of several for one row the last counts. */
function restOf(
  batch: Batch,
  epochOf: (id: SessionId) => number,
  jobs: Places<JobId>,
  sessions: Places<SessionId>,
): Record<string, unknown[]> {
  const follows = batch.follows.map(({ sessionId, jobId, isOn, n }) => ({
    ...{ session: sessions.of(sessionId), job: jobs.of(jobId), is_on: isOn, n },
  }));
  const rest = {
    sessions: lastOf(batch.sessions, ({ id }) => id).map((session) => sessionRow(session, epochOf(session.id) || 1)),
    jobs: batch.jobs.map((job) => jobRow({ ...job, ...batch.jobChanges.get(job.id) })),
    idempotency: lastOf(batch.idempotency, ({ principal, key }) => `${principal}\0${key}`).map((record) => ({
      ...{ principal: record.principal, key: record.key, digest: record.digest },
      ...{ job_id: record.jobId, expires_at: record.expiresAt },
    })),
    follows: lastOf(follows, ({ session, job }) => `${session} ${job}`),
    credentials: lastOf(batch.credentials, ({ alias }) => alias).map(credentialRow),
    records: lastOf(batch.records, ({ kind, id }) => `${kind}\0${id}`).map(
      ({ kind, id, principal, jobId, dueAt, data, mustExist = false }) => ({
        ...{ kind, id, principal, job_id: jobId, due_at: dueAt, data, must_exist: mustExist },
      }),
    ),
    audit: batch.audit.map(auditRow),
  };
  return Object.fromEntries(Object.entries(rest).filter(([, rows]) => rows.length > 0));
}

function lastOf<Item>(items: Iterable<Item>, keyOf: (item: Item) => string): Item[] {
  const last = new Map<string, Item>();
  for (const item of items) last.set(keyOf(item), item);
  return [...last.values()];
}

const sessionRow = (session: SessionRecord, epoch: number) => ({
  ...{ id: session.id, epoch, principal: session.principal, wire: session.wire, features: session.features.join(" ") },
  ...{ token_hash: session.tokenHash, previous_token_hash: session.previousTokenHash, salt: session.salt },
  ...{ must_authenticate: session.mustAuthenticate, acked_seq: session.ackedSeq, created_at: session.createdAt },
  ...{ detached_at: session.detachedAt, sent_seq: session.sentSeq },
});

const jobRow = (job: JobRecord) => ({
  ...{ id: job.id, epoch: job.epoch, session_id: job.sessionId, principal: job.principal, agent: job.agent },
  ...{ agent_version: job.agentVersion, status: job.status, created_at: job.createdAt, ended_at: job.endedAt },
  ...{ lease: JSON.stringify(job.lease), trace_id: job.traceId },
  lease_constraints: job.leaseConstraints === null ? null : JSON.stringify(job.leaseConstraints),
  ...{ parent_job_id: job.parentJobId, delegate_id: job.delegateId },
  budget: job.budget === null ? null : JSON.stringify(job.budget),
  ...{ last_n: job.lastN, last_event_seq: job.lastEventSeq, is_for_anybody: job.isForAnybody === true },
  ...(job.asked !== undefined && { asked: job.asked }),
});

const credentialRow = (credential: CredentialRecord) => ({
  ...{ alias: credential.alias, credential_id: credential.credentialId, job_id: credential.jobId },
  ...{ provisioner: credential.provisioner, upstream_id: credential.upstreamId },
  ...{ state: CREDENTIAL_STATES.indexOf(credential.state), created_at: credential.createdAt },
  ...{ issued_at: credential.issuedAt, expires_at: credential.expiresAt, revoking_since: credential.revokingSince },
  ...{ attempts: credential.attempts, last_error: credential.lastError, revoked_at: credential.revokedAt },
});

/** The row of a record, with the texts that its hash is made of. */
export function auditRow(record: Batch["audit"][number]) {
  const { at, action, principal, sessionId, jobId, remoteAddress, traceId, facts } = record;
  const [before_hash, before_seq, after_seq] = auditTexts(record).map((text) => Buffer.from(text).toString("base64"));
  return {
    ...{ at, action, principal, session_id: sessionId, job_id: jobId, remote_address: remoteAddress },
    ...{ trace_id: traceId, facts, before_hash, before_seq, after_seq },
  };
}
