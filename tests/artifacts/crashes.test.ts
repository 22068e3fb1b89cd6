/** A process that is killed between any two steps leaves every artifact whole or not there, and nothing else for long. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { artifactOf } from "../../packages/runtime/src/engine/artifacts/artifact.ts";
import { covers } from "../support/covers.ts";
import { patterned } from "./content.ts";
import { openShelf, temporaryDirectory } from "./directory.ts";
import { NOT_FOUND, type Shelf } from "./shelf.ts";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./crashing-process.ts", import.meta.url));

interface Confirmed {
  readonly put?: { readonly artifact_id: string; readonly sha256: string };
  readonly released?: string;
}

/** Runs the program to the step at which it dies. Returns what it had confirmed. */
function runTo(step: string, directory: string): Confirmed[] {
  const { signal, stdout, stderr } = spawnSync(process.execPath, ["--import", sources, program, directory, step], {
    encoding: "utf8",
  });
  expect([signal, stderr]).toEqual(["SIGKILL", ""]);
  return stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

/** Every file is the content of a record, and every record has its content. */
async function assertTidy(shelf: Shelf): Promise<void> {
  const named = (await shelf.records()).map((record) => artifactOf(record).blob.id);
  expect(shelf.files).toEqual(named.sort());
}

/** What is known of an artifact that was on its way in or out: whole, or not there. */
async function isThere(shelf: Shelf, artifactId: string, content: Uint8Array): Promise<boolean> {
  const read = await shelf.fetched(artifactId).catch((error: unknown) => error);
  if (read instanceof Error) expect(read).toMatchObject(NOT_FOUND);
  else expect(read).toEqual(Buffer.from(content));
  return !(read instanceof Error);
}

const LAST = Buffer.concat([patterned(200_000), patterned(1000)]);

/** The steps in their order, and whether `last` is there and `doomed` still is after a crash at that step. */
const STEPS: readonly (readonly [string, boolean, boolean])[] = [
  ["before the content is begun", false, true],
  ["when the content is begun", false, true],
  ["in the middle of the content", false, true],
  ["when the content is written", false, true],
  ["when the content is durable", false, true],
  ["before the record is durable", false, true],
  ["when the record is durable", true, true],
  ["when the record is gone", true, false],
  ["when the content is gone", true, false],
  ["when all is over", true, false],
];

describe("a crash", () => {
  test.each(STEPS)("%s", (step, hasLast, hasDoomed) => {
    covers("V10-16.3-04");
    return survives(step, hasLast, hasDoomed);
  });

  async function survives(step: string, hasLast: boolean, hasDoomed: boolean): Promise<void> {
    const directory = temporaryDirectory();
    const confirmed = runTo(step, directory);
    await using shelf = openShelf({ directory });
    // Before anything is tidied up, and after.
    for (const tidy of [async () => {}, () => shelf.artifacts.collectOrphans()]) {
      await tidy();
      expect(await isThere(shelf, "kept", patterned(100_000))).toBe(true);
      expect(await isThere(shelf, "last", LAST)).toBe(hasLast);
      expect(await isThere(shelf, "doomed", patterned(100_000))).toBe(hasDoomed);
    }
    const isConfirmed = (id: string) => confirmed.some(({ put }) => put?.artifact_id === id);
    if (isConfirmed("last")) expect(hasLast).toBe(true);
    if (confirmed.some(({ released }) => released === "doomed")) expect(hasDoomed).toBe(false);
    await assertTidy(shelf);
    // The id of what was lost is free, and what is put under it is kept.
    if (!hasLast) await shelf.put("again", { artifactId: "last" });
    await shelf.artifacts.collectOrphans();
    await assertTidy(shelf);
  }

  test("without one, everything that was confirmed is there", () => {
    const directory = temporaryDirectory();
    const output = execFileSync(process.execPath, ["--import", sources, program, directory, "never"], {
      encoding: "utf8",
    });
    expect(output.split("\n").slice(0, -1)).toHaveLength(4);
  });
});

/** What the kernel was told to make durable, and in which order: a power cut keeps no more than that. */
function durableSteps(log: string): string[] {
  const steps: readonly (readonly [RegExp, string])[] = [
    [/fsync\(\d+<[^>]*\/contents\/[^>]*\.partial>/, "content"],
    [/rename\(/, "name"],
    [/fsync\(\d+<[^>]*\/contents>/, "directory"],
    [/sync\(\d+<[^>]*\/journal\.db-wal>/, "record"],
    [/unlink(?:at)?\([^)]*\/[0-9a-f]{64}\.[0-9a-f]{32}"/, "removal"],
  ];
  return log.split("\n").flatMap((line) => steps.find(([form]) => form.test(line))?.[1] ?? []);
}

test("a power cut: each step is durable before the next one is taken", (context) => {
  const traced = (...args: readonly string[]) => spawnSync("sh", ["-c", 'exec strace "$@"', "sh", ...args]);
  if (traced("-V").status !== 0) context.skip("needs strace");
  const directory = temporaryDirectory();
  const log = join(directory, "calls");
  const watch = ["-f", "-y", "-e", "trace=fsync,fdatasync,/rename,/unlink", "-o", log];
  const { status } = traced(...watch, process.execPath, "--import", sources, program, directory, "never");
  expect(status).toBe(0);
  const steps = durableSteps(readFileSync(log, "utf8"));
  const put = ["content", "name", "directory", "record"];
  const first = steps.indexOf("content");
  // Three are put and one is released; then the database is closed.
  expect(steps.slice(first, first + 14)).toEqual([...put, ...put, ...put, "record", "removal"]);
});
