import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { newJobId } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { MIGRATIONS } from "../../packages/runtime/src/store/schema.ts";
import { freshPath, storeFailure, temporaryDirectory } from "./files.ts";
import { Holder } from "./holder.ts";

const VERSION = MIGRATIONS.length;

/** A file as version 3 left it, with one job. Returns the job's id. */
function oldFile(path: string): ReturnType<typeof newJobId> {
  const old = new Database(path);
  for (const step of MIGRATIONS.slice(0, 3)) old.exec(step);
  old.pragma("user_version = 3");
  const id = newJobId();
  old
    .prepare(
      `INSERT INTO job (id, session_id, principal, agent, agent_version, status, created_at, ended_at, lease, trace_id,
        epoch, last_n, last_event_seq) VALUES (?, 's', 'alice', 'worker', '1.0.0', 'success', 1, 2, '{}', 't', 1, 1, 0)`,
    )
    .run(id);
  old.prepare("INSERT INTO entry (key, ts, code, payload) SELECT key * 2 * 1048576, 7, 20, '{}' FROM job").run();
  old.close();
  return id;
}

const versionOf = (path: string): unknown => {
  const db = new Database(path, { readonly: true });
  const version = db.pragma("user_version", { simple: true });
  db.close();
  return version;
};

describe("a file of an older version", () => {
  test("is copied as it was, for its owner alone, and then brought up to date", async () => {
    const path = freshPath();
    const id = oldFile(path);
    const store = sqliteStore({ path });
    expect(await store.readJournal(id, 1, 1)).toEqual([{ n: 1, ts: 7, code: 20, payload: "{}" }]);
    await store.close();
    expect(versionOf(path)).toBe(VERSION);
    const backup = `${path}.v3.bak`;
    expect(versionOf(backup)).toBe(3);
    const copy = new Database(backup, { readonly: true });
    expect(copy.prepare("SELECT id FROM job").pluck().all()).toEqual([id]);
    copy.close();
    if (process.platform !== "win32") expect(statSync(backup).mode & 0o777).toBe(0o600);
    expect(existsSync(`${backup}.partial`)).toBe(false);
  });

  test("is not migrated where it cannot be copied", async () => {
    const path = freshPath();
    oldFile(path);
    // A directory stands where the copy would be.
    const backup = `${path}.v3.bak`;
    const inside = join(backup, "keep");
    mkdirSync(backup);
    writeFileSync(inside, "");
    await expect(async () => sqliteStore({ path })).rejects.toThrow();
    expect(versionOf(path)).toBe(3);
  });

  test("is read by nobody before a runtime has opened it, and left as it is", async () => {
    const path = freshPath();
    oldFile(path);
    const { reason, message } = await storeFailure(() => sqliteStore({ path, readOnly: true }));
    expect([reason, message]).toEqual([
      "version",
      `the database is of version 3: a runtime that opens it brings it to ${VERSION}`,
    ]);
    expect(versionOf(path)).toBe(3);
    expect(existsSync(`${path}.v3.bak`)).toBe(false);
  });

  // Copying is the first statement that writes; the steps follow, one after the other.
  test.each([0, 1, 2, 3])("is whole if the process is killed in the middle of it (%i)", async (statements) => {
    const path = freshPath();
    const id = oldFile(path);
    const preload = join(temporaryDirectory(), "kill.mjs");
    const driver = import.meta.resolve("better-sqlite3");
    writeFileSync(
      preload,
      `import Database from ${JSON.stringify(driver)};
       let left = ${statements};
       const dies = (name, counts) => {
         const real = Database.prototype[name];
         Database.prototype[name] = function (text, ...rest) {
           if (this.name !== ${JSON.stringify(path)} || !counts(text)) return real.call(this, text, ...rest);
           if (left === 0) process.kill(process.pid, "SIGKILL");
           left -= 1;
           return real.call(this, text, ...rest);
         };
       };
       dies("exec", () => true);
       dies("pragma", (text) => text.startsWith("user_version ="));`,
    );
    const holder = new Holder({ path }, [pathToFileURL(preload).href]);
    await expect(holder.open()).rejects.toThrow("without an answer");
    expect(await holder.ended()).toBe("SIGKILL");
    expect(versionOf(path)).toBe(3);
    const store = sqliteStore({ path });
    expect(await store.findJob(id)).toMatchObject({ id, delegateId: null });
    await store.close();
    expect(versionOf(path)).toBe(VERSION);
  });
});

test("a file of a newer version is refused, with both versions, and not touched", async () => {
  const path = freshPath();
  const store = sqliteStore({ path });
  await store.close();
  const newer = new Database(path);
  newer.pragma(`user_version = ${VERSION + 2}`);
  newer.pragma("journal_mode = DELETE");
  newer.close();
  const before = readFileSync(path);
  for (const readOnly of [false, true]) {
    const { reason, message } = await storeFailure(() => sqliteStore({ path, readOnly }));
    expect([reason, message]).toEqual([
      "version",
      `the database is of version ${VERSION + 2}, this program knows up to ${VERSION}: a newer one has written it`,
    ]);
  }
  expect(readFileSync(path).equals(before)).toBe(true);
});
