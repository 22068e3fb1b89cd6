/**
 * The tables in PostgreSQL, and how a schema of an older version becomes one of this version. Names are without a schema:
 * they are made in the one that comes first in the search path.
 *
 * Texts are compared byte by byte (`COLLATE "C"`), wherever the database was made: pages of a listing are the same everywhere.
 */
import { ASKED } from "./schema-asked.ts";
import { COMMIT_FUNCTIONS } from "./schema-commit.ts";
import { FAMILIES } from "./schema-families.ts";
import { NODE_FUNCTIONS } from "./schema-nodes.ts";
import { READ_FUNCTIONS } from "./schema-reads.ts";
import { RETENTION_FUNCTIONS, TRIMMING } from "./schema-retention.ts";
import { USE } from "./schema-use.ts";

/**
 * `entry` is the log, in one partition per day on which jobs were made (the database's days, in UTC): when the last job of
 * a day is gone, its partition is dropped, and nothing has to be deleted row by row. A job's `key` names it inside, `node` is
 * whose it is: `null` is anybody's.
 */
const TABLES = `
CREATE TABLE cluster (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  name text NOT NULL,
  secret bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Everybody's rows are written with every commit: a page has room for their next versions. \`back_at\` is when the node was heard
-- again after a silence that was too long.
CREATE TABLE node (
  id text COLLATE "C" PRIMARY KEY,
  batch bigint NOT NULL DEFAULT 0,
  is_up boolean NOT NULL DEFAULT true,
  must_drain boolean NOT NULL DEFAULT false,
  started_at bigint NOT NULL,
  beat_at bigint NOT NULL,
  back_at bigint NOT NULL DEFAULT 0,
  ttl_ms bigint NOT NULL,
  facts text NOT NULL
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE job (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  day integer NOT NULL,
  node text COLLATE "C",
  epoch bigint NOT NULL,
  session_id text COLLATE "C" NOT NULL,
  principal text COLLATE "C" NOT NULL,
  agent text COLLATE "C" NOT NULL,
  agent_version text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  created_at bigint NOT NULL,
  ended_at bigint,
  lease text NOT NULL,
  lease_constraints text,
  parent_job_id text COLLATE "C",
  delegate_id text COLLATE "C",
  trace_id text COLLATE "C" NOT NULL,
  budget text,
  last_n integer NOT NULL,
  last_event_seq bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX job_by_time ON job (created_at, id);
CREATE INDEX job_by_principal ON job (principal, created_at, id);
CREATE INDEX job_by_session ON job (session_id);
CREATE INDEX job_by_day ON job (day);
CREATE INDEX job_ended ON job (ended_at, key) WHERE ended_at IS NOT NULL;
CREATE INDEX job_unfinished ON job (node, created_at, key) WHERE ended_at IS NULL;
CREATE INDEX job_live ON job (principal) WHERE ended_at IS NULL;

CREATE TABLE entry (
  job bigint NOT NULL,
  ts bigint NOT NULL,
  day integer NOT NULL,
  n integer NOT NULL,
  code smallint NOT NULL,
  payload text COLLATE "C" NOT NULL,
  PRIMARY KEY (job, n, day)
) PARTITION BY RANGE (day);

CREATE TABLE session (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL UNIQUE,
  node text COLLATE "C",
  epoch bigint NOT NULL,
  principal text COLLATE "C" NOT NULL,
  wire text NOT NULL,
  features text NOT NULL,
  token_hash text COLLATE "C" NOT NULL,
  previous_token_hash text COLLATE "C",
  must_authenticate boolean NOT NULL,
  salt text NOT NULL,
  acked_seq bigint NOT NULL,
  detached_at bigint,
  sent_seq bigint,
  created_at bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX session_by_token ON session (token_hash);
CREATE INDEX session_by_previous_token ON session (previous_token_hash) WHERE previous_token_hash IS NOT NULL;
CREATE INDEX session_detached ON session (detached_at) WHERE detached_at IS NOT NULL;
CREATE INDEX session_attached ON session (principal) WHERE detached_at IS NULL;
CREATE INDEX session_by_node ON session (node);
CREATE INDEX session_attached_to ON session (node) WHERE detached_at IS NULL;

CREATE TABLE feed (
  session bigint NOT NULL,
  seq bigint NOT NULL,
  job bigint NOT NULL,
  n integer NOT NULL,
  count integer NOT NULL,
  PRIMARY KEY (session, seq)
) WITH (fillfactor = 80);
CREATE INDEX feed_by_job ON feed (job, session, seq);

CREATE TABLE follow (
  job bigint NOT NULL,
  session bigint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (job, session)
);
CREATE INDEX follow_by_session ON follow (session);

-- \`node\` is who bound the key, while what it stands for is not stored: as long as that lives, it may still be on its way.
CREATE TABLE idempotency (
  principal text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  digest text NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  expires_at bigint NOT NULL,
  node text COLLATE "C",
  PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

CREATE TABLE audit (
  seq bigint PRIMARY KEY,
  at bigint NOT NULL,
  action text NOT NULL,
  principal text NOT NULL,
  session_id text,
  job_id text,
  remote_address text,
  trace_id text,
  facts text NOT NULL,
  hash text NOT NULL
);
-- Who appends locks it: all nodes have one chain.
CREATE TABLE audit_head (
  is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
  seq bigint NOT NULL,
  hash text NOT NULL
) WITH (fillfactor = 10);
INSERT INTO audit_head (seq, hash) VALUES (0, repeat('0', 64));

-- \`node\` is who issues it, has its job, or is about to revoke it.
CREATE TABLE credential (
  alias text COLLATE "C" PRIMARY KEY,
  node text COLLATE "C" NOT NULL,
  credential_id text COLLATE "C" NOT NULL,
  job_id text COLLATE "C" NOT NULL,
  provisioner text COLLATE "C" NOT NULL,
  upstream_id text,
  state smallint NOT NULL,
  created_at bigint NOT NULL,
  issued_at bigint,
  expires_at bigint,
  revoking_since bigint,
  attempts bigint NOT NULL,
  last_error text,
  revoked_at bigint
);
CREATE INDEX credential_by_job ON credential (job_id);
CREATE INDEX credential_by_time ON credential (created_at, alias);
CREATE INDEX credential_outstanding ON credential (created_at, alias) WHERE state < 3;
CREATE INDEX credential_by_node ON credential (node) WHERE state < 3;
CREATE INDEX credential_revoked ON credential (revoked_at) WHERE state = 3;

CREATE TABLE record (
  kind text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  principal text COLLATE "C" NOT NULL,
  job_id text COLLATE "C",
  due_at bigint,
  data text NOT NULL,
  PRIMARY KEY (kind, id)
) WITH (fillfactor = 80);
CREATE INDEX record_by_principal ON record (kind, principal, id);
CREATE INDEX record_by_job ON record (job_id, kind, id) WHERE job_id IS NOT NULL;
CREATE INDEX record_due ON record (kind, due_at, id) WHERE due_at IS NOT NULL;

-- What is gone, and still has rows: of a job (\`j\`: so many entries of that day) or of a session (\`s\`: its feed).
CREATE TABLE garbage (
  kind "char" NOT NULL,
  key bigint NOT NULL,
  day integer NOT NULL,
  size integer NOT NULL,
  PRIMARY KEY (kind, key)
);
CREATE INDEX garbage_by_day ON garbage (day, key) WHERE kind = 'j';

-- Not logged: a message is delivered at most once, and a crash of the server loses those that are under way.
CREATE UNLOGGED TABLE message (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  receiver text COLLATE "C" NOT NULL,
  sender text COLLATE "C" NOT NULL,
  data text NOT NULL,
  at bigint NOT NULL
);
CREATE INDEX message_by_receiver ON message (receiver, key);

-- \`owner\` is the process that has written it.
CREATE TABLE blob (
  id text COLLATE "C" PRIMARY KEY,
  name text COLLATE "C" NOT NULL,
  size bigint NOT NULL,
  is_whole boolean NOT NULL,
  owner text NOT NULL,
  touched_at bigint NOT NULL,
  removed_at bigint
);
CREATE INDEX blob_removed ON blob (removed_at) WHERE removed_at IS NOT NULL;
CREATE TABLE blob_piece (
  blob text COLLATE "C" NOT NULL,
  ordinal integer NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (blob, ordinal)
);
ALTER TABLE blob_piece ALTER COLUMN data SET STORAGE EXTERNAL;
`;

/** Milliseconds since the epoch by the clock of the database, whatever time it is where it stands; and the number of that day. */
const CLOCK = `
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
  $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;
CREATE FUNCTION today() RETURNS integer LANGUAGE sql VOLATILE AS
  $$ SELECT floor(extract(epoch FROM clock_timestamp()) / 86400)::integer $$;
`;

/** Each takes a schema from the version before it to the next. `schema` is its name, quoted. */
export const MIGRATIONS: readonly ((schema: string) => string)[] = [
  (schema) =>
    [TABLES, CLOCK, RETENTION_FUNCTIONS, COMMIT_FUNCTIONS, READ_FUNCTIONS, NODE_FUNCTIONS]
      .join("\n")
      .replaceAll("@schema@", schema),
  (schema) => [FAMILIES, USE, TRIMMING].join("\n").replaceAll("@schema@", schema),
  (schema) => ASKED.replaceAll("@schema@", schema),
];
