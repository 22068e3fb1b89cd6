/** `arcp audit` on the file of a real runtime: while it runs, after it, and after somebody else has written to it. */
import { copyFileSync, existsSync } from "node:fs";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { linked } from "../../packages/runtime/src/store/audit-chain.ts";
import type { AuditRecord, AuditRow } from "../../packages/runtime/src/store/store.ts";
import { type JsonLine, Workspace } from "../cli/arcp.ts";

const TOKENS = { ARCP_TOKEN: "s3cret-of-alice=alice,s3cret-of-bob=bob" };
const DB = ["--db", "runtime.db"];

const workspace = await Workspace.create();
let jobId = "";
/** What was printed while the runtime ran. */
let meanwhile: { readonly rows: readonly JsonLine[]; readonly verdict: JsonLine };
let head = "";
/** The heads that the runtime told in its log. */
let logged: readonly string[] = [];

beforeAll(async () => {
  const { command, url } = await workspace.serve(DB, TOKENS);
  for (const token of ["s3cret-of-alice", "s3cret-of-bob"]) {
    const submitted = await workspace.run(["submit", "echo", "--input", '{"canary":"1nput"}', "--url", url, "--json"], {
      env: { ARCP_TOKEN: token },
    });
    expect(submitted.code, submitted.stderr).toBe(0);
    if (jobId === "") jobId = String(submitted.lines[0]?.["job_id"]);
  }
  const rows = await workspace.run(["audit", ...DB]);
  const verified = await workspace.run(["audit", "verify", ...DB]);
  meanwhile = { rows: rows.lines, verdict: verified.lines[0] ?? {} };
  logged = headsIn((await command.kill("SIGTERM")).stderr);
  head = hashIn((await workspace.run(["audit", "verify", ...DB])).lines[0]);
});
afterAll(async () => workspace[Symbol.asyncDispose]());

const hashIn = (verdict: JsonLine | undefined): string => (verdict as { head: { hash: string } }).head.hash;

/** The heads in a log of JSON lines. */
const headsIn = (log: string): string[] =>
  log
    .split("\n")
    .filter((line) => line.includes("the head of the audit"))
    .map((line) => (JSON.parse(line) as { readonly hash: string }).hash);

const actions = (lines: readonly JsonLine[]): unknown[] => lines.map(({ action }) => action);

describe("arcp audit", () => {
  test("prints while the runtime is at work, the oldest first", () => {
    expect(meanwhile.verdict).toMatchObject({ is_whole: true, rows: meanwhile.rows.length, first_seq: 1 });
    const [first] = meanwhile.rows;
    expect(first).toMatchObject({ seq: 1, action: "runtime.started", principal: "", facts: { name: "arcp" } });
    expect(meanwhile.rows.map(({ seq }) => seq)).toEqual(meanwhile.rows.map((_, index) => index + 1));
    const ofAlice = meanwhile.rows.filter(({ principal }) => principal === "alice");
    expect(actions(ofAlice)).toEqual(
      expect.arrayContaining(["session.opened", "job.submitted", "job.ended", "session.closed"]),
    );
    expect(JSON.stringify(meanwhile.rows)).not.toMatch(/s3cret|1nput/);
  });

  test.each<[what: string, args: string[], expected: string[]]>([
    ["an action", ["--action", "job.submitted"], ["job.submitted", "job.submitted"]],
    [
      "several",
      ["--action", "job.ended", "--action", "runtime.stopped"],
      ["job.ended", "job.ended", "runtime.stopped"],
    ],
    ["a kind", ["--action", "runtime.*"], ["runtime.started", "runtime.stopped"]],
    ["a principal", ["--principal", "bob", "--action", "job.*"], ["job.submitted", "job.ended"]],
    ["the latest", ["--limit", "1"], ["runtime.stopped"]],
    ["the latest that match", ["--limit", "1", "--action", "job.*", "--principal", "alice"], ["job.ended"]],
    ["a time that is to come", ["--since", "2100-01-01T00:00:00Z"], []],
    ["a time that has passed", ["--until", "1d"], []],
    [
      "the time between",
      ["--since", "1h", "--until", "2100-01-01", "--action", "runtime.stopped"],
      ["runtime.stopped"],
    ],
  ])("is filtered by %s", async (_, args, expected) => {
    const { code, lines, stderr } = await workspace.run(["audit", ...DB, ...args]);
    expect(code, stderr).toBe(0);
    expect(actions(lines)).toEqual(expected);
  });

  test("is filtered by job and by session", async () => {
    const ofJob = await workspace.run(["audit", ...DB, "--job", jobId]);
    expect(actions(ofJob.lines)).toEqual(["job.submitted", "job.ended"]);
    const session = String(ofJob.lines[0]?.["session_id"]);
    const ofSession = await workspace.run(["audit", ...DB, "--session", session]);
    expect(actions(ofSession.lines)).toEqual(["session.opened", "job.submitted", "job.ended", "session.closed"]);
    expect(ofSession.lines.every((line) => line["session_id"] === session)).toBe(true);
  });

  test("is a table for people", async () => {
    const { stdout } = await workspace.run(["audit", ...DB, "--no-json", "--job", jobId]);
    const [heading, ...rows] = stdout.trimEnd().split("\n");
    expect(heading).toMatch(/^SEQ +TIME +WHO +ACTION +JOB OR SESSION +FACTS$/);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatch(
      new RegExp(`^\\d+ +\\S+Z +alice +job\\.submitted +${jobId} +agent=echo@\\S+ lease=\\{\\}$`),
    );
    expect((await workspace.run(["audit", ...DB, "--no-json", "--action", "x"])).stdout).toBe("nothing that fits\n");
  });

  test.each([
    ["a database that is not there", ["audit", "--db", "nowhere.db"], /there is no file nowhere\.db/],
    ["a time that is none", ["audit", ...DB, "--since", "yesterday"], /--since: expected RFC 3339/],
    ["a limit that is none", ["audit", ...DB, "--limit", "0"], /positive whole number/],
    ["a hash that is none", ["audit", "verify", ...DB, "--head", "abc"], /64 hexadecimal digits/],
  ])("says what is wrong with %s", async (_, args, message) => {
    const { code, stderr } = await workspace.run(args);
    expect(code).toBe(64);
    expect(stderr).toMatch(message);
  });
});

/** A copy of the database in which `work` was done by somebody who can write to the file. */
function tampered(name: string, work: (db: Database.Database) => void): string[] {
  for (const suffix of ["", "-wal"]) {
    const from = workspace.path(`runtime.db${suffix}`);
    if (existsSync(from)) copyFileSync(from, workspace.path(`${name}.db${suffix}`));
  }
  const db = new Database(workspace.path(`${name}.db`));
  work(db);
  db.close();
  return ["--db", `${name}.db`];
}

const count = (db: Database.Database): number =>
  (db.prepare("SELECT count(*) AS n FROM audit").get() as { n: number }).n;

/** All of it made anew, with a chain that holds, by somebody who knows how. */
function forge(db: Database.Database): void {
  const rows = db.prepare("SELECT * FROM audit ORDER BY key").all() as (Record<string, string> & { at: number })[];
  let before: AuditRow | undefined;
  for (const { at, action, principal, facts, session_id, job_id, remote_address, trace_id } of rows) {
    const record = {
      ...{ at, action, facts, principal: principal === "alice" ? "bob" : principal },
      ...(session_id && { sessionId: session_id }),
      ...(job_id && { jobId: job_id }),
      ...(remote_address && { remoteAddress: remote_address }),
      ...(trace_id && { traceId: trace_id }),
    } as unknown as AuditRecord;
    before = linked(before, record);
    db.prepare("UPDATE audit SET principal = ?, hash = ? WHERE key = ?").run(before.principal, before.hash, before.seq);
  }
}

describe("arcp audit verify", () => {
  test("tells the head, which goes on being there", async () => {
    const { code, lines } = await workspace.run(["audit", "verify", ...DB, "--head", hashIn(meanwhile.verdict)]);
    expect(code).toBe(0);
    expect(lines).toEqual([expect.objectContaining({ is_whole: true, head: expect.objectContaining({ hash: head }) })]);
    const text = await workspace.run(["audit", "verify", ...DB, "--no-json"]);
    expect(text.stdout).toBe(`${lines[0]?.["rows"]} rows, 1 to ${lines[0]?.["rows"]}\nhead ${head}\nwhole\n`);
  });

  test("takes the heads that a runtime logs when it starts and when it stops", async () => {
    expect(logged).toEqual([head]);
    const db = tampered("goes-on", () => {});
    const { command } = await workspace.serve(db, TOKENS);
    await command.complains("the head of the audit");
    const heads = headsIn((await command.kill("SIGTERM")).stderr);
    expect(heads[0]).toBe(head);
    for (const one of heads) {
      const { lines } = await workspace.run(["audit", "verify", ...db, "--head", one]);
      expect(lines[0]).toMatchObject({ is_whole: true });
    }
  });

  test.each<[what: string, work: (db: Database.Database) => void, seq: number]>([
    ["changed", (db) => db.exec("UPDATE audit SET principal = 'mallory' WHERE key = 3"), 3],
    ["taken out", (db) => db.exec("DELETE FROM audit WHERE key = 4"), 5],
    [
      "put in",
      (db) => {
        for (let key = count(db); key >= 3; key -= 1) db.exec(`UPDATE audit SET key = ${key + 1} WHERE key = ${key}`);
        db.exec(
          "INSERT INTO audit SELECT 3, at, action, principal, facts, session_id, job_id, remote_address, trace_id, hash FROM audit WHERE key = 2",
        );
      },
      3,
    ],
    [
      "moved",
      (db) =>
        db.exec(`UPDATE audit SET key = -1 WHERE key = 3; UPDATE audit SET key = 3 WHERE key = 4;
          UPDATE audit SET key = 4 WHERE key = -1`),
      3,
    ],
    ["given another number", (db) => db.exec("UPDATE audit SET key = key - 1 WHERE key = 1"), 2],
  ])("fails when a row was %s", async (what, work, seq) => {
    const db = tampered(what.replaceAll(" ", "-"), work);
    const { code, lines, stderr } = await workspace.run(["audit", "verify", ...db]);
    expect(code).toBe(1);
    expect(lines[0]).toMatchObject({ is_whole: false, broken: { seq } });
    expect(stderr).toMatch(new RegExp(`^arcp: the audit is broken at row ${seq}: .+\n$`));
    // What is there is printed all the same.
    expect((await workspace.run(["audit", ...db])).code).toBe(0);
  });

  test.each<[what: string, work: (db: Database.Database) => void]>([
    ["the end was cut off", (db) => db.exec(`DELETE FROM audit WHERE key > ${count(db) - 2}`)],
    ["everything was deleted", (db) => db.exec("DELETE FROM audit")],
    ["all of it was written anew", forge],
  ])("fails when %s, for whoever knows the head, and for nobody else", async (what, work) => {
    const db = tampered(what.replaceAll(" ", "-"), work);
    expect((await workspace.run(["audit", "verify", ...db])).lines[0]).toMatchObject({ is_whole: true });
    const known = await workspace.run(["audit", "verify", ...db, "--head", head, "--no-json"]);
    expect(known.code).toBe(1);
    expect(known.stdout).toMatch(/\nbroken at row \d+: the expected head is not there|^no rows\nbroken at row 1/);
  });
});
