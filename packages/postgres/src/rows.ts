/** Rows, and the records that they stand for. */
import type { JobId, SessionId } from "@arcp/core";
import type {
  AuditRow,
  CredentialRecord,
  CredentialState,
  FeedRun,
  IdempotencyRecord,
  JobRecord,
  NodeFacts,
  NodeRecord,
  SessionRecord,
  StoredRecord,
} from "@arcp/runtime";

/** Stored by their place: never reorder. A row's number never goes down. */
export const CREDENTIAL_STATES: readonly CredentialState[] = ["intended", "live", "revoking", "revoked"];

export interface JobRow {
  readonly key: number;
  readonly id: JobId;
  readonly session_id: SessionId;
  readonly principal: string;
  readonly agent: string;
  readonly agent_version: string;
  readonly status: JobRecord["status"];
  readonly created_at: number;
  readonly ended_at: number | null;
  readonly lease: string;
  readonly lease_constraints: string | null;
  readonly parent_job_id: JobId | null;
  readonly delegate_id: string | null;
  readonly trace_id: JobRecord["traceId"];
  readonly budget: string | null;
  readonly epoch: number;
  readonly last_n: number;
  readonly last_event_seq: number;
  readonly family: string | null;
  readonly first_n: number;
}

/** What {@link jobRecord} and {@link claimedRecord} read: not what the job was asked for, which may be long. */
export const JOB_COLUMNS = [
  "key, id, session_id, principal, agent, agent_version, status, created_at, ended_at, lease, lease_constraints",
  "parent_job_id, delegate_id, trace_id, budget, epoch, last_n, last_event_seq, family, first_n",
].join(", ");

/** Of a job that was claimed: one that was delegated for whichever node claims it shares nothing with its parent. */
export const claimedRecord = (row: JobRow): JobRecord => ({
  ...jobRecord(row),
  ...(row.parent_job_id !== null && row.family === null && { isForAnybody: true }),
});

export const jobRecord = (row: JobRow): JobRecord => ({
  ...{ id: row.id, sessionId: row.session_id, principal: row.principal, agent: row.agent },
  ...{ agentVersion: row.agent_version, status: row.status, createdAt: row.created_at, endedAt: row.ended_at },
  lease: JSON.parse(row.lease),
  leaseConstraints: row.lease_constraints === null ? null : JSON.parse(row.lease_constraints),
  ...{ parentJobId: row.parent_job_id, delegateId: row.delegate_id, traceId: row.trace_id },
  budget: row.budget === null ? null : JSON.parse(row.budget),
  ...{ epoch: row.epoch, lastN: row.last_n, lastEventSeq: row.last_event_seq },
  ...(row.first_n > 1 && { firstN: row.first_n }),
});

export interface SessionRow {
  readonly key: number;
  readonly id: SessionId;
  readonly epoch: number;
  readonly principal: string;
  readonly wire: string;
  readonly features: string;
  readonly token_hash: string;
  readonly previous_token_hash: string | null;
  readonly must_authenticate: boolean;
  readonly salt: string;
  readonly acked_seq: number;
  readonly detached_at: number | null;
  readonly sent_seq: number | null;
  readonly created_at: number;
}

export const sessionRecord = (row: SessionRow): SessionRecord => ({
  ...{ id: row.id, principal: row.principal, wire: row.wire },
  features: row.features === "" ? [] : row.features.split(" "),
  ...{ tokenHash: row.token_hash, previousTokenHash: row.previous_token_hash },
  ...{ mustAuthenticate: row.must_authenticate, salt: row.salt, ackedSeq: row.acked_seq },
  ...{ detachedAt: row.detached_at, sentSeq: row.sent_seq, createdAt: row.created_at },
});

/** The last run of a session, in the row of that session: nulls if it has none. */
export interface LastRunRow {
  readonly run_seq: number | null;
  readonly run_job: JobId;
  readonly run_n: number;
  readonly run_count: number;
}

export const lastRunOf = (row: LastRunRow | undefined): FeedRun | null =>
  row === undefined || row.run_seq === null
    ? null
    : { seq: row.run_seq, jobId: row.run_job, n: row.run_n, count: row.run_count };

export interface CredentialRow {
  readonly alias: string;
  readonly credential_id: string;
  readonly job_id: JobId;
  readonly provisioner: string;
  readonly upstream_id: string | null;
  readonly state: number;
  readonly created_at: number;
  readonly issued_at: number | null;
  readonly expires_at: number | null;
  readonly revoking_since: number | null;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly revoked_at: number | null;
}

export const credentialRecord = (row: CredentialRow): CredentialRecord => ({
  ...{ alias: row.alias, credentialId: row.credential_id, jobId: row.job_id, provisioner: row.provisioner },
  ...{ upstreamId: row.upstream_id, state: CREDENTIAL_STATES[row.state] as CredentialState },
  ...{ createdAt: row.created_at, issuedAt: row.issued_at, expiresAt: row.expires_at },
  ...{ revokingSince: row.revoking_since, attempts: row.attempts, lastError: row.last_error },
  revokedAt: row.revoked_at,
});

export interface RecordRow {
  readonly kind: string;
  readonly id: string;
  readonly principal: string;
  readonly job_id: JobId | null;
  readonly due_at: number | null;
  readonly data: string;
}

export const storedRecord = ({ kind, id, principal, job_id, due_at, data }: RecordRow): StoredRecord => ({
  ...{ kind, id, principal, jobId: job_id, dueAt: due_at, data },
});

export interface IdempotencyRow {
  readonly principal: string;
  readonly key: string;
  readonly digest: string;
  readonly job_id: JobId;
  readonly expires_at: number;
}

export const idempotencyRecord = (row: IdempotencyRow): IdempotencyRecord => ({
  ...{ principal: row.principal, key: row.key, digest: row.digest, jobId: row.job_id, expiresAt: row.expires_at },
});

export interface AuditTableRow {
  readonly seq: number;
  readonly at: number;
  readonly action: string;
  readonly principal: string;
  readonly session_id: SessionId | null;
  readonly job_id: JobId | null;
  readonly remote_address: string | null;
  readonly trace_id: string | null;
  readonly facts: string;
  readonly hash: string;
}

export const auditRecord = (row: AuditTableRow): AuditRow => ({
  ...{ seq: row.seq, at: row.at, action: row.action, principal: row.principal, facts: row.facts, hash: row.hash },
  ...(row.session_id !== null && { sessionId: row.session_id }),
  ...(row.job_id !== null && { jobId: row.job_id }),
  ...(row.remote_address !== null && { remoteAddress: row.remote_address }),
  ...(row.trace_id !== null && { traceId: row.trace_id }),
});

export interface NodeRow {
  readonly facts: string;
  readonly started_at: number;
  readonly beat_at: number;
  readonly ttl_ms: number;
  readonly now: number;
  readonly is_up: boolean;
  readonly must_drain: boolean;
}

export const nodeRecord = (row: NodeRow): NodeRecord => ({
  ...(JSON.parse(row.facts) as NodeFacts),
  ...{ startedAt: row.started_at, beatAt: row.beat_at, silentMs: row.now - row.beat_at, ttlMs: row.ttl_ms },
  ...{ isUp: row.is_up, mustDrain: row.must_drain },
});
