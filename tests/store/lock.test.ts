import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { freshPath, putJob, storeFailure, temporaryDirectory } from "./files.ts";
import { Holder } from "./holder.ts";

/** Six processes that start at once take their time where others have the processors. */
const MANY_PROCESSES_MS = 120_000;

describe("a database file", () => {
  test("belongs to one store of a process at a time", async () => {
    const path = freshPath();
    const first = sqliteStore({ path });
    const { reason, message } = await storeFailure(() => sqliteStore({ path }));
    expect([reason, message]).toEqual(["locked", `${path} is in use by another server (this process, ${process.pid})`]);
    await first.close();
    const second = sqliteStore({ path });
    // Closing it again lets go of nothing that is another's by now.
    await first.close();
    expect((await storeFailure(() => sqliteStore({ path }))).reason).toBe("locked");
    await second.close();
  });

  test("belongs to one process, whose name the others are told", async () => {
    const path = freshPath();
    const holder = new Holder({ path });
    expect(await holder.open()).toEqual({ pid: holder.pid, outcome: "open" });
    const { reason, message } = await storeFailure(() => sqliteStore({ path }));
    expect([reason, message]).toEqual(["locked", `${path} is in use by another server (process ${holder.pid})`]);
  });

  test("is free as soon as the process that had it is killed", async () => {
    const path = freshPath();
    const holder = new Holder({ path });
    await holder.open();
    await holder.kill();
    const store = sqliteStore({ path });
    await putJob(store, 1);
    await store.close();
  });

  test.each([1, 2, 3])(
    "goes to exactly one of those that ask at the same moment (%i)",
    async () => {
      const path = freshPath();
      const holders = Array.from({ length: 6 }, () => new Holder({ path }));
      const answers = await Promise.all(holders.map((holder) => holder.open()));
      const winners = answers.filter(({ outcome }) => outcome === "open");
      expect(winners).toHaveLength(1);
      for (const { outcome, reason } of answers) if (outcome === "refused") expect(reason).toBe("locked");
      // They named who was about to have it; whoever comes now is told who has it.
      const late = await storeFailure(() => sqliteStore({ path }));
      expect(late.message).toContain(`(process ${winners[0]?.pid})`);
    },
    MANY_PROCESSES_MS,
  );

  test("is the same one behind a link", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const link = join(temporaryDirectory(), "link.db");
    symlinkSync(path, link);
    expect((await storeFailure(() => sqliteStore({ path: link }))).reason).toBe("locked");
    await store.close();
  });

  test("can be read by anybody meanwhile", async () => {
    const path = freshPath();
    const holder = new Holder({ path });
    await holder.open();
    const reader = sqliteStore({ path, readOnly: true });
    expect(await reader.listJobs({ principal: null, limit: 1 })).toEqual([]);
    await reader.close();
    expect((await storeFailure(() => sqliteStore({ path }))).reason).toBe("locked");
  });

  test("that cannot be opened is not held on to", async () => {
    const path = freshPath();
    writeFileSync(path, "this is no database, whatever it is called".repeat(20));
    const first = await storeFailure(() => sqliteStore({ path }));
    expect([first.reason, first.message]).toEqual(["foreign", "the file is not a database"]);
    expect((await storeFailure(() => sqliteStore({ path }))).reason).toBe("foreign");
  });

  test.skipIf(process.platform === "win32")("is made for its owner alone, with what belongs to it", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    await putJob(store, 1);
    for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-lock`]) {
      expect([file, statSync(file).mode & 0o777]).toEqual([file, 0o600]);
    }
    await store.close();
  });

  test("needs a directory", async () => {
    const path = join(temporaryDirectory(), "nowhere", "runtime.db");
    const { message } = await storeFailure(() => sqliteStore({ path }));
    expect(message).toMatch(/^there is no directory \S+nowhere$/);
    expect(existsSync(path)).toBe(false);
  });

  test.skipIf(process.platform === "win32" || process.getuid?.() === 0)("needs one that can be written", async () => {
    const directory = join(temporaryDirectory(), "closed");
    mkdirSync(directory);
    chmodSync(directory, 0o500);
    const path = join(directory, "runtime.db");
    const { reason, message } = await storeFailure(() => sqliteStore({ path }));
    expect([reason, message]).toEqual([
      "read_only",
      `${path}-lock cannot be made or opened: may this user write there?`,
    ]);
  });
});
