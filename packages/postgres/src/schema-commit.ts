/**
 * A batch is one call of one function: one round trip, one transaction, and nothing that a pooler of connections could come
 * between. Rows are locked in one order everywhere: nodes, sessions, jobs, keys, feeds, credentials, records, the audit's head;
 * those of one table by their ids. What refuses the batch is an exception, which undoes all of it:
 *
 *   AR001  something belongs to another writer; the detail says what, as JSON
 *   AR002  the node was declared dead, or is none
 *
 * Plans are made once, perhaps while the tables are empty: every statement says by its settings that it goes by the indexes.
 */
const BEFORE_COMMIT = `
-- Names everything that does not belong to the writer.
CREATE FUNCTION refuse_stale(
  p_node text, p_jobs text[], p_epochs bigint[], p_sessions text[], p_session_epochs bigint[], p_rest jsonb
) RETURNS void LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
DECLARE
  lost_jobs jsonb;
  lost_sessions jsonb;
BEGIN
  SELECT coalesce(jsonb_agg(w.id), '[]') INTO lost_jobs FROM unnest(p_jobs, p_epochs) AS w(id, epoch)
    WHERE w.epoch IS NOT NULL AND NOT EXISTS (SELECT FROM job j WHERE j.id = w.id AND j.epoch = w.epoch);
  SELECT coalesce(jsonb_agg(DISTINCT w.id), '[]') INTO lost_sessions FROM (
    SELECT x.id, x.epoch FROM unnest(p_sessions, p_session_epochs) AS x(id, epoch)
      WHERE NOT coalesce(p_rest->'sessions' @> jsonb_build_array(jsonb_build_object('id', x.id)), false)
        AND NOT EXISTS (SELECT FROM session s WHERE s.id = x.id)
    UNION ALL
    SELECT x.id, x.epoch FROM unnest(p_sessions, p_session_epochs) AS x(id, epoch)
      JOIN session s ON s.id = x.id WHERE s.epoch <> x.epoch OR s.node IS DISTINCT FROM p_node
    UNION ALL
    SELECT x.id, x.epoch FROM jsonb_to_recordset(p_rest->'sessions') AS x(id text, epoch bigint)
      JOIN session s ON s.id = x.id WHERE s.epoch <> x.epoch OR s.node IS DISTINCT FROM p_node) w;
  RAISE EXCEPTION 'something of the batch belongs to another writer' USING ERRCODE = 'AR001',
    DETAIL = jsonb_build_object('jobs', lost_jobs, 'sessions', lost_sessions);
END $$;

-- Appends to the chain: each record comes with the three texts (in base64) between which the hash before it and its number stand.
CREATE FUNCTION append_audit(p_records jsonb) RETURNS void LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
DECLARE
  head audit_head;
  a record;
BEGIN
  SELECT * INTO head FROM audit_head FOR UPDATE;
  FOR a IN SELECT * FROM jsonb_to_recordset(p_records) AS x(
    at bigint, action text, principal text, session_id text, job_id text, remote_address text, trace_id text, facts text,
    before_hash text, before_seq text, after_seq text)
  LOOP
    head.seq := head.seq + 1;
    head.hash := encode(sha256(decode(a.before_hash, 'base64') || convert_to(head.hash, 'UTF8')
      || decode(a.before_seq, 'base64') || convert_to(head.seq::text, 'UTF8') || decode(a.after_seq, 'base64')), 'hex');
    INSERT INTO audit VALUES (head.seq, a.at, a.action, a.principal, a.session_id, a.job_id, a.remote_address,
      a.trace_id, a.facts, head.hash);
  END LOOP;
  UPDATE audit_head SET seq = head.seq, hash = head.hash;
END $$;
`;

/** `more` is what follows the columns of a job that were there from the beginning. */
const commitBatch = (more: (column: string) => string): string => `
-- Entries, changes, runs: parallel arrays; \`*_job\` and \`*_session\` are places in \`p_jobs\` and \`p_sessions\`, from 1 on. A job
-- without an epoch is only named, or is made by this batch. Returns false if the node has committed this batch before.
CREATE FUNCTION commit_batch(
  p_node text, p_batch bigint, p_synchronous text,
  p_jobs text[], p_epochs bigint[],
  p_status text[], p_ended_at bigint[], p_budget text[], p_last_n bigint[], p_last_event_seq bigint[],
  p_entry_job bigint[], p_n bigint[], p_ts bigint[], p_code bigint[], p_payload text[],
  p_sessions text[], p_session_epochs bigint[],
  p_run_session bigint[], p_run_seq bigint[], p_run_job bigint[], p_run_n bigint[], p_run_count bigint[],
  p_rest jsonb
) RETURNS boolean LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  job_keys bigint[];
  days integer[];
  session_keys bigint[];
  found_rows bigint;
  day_now integer;
BEGIN
  IF p_synchronous IS NOT NULL THEN PERFORM set_config('synchronous_commit', p_synchronous, true); END IF;
  UPDATE node SET batch = p_batch WHERE id = p_node AND is_up AND batch < p_batch;
  IF NOT FOUND THEN
    IF EXISTS (SELECT FROM node WHERE id = p_node AND batch >= p_batch) THEN RETURN false; END IF;
    RAISE EXCEPTION 'the node is not up' USING ERRCODE = 'AR002';
  END IF;

  IF p_rest ? 'sessions' THEN
    INSERT INTO session AS s (id, node, epoch, principal, wire, features, token_hash, previous_token_hash,
        must_authenticate, salt, acked_seq, detached_at, sent_seq, created_at)
      SELECT x.id, p_node, x.epoch, x.principal, x.wire, x.features, x.token_hash, x.previous_token_hash,
        x.must_authenticate, x.salt, x.acked_seq, x.detached_at, x.sent_seq, x.created_at
      FROM jsonb_to_recordset(p_rest->'sessions') AS x(
        id text, epoch bigint, principal text, wire text, features text, token_hash text, previous_token_hash text,
        must_authenticate boolean, salt text, acked_seq bigint, detached_at bigint, sent_seq bigint, created_at bigint)
      ORDER BY x.id COLLATE "C"
      ON CONFLICT (id) DO UPDATE SET features = excluded.features, token_hash = excluded.token_hash,
        previous_token_hash = excluded.previous_token_hash, must_authenticate = excluded.must_authenticate,
        acked_seq = excluded.acked_seq, detached_at = excluded.detached_at, sent_seq = excluded.sent_seq
      WHERE s.epoch = excluded.epoch AND s.node = excluded.node;
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    IF found_rows < jsonb_array_length(p_rest->'sessions') THEN
      PERFORM refuse_stale(p_node, p_jobs, p_epochs, p_sessions, p_session_epochs, p_rest);
    END IF;
  END IF;
  IF cardinality(p_sessions) > 0 THEN
    SELECT array_agg(held.key ORDER BY held.place), count(*) INTO session_keys, found_rows FROM (
      SELECT s.key, w.place FROM unnest(p_sessions, p_session_epochs) WITH ORDINALITY AS w(id, epoch, place)
        JOIN session s ON s.id = w.id WHERE s.epoch = w.epoch AND s.node = p_node FOR SHARE OF s) held;
    IF found_rows < cardinality(p_sessions) THEN
      PERFORM refuse_stale(p_node, p_jobs, p_epochs, p_sessions, p_session_epochs, p_rest);
    END IF;
  END IF;

  IF p_rest ? 'jobs' THEN
    day_now := today();
    INSERT INTO job (id, day, node, epoch, session_id, principal, agent, agent_version, status, created_at, ended_at, lease,
        lease_constraints, parent_job_id, delegate_id, trace_id, budget, last_n, last_event_seq${more("asked")})
      SELECT x.id, day_now, CASE WHEN x.is_for_anybody THEN NULL ELSE p_node END, x.epoch, x.session_id, x.principal, x.agent,
        x.agent_version, x.status, x.created_at, x.ended_at, x.lease, x.lease_constraints, x.parent_job_id, x.delegate_id,
        x.trace_id, x.budget, x.last_n, x.last_event_seq${more("x.asked")}
      FROM jsonb_to_recordset(p_rest->'jobs') AS x(
        id text, epoch bigint, session_id text, principal text, agent text, agent_version text, status text,
        created_at bigint, ended_at bigint, lease text, lease_constraints text, parent_job_id text, delegate_id text,
        trace_id text, budget text, last_n integer, last_event_seq bigint, is_for_anybody boolean${more("asked text")});
  END IF;
  IF cardinality(p_jobs) > 0 THEN
    WITH written AS (
      UPDATE job j SET status = coalesce(w.status, j.status),
        ended_at = CASE WHEN w.status IS NULL THEN j.ended_at ELSE w.ended_at END,
        budget = CASE WHEN w.status IS NULL THEN j.budget ELSE w.budget END,
        last_n = coalesce(w.last_n, j.last_n), last_event_seq = coalesce(w.last_event_seq, j.last_event_seq)
      FROM unnest(p_jobs, p_epochs, p_status, p_ended_at, p_budget, p_last_n, p_last_event_seq)
        WITH ORDINALITY AS w(id, epoch, status, ended_at, budget, last_n, last_event_seq, place)
      WHERE j.id = w.id AND j.epoch = w.epoch
      RETURNING w.place, j.key, j.day),
    -- What is only named must not be swept away meanwhile.
    named AS (
      SELECT w.place, j.key, j.day FROM unnest(p_jobs, p_epochs) WITH ORDINALITY AS w(id, epoch, place)
        JOIN job j ON j.id = w.id WHERE w.epoch IS NULL FOR KEY SHARE OF j)
    SELECT array_agg(k.key ORDER BY k.place), array_agg(k.day ORDER BY k.place), count(*)
      INTO job_keys, days, found_rows FROM (SELECT * FROM written UNION ALL SELECT * FROM named) k;
    IF found_rows < cardinality(p_jobs) THEN
      -- Of those that are only named, none may be missing either.
      PERFORM refuse_stale(p_node, p_jobs, (SELECT array_agg(coalesce(w.epoch, j.epoch, -1) ORDER BY w.place)
        FROM unnest(p_jobs, p_epochs) WITH ORDINALITY AS w(id, epoch, place) LEFT JOIN job j ON j.id = w.id),
        p_sessions, p_session_epochs, p_rest);
    END IF;
  END IF;

  IF p_rest ? 'idempotency' THEN
    INSERT INTO idempotency (principal, key, digest, job_id, expires_at, node)
      SELECT x.principal, x.key, x.digest, x.job_id, x.expires_at, NULL
      FROM jsonb_to_recordset(p_rest->'idempotency') AS x(
        principal text, key text, digest text, job_id text, expires_at bigint)
      ORDER BY x.principal COLLATE "C", x.key COLLATE "C"
      ON CONFLICT (principal, key) DO UPDATE SET digest = excluded.digest, job_id = excluded.job_id,
        expires_at = excluded.expires_at, node = excluded.node;
  END IF;

  IF cardinality(p_entry_job) > 0 THEN
    INSERT INTO entry (job, ts, day, n, code, payload)
      SELECT job_keys[e.job], e.ts, days[e.job], e.n, e.code, e.payload
      FROM unnest(p_entry_job, p_n, p_ts, p_code, p_payload) AS e(job, n, ts, code, payload);
  END IF;
  IF cardinality(p_run_session) > 0 THEN
    INSERT INTO feed (session, seq, job, n, count)
      SELECT session_keys[r.session], r.seq, job_keys[r.job], r.n, r.count
      FROM unnest(p_run_session, p_run_seq, p_run_job, p_run_n, p_run_count) AS r(session, seq, job, n, count)
      ON CONFLICT (session, seq) DO UPDATE SET job = excluded.job, n = excluded.n, count = excluded.count;
  END IF;
  IF p_rest ? 'follows' THEN
    DELETE FROM follow f USING jsonb_to_recordset(p_rest->'follows') AS x(session integer, job integer, is_on boolean)
      WHERE NOT x.is_on AND f.job = job_keys[x.job] AND f.session = session_keys[x.session];
    INSERT INTO follow (job, session, n)
      SELECT job_keys[x.job], session_keys[x.session], x.n
      FROM jsonb_to_recordset(p_rest->'follows') AS x(session integer, job integer, is_on boolean, n bigint) WHERE x.is_on
      ON CONFLICT (job, session) DO UPDATE SET n = excluded.n;
  END IF;

  IF p_rest ? 'credentials' THEN
    INSERT INTO credential AS c (alias, node, credential_id, job_id, provisioner, upstream_id, state, created_at, issued_at,
        expires_at, revoking_since, attempts, last_error, revoked_at)
      SELECT x.alias, p_node, x.credential_id, x.job_id, x.provisioner, x.upstream_id, x.state, x.created_at, x.issued_at,
        x.expires_at, x.revoking_since, x.attempts, x.last_error, x.revoked_at
      FROM jsonb_to_recordset(p_rest->'credentials') AS x(
        alias text, credential_id text, job_id text, provisioner text, upstream_id text, state smallint, created_at bigint,
        issued_at bigint, expires_at bigint, revoking_since bigint, attempts bigint, last_error text, revoked_at bigint)
      ORDER BY x.alias COLLATE "C"
      ON CONFLICT (alias) DO UPDATE SET upstream_id = excluded.upstream_id, state = excluded.state,
        issued_at = excluded.issued_at, expires_at = excluded.expires_at, revoking_since = excluded.revoking_since,
        attempts = excluded.attempts, last_error = excluded.last_error, revoked_at = excluded.revoked_at
      WHERE c.state <= excluded.state AND c.node = excluded.node;
    GET DIAGNOSTICS found_rows = ROW_COUNT;
    IF found_rows < jsonb_array_length(p_rest->'credentials') THEN
      RAISE EXCEPTION 'a credential belongs to another writer' USING ERRCODE = 'AR001', DETAIL = '{}';
    END IF;
  END IF;
  IF p_rest ? 'records' THEN
    DELETE FROM record r USING jsonb_to_recordset(p_rest->'records') AS x(kind text, id text, data text)
      WHERE x.data IS NULL AND r.kind = x.kind AND r.id = x.id;
    UPDATE record r SET due_at = x.due_at, data = x.data
      FROM jsonb_to_recordset(p_rest->'records') AS x(kind text, id text, due_at bigint, data text, must_exist boolean)
      WHERE x.must_exist AND x.data IS NOT NULL AND r.kind = x.kind AND r.id = x.id;
    INSERT INTO record (kind, id, principal, job_id, due_at, data)
      SELECT x.kind, x.id, x.principal, x.job_id, x.due_at, x.data
      FROM jsonb_to_recordset(p_rest->'records') AS x(
        kind text, id text, principal text, job_id text, due_at bigint, data text, must_exist boolean)
      WHERE x.data IS NOT NULL AND NOT x.must_exist ORDER BY x.kind COLLATE "C", x.id COLLATE "C"
      ON CONFLICT (kind, id) DO UPDATE SET principal = excluded.principal, job_id = excluded.job_id,
        due_at = excluded.due_at, data = excluded.data;
  END IF;
  -- Last: until the transaction is on disk, nobody else appends.
  IF p_rest ? 'audit' THEN PERFORM append_audit(p_rest->'audit'); END IF;
  RETURN true;
END $$;
`;

const COMMIT_BATCH = commitBatch(() => "");
/** The same with what jobs were asked for. */
export const COMMIT_BATCH_ASKED = commitBatch((column) => `, ${column}`).replace("CREATE", "CREATE OR REPLACE");

export const COMMIT_FUNCTIONS = BEFORE_COMMIT + COMMIT_BATCH;
