/**
 * What each node has let in or holds of a principal, as it says itself: every node has rows of its own, so nobody waits for
 * anybody. Not logged: after a crash of the server everybody says it again.
 */
export const USE = `
CREATE UNLOGGED TABLE used (
  node text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  principal text COLLATE "C" NOT NULL,
  value bigint NOT NULL,
  at bigint NOT NULL,
  PRIMARY KEY (node, name, principal)
) WITH (fillfactor = 50);
CREATE INDEX used_by_time ON used (at);
CREATE INDEX session_by_principal ON session (principal, detached_at);

-- Says what has changed of this node, and returns what others have changed since then. What a node has not said again for ten
-- minutes is nothing.
CREATE FUNCTION exchange_use(p_node text, p_names text[], p_principals text[], p_values bigint[], p_since bigint,
  OUT asked_at bigint, OUT others jsonb)
LANGUAGE plpgsql SET search_path = @schema@, pg_temp AS $$
BEGIN
  PERFORM assert_up(p_node);
  asked_at := now_ms();
  INSERT INTO used SELECT p_node, x.name, x.principal, x.value, asked_at
    FROM unnest(p_names, p_principals, p_values) AS x(name, principal, value)
    ON CONFLICT (node, name, principal) DO UPDATE SET value = excluded.value, at = excluded.at;
  DELETE FROM used WHERE ctid IN (
    SELECT u.ctid FROM used u WHERE u.at < asked_at - 600000 LIMIT 1000 FOR UPDATE SKIP LOCKED);
  SELECT coalesce(jsonb_agg(jsonb_build_object('node', u.node, 'name', u.name, 'principal', u.principal, 'value', u.value)), '[]')
    INTO others FROM used u JOIN node n ON n.id = u.node AND n.is_up WHERE u.at >= p_since AND u.node <> p_node;
END $$;
`;
