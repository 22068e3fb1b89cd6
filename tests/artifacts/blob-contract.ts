/** What every blob store does, whatever it is made of. */
import type { BlobStore, StoredBlob } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { all, bytesOf, collected, failureOf, patterned, sha256Of } from "./content.ts";

const NAME = "ab12";

export async function stored(blobs: BlobStore, ...pieces: readonly Uint8Array[]): Promise<StoredBlob> {
  const writer = await blobs.create(NAME);
  for (const piece of pieces) await writer.write(piece);
  return writer.finish();
}

export const isRefused = (reason: string) => expect.objectContaining({ name: "BlobError", reason });
export const idsOf = async (blobs: BlobStore): Promise<string[]> =>
  (await all(blobs.list())).map(({ id }) => id).sort();

/** `open`: a store with nothing in it. */
export function blobContract(name: string, open: () => BlobStore | Promise<BlobStore>): void {
  describe(`a store of blobs: ${name}`, () => {
    test("gives back what was written, with its size and digest", async () => {
      await using blobs = await open();
      const content = patterned(200_000);
      const blob = await stored(blobs, content.subarray(0, 1), content.subarray(1, 150_000), content.subarray(150_000));
      expect(blob).toEqual({
        id: expect.stringMatching(/^ab12\.[0-9a-f]{32}$/),
        size: 200_000,
        sha256: sha256Of(content),
      });
      expect(await collected(blobs.read(blob))).toEqual(Buffer.from(content));
    });

    test("holds what has no bytes", async () => {
      await using blobs = await open();
      const blob = await stored(blobs);
      expect(blob).toMatchObject({ size: 0, sha256: sha256Of(new Uint8Array()) });
      expect(await all(blobs.read(blob))).toEqual([]);
    });

    test.each([
      [0, 0],
      [0, 1],
      [65_535, 2],
      [65_536, 65_536],
      [131_000, 72],
      [131_072, 0],
    ])("gives a range: %i, %i", async (offset, length) => {
      await using blobs = await open();
      const content = patterned(131_072);
      const blob = await stored(blobs, content);
      const range = await collected(blobs.read(blob, { offset, length }));
      expect(range).toEqual(Buffer.from(content.subarray(offset, offset + length)));
    });

    test("keeps what it was given, not the buffer", async () => {
      await using blobs = await open();
      const writer = await blobs.create(NAME);
      const buffer = bytesOf("first");
      await writer.write(buffer);
      buffer.fill(0);
      expect(await collected(blobs.read(await writer.finish()))).toEqual(Buffer.from("first"));
    });

    test("lists what is whole and what is begun, under the name that it was given", async () => {
      await using blobs = await open();
      expect(await idsOf(blobs)).toEqual([]);
      const { id } = await stored(blobs, bytesOf("x"));
      await using _begun = await blobs.create("cd");
      const listed = await all(blobs.list());
      expect(listed.map(({ name }) => name).sort()).toEqual([NAME, "cd"]);
      expect(listed).toContainEqual({ id, name: NAME });
    });

    test("removes, once or more often", async () => {
      await using blobs = await open();
      const blob = await stored(blobs, bytesOf("x"));
      await blobs.remove(blob.id);
      await blobs.remove(blob.id);
      expect(await idsOf(blobs)).toEqual([]);
      expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("missing"));
    });

    test("leaves nothing of what was aborted, and takes no more of it", async () => {
      await using blobs = await open();
      const writer = await blobs.create(NAME);
      await writer.write(patterned(100_000));
      await writer.abort();
      await writer.abort();
      expect(await idsOf(blobs)).toEqual([]);
      expect(await failureOf(writer.write(bytesOf("x")))).toEqual(isRefused("closed"));
      expect(await failureOf(writer.finish())).toEqual(isRefused("closed"));
    });

    test("keeps what was finished, whoever aborts it then", async () => {
      await using blobs = await open();
      const writer = await blobs.create(NAME);
      await writer.write(bytesOf("kept"));
      const blob = await writer.finish();
      await writer.abort();
      expect(await collected(blobs.read(blob))).toEqual(Buffer.from("kept"));
    });

    test("refuses a content of another digest, and leaves nothing of it", async () => {
      await using blobs = await open();
      const writer = await blobs.create(NAME);
      await writer.write(bytesOf("one"));
      expect(await failureOf(writer.finish(sha256Of(bytesOf("another"))))).toEqual(isRefused("corrupt"));
      expect(await idsOf(blobs)).toEqual([]);
    });

    test("is finished or aborted, not both, however the two meet", async () => {
      await using blobs = await open();
      for (let turns = 0; turns < 40; turns += 1) {
        const writer = await blobs.create(NAME);
        await writer.write(bytesOf("x"));
        const finished = writer.finish().then(
          ({ id }) => id,
          (error: unknown) => error,
        );
        for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
        await writer.abort();
        const outcome = await finished;
        const left = await idsOf(blobs);
        if (typeof outcome === "string") {
          expect(left).toEqual([outcome]);
          await blobs.remove(outcome);
        } else {
          expect(outcome).toEqual(isRefused("closed"));
          expect(left).toEqual([]);
        }
      }
    });

    test("reads on to the end of what is removed meanwhile", async () => {
      await using blobs = await open();
      const content = patterned(300_000);
      const blob = await stored(blobs, content);
      const pieces: Uint8Array[] = [];
      for await (const piece of blobs.read(blob)) {
        pieces.push(piece);
        await blobs.remove(blob.id);
      }
      expect(Buffer.concat(pieces)).toEqual(Buffer.from(content));
    });

    test("whoever was writing hears of the abort, in the middle of a write too", async () => {
      await using blobs = await open();
      const writer = await blobs.create(NAME);
      const writing = failureOf(writer.write(patterned(1_000_000)));
      await writer.abort();
      expect(await writing).toEqual(isRefused("closed"));
      expect(await idsOf(blobs)).toEqual([]);
    });

    test("closed, it ends what is being written and read, and takes nothing more", async () => {
      const blobs = await open();
      const blob = await stored(blobs, patterned(300_000));
      const writer = await blobs.create(NAME);
      await writer.write(bytesOf("x"));
      const reading = blobs.read(blob)[Symbol.asyncIterator]();
      expect((await reading.next()).done).toBe(false);
      await blobs.close();
      await blobs.close();
      expect(await failureOf(reading.next())).toEqual(isRefused("closed"));
      expect(await failureOf(writer.finish())).toEqual(isRefused("closed"));
      expect(await failureOf(blobs.create(NAME))).toEqual(isRefused("closed"));
      expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("closed"));
      expect(await failureOf(blobs.remove(blob.id))).toEqual(isRefused("closed"));
    });

    test("closed while one is being made, it leaves nothing of that", async () => {
      const blobs = await open();
      const making = blobs.create(NAME);
      await blobs.close();
      const writer = await making;
      expect(await failureOf(writer.write(patterned(100_000)))).toEqual(isRefused("closed"));
    });

    test.each(["", "A", "../x", "a/b", "a".repeat(65), "a\u0000", "é"])("no blob can be called %j", async (name) => {
      await using blobs = await open();
      expect(await failureOf(blobs.create(name))).toBeInstanceOf(TypeError);
    });

    test.each([
      "",
      "ab12",
      "../../etc/passwd",
      `../ab12.${"0".repeat(32)}`,
      `ab12.${"0".repeat(32)}/../x`,
      `ab12.${"0".repeat(32)}\u0000`,
      `ab12.${"0".repeat(32)}\n`,
    ])("no path is made of the id %j", async (id) => {
      await using blobs = await open();
      await stored(blobs, bytesOf("x"));
      expect(await failureOf(blobs.remove(id))).toBeInstanceOf(TypeError);
      expect(await failureOf(collected(blobs.read({ id, size: 0, sha256: "" })))).toBeInstanceOf(TypeError);
    });
  });
}
