/** The nodes that share a database on PostgreSQL, as the command line shows them. */
import type { NodeRecord, SharedStore } from "@arcp/runtime";
import { namedDatabase, shownDatabase } from "./database.ts";
import { UsageError } from "./exit-code.ts";
import { isPostgres, openPostgres } from "./postgres.ts";

/**
 *   up        it takes clients and jobs
 *   draining  it was asked to stop, or stops
 *   silent    it has not said for its time that it lives: the next node that does declares it dead
 *   gone      it has left, or was declared dead
 */
export type NodeState = "up" | "draining" | "silent" | "gone";

export function stateOf({ isUp, isDraining, mustDrain, silentMs, ttlMs }: NodeRecord): NodeState {
  if (!isUp) return "gone";
  if (silentMs > ttlMs) return "silent";
  return isDraining || mustDrain ? "draining" : "up";
}

/** Calls `work` with the store. Throws {@link UsageError} for a database that nodes cannot share. */
export async function withNodes<Result>(
  option: string | undefined,
  work: (store: SharedStore) => Promise<Result>,
): Promise<Result> {
  const database = namedDatabase(option);
  if (database === undefined || !isPostgres(database)) {
    const instead = database === undefined ? "" : `, and not ${shownDatabase(database)}`;
    throw new UsageError(`--db or ARCP_DB must name the database that the nodes share: postgresql://…${instead}`);
  }
  const store = await openPostgres(database, { migrate: false, pool: { max: 2 } });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}
