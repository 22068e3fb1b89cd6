/** The tables of the embedded store, and how a file of an older version becomes one of this version. */

/**
 * `entry` is the log: one row per entry under a compact integer key, no secondary index. A job owns segments of
 * 2^20 keys, so its journal lies together. `feed` is run-length coded.
 */
const VERSION_1 = `
CREATE TABLE job (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  session_id TEXT NOT NULL,
  principal TEXT NOT NULL,
  agent TEXT NOT NULL,
  agent_version TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER,
  lease TEXT NOT NULL,
  lease_constraints TEXT,
  parent_job_id TEXT,
  trace_id TEXT NOT NULL,
  budget TEXT,
  epoch INTEGER NOT NULL,
  last_n INTEGER NOT NULL,
  last_event_seq INTEGER NOT NULL
) STRICT;
CREATE INDEX job_by_principal ON job (principal, created_at);
CREATE INDEX job_unfinished ON job (key) WHERE ended_at IS NULL;
CREATE TABLE segment (
  key INTEGER PRIMARY KEY,
  job INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  UNIQUE (job, ordinal)
) STRICT;
CREATE TABLE entry (
  key INTEGER PRIMARY KEY,
  ts INTEGER NOT NULL,
  code INTEGER NOT NULL,
  payload TEXT NOT NULL
) STRICT;
CREATE TABLE session (
  key INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  principal TEXT NOT NULL,
  wire TEXT NOT NULL,
  features TEXT NOT NULL,
  token_hash TEXT NOT NULL,
  previous_token_hash TEXT,
  salt TEXT NOT NULL,
  acked_seq INTEGER NOT NULL,
  detached_at INTEGER,
  created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_by_token ON session (token_hash);
CREATE INDEX session_by_previous_token ON session (previous_token_hash) WHERE previous_token_hash IS NOT NULL;
CREATE TABLE feed (
  session INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  job INTEGER NOT NULL,
  n INTEGER NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE follow (
  job INTEGER NOT NULL,
  session INTEGER NOT NULL,
  PRIMARY KEY (job, session)
) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (
  principal TEXT NOT NULL,
  key TEXT NOT NULL,
  digest TEXT NOT NULL,
  job_id TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (principal, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
  key INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  action TEXT NOT NULL,
  principal TEXT NOT NULL,
  facts TEXT NOT NULL
) STRICT;
`;

/**
 * `credential` has a row per secret that an upstream was asked for, without the secret. It names its job by id: the row is
 * there before the job is, and stays until the secret is dead even if the job is gone.
 */
const VERSION_2 = `
ALTER TABLE job ADD COLUMN delegate_id TEXT;
CREATE TABLE credential (
  alias TEXT PRIMARY KEY,
  credential_id TEXT NOT NULL,
  job_id TEXT NOT NULL,
  provisioner TEXT NOT NULL,
  upstream_id TEXT,
  state INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  issued_at INTEGER,
  expires_at INTEGER,
  revoking_since INTEGER,
  attempts INTEGER NOT NULL,
  last_error TEXT,
  revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_by_job ON credential (job_id);
CREATE INDEX credential_by_time ON credential (created_at, alias);
CREATE INDEX credential_outstanding ON credential (created_at, alias) WHERE state < 3;
CREATE INDEX credential_revoked ON credential (revoked_at) WHERE state = 3;
`;

/** `record` holds small documents of several kinds. */
const VERSION_3 = `
CREATE TABLE record (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  principal TEXT NOT NULL,
  job_id TEXT,
  due_at INTEGER,
  data TEXT NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_by_principal ON record (kind, principal, id);
CREATE INDEX record_by_job ON record (job_id, kind, id) WHERE job_id IS NOT NULL;
CREATE INDEX record_due ON record (kind, due_at) WHERE due_at IS NOT NULL;
`;

const VERSION_4 = `
ALTER TABLE session ADD COLUMN must_authenticate INTEGER NOT NULL DEFAULT 0;
`;

/** Rows of the audit become links of a chain: those that are there already are hashed by the store, once. */
const VERSION_5 = `
ALTER TABLE audit ADD COLUMN session_id TEXT;
ALTER TABLE audit ADD COLUMN job_id TEXT;
ALTER TABLE audit ADD COLUMN remote_address TEXT;
ALTER TABLE audit ADD COLUMN trace_id TEXT;
ALTER TABLE audit ADD COLUMN hash TEXT;
`;

/** The status of a job that is being deleted, a slice at a time: nobody is shown it any more. */
export const EXPIRED = "expired";

/** The version whose audit is a chain. */
export const CHAINED_AUDIT_VERSION = 5;

/**
 * What retention looks for is found without reading everything. `encryption` has a row per key that rows may be encrypted
 * with, with a text that only that key opens; empty in a file that is not encrypted.
 */
const VERSION_6 = `
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX session_detached ON session (detached_at) WHERE detached_at IS NOT NULL;
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
CREATE TABLE encryption (
  key_id TEXT PRIMARY KEY,
  canary TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`;

/**
 * Checksums of rows (`row-sums.ts`); `null` in rows that are older. `sent_seq` is the last number that a client can have
 * been sent while nobody is attached, whatever has been numbered since.
 */
const VERSION_7 = `
ALTER TABLE entry ADD COLUMN sum INTEGER;
ALTER TABLE job ADD COLUMN facts_sum INTEGER;
ALTER TABLE job ADD COLUMN state_sum INTEGER;
ALTER TABLE session ADD COLUMN sent_seq INTEGER;
ALTER TABLE session ADD COLUMN sum INTEGER;
ALTER TABLE feed ADD COLUMN sum INTEGER;
ALTER TABLE record ADD COLUMN sum INTEGER;
`;

/** A flipped bit of a credential's state would leave a secret that nobody revokes. */
const VERSION_8 = `
ALTER TABLE credential ADD COLUMN sum INTEGER;
ALTER TABLE idempotency ADD COLUMN sum INTEGER;
`;

/**
 * Journals of ended jobs are shortened from the front. `first_n` is where one begins for whoever reads it, `trimmed_at` since
 * when, and entries up to `dropped_n` are deleted: between the two, whoever began to read before may go on.
 */
const VERSION_9 = `
ALTER TABLE job ADD COLUMN first_n INTEGER NOT NULL DEFAULT 1;
ALTER TABLE job ADD COLUMN dropped_n INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN trimmed_at INTEGER;
CREATE INDEX job_untrimmed ON job (ended_at, key) WHERE ended_at IS NOT NULL AND trimmed_at IS NULL;
CREATE INDEX job_trimmed ON job (key) WHERE dropped_n < first_n - 1;
`;

/** What a job was asked for goes with its row, and is read alone: listings do without. */
const VERSION_10 = `
ALTER TABLE job ADD COLUMN asked TEXT;
ALTER TABLE job ADD COLUMN asked_sum INTEGER;
`;

/** Each step takes a file from the version before it to the next. `user_version` counts the steps taken. */
export const MIGRATIONS: readonly string[] = [
  VERSION_1,
  VERSION_2,
  VERSION_3,
  VERSION_4,
  VERSION_5,
  VERSION_6,
  VERSION_7,
  VERSION_8,
  VERSION_9,
  VERSION_10,
];
