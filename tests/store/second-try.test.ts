/** A commit that was tried when the disk was full is tried again with what was set aside: nothing of the batch is missing then. */
import { pairMemoryTransports } from "@arcp/core";
import { type Batch, type Store, sqliteStore } from "@arcp/runtime";
import { expect, test } from "vitest";
import { serverOn } from "../durable/crash-images.ts";
import { RawClient } from "../support/raw-client.ts";

/** Reads every batch before it is committed, as the first of two tries does. */
function readingTwice(store: Store): Store {
  const commit = (batch: Batch): Promise<void> => {
    for (const part of [batch.sessions, batch.records]) for (const _ of part);
    return store.commit(batch);
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === "commit") return commit;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("a batch holds its sessions and records whenever it is read", async () => {
  const store = sqliteStore();
  const done = Promise.withResolvers<void>();
  const server = serverOn(readingTwice(store), {
    main: {
      handler: async (_, context) => {
        await context.step("one", () => 1);
        done.resolve();
        await new Promise((_, reject) => {
          context.signal.addEventListener("abort", () => reject(context.signal.reason), { once: true });
        });
      },
    },
  });
  const [left, right] = pairMemoryTransports();
  await server.accept(right);
  const client = new RawClient(left);
  const { session_id: sessionId } = await client.hello();
  await client.submit("main");
  await done.promise;
  expect((await store.findSession(sessionId as never))?.record.principal).toBe("alice");
  expect(await store.listRecords({ kind: "step", limit: 10 })).toHaveLength(1);
  await server.close();
  await store.close();
});
