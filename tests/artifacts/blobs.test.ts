/** What is true of blobs that are files. */
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
import { BlobError } from "../../packages/runtime/src/store/blobs.ts";
import { blobErrorOf } from "../../packages/runtime/src/store/blobs-directory.ts";
import { fileBlobs, temporaryBlobs } from "../../packages/runtime/src/store/blobs-files.ts";
import { blobContract, idsOf, isRefused, stored } from "./blob-contract.ts";
import { all, bytesOf, collected, failureOf, patterned } from "./content.ts";
import { temporaryDirectory } from "./directory.ts";
import { openFiles } from "./shelf.ts";

afterEach(() => void vi.unstubAllEnvs());

const NAME = "ab12";

blobContract("files of a directory", () => fileBlobs({ directory: join(temporaryDirectory(), "blobs") }));
blobContract("encrypted files of a directory", () =>
  fileBlobs({ directory: join(temporaryDirectory(), "blobs"), encryptionKeys: [Buffer.alloc(32, 7)] }),
);
blobContract("temporary files", () => temporaryBlobs());

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
