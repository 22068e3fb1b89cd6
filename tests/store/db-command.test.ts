import { randomBytes } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { type JsonLine, Workspace } from "../cli/arcp.ts";

const DB = ".arcp/runtime.db";

/** A job that has been run, by a runtime that still runs. */
async function served(workspace: Workspace, env: NodeJS.ProcessEnv = {}) {
  const runtime = await workspace.serve([], env);
  await workspace.run(["submit", "echo", "--url", runtime.url, "--input", '{"hello":"there"}', "--json"]);
  return runtime;
}

const typesOf = (lines: readonly JsonLine[]): unknown[] => lines.map(({ type }) => type);

describe("arcp db", () => {
  test("checks, copies and exports what a runtime uses, and compacts what none does", async () => {
    await using workspace = await Workspace.create();
    const { command } = await served(workspace);
    const check = await workspace.run(["db", "check"]);
    expect([check.code, check.stdout]).toEqual([
      0,
      expect.stringMatching(/^jobs: 1, entries: 2, sessions: 1, .*\n\.arcp\/runtime\.db is as it should be\n$/),
    ]);
    const exported = await workspace.run(["db", "export"]);
    expect(typesOf(exported.lines).slice(0, 4)).toEqual(["database", "job", "entry", "entry"]);
    expect((await workspace.run(["db", "backup", "copy.db"])).code).toBe(0);
    const again = await workspace.run(["db", "backup", "copy.db"]);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("there is a file copy.db already")]);
    const locked = await workspace.run(["db", "compact"]);
    expect([locked.code, locked.stderr]).toEqual([
      1,
      `arcp: ${DB} is in use by another server (process ${command.process.pid}): stop that first\n`,
    ]);
    await command.kill("SIGTERM");
    const [sizes] = (await workspace.run(["db", "compact", "--json"])).lines;
    expect(sizes).toEqual({ before: expect.any(Number), after: expect.any(Number) });
    // The copy goes on as a database of its own.
    const copy = await workspace.run(["db", "check", "--db", "copy.db", "--json"]);
    expect([copy.code, copy.lines[0]]).toEqual([0, expect.objectContaining({ ok: true, jobs: 1, problems: [] })]);
    const file = await workspace.run(["db", "export", "--output", "all.jsonl"]);
    expect(file.code).toBe(0);
    expect(readFileSync(workspace.path("all.jsonl"), "utf8").split("\n").length).toBe(exported.lines.length + 2);
  });

  test("says what is wrong with a database, and that by its exit code", async () => {
    await using workspace = await Workspace.create();
    const { command } = await served(workspace);
    await command.kill("SIGTERM");
    const db = new Database(workspace.path(DB));
    db.exec("UPDATE entry SET payload = replace(payload, 'there', 'where') WHERE code = 20");
    db.close();
    const check = await workspace.run(["db", "check"]);
    expect([check.code, check.stdout]).toEqual([
      1,
      expect.stringMatching(
        /^job_\w+, entry 2: it is not what was stored\n.*\n.* has a problem: restore a backup of it\n$/,
      ),
    ]);
    const json = await workspace.run(["db", "check", "--json"]);
    expect([json.code, json.lines[0]]).toEqual([1, expect.objectContaining({ ok: false })]);
    const none = await workspace.run(["db", "check", "--db", "nowhere.db"]);
    expect([none.code, none.stderr]).toEqual([64, expect.stringContaining("there is no file nowhere.db")]);
  });

  test("encrypts, and everything that opens the database takes the key from the environment", async () => {
    await using workspace = await Workspace.create();
    const { command } = await served(workspace);
    await command.kill("SIGTERM");
    expect((await workspace.run(["db", "rekey"])).code).toBe(64);
    const env = { ARCP_DB_KEY: randomBytes(32).toString("base64") };
    const rekeyed = await workspace.run(["db", "rekey"], { env });
    expect([rekeyed.code, rekeyed.stdout]).toEqual([0, expect.stringMatching(/: rows encrypted: \d+, contents: 0\n$/)]);
    expect(readFileSync(workspace.path(DB)).includes('"hello":"there"')).toBe(false);
    const without = await workspace.run(["replay"]);
    expect([without.code, without.stderr]).toEqual([1, expect.stringContaining("the database is encrypted")]);
    const replayed = await workspace.run(["replay", "--json"], { env });
    expect([replayed.code, replayed.stdout]).toEqual([0, expect.stringContaining('"hello":"there"')]);
    const bad = await workspace.run(["db", "check"], { env: { ARCP_DB_KEY: "too-short" } });
    expect([bad.code, bad.stderr]).toEqual([64, expect.stringContaining("ARCP_DB_KEY: expected 32 bytes in base64")]);
    const runtime = await served(workspace, env);
    await runtime.command.kill("SIGTERM");
    expect((await workspace.run(["db", "check"], { env })).code).toBe(0);
    expect(existsSync(workspace.path(`${DB}-open`))).toBe(false);
  });
});
