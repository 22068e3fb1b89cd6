/**
 * Nodes, and what belongs to them. A node that was declared dead stays dead, and its row stays until nothing names it any more:
 * whoever takes from dead nodes looks for those that are known to be dead, and cannot take from one that has just begun.
 */
export const NODE_FUNCTIONS = `
CREATE FUNCTION dead_nodes() RETURNS text[] LANGUAGE sql STABLE SET search_path = @schema@, pg_temp AS
  $$ SELECT coalesce(array_agg(id), '{}') FROM node WHERE NOT is_up $$;

-- Who takes something must be alive. If it is declared dead meanwhile, what it takes is anybody's at once.
CREATE FUNCTION assert_up(p_node text) RETURNS void LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
BEGIN
  PERFORM FROM node WHERE id = p_node AND is_up;
  IF NOT FOUND THEN RAISE EXCEPTION 'the node is not up' USING ERRCODE = 'AR002'; END IF;
END $$;

-- Their clients are not connected to anybody now. What they can have been sent is all that was numbered.
CREATE FUNCTION detach_sessions(p_nodes text[], p_now bigint) RETURNS void LANGUAGE sql SET search_path = @schema@, pg_temp AS $$
  UPDATE session SET detached_at = p_now, sent_seq = last_number(key) WHERE node = ANY (p_nodes) AND detached_at IS NULL
$$;

-- Declares dead, and returns who was.
CREATE FUNCTION bury_nodes() RETURNS text[] LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
DECLARE
  gone text[];
BEGIN
  WITH dead AS (
    UPDATE node SET is_up = false WHERE id IN (
      SELECT id FROM node WHERE is_up AND beat_at + ttl_ms < now_ms() ORDER BY id FOR UPDATE)
    RETURNING id)
  SELECT array_agg(id) INTO gone FROM dead;
  -- Of those that were dead before, too: one may have taken a session at the moment of its death.
  PERFORM detach_sessions(dead_nodes(), now_ms());
  RETURN coalesce(gone, '{}');
END $$;

-- Returns false if the node is dead, and who was declared so by this. Who could not be heard itself for its time, because the
-- database was away, gives the others half of it to be heard again.
CREATE FUNCTION beat(p_node text, p_facts text, OUT is_alive boolean, OUT buried text[]) LANGUAGE plpgsql
SET search_path = @schema@, pg_temp AS $$
DECLARE
  may_bury boolean;
BEGIN
  UPDATE node SET beat_at = now_ms(), facts = p_facts,
    back_at = CASE WHEN beat_at + ttl_ms < now_ms() THEN now_ms() ELSE back_at END
    WHERE id = p_node AND is_up RETURNING back_at + ttl_ms / 2 < now_ms() INTO may_bury;
  is_alive := FOUND;
  IF NOT is_alive THEN RETURN; END IF;
  buried := CASE WHEN may_bury THEN bury_nodes() ELSE '{}' END;
  -- Forgotten: who has been dead for a week, and has nothing that somebody could take.
  DELETE FROM node n WHERE NOT n.is_up AND n.beat_at < now_ms() - 604800000
    AND NOT EXISTS (SELECT FROM job j WHERE j.node = n.id AND j.ended_at IS NULL)
    AND NOT EXISTS (SELECT FROM session s WHERE s.node = n.id)
    AND NOT EXISTS (SELECT FROM credential c WHERE c.node = n.id AND c.state < 3);
  DELETE FROM message m WHERE m.at < now_ms() - 3600000 OR m.receiver = ANY (buried);
END $$;

CREATE FUNCTION leave(p_node text) RETURNS void LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
BEGIN
  UPDATE node SET is_up = false WHERE id = p_node AND is_up;
  IF FOUND THEN PERFORM detach_sessions(ARRAY[p_node], now_ms()); END IF;
END $$;

-- Of dead nodes, whatever has become of their jobs: a secret dies with the process that knew it. With those that an earlier call
-- has claimed without being heard: this node's, and not among the ones that it knows of.
CREATE FUNCTION claim_credentials(p_node text, p_provisioners text[], p_known text[]) RETURNS SETOF credential LANGUAGE plpgsql
SET search_path = @schema@, pg_temp AS $$
DECLARE
  dead text[];
BEGIN
  PERFORM assert_up(p_node);
  dead := dead_nodes();
  WITH picked AS MATERIALIZED (
    SELECT c.alias FROM credential c WHERE c.state < 3 AND c.node = ANY (dead) AND c.provisioner = ANY (p_provisioners)
      ORDER BY c.alias FOR UPDATE SKIP LOCKED)
  UPDATE credential c SET node = p_node, state = 2, revoking_since = coalesce(c.revoking_since, now_ms())
    FROM picked p WHERE c.alias = p.alias;
  RETURN QUERY SELECT c.* FROM credential c WHERE c.state = 2 AND c.node = p_node AND c.alias <> ALL (p_known)
    ORDER BY c.created_at, c.alias;
END $$;

-- Everything of dead nodes that has not ended, and the sessions of theirs that follow it: they are this node's, too.
CREATE FUNCTION take_over(p_node text, p_now bigint, OUT jobs jsonb, OUT sessions jsonb) LANGUAGE plpgsql
SET search_path = @schema@, pg_temp AS $$
DECLARE
  dead text[];
  keys bigint[];
BEGIN
  PERFORM assert_up(p_node);
  dead := dead_nodes();
  PERFORM detach_sessions(dead, p_now);
  WITH picked AS MATERIALIZED (
    SELECT key FROM job WHERE ended_at IS NULL AND node = ANY (dead) ORDER BY id FOR UPDATE SKIP LOCKED),
  taken AS (
    UPDATE job j SET node = p_node, epoch = j.epoch + 1 FROM picked p WHERE j.key = p.key RETURNING j.key)
  SELECT array_agg(key) INTO keys FROM taken;
  WITH taken AS (
    UPDATE session s SET node = p_node, epoch = s.epoch + 1 WHERE s.node = ANY (dead) AND (
      EXISTS (SELECT FROM job j WHERE j.key = ANY (keys) AND j.session_id = s.id)
      OR EXISTS (SELECT FROM follow f WHERE f.job = ANY (keys) AND f.session = s.key))
    RETURNING s.id, s.epoch)
  SELECT jsonb_agg(jsonb_build_object('id', id, 'epoch', epoch)) INTO sessions FROM taken;
  SELECT jsonb_agg(jsonb_build_object('job', to_jsonb(j), 'followers', (
      SELECT jsonb_agg(s.id ORDER BY s.id = j.session_id DESC, s.key) FROM session s WHERE s.node = p_node AND (s.id = j.session_id
        OR EXISTS (SELECT FROM follow f WHERE f.job = j.key AND f.session = s.key)))) ORDER BY j.key)
    INTO jobs FROM job j WHERE j.key = ANY (keys);
END $$;

-- One row with the session as it is then, or none.
CREATE FUNCTION take_session(
  p_node text, p_session text, p_token_hash text, OUT taken jsonb, OUT last_run jsonb, OUT follows jsonb)
LANGUAGE plpgsql SET search_path = @schema@, pg_temp SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  mine session;
BEGIN
  PERFORM assert_up(p_node);
  UPDATE session SET node = p_node, epoch = epoch + 1
    WHERE id = p_session AND (token_hash = p_token_hash OR previous_token_hash = p_token_hash) RETURNING * INTO mine;
  IF NOT FOUND THEN RETURN; END IF;
  taken := to_jsonb(mine);
  -- Whoever had it may have committed while this waited for the row: nothing may be read with the statement that called.
  SELECT to_jsonb(r) INTO last_run FROM (
    SELECT f.seq AS run_seq, j.id AS run_job, f.n AS run_n, f.count AS run_count
      FROM feed f JOIN job j ON j.key = f.job WHERE f.session = mine.key ORDER BY f.seq DESC LIMIT 1) r;
  SELECT coalesce(jsonb_agg(jsonb_build_object('jobId', p.id, 'n', p.n, 'isOwn', p.is_own) ORDER BY p.key), '[]')
    INTO follows FROM (
    SELECT j.key, j.id, j.ended_at, j.last_n, j.session_id = mine.id AS is_own, greatest(shown.n, coalesce((
        SELECT f.n + f.count - 1 FROM feed f WHERE f.job = j.key AND f.session = mine.key ORDER BY f.seq DESC LIMIT 1), 0)) AS n
      FROM (SELECT all_of.job, max(all_of.n) AS n FROM (
          SELECT f.job, f.n FROM follow f WHERE f.session = mine.key
          UNION ALL SELECT j.key, 0 FROM job j WHERE j.session_id = mine.id) all_of GROUP BY all_of.job) shown
      JOIN job j ON j.key = shown.job) p
    WHERE p.ended_at IS NULL OR p.n < p.last_n;
END $$;

CREATE FUNCTION bind_key(p_node text, p_principal text, p_key text, p_digest text, p_job text, p_expires_at bigint)
RETURNS idempotency LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
DECLARE
  bound idempotency;
  stands boolean;
  found_job boolean;
BEGIN
  PERFORM assert_up(p_node);
  INSERT INTO idempotency AS i VALUES (p_principal, p_key, p_digest, p_job, p_expires_at, p_node)
    ON CONFLICT (principal, key) DO UPDATE SET key = i.key RETURNING * INTO bound;
  IF bound.job_id = p_job THEN RETURN bound; END IF;
  -- In this order: who is not up any more has committed by then what it ever will.
  stands := CASE WHEN bound.node IS NULL THEN bound.expires_at > now_ms()
    ELSE EXISTS (SELECT FROM node WHERE id = bound.node AND is_up) END;
  SELECT j.ended_at IS NULL OR bound.expires_at > now_ms() INTO found_job FROM job j WHERE j.id = bound.job_id;
  IF FOUND THEN stands := found_job; END IF;
  IF stands THEN RETURN bound; END IF;
  UPDATE idempotency SET digest = p_digest, job_id = p_job, expires_at = p_expires_at, node = p_node
    WHERE principal = p_principal AND key = p_key RETURNING * INTO bound;
  RETURN bound;
END $$;
`;
