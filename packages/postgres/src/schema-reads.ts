/** Reads that would be several round trips. Plans with a partition in them are made for the values that they are asked for. */
export const READ_FUNCTIONS = `
CREATE FUNCTION read_feed(p_session text, p_after bigint, p_limit bigint, p_bytes bigint)
RETURNS TABLE (seq bigint, job_id text, trace_id text, n integer, ts bigint, code smallint, payload text)
LANGUAGE plpgsql STABLE
SET search_path = @schema@, pg_temp SET plan_cache_mode = force_custom_plan
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
  session_key bigint;
  runs bigint[];
  job_keys bigint[];
  first_n integer[];
  last_n integer[];
  run_days integer[];
  all_days integer[];
  given bigint := 0;
  bytes bigint := 0;
BEGIN
  SELECT s.key INTO session_key FROM session s WHERE s.id = p_session;
  -- From the run that holds the next number, which begins at or before it, to the one that holds the last that is wanted.
  SELECT array_agg(r.start ORDER BY r.start), array_agg(r.job ORDER BY r.start), array_agg(r.from_n ORDER BY r.start),
      array_agg(r.to_n ORDER BY r.start), array_agg(r.day ORDER BY r.start), array_agg(DISTINCT r.day)
    INTO runs, job_keys, first_n, last_n, run_days, all_days
    FROM (
      SELECT f.seq + f.skipped AS start, f.job, j.day, f.n + f.skipped AS from_n,
        least(f.n + f.count - 1, f.n + f.skipped + p_limit - 1)::integer AS to_n,
        sum(f.count - f.skipped) OVER (ORDER BY f.seq) - (f.count - f.skipped) AS before
      FROM (
        SELECT x.*, greatest(p_after + 1 - x.seq, 0)::integer AS skipped FROM feed x
        WHERE x.session = session_key AND x.seq + x.count - 1 > p_after AND x.seq >= coalesce(
          (SELECT max(y.seq) FROM feed y WHERE y.session = session_key AND y.seq <= p_after + 1), 0)
        ORDER BY x.seq LIMIT p_limit) f
      JOIN job j ON j.key = f.job) r
    WHERE r.before < p_limit;
  FOR seq, job_id, trace_id, n, ts, code, payload IN
    SELECT r.start + (e.n - r.from_n), j.id, j.trace_id, e.n, e.ts, e.code, e.payload
      FROM unnest(runs, job_keys, first_n, last_n, run_days) AS r(start, job, from_n, to_n, day)
      JOIN job j ON j.key = r.job
      JOIN entry e ON e.day = ANY (all_days) AND e.day = r.day AND e.job = r.job AND e.n BETWEEN r.from_n AND r.to_n
      ORDER BY 1 LIMIT p_limit
  LOOP
    bytes := bytes + octet_length(payload);
    IF given > 0 AND bytes > p_bytes THEN RETURN; END IF;
    given := given + 1;
    RETURN NEXT;
  END LOOP;
END $$;

-- The last number that has been given in a session.
CREATE FUNCTION last_number(p_session bigint) RETURNS bigint LANGUAGE sql STABLE SET search_path = @schema@, pg_temp AS
  $$ SELECT coalesce((SELECT seq + count - 1 FROM feed WHERE session = p_session ORDER BY seq DESC LIMIT 1), 0) $$;
`;
