/**
 * Days of entries, and how what is not needed goes. Each call is one transaction of a bounded number of rows. Of all nodes
 * one does it at a time: the others are told -1.
 *
 * A job or a session that goes is gone at once for everybody; the rows under it are garbage, until a later call has
 * deleted them, or the whole day.
 *
 * The two functions that make and drop partitions run with the rights of the schema's owner: the runtime needs none to do that.
 */
export const RETENTION_FUNCTIONS = `
CREATE FUNCTION make_days() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = @schema@, pg_temp AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('@schema@.days'));
  FOR day IN today() - 1 .. today() + 7 LOOP
    IF to_regclass('@schema@.entry_' || day) IS NULL THEN
      -- Made by itself and then attached: nobody who reads or writes has to wait for that, nor it for them.
      EXECUTE format('CREATE TABLE @schema@.%I (LIKE @schema@.entry INCLUDING ALL)', 'entry_' || day);
      EXECUTE format('ALTER TABLE @schema@.entry ATTACH PARTITION @schema@.%I FOR VALUES FROM (%s) TO (%s)',
        'entry_' || day, day, day + 1);
    END IF;
  END LOOP;
END $$;
SELECT make_days();

-- Days that are over and of which no job is left. To drop one takes a moment without anybody who reads: while there is
-- somebody, commits wait for no longer than this does, and the day is left for the next time.
CREATE FUNCTION drop_days() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = @schema@, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  old_day integer;
  gone integer := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN RETURN -1; END IF;
  FOR old_day IN
    SELECT substring(c.relname FROM 7)::integer FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'entry'::regclass AND c.relname ~ '^entry_\\d+$' ORDER BY 1
  LOOP
    CONTINUE WHEN old_day >= today() - 1 OR EXISTS (SELECT FROM job j WHERE j.day = old_day);
    BEGIN
      EXECUTE format('DROP TABLE @schema@.%I', 'entry_' || old_day);
      DELETE FROM garbage g WHERE g.kind = 'j' AND g.day = old_day;
      gone := gone + 1;
    EXCEPTION WHEN lock_not_available THEN EXIT;
    END;
  END LOOP;
  RETURN gone;
END $$;

CREATE FUNCTION sweep_sessions(p_detached_before bigint, p_rows integer) RETURNS integer LANGUAGE plpgsql
SET search_path = @schema@, pg_temp AS $$
DECLARE
  keys bigint[];
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN RETURN -1; END IF;
  WITH gone AS (
    DELETE FROM session WHERE key IN (
      SELECT key FROM session WHERE detached_at < p_detached_before ORDER BY detached_at LIMIT p_rows FOR UPDATE SKIP LOCKED)
    RETURNING key)
  SELECT array_agg(key) INTO keys FROM gone;
  DELETE FROM follow WHERE session = ANY (keys);
  INSERT INTO garbage (kind, key, day, size) SELECT 's', key, 0, 0 FROM unnest(keys) AS key;
  RETURN coalesce(cardinality(keys), 0);
END $$;

-- Jobs that ended before, after that one place, and that no session follows or has numbered. How many were looked at, the last
-- of them, and which went.
CREATE FUNCTION sweep_jobs(
  p_ended_before bigint, p_after_ended bigint, p_after_key bigint, p_rows integer,
  OUT looked integer, OUT last_ended bigint, OUT last_key bigint, OUT gone integer
) LANGUAGE plpgsql SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  keys bigint[];
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN looked := -1; RETURN; END IF;
  SELECT count(*), max(x.ended_at), (array_agg(x.key ORDER BY x.ended_at DESC, x.key DESC))[1],
      array_agg(x.key) FILTER (WHERE NOT EXISTS (SELECT FROM follow f WHERE f.job = x.key)
        AND NOT EXISTS (SELECT FROM feed f WHERE f.job = x.key))
    INTO looked, last_ended, last_key, keys
    FROM (SELECT j.key, j.ended_at FROM job j WHERE j.ended_at < p_ended_before
      AND (j.ended_at, j.key) > (p_after_ended, p_after_key) ORDER BY j.ended_at, j.key LIMIT p_rows) x;
  -- Who begins to follow one of them holds it, or finds it gone: what was true above is looked at again when nobody does.
  SELECT array_agg(x.key) INTO keys FROM (SELECT key FROM job WHERE key = ANY (keys) FOR UPDATE SKIP LOCKED) x;
  WITH deleted AS (
    DELETE FROM job j WHERE j.key = ANY (keys) AND NOT EXISTS (SELECT FROM follow f WHERE f.job = j.key)
      AND NOT EXISTS (SELECT FROM feed f WHERE f.job = j.key) RETURNING j.key, j.day, j.id, j.last_n),
  unneeded AS (
    DELETE FROM credential c USING deleted d WHERE c.job_id = d.id AND c.state = 3)
  INSERT INTO garbage (kind, key, day, size) SELECT 'j', d.key, d.day, d.last_n FROM deleted d;
  GET DIAGNOSTICS gone = ROW_COUNT;
END $$;

-- Feeds of sessions that are gone. 0: nothing is left.
CREATE FUNCTION sweep_feeds(p_rows integer) RETURNS integer LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
DECLARE
  item garbage;
  budget integer := p_rows;
  deleted integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN RETURN -1; END IF;
  FOR item IN SELECT * FROM garbage WHERE kind = 's' ORDER BY key LIMIT p_rows LOOP
    DELETE FROM feed WHERE session = item.key AND seq IN
      (SELECT f.seq FROM feed f WHERE f.session = item.key ORDER BY f.seq LIMIT budget);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    budget := budget - deleted - 1;
    EXIT WHEN budget <= 0;
    DELETE FROM garbage WHERE kind = 's' AND key = item.key;
  END LOOP;
  RETURN p_rows - budget;
END $$;

-- Entries of jobs that are gone: those of several short ones, or a piece of a long one. 0: nothing is left.
CREATE FUNCTION sweep_entries(p_rows integer) RETURNS integer LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
  head garbage;
  keys bigint[];
  deleted integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN RETURN -1; END IF;
  SELECT * INTO head FROM garbage WHERE kind = 'j' ORDER BY day, key LIMIT 1;
  IF NOT FOUND THEN RETURN 0; END IF;
  IF head.size > p_rows THEN
    DELETE FROM entry WHERE day = head.day AND job = head.key AND n IN
      (SELECT e.n FROM entry e WHERE e.day = head.day AND e.job = head.key ORDER BY e.n LIMIT p_rows);
    GET DIAGNOSTICS deleted = ROW_COUNT;
    UPDATE garbage SET size = CASE WHEN deleted < p_rows THEN 0 ELSE size - deleted END WHERE kind = 'j' AND key = head.key;
    RETURN deleted + 1;
  END IF;
  SELECT array_agg(g.key) INTO keys FROM (
    SELECT x.key, sum(x.size + 1) OVER (ORDER BY x.key) AS total FROM garbage x
    WHERE x.kind = 'j' AND x.day = head.day ORDER BY x.key LIMIT p_rows) g
    WHERE g.total <= p_rows OR g.key = head.key;
  DELETE FROM entry WHERE day = head.day AND job = ANY (keys);
  DELETE FROM garbage WHERE kind = 'j' AND key = ANY (keys);
  RETURN cardinality(keys);
END $$;

-- Revoked credentials without a job, and keys that are too old.
CREATE FUNCTION sweep_rest(p_ended_before bigint, p_now bigint, p_rows integer) RETURNS integer LANGUAGE plpgsql
SET search_path = @schema@, pg_temp AS $$
DECLARE
  deleted integer;
  total integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN RETURN -1; END IF;
  DELETE FROM credential WHERE alias IN (
    SELECT c.alias FROM credential c WHERE c.state = 3 AND c.revoked_at < p_ended_before
      AND NOT EXISTS (SELECT FROM job j WHERE j.id = c.job_id) LIMIT p_rows);
  GET DIAGNOSTICS total = ROW_COUNT;
  DELETE FROM idempotency WHERE (principal, key) IN (
    SELECT i.principal, i.key FROM idempotency i WHERE i.expires_at < p_now
      AND NOT EXISTS (SELECT FROM job j WHERE j.id = i.job_id AND j.ended_at IS NULL) LIMIT p_rows);
  GET DIAGNOSTICS deleted = ROW_COUNT;
  RETURN total + deleted;
END $$;

-- Deletes rows up to \`p_through\`, if \`p_first\` is the first, and appends the row that stands for them.
CREATE FUNCTION prune_audit(p_first bigint, p_through bigint, p_record jsonb) RETURNS integer LANGUAGE plpgsql
SET search_path = @schema@, pg_temp AS $$
DECLARE
  deleted integer;
BEGIN
  PERFORM append_audit(p_record);
  DELETE FROM audit WHERE seq <= p_through;
  GET DIAGNOSTICS deleted = ROW_COUNT;
  IF deleted < p_through - p_first + 1 THEN
    RAISE EXCEPTION 'another node has pruned the audit' USING ERRCODE = 'serialization_failure';
  END IF;
  RETURN deleted;
END $$;
`;

/**
 * Journals of ended jobs are shortened from the front. `first_n` is where one begins for whoever reads it, `trimmed_at` since
 * when, and entries up to `dropped_n` are deleted: between the two, whoever began to read before may go on.
 */
export const TRIMMING = `
ALTER TABLE job ADD COLUMN first_n integer NOT NULL DEFAULT 1;
ALTER TABLE job ADD COLUMN dropped_n integer NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN trimmed_at bigint;
CREATE INDEX job_untrimmed ON job (ended_at, key) WHERE ended_at IS NOT NULL AND trimmed_at IS NULL;
CREATE INDEX job_trimmed ON job (key) WHERE dropped_n < first_n - 1;

-- Shows nobody the events of jobs any more that ended before, after that one place, up to their results. A parent that has not
-- ended may still have to read what its children said. How many were looked at, and the last of them.
CREATE FUNCTION trim_jobs(
  p_ended_before bigint, p_now bigint, p_after_ended bigint, p_after_key bigint, p_rows integer, p_chunk integer,
  OUT looked integer, OUT last_ended bigint, OUT last_key bigint
) LANGUAGE plpgsql SET search_path = @schema@, pg_temp SET enable_seqscan = off SET jit = off AS $$
DECLARE
  keys bigint[];
  item record;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN looked := -1; RETURN; END IF;
  SELECT count(*), max(x.ended_at), (array_agg(x.key ORDER BY x.ended_at DESC, x.key DESC))[1],
      array_agg(x.key) FILTER (WHERE NOT EXISTS (SELECT FROM follow f WHERE f.job = x.key)
        AND NOT EXISTS (SELECT FROM feed f WHERE f.job = x.key)
        AND NOT EXISTS (SELECT FROM job p WHERE p.id = x.parent_job_id AND p.ended_at IS NULL))
    INTO looked, last_ended, last_key, keys
    FROM (SELECT j.key, j.ended_at, j.parent_job_id FROM job j WHERE j.trimmed_at IS NULL AND j.ended_at < p_ended_before
      AND (j.ended_at, j.key) > (p_after_ended, p_after_key) ORDER BY j.ended_at, j.key LIMIT p_rows) x;
  FOR item IN SELECT j.key, j.day, j.last_n FROM job j WHERE j.key = ANY (keys) FOR NO KEY UPDATE SKIP LOCKED LOOP
    UPDATE job j SET trimmed_at = p_now, first_n = greatest(1, coalesce((SELECT min(e.n) FROM entry e
        WHERE e.day = item.day AND e.job = item.key AND e.code = p_chunk), item.last_n)) WHERE j.key = item.key;
  END LOOP;
END $$;

-- Deletes what nobody has been shown since then, of a job that nobody had begun to read. 0: nothing is left.
CREATE FUNCTION drop_trimmed(p_trimmed_before bigint, p_rows integer) RETURNS integer LANGUAGE plpgsql
SET search_path = @schema@, pg_temp SET plan_cache_mode = force_custom_plan SET jit = off AS $$
DECLARE
  item record;
  upto integer;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtext('@schema@.sweep')) THEN RETURN -1; END IF;
  SELECT j.key, j.day, j.first_n, j.dropped_n INTO item FROM job j
    WHERE j.dropped_n < j.first_n - 1 AND j.trimmed_at < p_trimmed_before
      AND NOT EXISTS (SELECT FROM follow f WHERE f.job = j.key) AND NOT EXISTS (SELECT FROM feed f WHERE f.job = j.key)
    ORDER BY j.key LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  upto := least(item.dropped_n + p_rows, item.first_n - 1);
  DELETE FROM entry e WHERE e.day = item.day AND e.job = item.key AND e.n BETWEEN item.dropped_n + 1 AND upto;
  UPDATE job SET dropped_n = upto WHERE key = item.key;
  RETURN upto - item.dropped_n;
END $$;
`;
