/** What every blob store does, and what is true of files. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { BlobError, type BlobStore, type StoredBlob } from "../../packages/runtime/src/store/blobs.ts";
import { blobErrorOf } from "../../packages/runtime/src/store/blobs-directory.ts";
import { fileBlobs, temporaryBlobs } from "../../packages/runtime/src/store/blobs-files.ts";
import { all, bytesOf, collected, failureOf, patterned, sha256Of } from "./content.ts";
import { temporaryDirectory } from "./directory.ts";
import { openFiles } from "./shelf.ts";

afterEach(() => void vi.unstubAllEnvs());

const NAME = "ab12";

async function stored(blobs: BlobStore, ...pieces: readonly Uint8Array[]): Promise<StoredBlob> {
  const writer = await blobs.create(NAME);
  for (const piece of pieces) await writer.write(piece);
  return writer.finish();
}

const isRefused = (reason: string) => expect.objectContaining({ name: "BlobError", reason });
const idsOf = async (blobs: BlobStore): Promise<string[]> => (await all(blobs.list())).map(({ id }) => id).sort();

describe.each([
  ["files of a directory", () => fileBlobs({ directory: join(temporaryDirectory(), "blobs") })],
  [
    "encrypted files of a directory",
    () => fileBlobs({ directory: join(temporaryDirectory(), "blobs"), encryptionKeys: [Buffer.alloc(32, 7)] }),
  ],
  ["temporary files", () => temporaryBlobs()],
])("a store of blobs: %s", (_, open) => {
  test("gives back what was written, with its size and digest", async () => {
    await using blobs = open();
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
    await using blobs = open();
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
    await using blobs = open();
    const content = patterned(131_072);
    const blob = await stored(blobs, content);
    const range = await collected(blobs.read(blob, { offset, length }));
    expect(range).toEqual(Buffer.from(content.subarray(offset, offset + length)));
  });

  test("keeps what it was given, not the buffer", async () => {
    await using blobs = open();
    const writer = await blobs.create(NAME);
    const buffer = bytesOf("first");
    await writer.write(buffer);
    buffer.fill(0);
    expect(await collected(blobs.read(await writer.finish()))).toEqual(Buffer.from("first"));
  });

  test("lists what is whole and what is begun, under the name that it was given", async () => {
    await using blobs = open();
    expect(await idsOf(blobs)).toEqual([]);
    const { id } = await stored(blobs, bytesOf("x"));
    await using _begun = await blobs.create("cd");
    const listed = await all(blobs.list());
    expect(listed.map(({ name }) => name).sort()).toEqual([NAME, "cd"]);
    expect(listed).toContainEqual({ id, name: NAME });
  });

  test("removes, once or more often", async () => {
    await using blobs = open();
    const blob = await stored(blobs, bytesOf("x"));
    await blobs.remove(blob.id);
    await blobs.remove(blob.id);
    expect(await idsOf(blobs)).toEqual([]);
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("missing"));
  });

  test("leaves nothing of what was aborted, and takes no more of it", async () => {
    await using blobs = open();
    const writer = await blobs.create(NAME);
    await writer.write(patterned(100_000));
    await writer.abort();
    await writer.abort();
    expect(await idsOf(blobs)).toEqual([]);
    expect(await failureOf(writer.write(bytesOf("x")))).toEqual(isRefused("closed"));
    expect(await failureOf(writer.finish())).toEqual(isRefused("closed"));
  });

  test("keeps what was finished, whoever aborts it then", async () => {
    await using blobs = open();
    const writer = await blobs.create(NAME);
    await writer.write(bytesOf("kept"));
    const blob = await writer.finish();
    await writer.abort();
    expect(await collected(blobs.read(blob))).toEqual(Buffer.from("kept"));
  });

  test("refuses a content of another digest, and leaves nothing of it", async () => {
    await using blobs = open();
    const writer = await blobs.create(NAME);
    await writer.write(bytesOf("one"));
    expect(await failureOf(writer.finish(sha256Of(bytesOf("another"))))).toEqual(isRefused("corrupt"));
    expect(await idsOf(blobs)).toEqual([]);
  });

  test("is finished or aborted, not both, however the two meet", async () => {
    await using blobs = open();
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
    await using blobs = open();
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
    await using blobs = open();
    const writer = await blobs.create(NAME);
    const writing = failureOf(writer.write(patterned(1_000_000)));
    await writer.abort();
    expect(await writing).toEqual(isRefused("closed"));
    expect(await idsOf(blobs)).toEqual([]);
  });

  test("closed, it ends what is being written and read, and takes nothing more", async () => {
    const blobs = open();
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
    const blobs = open();
    const making = blobs.create(NAME);
    await blobs.close();
    const writer = await making;
    expect(await failureOf(writer.write(patterned(100_000)))).toEqual(isRefused("closed"));
  });

  test.each(["", "A", "../x", "a/b", "a".repeat(65), "a\u0000", "é"])("no blob can be called %j", async (name) => {
    await using blobs = open();
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
    await using blobs = open();
    await stored(blobs, bytesOf("x"));
    expect(await failureOf(blobs.remove(id))).toBeInstanceOf(TypeError);
    expect(await failureOf(collected(blobs.read({ id, size: 0, sha256: "" })))).toBeInstanceOf(TypeError);
  });
});

/** A store in a directory, with one blob. */
async function shelved(content: Uint8Array = patterned(100_000)) {
  const directory = join(temporaryDirectory(), "blobs");
  const blobs = fileBlobs({ directory });
  const blob = await stored(blobs, content);
  return { directory, blobs, blob, path: join(directory, blob.id) };
}

describe("files", () => {
  const umask = process.umask();

  test("are for their owner alone, and survive the store", async () => {
    const { directory, blobs, blob, path } = await shelved(bytesOf("kept"));
    await blobs.close();
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(statSync(path).mode & 0o777).toBe(0o600 & ~umask);
    await using again = fileBlobs({ directory });
    expect(await collected(again.read(blob))).toEqual(Buffer.from("kept"));
  });

  test("a reader that stops leaves no file open", async () => {
    const { directory, blobs, blob } = await shelved(patterned(300_000));
    for await (const _ of blobs.read(blob)) break;
    const unread = blobs.read(blob);
    expect(unread).toBeDefined();
    expect(openFiles(directory)).toEqual([]);
    await blobs.close();
  });

  test("one that was cut short, or has grown, is not given out", async () => {
    const { blobs, blob, path } = await shelved();
    truncateSync(path, blob.size - 1);
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("corrupt"));
    appendFileSync(path, "xy");
    expect(await failureOf(collected(blobs.read(blob, { offset: 0, length: 1 })))).toEqual(isRefused("corrupt"));
    await blobs.close();
  });

  test("one that is cut while it is read ends in an error, not in a short content", async () => {
    const { blobs, blob, path } = await shelved(patterned(300_000));
    const read = async () => {
      for await (const _ of blobs.read(blob)) truncateSync(path, 1);
    };
    expect(await failureOf(read())).toEqual(isRefused("corrupt"));
    await blobs.close();
  });

  test("a range of one that is cut while it is read does, too", async () => {
    const { blobs, blob, path } = await shelved(patterned(300_000));
    const read = async () => {
      for await (const _ of blobs.read(blob, { offset: 1, length: 299_000 })) truncateSync(path, 1);
    };
    expect(await failureOf(read())).toEqual(isRefused("corrupt"));
    await blobs.close();
  });

  test("one with a changed byte is never given out whole", async () => {
    const content = patterned(100_000);
    const { blobs, blob, path } = await shelved(content);
    for (const place of [0, 65_536, 99_999]) {
      const damaged = Buffer.from(content);
      damaged[place] = (damaged[place] ?? 0) ^ 1;
      writeFileSync(path, damaged);
      let given = 0;
      const read = async () => {
        for await (const piece of blobs.read(blob)) given += piece.length;
      };
      expect(await failureOf(read())).toEqual(isRefused("corrupt"));
      expect(given).toBeLessThan(content.length);
    }
    await blobs.close();
  });

  test("a link or a directory in the place of one is not followed", async () => {
    const { directory, blobs, blob, path } = await shelved(bytesOf("secret"));
    const outside = join(directory, "..", "outside");
    writeFileSync(outside, "secret");
    rmSync(path);
    symlinkSync(outside, path);
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("corrupt"));
    rmSync(path);
    mkdirSync(path);
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("corrupt"));
    await blobs.close();
  });

  test("a FIFO in the place of one is not waited for", async () => {
    const { blobs, blob, path } = await shelved(new Uint8Array());
    rmSync(path);
    execFileSync("sh", ["-c", 'mkfifo "$1"', "sh", path]);
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("corrupt"));
    await blobs.close();
  });

  test("others in the directory are neither listed nor removed", async () => {
    const { directory, blobs, blob } = await shelved();
    for (const name of ["README", "ab12", `${blob.id}.bak`, `x.${"0".repeat(32)}`]) {
      writeFileSync(join(directory, name), "");
    }
    expect(await idsOf(blobs)).toEqual([blob.id]);
    await blobs.close();
    expect(readdirSync(directory)).toHaveLength(5);
  });

  test("what a dead process was writing is listed, and can be removed", async () => {
    const { directory, blobs, blob } = await shelved();
    const left = `cd.${"1".repeat(32)}.partial`;
    writeFileSync(join(directory, left), "half");
    expect(await all(blobs.list())).toContainEqual({ id: left, name: "cd" });
    await blobs.remove(left);
    expect(readdirSync(directory)).toEqual([blob.id]);
    await blobs.close();
  });
});

test.each([
  ["ENOSPC", "no_space"],
  ["EDQUOT", "no_space"],
  ["EFBIG", "no_space"],
  ["EROFS", "unusable"],
  ["EACCES", "unusable"],
  ["ENOENT", "missing"],
  ["EIO", "failed"],
])("what the system calls %s is %s", (code, reason) => {
  expect(blobErrorOf(Object.assign(new Error("/secret/path"), { code }))).toEqual(isRefused(reason));
});

describe("the directory", () => {
  test.each([
    ["a link", (at: string) => symlinkSync(join(at, ".."), at)],
    ["a file", (at: string) => writeFileSync(at, "")],
    ["writable for others", (at: string) => mkdirSync(at) ?? chmodSync(at, 0o777)],
  ])("is not used if it is %s", (_, plant) => {
    const directory = join(temporaryDirectory(), "blobs");
    plant(directory);
    expect(() => fileBlobs({ directory })).toThrow(isRefused("unusable"));
  });

  test("is not used where it cannot be made", () => {
    const parent = join(temporaryDirectory(), "file");
    writeFileSync(parent, "");
    expect(() => fileBlobs({ directory: join(parent, "blobs") })).toThrow(BlobError);
  });

  test.each([
    ["a link", (elsewhere: string, directory: string) => symlinkSync(elsewhere, directory)],
    ["another directory", (_: string, directory: string) => mkdirSync(directory)],
    ["nothing", () => {}],
  ])("is not written to when %s has taken its place", async (_, replace) => {
    const { directory, blobs, blob } = await shelved(bytesOf("kept"));
    const moved = `${directory}-moved`;
    const begun = await blobs.create(NAME);
    await begun.write(bytesOf("x"));
    renameSync(directory, moved);
    const elsewhere = temporaryDirectory();
    replace(elsewhere, directory);
    expect(await failureOf(blobs.create(NAME))).toEqual(isRefused("unusable"));
    expect(await failureOf(begun.finish())).toEqual(isRefused("unusable"));
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("unusable"));
    expect(await failureOf(blobs.remove(blob.id))).toEqual(isRefused("unusable"));
    expect(readdirSync(elsewhere)).toEqual([]);
    expect(readFileSync(join(moved, blob.id), "utf8")).toBe("kept");
    await blobs.close();
  });
});

test("temporary files need no directory before something is stored, and leave none behind", async () => {
  const directory = temporaryDirectory();
  vi.stubEnv("TMPDIR", directory);
  const unused = temporaryBlobs();
  await unused.remove(`ab.${"0".repeat(32)}`);
  await unused.close();
  expect(readdirSync(directory)).toEqual([]);
  const blobs = temporaryBlobs();
  await stored(blobs, bytesOf("x"));
  const [mine = ""] = readdirSync(directory);
  expect(statSync(join(directory, mine)).mode & 0o777).toBe(0o700);
  await blobs.close();
  expect(readdirSync(directory)).toEqual([]);
});
