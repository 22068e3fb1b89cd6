import { randomBytes } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { ASKER, COUNTER, ECHO, FAILING, HOSTILE, LONG, PATIENT } from "./agents.ts";
import { FragileLine, type JsonLine, type RunningCommand, Workspace } from "./arcp.ts";

const AGENTS = {
  ...{ "echo.ts": ECHO, "patient.ts": PATIENT, "counter.ts": COUNTER, "long.ts": LONG },
  ...{ "failing.ts": FAILING, "hostile.ts": HOSTILE, "asker.ts": ASKER },
};
const AGENT_OPTIONS = Object.keys(AGENTS).flatMap((file) => ["--agent", `${file.replace(".ts", "")}=./${file}`]);

async function serving(token = "any") {
  const workspace = await Workspace.create(AGENTS);
  const { url, port, command } = await workspace.serve(["--ws", ...AGENT_OPTIONS]);
  const env = { ARCP_URL: url, ARCP_TOKEN: token };
  return {
    ...{ workspace, url, port, command },
    run: (args: readonly string[], input?: string) =>
      workspace.run(args, { env, ...(input === undefined ? {} : { input }) }),
    start: (args: readonly string[]): RunningCommand => workspace.start(args, env),
    [Symbol.asyncDispose]: () => workspace[Symbol.asyncDispose](),
  };
}

const payloadOf = (line: JsonLine | undefined): JsonLine => (line?.["payload"] ?? {}) as JsonLine;

describe("send", () => {
  const table: readonly (readonly [string, readonly string[], number, object])[] = [
    ["a ping", ["ping", '{"nonce":"n"}'], 0, { type: "pong", payload: { nonce: "n" } }],
    ["a ping without a payload", ["--type", "ping"], 0, { type: "pong" }],
    [
      "a tool's arguments",
      ["--tool", "echo", "--args", "[1]"],
      0,
      { type: "tool.result", payload: { value: { echoed: [1] } } },
    ],
    ["a tool without arguments", ["--tool", "echo"], 0, { payload: { value: { echoed: {} } } }],
    [
      "a failing tool",
      ["--tool", "failing"],
      2,
      { type: "tool.error", payload: { code: "INTERNAL", message: "no luck" } },
    ],
    ["a tool that is not there", ["--tool", "nobody"], 2, { type: "nack", payload: { code: "NOT_FOUND" } }],
    ["a type that is not there", ["x.y"], 2, { type: "nack", payload: { code: "UNIMPLEMENTED" } }],
    ["a payload that is wrong", ["cancel", "{}"], 2, { type: "nack", payload: { code: "INVALID_ARGUMENT" } }],
    [
      "a cancellation of nothing",
      ["cancel", '{"target":"job","target_id":"job_x"}'],
      2,
      { type: "cancel.refused", payload: { reason: "not_found" } },
    ],
    [
      "a durable job, with members of the envelope",
      ["tool.invoke", '{"tool":"echo","durable":true}', "--envelope", '{"id":"msg_mine","priority":"high"}'],
      0,
      { type: "job.completed", correlation_id: "msg_mine" },
    ],
  ];
  it.each(table)("prints what answers %s, up to the last answer", async (_, args, code, last) => {
    await using host = await serving();
    const sent = await host.run(["send", ...args]);
    expect({ code: sent.code, stderr: sent.stderr }).toEqual({ code, stderr: "" });
    expect(sent.lines.at(-1)).toMatchObject({ arcp: "1.0", session_id: expect.any(String), ...last });
    const ids = sent.lines.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("ends without a word where there is nothing to answer", async () => {
    await using host = await serving();
    for (const type of ["ack", "session.close", "log"]) {
      const { code, stderr } = await host.run(["send", type, "{}", "--timeout", "20"]);
      expect({ type, code, stderr }).toEqual({ type, code: type === "log" ? 2 : 0, stderr: "" });
    }
  });

  it("shows the frames as they came, or text for people", async () => {
    await using host = await serving();
    const raw = await host.run(["send", "--tool", "hostile", "--raw"]);
    const [accepted = ""] = raw.stdout.split("\n");
    expect(accepted).toMatch(/^\{"arcp":"1\.0","id":"msg_/);
    expect(raw.stdout).toContain("\u202e");
    const text = await host.run(["send", "--tool", "hostile", "--no-json"]);
    expect(text.stdout).toMatch(/^ {2}\d\d:\d\d:\d\d accepted job_\w+\n/);
    expect(text.stdout).toContain(String.raw`\u{1b}]52;c;cm0gLXJmIC8=\u{7}`);
    const json = await host.run(["send", "--tool", "hostile"]);
    for (const { stdout } of [text, json]) {
      expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/);
    }
  });

  it("takes all of a long streamed result, and leaves a job at Ctrl-C", async () => {
    await using host = await serving();
    const streamed = await host.run(["send", "--tool", "long"]);
    expect(streamed.code).toBe(0);
    const chunks = streamed.lines.filter(({ type }) => type === "stream.chunk");
    const text = chunks.map((chunk) => String(payloadOf(chunk)["data"])).join("");
    expect(text.length).toBe(4_000_000);

    const patient = host.start(["send", "--tool", "patient"]);
    const { job_id } = await patient.sees(({ type }) => type === "log");
    expect((await patient.kill("SIGINT")).code).toBe(130);
    const jobs = await host.run(["jobs", "--status", "running"]);
    expect(jobs.lines.map((job) => job["job_id"])).toEqual([job_id]);
  });

  it("gives up on who says nothing, or breaks off", async () => {
    const silent = createServer((socket) => socket.on("error", () => {}));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    await using host = await serving();
    await using line = await FragileLine.to(host.port);
    const cut = host.workspace.start(["send", "--tool", "patient"], {
      ...{ ARCP_URL: `ws://127.0.0.1:${line.port}/ws`, ARCP_TOKEN: "any" },
    });
    await cut.sees(({ type }) => type === "log");
    line.cut();
    expect(await cut.end()).toMatchObject({ code: 1, stderr: expect.stringMatching(/^arcp: [^\n]+\n$/) });
    silent.close();
  });

  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["nothing", [], /nothing to send: expected a type/],
    ["two payloads", ["ping", "{}", "--payload", "{}"], /give one of them/],
    ["arguments of no tool", ["ping", "--args", "1"], /--args is for --tool/],
    ["a tool and a payload", ["--tool", "echo", "--payload", "{}"], /exclude each other/],
    ["a payload that is no object", ["ping", "1"], /--payload: expected a JSON object/],
    ["arguments that are not JSON", ["--tool", "echo", "--args", "hi"], /--args is not JSON: .*needs quotes/],
  ];
  it.each(wrong)("refuses %s", async (_, args, message) => {
    await using workspace = await Workspace.create();
    const { code, stderr } = await workspace.run(["send", ...args]);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(message) });
  });
});

describe("respond", () => {
  const ask = async (host: Awaited<ReturnType<typeof serving>>, what: string) => {
    const job = host.start(["send", "--tool", "asker", "--args", JSON.stringify({ ask: what })]);
    await job.sees(({ type }) => /request$/.test(String(type)));
    const { lines } = await host.run(["respond"]);
    return { job, question: lines[0] ?? {}, id: String(lines[0]?.["id"]) };
  };
  const outcome = async (job: RunningCommand): Promise<unknown> =>
    payloadOf(await job.sees(({ type }) => type === "tool.result"))["value"];

  it("lists what is asked, for programs and for people, and that there is nothing", async () => {
    await using host = await serving();
    expect(await host.run(["respond", "--no-json"])).toMatchObject({ code: 0, stdout: "no open questions\n" });
    const { question, id } = await ask(host, "choice");
    expect(question).toMatchObject({ type: "question", kind: "choice", prompt: "It failed. What now?" });
    expect(question["options"]).toMatchObject([{ id: "retry" }, { id: "stop" }]);
    const text = await host.run(["respond", "--no-json"]);
    expect(text.stdout).toContain(`? ${id} choice, job_`);
    expect(text.stdout).toContain(`  arcp respond ${id} --choice`);
    await ask(host, "hostile");
    const hostile = await host.run(["respond", "--no-json"]);
    expect(hostile.stdout).toContain(String.raw`\u{1b}[2J\u{202e}yes`);
  });

  it("gives a value that keeps the schema", async () => {
    await using host = await serving();
    const { job, id } = await ask(host, "input");
    const wrong = await host.run(["respond", id, "--value", "{}"]);
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringMatching(/^arcp: INVALID_ARGUMENT: [^\n]*name/) });
    const right = await host.run(["respond", id.replace("msg_", "q_"), "--value", '{"name":"main"}']);
    expect(right).toMatchObject({ code: 0, lines: [{ type: "answer", id, status: "applied" }] });
    expect(await outcome(job)).toMatchObject({ value: { name: "main" } });
    const late = await host.run(["respond", id, "--value", '{"name":"dev"}']);
    expect(late).toMatchObject({ code: 1, stderr: expect.stringContaining("there is no open question") });
  });

  it("chooses, grants for a time, and denies", async () => {
    covers("V10-15.4-01");
    await using host = await serving();
    const choice = await ask(host, "choice");
    expect((await host.run(["respond", choice.id, "--choice", "other"])).code).toBe(1);
    expect((await host.run(["respond", choice.id, "--choice", "retry"])).code).toBe(0);
    expect(await outcome(choice.job)).toMatchObject({ choiceId: "retry" });

    const before = Date.now();
    const permission = await ask(host, "permission");
    expect(permission.question).toMatchObject({ kind: "permission", permission: "email.send", reason: "to tell her" });
    expect((await host.run(["respond", permission.id, "--grant", "--seconds", "60"])).code).toBe(0);
    const granted = (await outcome(permission.job)) as { readonly expiresAt: string };
    expect(Date.parse(granted.expiresAt) - before).toBeGreaterThan(59_000);
    expect(Date.parse(granted.expiresAt) - Date.now()).toBeLessThan(61_000);

    const denied = await ask(host, "permission");
    expect((await host.run(["respond", denied.id, "--deny", "--reason", "not today"])).code).toBe(0);
    expect(await outcome(denied.job)).toMatchObject({
      refused: "PERMISSION_DENIED",
      details: { denied_because: "not today" },
    });
  });

  it("asks what an interrupt asks, and the job goes on with the answer", async () => {
    await using host = await serving();
    const jobId = (await host.run(["submit", "patient", "--detach"])).stdout.trim();
    const watching = host.start(["respond", "--watch"]);
    const interrupted = await host.run(["interrupt", jobId, "Which way?"]);
    expect(interrupted).toMatchObject({ code: 0, lines: [{ type: "job.interrupted", job_id: jobId }] });
    const { id } = await watching.sees(({ job_id }) => job_id === jobId);
    expect((await watching.kill("SIGINT")).code).toBe(130);
    expect((await host.run(["respond", String(id), "--value", '{"guidance":"left"}'])).code).toBe(0);
    await host.run(["cancel", jobId]);
    await host.run(["tail", jobId]);
    const over = await host.run(["interrupt", jobId]);
    expect(over).toMatchObject({ code: 1, stderr: expect.stringMatching(/^arcp: FAILED_PRECONDITION: /) });
  });

  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["two answers", ["msg_x", "--grant", "--deny"], /exclude each other/],
    ["an answer to nothing", ["--choice", "x"], /needs the id/],
    ["a time for a denial", ["msg_x", "--deny", "--seconds", "1"], /--seconds is for --grant/],
    ["a reason for a grant", ["msg_x", "--grant", "--reason", "x"], /--reason is for --deny/],
    ["a value that is not JSON", ["msg_x", "--value", "yes"], /--value is not JSON/],
  ];
  it.each(wrong)("refuses %s", async (_, args, message) => {
    await using workspace = await Workspace.create();
    const { code, stderr } = await workspace.run(["respond", ...args]);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(message) });
  });

  it("says which answer a question of another kind takes", async () => {
    await using host = await serving();
    const { id } = await ask(host, "permission");
    const { code, stderr } = await host.run(["respond", id, "--value", "true"]);
    expect({ code, stderr }).toEqual({
      code: 64,
      stderr: "arcp: the question is one of permission: --grant or --deny answers it\n",
    });
  });
});

describe("artifact", () => {
  it("puts a file, gets it back as it was, and lets it go", async () => {
    await using host = await serving();
    const content = randomBytes(600_000);
    await writeFile(host.workspace.path("data.bin"), content);
    const put = await host.run(["artifact", "put", "data.bin", "--ttl", "60"]);
    expect(put).toMatchObject({ code: 0, lines: [{ type: "artifact.ref", size: content.length }] });
    const id = String(put.lines[0]?.["artifact_id"]);
    expect((await host.run(["artifact", "get", id, "-o", "back.bin"])).code).toBe(0);
    expect(Buffer.compare(await readFile(host.workspace.path("back.bin")), content)).toBe(0);
    expect((await host.run(["artifact", "release", id])).code).toBe(0);
    const gone = await host.run(["artifact", "get", id, "-o", "gone.bin"]);
    expect(gone).toMatchObject({ code: 1, stderr: "arcp: NOT_FOUND: there is no such artifact\n" });
    await expect(stat(host.workspace.path("gone.bin"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("takes standard input, and prints to standard output", async () => {
    await using host = await serving();
    const put = await host.run(["artifact", "put", "-", "--media-type", "text/csv", "--no-json"], "a,b\n1,2\n");
    const got = await host.run(["artifact", "get", put.stdout.trim()]);
    expect(got).toMatchObject({ code: 0, stdout: "a,b\n1,2\n" });
    const missing = await host.run(["artifact", "put", "nowhere.bin"]);
    expect(missing).toMatchObject({ code: 64, stderr: "arcp: nowhere.bin: ENOENT\n" });
  });

  it("survives a restart of the runtime", async () => {
    await using host = await serving();
    const { stdout } = await host.run(["artifact", "put", "echo.ts", "--no-json"]);
    await host.command.kill("SIGTERM");
    const again = await host.workspace.serve(["--ws", ...AGENT_OPTIONS]);
    const got = await host.workspace.run(["artifact", "get", stdout.trim()], {
      env: { ARCP_URL: again.url, ARCP_TOKEN: "any" },
    });
    expect(got).toMatchObject({ code: 0, stdout: ECHO });
  });
});

describe("schedule", () => {
  it("runs a tool later, as a job of its own", async () => {
    covers("V10-10.6-01");
    await using host = await serving();
    const tail = host.start(["tail", "--types", "job.completed"]);
    const lease = ["--lease", "fs.read=/srv/**", "--budget", "USD:5"];
    const scheduled = await host.run(["schedule", "echo", "--after", "1s", "--args", '{"x":1}', ...lease]);
    expect(scheduled).toMatchObject({ code: 0, lines: [{ type: "schedule", when: { after: 1 } }] });
    expect(Date.parse(String(scheduled.lines[0]?.["next_at"]))).toBeGreaterThan(Date.now() - 60_000);
    const ended = await tail.sees(({ type }) => type === "job.completed");
    expect(payloadOf(ended)["value"]).toEqual({ echoed: { x: 1 } });
    expect(ended["job_id"]).not.toBe(scheduled.lines[0]?.["id"]);
    const { lines } = await host.run(["audit", "--action", "job.submitted"]);
    expect(lines).toMatchObject([{ facts: { lease: { "fs.read": ["/srv/**"], "cost.budget": ["USD:5"] } } }]);
  });

  it("is listed from the database until it is cancelled", async () => {
    await using host = await serving();
    const every = "FREQ=WEEKLY;BYDAY=MO";
    const { lines } = await host.run(["schedule", "echo", "--every", every]);
    const id = String(lines[0]?.["id"]);
    const listed = await host.run(["schedule", "list"]);
    expect(listed.lines).toMatchObject([
      { type: "schedule", id, agent: "echo", principal: "local", when: { every }, runs: 0 },
    ]);
    expect((await host.run(["schedule", "list", "--no-json"])).stdout).toMatch(/^SCHEDULE +AGENT +PRINCIPAL +WHEN/);
    expect((await host.run(["schedule", "cancel", id])).code).toBe(0);
    expect((await host.run(["schedule", "list", "--no-json"])).stdout).toBe("nothing is scheduled\n");
    const again = await host.run(["schedule", "cancel", id]);
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("not_found") });
  });

  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["no time", ["echo"], /expected one of --at, --after and --every/],
    ["two times", ["echo", "--after", "1s", "--every", "FREQ=DAILY"], /expected one of/],
    ["an instant that is none", ["echo", "--at", "soon"], /--at: expected RFC 3339/],
    ["a delay that is none", ["echo", "--after", "soon"], /--after: expected a time/],
    ["a lease that is none", ["echo", "--after", "1s", "--lease", "fs.read"], /--lease fs.read: expected name=pattern/],
  ];
  it.each(wrong)("refuses %s", async (_, args, message) => {
    await using workspace = await Workspace.create();
    const { code, stderr } = await workspace.run(["schedule", ...args]);
    expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(message) });
  });
});
