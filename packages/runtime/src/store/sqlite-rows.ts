/** Rows of the embedded store, and the records that they stand for. */
import type { JobId, SessionId } from "@arcp/core";
import { askedPlace, auditPlace, type RowCipher, recordPlace } from "./row-cipher.ts";
import { assertSum, sumOf } from "./row-sums.ts";
import type {
  AuditRow,
  CredentialRecord,
  CredentialState,
  IdempotencyRecord,
  JobRecord,
  SessionRecord,
  StoredRecord,
} from "./store.ts";

export interface JobRow {
  key: number;
  id: string;
  session_id: string;
  principal: string;
  agent: string;
  agent_version: string;
  status: string;
  created_at: number;
  ended_at: number | null;
  lease: string;
  lease_constraints: string | null;
  parent_job_id: string | null;
  trace_id: string;
  budget: string | null;
  epoch: number;
  last_n: number;
  last_event_seq: number;
  delegate_id: string | null;
  facts_sum: number | null;
  state_sum: number | null;
  first_n: number;
  dropped_n: number;
  trimmed_at: number | null;
}

/** What {@link jobRecord} reads: not what the job was asked for, which may be long. */
export const JOB_COLUMNS = [
  ..."key id session_id principal agent agent_version status created_at ended_at lease lease_constraints".split(" "),
  ..."parent_job_id trace_id budget epoch last_n last_event_seq delegate_id facts_sum state_sum".split(" "),
  ..."first_n dropped_n trimmed_at".split(" "),
].join(", ");

/** What a job was asked for. */
export interface AskedRow {
  id: string;
  asked: string | null;
  asked_sum: number | null;
}

export interface SessionRow {
  key: number;
  id: string;
  principal: string;
  wire: string;
  features: string;
  token_hash: string;
  previous_token_hash: string | null;
  salt: string;
  acked_seq: number;
  detached_at: number | null;
  created_at: number;
  must_authenticate: number;
  sent_seq: number | null;
  sum: number | null;
}

export interface CredentialRow {
  alias: string;
  credential_id: string;
  job_id: string;
  provisioner: string;
  upstream_id: string | null;
  state: number;
  created_at: number;
  issued_at: number | null;
  expires_at: number | null;
  revoking_since: number | null;
  attempts: number;
  last_error: string | null;
  revoked_at: number | null;
  sum: number | null;
}

export interface IdempotencyRow {
  principal: string;
  key: string;
  digest: string;
  job_id: string;
  expires_at: number;
  sum: number | null;
}

export interface RecordRow {
  kind: string;
  id: string;
  principal: string;
  job_id: string | null;
  due_at: number | null;
  data: string;
  sum: number | null;
}

export interface AuditTableRow {
  key: number;
  at: number;
  action: string;
  principal: string;
  session_id: string | null;
  job_id: string | null;
  remote_address: string | null;
  trace_id: string | null;
  facts: string;
  hash: string | null;
}

/** Stored by their place: never reorder. A row's number never goes down. */
export const CREDENTIAL_STATES: readonly CredentialState[] = ["intended", "live", "revoking", "revoked"];

export interface RunRow {
  readonly seq: number;
  readonly job: number;
  readonly jobId: string;
  readonly traceId: string;
  readonly session: number;
  readonly n: number;
  readonly count: number;
  readonly sum: number | null;
}

type Facts = Pick<
  JobRow,
  | ("id" | "session_id" | "principal" | "agent" | "agent_version" | "created_at" | "lease" | "lease_constraints")
  | ("parent_job_id" | "trace_id" | "delegate_id")
>;
type State = Pick<JobRow, "status" | "ended_at" | "budget" | "last_n" | "last_event_seq">;

/** Of what never changes about a job. */
export const factsSum = (row: Facts): number =>
  sumOf(
    ...[row.id, row.session_id, row.principal, row.agent, row.agent_version, row.created_at, row.lease],
    ...[row.lease_constraints, row.parent_job_id, row.trace_id, row.delegate_id],
  );

/** Of what does, but for its epoch. */
export const stateSum = (row: State): number =>
  sumOf(row.status, row.ended_at, row.budget, row.last_n, row.last_event_seq);

/** Of a session, but for when it was detached and what it had been sent by then. */
export const sessionSum = (row: Omit<SessionRow, "key" | "detached_at" | "sent_seq" | "sum">): number =>
  sumOf(
    ...[row.id, row.principal, row.wire, row.features, row.token_hash, row.previous_token_hash, row.salt],
    ...[row.acked_seq, row.created_at, row.must_authenticate],
  );

export const recordSum = (row: Omit<RecordRow, "sum">): number =>
  sumOf(row.kind, row.id, row.principal, row.job_id, row.due_at, row.data);

export const credentialSum = (row: Omit<CredentialRow, "sum">): number =>
  sumOf(
    ...[row.alias, row.credential_id, row.job_id, row.provisioner, row.upstream_id, row.state, row.created_at],
    ...[row.issued_at, row.expires_at, row.revoking_since, row.attempts, row.last_error, row.revoked_at],
  );

export const idempotencySum = (row: Omit<IdempotencyRow, "sum">): number =>
  sumOf(row.principal, row.key, row.digest, row.job_id, row.expires_at);

/** Throws {@link StoreError} `corrupt` if the row is not what was stored, as all of these do. */
export function jobRecord(row: JobRow): JobRecord {
  assertSum(row.facts_sum, factsSum(row), `job ${row.id}`);
  assertSum(row.state_sum, stateSum(row), `job ${row.id}`);
  return {
    id: row.id as JobId,
    sessionId: row.session_id as SessionId,
    principal: row.principal,
    agent: row.agent,
    agentVersion: row.agent_version,
    status: row.status as JobRecord["status"],
    createdAt: row.created_at,
    endedAt: row.ended_at,
    lease: JSON.parse(row.lease),
    leaseConstraints: row.lease_constraints === null ? null : JSON.parse(row.lease_constraints),
    parentJobId: row.parent_job_id as JobId | null,
    delegateId: row.delegate_id,
    traceId: row.trace_id as JobRecord["traceId"],
    budget: row.budget === null ? null : JSON.parse(row.budget),
    epoch: row.epoch,
    lastN: row.last_n,
    lastEventSeq: row.last_event_seq,
    ...(row.first_n > 1 && { firstN: row.first_n }),
  };
}

/** Of what a job was asked for, as it is stored. */
export const askedSum = ({ id, asked }: Omit<AskedRow, "asked_sum">): number => sumOf(id, asked);

export function askedOf(row: AskedRow, cipher: RowCipher | undefined): string | undefined {
  if (row.asked === null) return undefined;
  assertSum(row.asked_sum, askedSum(row), `what job ${row.id} was asked for`);
  return cipher === undefined ? row.asked : cipher.open(askedPlace(row.id), row.asked);
}

export function sessionRecord(row: SessionRow): SessionRecord {
  assertSum(row.sum, sessionSum(row), `session ${row.id}`);
  return {
    id: row.id as SessionId,
    principal: row.principal,
    wire: row.wire,
    features: row.features === "" ? [] : row.features.split(" "),
    tokenHash: row.token_hash,
    previousTokenHash: row.previous_token_hash,
    mustAuthenticate: row.must_authenticate === 1,
    salt: row.salt,
    ackedSeq: row.acked_seq,
    detachedAt: row.detached_at,
    sentSeq: row.sent_seq,
    createdAt: row.created_at,
  };
}

export function credentialRecord(row: CredentialRow): CredentialRecord {
  assertSum(row.sum, credentialSum(row), `credential ${row.alias}`);
  return {
    alias: row.alias,
    credentialId: row.credential_id,
    jobId: row.job_id as JobId,
    provisioner: row.provisioner,
    upstreamId: row.upstream_id,
    state: CREDENTIAL_STATES[row.state] as CredentialState,
    createdAt: row.created_at,
    issuedAt: row.issued_at,
    expiresAt: row.expires_at,
    revokingSince: row.revoking_since,
    attempts: row.attempts,
    lastError: row.last_error,
    revokedAt: row.revoked_at,
  };
}

export function idempotencyRecord(row: IdempotencyRow): IdempotencyRecord {
  assertSum(row.sum, idempotencySum(row), `the key ${row.key} of ${row.principal}`);
  const { principal, key, digest, job_id, expires_at } = row;
  return { principal, key, digest, jobId: job_id as JobId, expiresAt: expires_at };
}

export function storedRecord(row: RecordRow, cipher: RowCipher | undefined): StoredRecord {
  const { kind, id, principal, job_id, due_at, data } = row;
  assertSum(row.sum, recordSum(row), `${kind} ${id}`);
  const opened = cipher === undefined ? data : cipher.open(recordPlace(kind, id, principal, job_id), data);
  return { kind, id, principal, jobId: job_id as JobId | null, dueAt: due_at, data: opened };
}

/** A row without a hash was put there by something else than this program: it fits nowhere. */
export function auditRow(row: AuditTableRow, cipher: RowCipher | undefined): AuditRow {
  const { key: seq, at, action, principal, session_id, job_id, remote_address, trace_id, hash } = row;
  const facts = cipher === undefined ? row.facts : cipher.open(auditPlace(seq), row.facts);
  return {
    ...{ seq, at, action, principal, facts, hash: hash ?? "" },
    ...(session_id !== null && { sessionId: session_id as SessionId }),
    ...(job_id !== null && { jobId: job_id as JobId }),
    ...(remote_address !== null && { remoteAddress: remote_address }),
    ...(trace_id !== null && { traceId: trace_id }),
  };
}
