/** How what each principal has is counted, while its records are being read and after. */
import { describe, expect, test } from "vitest";
import { recordIdOf, recordOf } from "../../packages/runtime/src/engine/artifacts/artifact.ts";
import { DEFAULT_ARTIFACT_CAPS } from "../../packages/runtime/src/engine/artifacts/caps.ts";
import { Quotas } from "../../packages/runtime/src/engine/artifacts/quota.ts";
import { failureOf } from "./content.ts";
import { openShelf } from "./directory.ts";
import { SESSION } from "./shelf.ts";

/** Records that come when the test says so, and how often they were asked for. */
function records(sizes: readonly number[]) {
  const reads: PromiseWithResolvers<void>[] = [];
  async function* sizesOf() {
    const read = Promise.withResolvers<void>();
    reads.push(read);
    await read.promise;
    yield* sizes;
  }
  const caps = { ...DEFAULT_ARTIFACT_CAPS, maxPrincipalBytes: 100, maxPrincipalArtifacts: 3 };
  return { reads, quotas: new Quotas({ caps, sizesOf }) };
}

describe("records that are being read", () => {
  test("are read once, for all who wait", async () => {
    const { reads, quotas } = records([60]);
    const rooms = Promise.all([quotas.room("alice"), quotas.room("alice")]);
    expect(reads).toHaveLength(1);
    reads[0]?.resolve();
    const [first, second] = await rooms;
    first?.fit(40);
    expect(() => second?.fit(1)).toThrow("maxPrincipalBytes");
    expect(await failureOf(quotas.room("alice"))).toMatchObject({ details: { limit: "maxPrincipalArtifacts" } });
    expect(reads).toHaveLength(1);
  });

  test("are waited for by whoever would remove one", async () => {
    const { reads, quotas } = records([60]);
    expect(quotas.loading("alice")).toBeUndefined();
    const room = quotas.room("alice");
    const loading = quotas.loading("alice");
    expect(quotas.loading("bob")).toBeUndefined();
    expect(loading).toBeDefined();
    reads[0]?.resolve();
    await loading;
    expect(quotas.loading("alice")).toBeUndefined();
    quotas.giveBack("alice", 60);
    (await room).fit(100);
  });

  test("and cannot be, are read again by the next", async () => {
    const { reads, quotas } = records([60]);
    const failure = new Error("the database failed");
    const refused = failureOf(quotas.room("alice"));
    const loading = quotas.loading("alice");
    reads[0]?.reject(failure);
    await loading;
    expect(await refused).toBe(failure);
    const room = quotas.room("alice");
    expect(reads).toHaveLength(2);
    reads[1]?.resolve();
    expect(await failureOf(room.then((it) => it.fit(41)))).toMatchObject({ details: { limit: "maxPrincipalBytes" } });
  });
});

describe("an account", () => {
  test("is kept as long as something is counted in it, or somebody is putting", async () => {
    const { reads, quotas } = records([]);
    const open = async () => {
      const room = quotas.room("alice");
      reads.at(-1)?.resolve();
      return room;
    };
    const first = await open();
    const second = await open();
    first[Symbol.dispose]();
    second.keep(10);
    second[Symbol.dispose]();
    const third = await open();
    quotas.giveBack("alice", 10);
    third.fit(100);
    expect(reads).toHaveLength(1);
    third[Symbol.dispose]();
    // Nothing is left of it: the next one reads again.
    (await open())[Symbol.dispose]();
    expect(reads).toHaveLength(2);
    quotas.giveBack("bob", 10);
  });

  test("is kept for whoever is about to put, though what was counted has gone", async () => {
    const { reads, quotas } = records([60]);
    const waiting = quotas.room("alice");
    reads[0]?.resolve();
    // Before those who waited have heard of it.
    while (quotas.loading("alice") !== undefined) await Promise.resolve();
    quotas.giveBack("alice", 60);
    (await waiting).fit(60);
    const another = await quotas.room("alice");
    expect(() => another.fit(41)).toThrow("maxPrincipalBytes");
    expect(reads).toHaveLength(1);
  });

  test("that could not be read does not take the next one along", async () => {
    const { reads, quotas } = records([1]);
    const first = failureOf(quotas.room("alice"));
    const second = failureOf(quotas.room("alice"));
    const failure = new Error("the database failed");
    reads[0]?.reject(failure);
    // Before those who waited have heard of it.
    while (quotas.loading("alice") !== undefined) await Promise.resolve();
    const next = quotas.room("alice");
    expect([await first, await second]).toEqual([failure, failure]);
    const last = quotas.room("alice");
    expect(reads).toHaveLength(2);
    reads[1]?.resolve();
    await Promise.all([next, last]);
  });

  test("is given up by who was refused", async () => {
    const { reads, quotas } = records([1, 1, 1]);
    const refused = failureOf(quotas.room("alice"));
    reads[0]?.resolve();
    expect(await refused).toMatchObject({ details: { limit: "maxPrincipalArtifacts" } });
    for (let i = 0; i < 3; i += 1) quotas.giveBack("alice", 1);
    const again = quotas.room("alice");
    expect(reads).toHaveLength(2);
    reads[1]?.resolve();
    await again.catch(() => {});
  });
});

test("what is removed while records are being read, page by page, is counted once", async () => {
  const caps = { maxPrincipalArtifacts: 600 };
  const { promise: isHeld, resolve: letGo } = Promise.withResolvers<void>();
  await using shelf = openShelf({
    caps,
    throughStore: (store) => ({
      findRecord: (kind, id) => store.findRecord(kind, id),
      listRecords: async (query) => {
        if (query.after !== undefined) await isHeld;
        return store.listRecords(query);
      },
    }),
  });
  const ids = Array.from({ length: 600 }, (_, index) => `a${index}`);
  const recordIds = ids.map((id) => [recordIdOf("alice", id), id] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [recordId, artifactId] of recordIds) {
    const blob = { id: `${recordId}.${"0".repeat(32)}`, size: 0, sha256: "" };
    const expiresAt = shelf.clock.now() + 1000;
    const facts = { artifactId, owner: "alice", sessionId: SESSION, jobId: null, mediaType: "text/plain" };
    shelf.journal.putRecord(recordOf(recordId, { ...facts, blob, expiresAt }));
  }
  await shelf.journal.flush();
  const put = shelf.put("x");
  const released = shelf.artifacts.release("alice", recordIds.at(-1)?.[1] ?? "");
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  letGo();
  await Promise.allSettled([put, released]);
  const free = 600 - (await shelf.records()).length;
  for (let count = 0; count < free; count += 1) await shelf.put("x");
  expect(await failureOf(shelf.put("x"))).toMatchObject({ details: { limit: "maxPrincipalArtifacts" } });
});

test("what is on its way out is not counted by who reads at that moment", async () => {
  const caps = { maxPrincipalBytes: 1000 };
  const first = openShelf({ caps });
  const { directory, clock } = first;
  const principals = Array.from({ length: 20 }, (_, index) => `p${index}`);
  for (const principal of principals) await first.put(new Uint8Array(600), { principal, artifactId: "a" });
  await first.close();
  await using second = openShelf({ directory, clock, caps });
  await Promise.all(
    principals.map(async (principal, delay) => {
      const released = second.artifacts.release(principal, "a");
      for (let turn = 0; turn < delay; turn += 1) await Promise.resolve();
      await second.put("", { principal });
      await released;
      await second.put(new Uint8Array(1000), { principal });
      expect(await failureOf(second.put("x", { principal }))).toMatchObject({
        details: { limit: "maxPrincipalBytes" },
      });
    }),
  );
});
