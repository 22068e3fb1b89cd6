/** How what each principal has is counted, while its records are being read and after. */
import { describe, expect, test } from "vitest";
import { DEFAULT_ARTIFACT_CAPS } from "../../packages/runtime/src/engine/artifacts/caps.ts";
import { Quotas } from "../../packages/runtime/src/engine/artifacts/quota.ts";
import { failureOf } from "./content.ts";
import { openShelf } from "./directory.ts";

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
