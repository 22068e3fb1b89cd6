/**
 * Jobs that spend from the same counters are one family: a job, and what was delegated below it on its own node. They are claimed
 * together or not at all, so that counters stay shared wherever their jobs go. A child that was made for whichever node claims it
 * counts for itself, and begins a family of its own.
 *
 * A job without \`family\` is the first of one. The trigger sets it for batches of every version of the program.
 */
export const FAMILIES = `
ALTER TABLE job ADD COLUMN family text COLLATE "C";
CREATE INDEX job_by_family ON job (family) WHERE family IS NOT NULL AND ended_at IS NULL;

-- Parents come before their children, in a batch, too.
CREATE FUNCTION join_family() RETURNS trigger LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
BEGIN
  SELECT coalesce(p.family, p.id) INTO NEW.family FROM job p WHERE p.id = NEW.parent_job_id;
  RETURN NEW;
END $$;
CREATE TRIGGER join_family BEFORE INSERT ON job FOR EACH ROW
  WHEN (NEW.parent_job_id IS NOT NULL AND NEW.node IS NOT NULL) EXECUTE FUNCTION join_family();

-- Of jobs that were made before: a child is where its parent is, unless another node has run it for its parent.
WITH RECURSIVE line AS (
  SELECT c.key, c.id, c.parent_job_id, c.node, 0 AS height FROM job c
    WHERE c.ended_at IS NULL AND c.parent_job_id IS NOT NULL AND c.node IS NOT NULL
    AND NOT EXISTS (SELECT FROM record r WHERE r.kind = 'owed' AND r.id = c.id)
  UNION ALL
  SELECT l.key, p.id, p.parent_job_id, p.node, l.height + 1 FROM line l JOIN job p ON p.id = l.parent_job_id AND p.node = l.node)
UPDATE job j SET family = top.id FROM (SELECT DISTINCT ON (key) key, id, height FROM line ORDER BY key, height DESC) top
  WHERE j.key = top.key AND top.height > 0;

-- Whole families, the oldest first, until there are \`p_limit\` jobs: those of which this node has every agent that goes on. With
-- \`p_only\`: the family of that one, whatever the agents. Who holds the first job of a family takes the others, too.
CREATE OR REPLACE FUNCTION claim_jobs(p_node text, p_agents text[], p_limit integer, p_only text) RETURNS SETOF job
LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
DECLARE
  dead text[];
  wanted record;
  held bigint[];
  taken bigint[] := '{}';
BEGIN
  PERFORM assert_up(p_node);
  dead := dead_nodes();
  FOR wanted IN
    SELECT coalesce(j.family, j.id) AS family, array_agg(j.key ORDER BY j.key) AS keys FROM job j
      WHERE j.ended_at IS NULL AND (j.node IS NULL OR j.node = ANY (dead))
        AND (p_only IS NULL OR coalesce(j.family, j.id) = (SELECT coalesce(o.family, o.id) FROM job o WHERE o.id = p_only))
      GROUP BY 1
      HAVING p_only IS NOT NULL OR bool_and(j.agent || '@' || j.agent_version = ANY (p_agents)
        OR j.node IS NOT NULL AND NOT EXISTS (SELECT FROM record r WHERE r.kind = 'run' AND r.id = j.id))
      ORDER BY min(j.created_at), min(j.key)
  LOOP
    EXIT WHEN p_only IS NULL AND cardinality(taken) >= p_limit;
    PERFORM FROM job j WHERE j.key = wanted.keys[1] AND j.ended_at IS NULL AND (j.node IS NULL OR j.node = ANY (dead))
      FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    SELECT array_agg(h.key) INTO held FROM (
      SELECT j.key FROM job j WHERE j.key = ANY (wanted.keys) AND j.ended_at IS NULL AND (j.node IS NULL OR j.node = ANY (dead))
        ORDER BY j.key FOR UPDATE SKIP LOCKED) h;
    CONTINUE WHEN cardinality(held) < cardinality(wanted.keys);
    taken := taken || held;
  END LOOP;
  RETURN QUERY
    WITH mine AS (UPDATE job j SET node = p_node, epoch = j.epoch + 1 WHERE j.key = ANY (taken) RETURNING j.*)
    SELECT * FROM mine ORDER BY created_at, key;
END $$;
`;
