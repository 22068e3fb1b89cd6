/** What a power cut may leave: all that was synced, and of the rest whole sectors or nothing. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { writeImage } from "../../chaos/power-loss/disk.ts";
import { type FileOperation, readTrace } from "../../chaos/power-loss/trace.ts";
import { Random } from "../../fuzz/random.ts";

const scratch = mkdtempSync(join(tmpdir(), "arcp-power-test-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const DIRECTORY = "/disk";
const SIZE = 8_192;
const SEEDS = Array.from({ length: 60 }, (_, seed) => seed);
let images = 0;

function imageOf(operations: readonly FileOperation[], at: number, seed: number): string {
  images += 1;
  const target = join(scratch, String(images));
  writeImage(operations, DIRECTORY, target, at, new Random(seed));
  return target;
}

const filled = (byte: number, size = SIZE): Buffer => Buffer.alloc(size, byte);

describe("a disk after a power cut", () => {
  const path = `${DIRECTORY}/file`;
  const operations: readonly FileOperation[] = [
    { at: 1, kind: "create", path },
    { at: 2, kind: "write", path, offset: 0, data: filled(1) },
    { at: 3, kind: "sync", path, endedAt: 4 },
    { at: 5, kind: "sync", path: DIRECTORY, endedAt: 6 },
    { at: 7, kind: "write", path, offset: 0, data: filled(2) },
    { at: 8, kind: "sync", path, endedAt: 10 },
  ];

  test.each(SEEDS)("what was synced is there, and what was not is there in whole sectors (seed %i)", (seed) => {
    expect(readFileSync(join(imageOf(operations, 6, seed), "file"))).toEqual(filled(1));
    expect(readFileSync(join(imageOf(operations, 10, seed), "file"))).toEqual(filled(2));
    const torn = readFileSync(join(imageOf(operations, 9, seed), "file"));
    for (let at = 0; at < SIZE; at += 512) expect(new Set(torn.subarray(at, at + 512)).size).toBe(1);
  });

  test("it is torn sometimes, sometimes whole, and sometimes as it was", () => {
    const kinds = SEEDS.map((seed) => new Set(readFileSync(join(imageOf(operations, 9, seed), "file"))));
    expect(kinds.some((bytes) => bytes.size === 2)).toBe(true);
    expect(kinds.some((bytes) => bytes.size === 1 && bytes.has(1))).toBe(true);
  });

  test("a name may be missing until its directory is synced, and not after that", () => {
    const early = SEEDS.map((seed) => existsSync(join(imageOf(operations, 4, seed), "file")));
    expect(new Set(early)).toEqual(new Set([true, false]));
    expect(SEEDS.every((seed) => existsSync(join(imageOf(operations, 6, seed), "file")))).toBe(true);
  });

  test("a file that was renamed has one of its names", () => {
    const to = `${DIRECTORY}/renamed`;
    const renamed: readonly FileOperation[] = [...operations, { at: 11, kind: "rename", path, to }];
    for (const seed of SEEDS) {
      const target = imageOf(renamed, 12, seed);
      const names = ["file", "renamed"].filter((name) => existsSync(join(target, name)));
      expect(names).toHaveLength(1);
      expect(readFileSync(join(target, names[0] as string))).toEqual(filled(2));
    }
  });
});

test("a trace is read, with calls of several threads in one another", () => {
  const hex = (text: string): string =>
    [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  const file = join(scratch, "trace.txt");
  const at = `${hex(DIRECTORY)}\\x2f${hex("a")}`;
  writeFileSync(
    file,
    [
      `7  10.000001 openat(AT_FDCWD<${hex("/")}>, "${at}", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 21<${at}> <0.000100>`,
      `7  10.000200 openat(AT_FDCWD<${hex("/")}>, "${hex(DIRECTORY)}", O_RDONLY) = 22<${hex(DIRECTORY)}> <0.000100>`,
      `8  10.000300 pwrite64(21<${at}>, "${hex("hello")}", 5, 32) = 5 <0.000010>`,
      `8  10.000400 fsync(21<${at}> <unfinished ...>`,
      `7  10.000500 write(21<${at}>, "${hex("!")}", 1) = 1 <0.000010>`,
      "8  10.001400 <... fsync resumed>) = 0 <0.001000>",
      `7  10.002000 rename("${hex("/proc/self/fd/22/a")}", "${hex("/proc/self/fd/22/b")}") = 0 <0.000010>`,
      `7  10.003000 pwrite64(30<${hex("/elsewhere/x")}>, "${hex("hello")}", 5, 32) = 5 <0.000010>`,
      "",
    ].join("\n"),
  );
  expect(readTrace(file, DIRECTORY).map(({ at: _, ...operation }) => operation)).toEqual([
    { kind: "create", path: "/disk/a" },
    { kind: "write", path: "/disk/a", offset: 32, data: Buffer.from("hello") },
    { kind: "write", path: "/disk/a", offset: 0, data: Buffer.from("!") },
    { kind: "sync", path: "/disk/a", endedAt: expect.closeTo(10_001.4, 3) },
    { kind: "rename", path: "/disk/a", to: "/disk/b" },
  ]);
});
