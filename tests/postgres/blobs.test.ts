/** Blobs in PostgreSQL: what every store of blobs does, and what several nodes see of them. */
import { postgresBlobs } from "@arcp/postgres";
import type { BlobStore } from "@arcp/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { blobContract, isRefused, stored } from "../artifacts/blob-contract.ts";
import { all, bytesOf, collected, failureOf, patterned } from "../artifacts/content.ts";
import { reasonForNoPostgres } from "../support/postgres.ts";
import { TestCluster } from "../support/postgres-nodes.ts";

const suite = describe.skipIf(reasonForNoPostgres() !== undefined);

const opened = ({ url, schema }: TestCluster): BlobStore => {
  const blobs = postgresBlobs({ url, schema });
  onTestFinished(() => blobs.close());
  return blobs;
};

suite("", () => blobContract("PostgreSQL", async () => opened(await TestCluster.make())));

suite("blobs of several nodes", () => {
  test("are read by others, piece by piece and in ranges", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [opened(cluster), opened(cluster)];
    const content = patterned(1_000_000);
    const blob = await stored(one, content);
    expect(await collected(two.read(blob))).toEqual(Buffer.from(content));
    const range = { offset: 262_140, length: 300_000 };
    expect(await collected(two.read(blob, range))).toEqual(Buffer.from(content.subarray(262_140, 562_140)));
    expect((await all(two.read(blob))).every(({ length }) => length <= 256 * 1024)).toBe(true);
  });

  test("are not listed for others before an hour, so that nobody collects what is about to be named", async () => {
    const cluster = await TestCluster.make();
    const [one, two] = [opened(cluster), opened(cluster)];
    const { id } = await stored(one, bytesOf("x"));
    await using begun = await one.create("cd");
    await begun.write(bytesOf("y"));
    expect(await all(one.list())).toHaveLength(2);
    expect(await all(two.list())).toEqual([]);
    await cluster.ask("UPDATE blob SET touched_at = touched_at - 3600001");
    expect((await all(two.list())).map((blob) => blob.id)).toContain(id);
    expect(await all(two.list())).toHaveLength(2);
    // Whoever goes on writing is not dead.
    await begun.write(patterned(300_000));
    expect(await all(two.list())).toHaveLength(1);
  });

  test("that were removed are gone from the database after an hour", async () => {
    const cluster = await TestCluster.make();
    const one = opened(cluster);
    const kept = await stored(one, bytesOf("kept"));
    for (let count = 0; count < 20; count += 1) await one.remove((await stored(one, patterned(300_000))).id);
    await all(one.list());
    expect(await cluster.ask("SELECT DISTINCT blob FROM blob_piece")).toHaveLength(21);
    await cluster.ask("UPDATE blob SET removed_at = removed_at - 3600001");
    await all(one.list());
    expect(await cluster.ask("SELECT DISTINCT blob FROM blob_piece")).toEqual([{ blob: kept.id }]);
    expect(await cluster.ask("SELECT id FROM blob")).toEqual([{ id: kept.id }]);
  });

  test("with a piece that is damaged or missing are corrupt", async () => {
    const cluster = await TestCluster.make();
    const one = opened(cluster);
    const [changed, short] = [await stored(one, patterned(300_000)), await stored(one, patterned(300_000))];
    await cluster.ask("UPDATE blob_piece SET data = set_byte(data, 5, 255) WHERE blob = $1 AND ordinal = 0", [
      changed.id,
    ]);
    await cluster.ask("DELETE FROM blob_piece WHERE blob = $1 AND ordinal = 1", [short.id]);
    expect(await failureOf(collected(one.read(changed)))).toEqual(isRefused("corrupt"));
    expect(await failureOf(collected(one.read(short)))).toEqual(isRefused("corrupt"));
    expect(await failureOf(collected(one.read({ ...changed, size: 5 })))).toEqual(isRefused("corrupt"));
  });

  test("in a database that is not there are unusable", async () => {
    const blobs = postgresBlobs({ url: "postgresql://a:b@127.0.0.1:1/x" });
    onTestFinished(() => blobs.close());
    expect(await failureOf(blobs.create("ab"))).toEqual(isRefused("unusable"));
  });
});
