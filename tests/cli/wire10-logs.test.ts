import { WebSocketTransport } from "@arcp/core";
import Database from "better-sqlite3";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { RawClient } from "../support/raw-client.ts";
import { COUNTER, ECHO, HOSTILE, PATIENT } from "./agents.ts";
import { FragileLine, type JsonLine, Workspace } from "./arcp.ts";

const AGENTS = { "echo.ts": ECHO, "patient.ts": PATIENT, "counter.ts": COUNTER, "hostile.ts": HOSTILE };
const OPTIONS = Object.keys(AGENTS).flatMap((file) => ["--agent", `${file.replace(".ts", "")}=./${file}`]);
const TOKEN = { ARCP_TOKEN: "any" };

async function serving() {
  const workspace = await Workspace.create(AGENTS);
  const runtime = await workspace.serve(["--ws", "--db", "runtime.db", ...OPTIONS]);
  const env = { ARCP_URL: runtime.url, ...TOKEN };
  return {
    ...{ workspace, runtime, env },
    run: (args: readonly string[]) => workspace.run(args, { env }),
    start: (args: readonly string[]) => workspace.start(args, env),
    [Symbol.asyncDispose]: () => workspace[Symbol.asyncDispose](),
  };
}

const ofType = (lines: readonly JsonLine[], wanted: string): readonly JsonLine[] =>
  lines.filter(({ type }) => type === wanted);

describe("replay of a session", () => {
  it("prints what was sent over wire 1.1, with its ids and numbers", async () => {
    await using host = await serving();
    const client = new RawClient(await WebSocketTransport.connect(host.runtime.url));
    await client.hello();
    for (const to of [2, 3]) await client.ended(String((await client.submit("counter", { to })).job_id));
    const { sessionId, numbered } = client;
    client.transport.close();
    const all = await host.run(["replay", "runtime.db", "--session", String(sessionId), "--json"]);
    expect(all.lines).toEqual(numbered);
    const third = String(numbered[2]?.id);
    expect((await host.run(["replay", "--db", "runtime.db", "--after", third, "--json"])).lines).toEqual(
      numbered.slice(3),
    );
    const job = String(numbered.at(-1)?.job_id);
    const one = await host.run(["replay", "runtime.db", "--session", String(sessionId), "--job", job, "--json"]);
    expect(one.lines).toEqual(numbered.filter(({ job_id }) => job_id === job));
  });

  // A process per message.
  it("prints what was sent over wire 1.0 after any of its messages, questions included", {
    timeout: 90_000,
  }, async () => {
    await using host = await serving();
    const jobId = host.start(["send", "--tool", "patient"]);
    const { job_id } = await jobId.sees(({ type }) => type === "log");
    await host.run(["interrupt", String(job_id), "What now?"]);
    const question = await jobId.sees(({ type }) => type === "human.input.request");
    await host.run(["cancel", String(job_id)]);
    const { lines: sent } = await jobId.end();
    const text = await host.run(["replay", "runtime.db", "--after", String(question["id"])]);
    expect(text.stdout).toMatch(new RegExp(`^● ${job_id}\\n`));
    expect(text.stdout).toContain("✖        cancelled:");
    for (const [at, { id }] of sent.entries()) {
      const { code, lines } = await host.run(["replay", "runtime.db", "--after", String(id), "--json"]);
      expect({ at, code, ids: lines.map((line) => line["id"]) }).toEqual({
        ...{ at, code: 0 },
        ids: sent.slice(at + 1).map((line) => line["id"]),
      });
    }
  });

  it("falls back to the jobs' own logs when the session is not kept any more", async () => {
    await using host = await serving();
    const { lines } = await host.run(["send", "--tool", "echo"]);
    const session = String(lines[0]?.["session_id"]);
    await host.runtime.command.kill("SIGTERM");
    const database = new Database(host.workspace.path("runtime.db"));
    database.exec("DELETE FROM feed; DELETE FROM follow; DELETE FROM session");
    database.close();
    const replayed = await host.run(["replay", "runtime.db", "--session", session, "--json"]);
    expect(replayed).toMatchObject({ code: 0, stderr: expect.stringContaining("not kept any more") });
    expect(replayed.lines[0]).toMatchObject({ type: "job", session_id: session });
    const after = await host.run(["replay", "runtime.db", "--after", String(lines[1]?.["id"])]);
    expect(after).toMatchObject({ code: 1, stderr: expect.stringContaining("or it is not kept any more") });
  });

  it("escapes what an agent said", async () => {
    await using host = await serving();
    const { lines } = await host.run(["send", "--tool", "hostile"]);
    const { stdout } = await host.run(["replay", "runtime.db", "--session", String(lines[0]?.["session_id"])]);
    expect(stdout).toContain(String.raw`\u{1b}]52;c;cm0gLXJmIC8=\u{7}`);
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/);
  });

  const unknown = "sess_00000000000000000000000000";
  const wrong: readonly (readonly [string, readonly string[], number, RegExp])[] = [
    ["a session that there is not", ["replay", "runtime.db", "--session", unknown], 1, /runtime\.db has no session/],
    ["a number of a session's message", ["replay", "runtime.db", "--session", unknown, "--after", "3"], 64, /have ids/],
    ["two databases", ["replay", "runtime.db", "--db", "runtime.db"], 64, /give one of them/],
    ["another program's database", ["replay", "other.db", "--after", "msg_x"], 1, /tables are another program's/],
    ["another program's database", ["tail", "other.db"], 1, /tables are another program's/],
    ["another program's database", ["serve", "--db", "other.db"], 1, /tables are another program's/],
    ["no database at all", ["tail", "echo.ts"], 1, /echo\.ts is not the database of a runtime/],
    ["a database that is not there", ["tail", "no/where.db"], 64, /there is no file no\/where\.db/],
    ["an end of what has none", ["tail", "--no-follow"], 64, /--no-follow is for a database/],
    ["types of a job", ["tail", "job_x", "--types", "log"], 64, /--types is for sessions/],
  ];
  it("is refused for what makes no sense, in one line", async () => {
    await using host = await serving();
    const other = new Database(host.workspace.path("other.db"));
    other.exec("CREATE TABLE events (id); PRAGMA user_version = 1");
    other.close();
    for (const [what, args, code, message] of wrong) {
      const ended = await host.run(args);
      expect({ what, code: ended.code, stderr: ended.stderr }).toEqual({
        what,
        code,
        stderr: expect.stringMatching(message),
      });
      expect(ended.stderr).toMatch(/^arcp: [^\n]+\n$/);
    }
    const untouched = new Database(host.workspace.path("other.db"), { readonly: true });
    expect(untouched.pragma("journal_mode", { simple: true })).toBe("delete");
    expect(untouched.prepare("SELECT name FROM sqlite_master").pluck().all()).toEqual(["events"]);
    untouched.close();
  });
});

describe("tail of a database", () => {
  it("prints each entry once, across jobs that run at the same time, and those of before", async () => {
    await using host = await serving();
    await host.run(["submit", "echo"]);
    const tail = host.workspace.start(["tail", "runtime.db"]);
    await tail.sees(({ type }) => type === "job.result");
    const jobs = await Promise.all([30, 40].map((to) => host.run(["submit", "counter", "--input", `{"to":${to}}`])));
    for (const { lines } of jobs) {
      const id = lines[0]?.["job_id"];
      await tail.sees(({ type, job_id }) => type === "job.result" && job_id === id);
      const entries = tail.lines.filter(({ job_id, n }) => job_id === id && n !== undefined);
      expect(entries.map(({ n }) => n)).toEqual(entries.map((_, at) => at + 1));
      expect(entries.map(({ ts, body }) => ({ ts, body }))).toEqual(
        lines
          .slice(1, -1)
          .map(({ ts, body }) => ({ ts, body }))
          .concat(entries.slice(-1).map(({ ts, body }) => ({ ts, body }))),
      );
    }
    expect(ofType(tail.lines, "job")).toHaveLength(3);
    expect((await tail.kill("SIGINT")).code).toBe(130);
  });

  it("ends where it is told to, and leaves out what was there", async () => {
    await using host = await serving();
    await host.run(["submit", "echo"]);
    const all = await host.run(["tail", "runtime.db", "--no-follow"]);
    expect(all.lines.map(({ type }) => type)).toEqual(["job", "job.event", "job.result"]);
    const text = await host.run(["tail", "runtime.db", "--no-follow", "--no-json"]);
    expect(text.stdout).toMatch(/^● job_\w+ echo@1\.2\.0 · success/);
    const nothing = await host.run(["tail", "runtime.db", "--no-follow", "--no-history"]);
    expect(nothing).toMatchObject({ code: 0, stdout: "" });
  });

  it("goes on through a restart of the runtime", async () => {
    await using host = await serving();
    const tail = host.workspace.start(["tail", "runtime.db"]);
    await host.run(["submit", "patient", "--detach"]);
    const { job_id } = await tail.sees(({ kind }) => kind === "log");
    await host.runtime.command.kill("SIGKILL");
    const again = await host.workspace.serve(["--ws", "--db", "runtime.db", ...OPTIONS]);
    const end = await tail.sees(({ type }) => type === "job.error");
    expect(end).toMatchObject({ job_id, code: "INTERNAL_ERROR" });
    await host.workspace.run(["submit", "echo"], { env: { ARCP_URL: again.url, ...TOKEN } });
    await tail.sees(({ type }) => type === "job.result");
  });
});

describe("tail of sessions", () => {
  it("begins with what there was if it is asked to, and names jobs for people", async () => {
    covers("V10-13.3-01");
    await using host = await serving();
    const { lines } = await host.run(["send", "--tool", "echo"]);
    const tail = host.start(["tail", "--history", "--types", "tool.result", "log"]);
    await tail.sees(({ type }) => type === "tool.result");
    expect(tail.lines).toEqual(lines.filter(({ type }) => type === "tool.result" || type === "log"));
    const text = host.start(["tail", "--history", "--no-json"]);
    while (!text.stdout.includes("✔")) await new Promise((resolve) => text.process.stdout.once("data", resolve));
    expect(text.stdout).toMatch(new RegExp(`^● ${lines[0]?.["job_id"]}\\n {2}\\d\\d:\\d\\d:\\d\\d accepted `));
  });

  it("goes on where it was after its connection was cut", async () => {
    await using host = await serving();
    await using line = await FragileLine.to(host.runtime.port);
    const tail = host.workspace.start(["tail", "--types", "tool.result"], {
      ...{ ARCP_URL: `ws://127.0.0.1:${line.port}/arcp`, ...TOKEN },
    });
    let first = await host.run(["send", "--tool", "echo"]);
    while (tail.stdout === "") first = await host.run(["send", "--tool", "echo"]);
    await tail.sees(({ id }) => id === first.lines.at(-1)?.["id"]);
    line.cut();
    const second = await host.run(["send", "--tool", "echo"]);
    await tail.sees(({ id }) => id === second.lines.at(-1)?.["id"]);
    await tail.complains("arcp: connected again");
    const ids = tail.lines.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(tail.stderr).toBe("arcp: connection lost, reconnecting…\narcp: connected again\n");
  });
});
