import { readdir, readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { COUNTER, ECHO, FAILING, HOSTILE, PARENT, PATIENT, STREAMER, STRICT } from "./agents.ts";
import { type JsonLine, Workspace } from "./arcp.ts";

const AGENTS = {
  "echo.ts": ECHO,
  "patient.ts": PATIENT,
  "counter.ts": COUNTER,
  "streamer.ts": STREAMER,
  "failing.ts": FAILING,
  "hostile.ts": HOSTILE,
  "parent.ts": PARENT,
  "strict.ts": STRICT,
};
const AGENT_OPTIONS = Object.keys(AGENTS).flatMap((file) => ["--agent", `${file.replace(".ts", "")}=./${file}`]);

async function serving() {
  const workspace = await Workspace.create(AGENTS);
  const { url } = await workspace.serve(AGENT_OPTIONS);
  const run = (args: readonly string[], input?: string) =>
    workspace.run(args, { env: { ARCP_URL: url }, ...(input === undefined ? {} : { input }) });
  return { workspace, url, run, [Symbol.asyncDispose]: () => workspace[Symbol.asyncDispose]() };
}

const typesOf = (lines: readonly JsonLine[]): unknown[] => lines.map(({ type }) => type);

describe("submit", () => {
  it("prints the job's messages as lines of JSON and exits with 0 after success", async () => {
    await using host = await serving();
    const { code, lines, stderr } = await host.run(["submit", "echo", "--input", '{"hello":"world"}']);
    expect(code).toBe(0);
    expect(stderr).toBe("");
    expect(typesOf(lines)).toEqual(["job.accepted", "job.event", "job.result"]);
    const [accepted, event, result] = lines;
    expect(accepted).toMatchObject({ agent: "echo@1.2.0", lease: {} });
    expect(event).toMatchObject({ job_id: accepted?.["job_id"], event_seq: 1, kind: "log" });
    expect(event).toHaveProperty("ts");
    expect(event).toHaveProperty("body.message", "echoing");
    expect(result).toMatchObject({ final_status: "success", result: { echoed: { hello: "world" } } });
  });

  it("reads its input from a file and from standard input", async () => {
    await using host = await serving();
    const fromStdin = await host.run(["submit", "echo", "--input-file", "-"], "[1,2]");
    expect(fromStdin.lines.at(-1)).toMatchObject({ result: { echoed: [1, 2] } });
    const missing = await host.run(["submit", "echo", "--input-file", "nowhere.json"]);
    expect(missing).toMatchObject({ code: 64, stderr: "arcp: --input-file nowhere.json: ENOENT\n" });
  });

  it("shows text for people where it is asked to", async () => {
    await using host = await serving();
    const { stdout, code } = await host.run(["submit", "echo", "--no-json", "--input", '"hi"']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^● job_\w+ echo@1\.2\.0\n {2}\d\d:\d\d:\d\d info {5}echoing\n/);
    expect(stdout).toContain('"echoed": "hi"');
    expect(stdout).toMatch(/✔ success after \d+\.\d s\n$/);
  });

  it("exits with 2 when the job fails, and with 1 when it is refused", async () => {
    await using host = await serving();
    const failed = await host.run(["submit", "failing"]);
    expect(failed.code).toBe(2);
    expect(failed.lines.at(-1)).toMatchObject({
      type: "job.error",
      final_status: "error",
      code: "INTERNAL_ERROR",
      message: "no luck",
    });
    const refused = await host.run(["submit", "nobody"]);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^arcp: AGENT_NOT_AVAILABLE: [^\n]+\n$/);
    const timedOut = await host.run(["submit", "patient", "--max-runtime", "0.05"]);
    expect(timedOut.code).toBe(2);
    expect(timedOut.lines.at(-1)).toMatchObject({ final_status: "timed_out", code: "TIMEOUT" });
  });

  it("saves a streamed result, and an inline one, whole or not at all", async () => {
    await using host = await serving();
    const streamed = await host.run(["submit", "streamer", "--input", '["one ","two"]', "--output", "out.txt"]);
    expect(streamed.lines.at(-1)).toMatchObject({ type: "job.result", summary: "streamed", saved_to: "out.txt" });
    expect(await readFile(host.workspace.path("out.txt"), "utf8")).toBe("one two");
    await host.run(["submit", "echo", "--input", "1", "--output", "out.json"]);
    expect(JSON.parse(await readFile(host.workspace.path("out.json"), "utf8"))).toEqual({ echoed: 1 });
    const failed = await host.run(["submit", "failing", "--output", "none.txt"]);
    expect(failed.code).toBe(2);
    const files = await readdir(host.workspace.directory);
    expect(files.filter((name) => name.startsWith("none") || name.endsWith(".part"))).toEqual([]);
    const unwritable = await host.run(["submit", "echo", "--output", "no/such/directory"]);
    expect(unwritable).toMatchObject({ code: 64, stderr: "arcp: --output no/such/directory: ENOENT\n" });
  });

  it("asks for the lease it is given, with its end", async () => {
    await using host = await serving();
    const lease = '{"cost.budget":["USD:2.50"],"fs.read":["/data/**"]}';
    const { lines } = await host.run(["submit", "echo", "--lease", lease, "--expires-at", "2h"]);
    expect(lines[0]).toMatchObject({ lease: JSON.parse(lease), budget: { USD: 2.5 } });
    expect(lines[0]).toHaveProperty("lease_constraints.expires_at");
  });

  it("adds up what the lease is said to be, part by part", async () => {
    await using host = await serving();
    const { lines } = await host.run([
      ...["submit", "echo", "--expires", "30m", "--budget", "USD:5", "--budget", "credits:2"],
      ...["--lease", "fs.read=/srv/app/**", "--lease", "fs.read=/etc/a=b", "--lease", '{"tool.call":["search"]}'],
    ]);
    expect(lines[0]).toMatchObject({
      lease: {
        "fs.read": ["/srv/app/**", "/etc/a=b"],
        "tool.call": ["search"],
        "cost.budget": ["USD:5", "credits:2"],
      },
      budget: { USD: 5, credits: 2 },
    });
    expect(lines[0]).toHaveProperty("lease_constraints.expires_at");
  });

  it("shows the jobs that it delegates to, and what would have let it delegate more", async () => {
    await using host = await serving();
    const args = ["submit", "parent", "--input", "1", "--lease", "fs.read=/data/**", "--lease", "agent.delegate=echo"];
    const { code, lines } = await host.run(args);
    expect(code).toBe(0);
    const [accepted, child, end] = ["job.accepted", "child.accepted", "child.ended"].map((type) =>
      lines.find((line) => line["type"] === type),
    );
    const parentId = accepted?.["job_id"];
    expect(child).toMatchObject({ agent: "echo@1.2.0", parent_job_id: parentId, delegate_id: "d1" });
    expect(child).toMatchObject({ lease: { "fs.read": ["/data/in/*"] } });
    expect(end).toEqual({
      ...{ type: "child.ended", job_id: child?.["job_id"], parent_job_id: parentId, final_status: "success" },
    });
    const text = (await host.run([...args, "--no-json"])).stdout;
    expect(text).toMatch(/ {2}↳ job_\w+ echo@1\.2\.0 as d1\n {6}fs\.read: \/data\/in\/\*\n/);
    expect(text).toMatch(/ {2}↳ job_\w+ ✔ success\n/);
    expect(text).toMatch(/denied {3}← d2 LEASE_SUBSET_VIOLATION: .*\n +the parent would need fs\.read: \/etc\/\*\n/);
  });

  it("gives the same job for the same idempotency key", async () => {
    await using host = await serving();
    const submit = () => host.run(["submit", "echo", "--input", "1", "--idempotency-key", "k", "--detach"]);
    const [first, second] = [await submit(), await submit()];
    expect(first.stdout).toMatch(/^job_\w+\n$/);
    expect(second.stdout).toBe(first.stdout);
  });

  it("leaves the job running after Ctrl-C where nobody can be asked", async () => {
    await using host = await serving();
    const watching = host.workspace.start(["submit", "patient"], { ARCP_URL: host.url });
    const { job_id: jobId } = await watching.sees(({ kind }) => kind === "log");
    const { code, lines } = await watching.kill("SIGINT");
    expect(code).toBe(130);
    expect(lines.at(-1)).toEqual({ type: "detached", job_id: jobId });
    const listed = await host.run(["jobs", "--status", "running"]);
    expect(listed.lines.map(({ job_id }) => job_id)).toEqual([jobId]);
  });
});

describe("jobs, cancel and tail", () => {
  it("cancels and follows what another process submitted", async () => {
    await using host = await serving();
    const jobId = (await host.run(["submit", "patient", "--detach"])).stdout.trim();
    const tail = host.workspace.start(["tail", jobId], { ARCP_URL: host.url });
    await tail.sees(({ kind }) => kind === "log");
    const cancelled = await host.run(["cancel", jobId, "--reason", "not needed"]);
    expect(cancelled).toMatchObject({
      code: 0,
      lines: [{ type: "job.cancelled", job_id: jobId, reason: "not needed" }],
    });
    const { code, lines } = await tail.end();
    expect(code).toBe(2);
    expect(lines.at(-1)).toMatchObject({ type: "job.error", final_status: "cancelled", code: "CANCELLED" });
    const again = await host.run(["cancel", jobId]);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/^arcp: INVALID_REQUEST: [^\n]*ended already[^\n]*\n$/);
  });

  it("lists jobs by status and agent, the latest of them", async () => {
    await using host = await serving();
    for (const input of ["1", "2", "3"]) await host.run(["submit", "echo", "--input", input]);
    await host.run(["submit", "failing"]);
    const all = await host.run(["jobs"]);
    expect(all.lines.map(({ agent, status }) => [agent, status])).toEqual([
      ["echo@1.2.0", "success"],
      ["echo@1.2.0", "success"],
      ["echo@1.2.0", "success"],
      ["failing@0.0.0", "error"],
    ]);
    expect((await host.run(["jobs", "--agent", "echo", "--limit", "2"])).lines).toEqual(all.lines.slice(1, 3));
    expect((await host.run(["jobs", "--status", "error", "cancelled", "--all"])).lines).toEqual(all.lines.slice(3));
    const [{ job_id: first }] = all.lines as [{ job_id: string }];
    expect((await host.run(["jobs", first])).lines).toEqual([{ job_id: first, agent: "echo@1.2.0", input: 1 }]);
    expect((await host.run(["jobs", first, "--no-json"])).stdout).toBe(`${first} echo@1.2.0\nInput: 1\n`);
    const table = await host.run(["jobs", "--no-json"]);
    expect(table.stdout).toMatch(/^JOB +AGENT +STATUS +SUBMITTED\njob_\w+ {2}echo@1\.2\.0 +success +0:\d\d ago\n/);
  });

  it("tails an ended job from its beginning, or only its end", async () => {
    await using host = await serving();
    const { lines } = await host.run(["submit", "counter", "--input", '{"to":3}']);
    const jobId = String(lines[0]?.["job_id"]);
    const tail = await host.run(["tail", jobId]);
    expect(tail.code).toBe(0);
    expect(typesOf(tail.lines)).toEqual(["job.subscribed", "job.event", "job.event", "job.event", "job.result"]);
    expect(tail.lines.map(({ ts }) => ts)).toEqual([undefined, ...lines.slice(1).map(({ ts }) => ts)]);
    const short = await host.run(["tail", jobId, "--no-history"]);
    expect(short.code).toBe(0);
    expect(typesOf(short.lines)).toEqual(["job.subscribed", "job.result"]);
    const unknown = await host.run(["tail", "job_00000000000000000000000000"]);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toMatch(/^arcp: JOB_NOT_FOUND: /);
  });

  it("lists the agents", async () => {
    await using host = await serving();
    const { lines } = await host.run(["agents"]);
    expect(lines[0]).toEqual({ name: "echo", versions: ["1.2.0"], default: "1.2.0" });
    expect((await host.run(["agents", "--no-json"])).stdout).toMatch(
      /^AGENT +DEFAULT +OTHER VERSIONS\necho +1\.2\.0\n/,
    );
    // One that says what it takes, and one that does not.
    const [described, plain, wrong] = await Promise.all([
      host.run(["agents", "strict", "--no-json"]),
      host.run(["agents", "echo"]),
      host.run(["submit", "strict", "--input", '{"question":"no"}']),
    ]);
    expect(described.stdout).toMatch(/^strict@0\.0\.0\nAsks\n\nInput: \{\n {2}"type": "object",/);
    expect(plain.lines).toEqual([{ agent: "echo@1.2.0" }]);
    expect(wrong).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^arcp: INVALID_REQUEST: the input of strict is not valid: \/question: must NOT have fewer than 3 characters \(`arcp agents NAME` /,
      ),
    });
  });
});

describe("a lease", () => {
  it("is compared with an operation, and nothing is done", async () => {
    await using workspace = await Workspace.create();
    const lease = ["lease", "check", "--lease", "fs.read=/srv/app/**"];
    const [allowed, denied, late] = await Promise.all([
      workspace.run([...lease, "fs.read", "/srv/app/./main.ts"]),
      workspace.run([...lease, "--no-json", "fs.read", "/etc/passwd"]),
      workspace.run([...lease, "--expires", "1h", "--at", "2h", "fs.read", "/srv/app/main.ts"]),
    ]);
    expect(allowed).toMatchObject({ code: 0, lines: [{ allowed: true, target: "/srv/app/main.ts" }] });
    expect(denied.code).toBe(2);
    expect(denied.stdout).toMatch(/^denied +PERMISSION_DENIED: .*\n +it would take fs\.read: \/etc\/passwd\n$/);
    expect(late).toMatchObject({ code: 2, lines: [{ allowed: false, error: { code: "LEASE_EXPIRED" } }] });
  });
});

describe("top and watch", () => {
  it("print where there is no terminal: the board once, and a job until it ends", async () => {
    await using host = await serving();
    const parent = [
      "submit",
      "parent",
      "--input",
      "1",
      "--lease",
      "fs.read=/data/**",
      "--lease",
      "agent.delegate=echo",
    ];
    await host.run(parent);
    const failed = await host.run(["submit", "failing", "--detach"]);
    const jobId = failed.stdout.trim();
    const watched = await host.run(["watch", jobId]);
    expect(watched).toMatchObject({ code: 2, stderr: "" });
    expect(typesOf(watched.lines)).toEqual(["job.subscribed", "job.error"]);
    const [table, json, since, found] = await Promise.all([
      host.run(["top"]),
      host.run(["top", "--json", "--status", "error", "--agent", "failing"]),
      host.run(["top", "--since", "later"]),
      host.run(["top", "--once", "--text", "nobody"]),
    ]);
    expect(table).toMatchObject({ code: 0, stderr: "" });
    expect(table.stdout).toMatch(/^STATUS +AGENT +JOB +AGE +PROGRESS +BUDGET LEFT\n/);
    expect(table.stdout).toMatch(/\nsuccess +parent@\S+ +job_\w+ +\d+:\d\d\nsuccess +↳ echo@1\.2\.0 +job_/);
    expect(json.lines).toMatchObject([{ job_id: jobId, status: "error", needs_me: false, questions: [] }]);
    expect(since).toMatchObject({ code: 64, stderr: expect.stringMatching(/^arcp: --since: expected RFC 3339/) });
    expect(found.stdout).toBe("no jobs\n");
  });
});

describe("wrong arguments", () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a misspelt command", ["sumbit"], /unknown command 'sumbit' \(Did you mean submit\?\)/],
    ["a misspelt option", ["submit", "echo", "--inptu", "1"], /unknown option '--inptu' \(Did you mean --input\?\)/],
    ["a missing argument", ["cancel"], /missing required argument 'job'/],
    ["input that is not JSON", ["submit", "echo", "--input", "hello"], /--input is not JSON: .*needs quotes/],
    ["two inputs", ["submit", "echo", "--input", "1", "--input-file", "-"], /exclude each other/],
    ["a lease that is not one", ["submit", "echo", "--lease", '{"fs.read":"/x"}'], /--lease: /],
    ["a part of a lease that is none", ["submit", "echo", "--lease", "fs.read"], /expected name=pattern/],
    ["no lease to check", ["lease", "check", "fs.read", "/x"], /whose lease\?/],
    ["a budget that is none", ["submit", "echo", "--budget", "five"], /--lease and --budget: /],
    ["a time that is not one", ["submit", "echo", "--expires-at", "soon"], /--expires: expected RFC 3339/],
    ["an agent's name that is not one", ["submit", "Echo Agent"], /not an agent: "Echo Agent"/],
    ["a job's id that is not one", ["tail", ""], /not a job id/],
    ["a status that is not one", ["jobs", "--status", "done"], /Allowed choices are pending, running/],
    ["a limit that is not one", ["jobs", "--limit", "-1"], /Expected a positive whole number/],
    ["a URL that is not one", ["jobs", "--url", "nowhere"], /--url is not a URL/],
    ["a database that is not there", ["replay", "--db", "nowhere.db"], /there is no file nowhere\.db/],
    ["output without an end", ["submit", "echo", "--detach", "--output", "x"], /--output needs the job's end/],
  ];
  it.each(cases)("%s: exit code 64 and one line", async (_, args, message) => {
    await using workspace = await Workspace.create();
    const { code, stdout, stderr } = await workspace.run(args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^arcp: [^\n]+\n$/);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
  });

  it("has examples in the help of every command", { timeout: 60_000 }, async () => {
    await using workspace = await Workspace.create();
    const commands = [
      ...["serve", "submit", "jobs", "tail", "cancel", "replay", "agents", "lease", "gateway", "credentials"],
      ...["send", "respond", "interrupt", "artifact", "schedule", "audit", "db"],
    ];
    const help = async (command: string): Promise<void> => {
      const { code, stdout } = await workspace.run([command, "--help"]);
      expect(code).toBe(0);
      expect(stdout).toContain(`Examples:\n  `);
      expect(stdout).toContain(`arcp ${command}`);
    };
    // A few at a time: most of it is the start of a process.
    for (let at = 0; at < commands.length; at += 4) await Promise.all(commands.slice(at, at + 4).map(help));
    const { code, stdout } = await workspace.run([]);
    expect(code).toBe(0);
    for (const command of commands) expect(stdout).toContain(`  ${command} `);
    const version = await workspace.run(["version"]);
    expect(version.stdout).toMatch(/^arcp \d+\.\d+\.\d+ \(wire 1\.1 and 1\.0, Node /);
    expect((await workspace.run(["--version"])).stdout).toBe(version.stdout);
  });
});

describe("a runtime that cannot be reached", () => {
  it("is one line and exit code 1", async () => {
    await using workspace = await Workspace.create();
    const { code, stdout, stderr } = await workspace.run(["jobs", "--url", "ws://127.0.0.1:1/arcp"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(
      /^arcp: could not connect to 127\.0\.0\.1:1: [^\n]*is `arcp serve` running there\?[^\n]*\n$/,
    );
  });

  it("is sent no token in the clear beyond this machine", async () => {
    await using workspace = await Workspace.create();
    const { code, stderr } = await workspace.run(["jobs", "--url", "ws://192.0.2.1/arcp"], {
      env: { ARCP_TOKEN: "s3cret" },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arcp: INVALID_REQUEST: refused to send a token in the clear to 192\.0\.2\.1/);
    expect(stderr).not.toContain("s3cret");
  });
});

it("escapes what an agent says, as text and as JSON", async () => {
  await using host = await serving();
  const text = await host.run(["submit", "hostile", "--no-json"]);
  expect(text.stdout).toContain(
    String.raw`\u{1b}]52;c;cm0gLXJmIC8=\u{7} \u{9b}31m pay 10\u{202e}00 \u{200b}\u{d}\u{1b}[2K`,
  );
  expect(text.stdout).toContain(String.raw`\u{1b}[1A: APPROVED`);
  const json = await host.run(["submit", "hostile"]);
  for (const { stdout } of [text, json]) {
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e]/);
  }
  expect(json.lines[1]).toHaveProperty(
    "body.message",
    "\u001b]52;c;cm0gLXJmIC8=\u0007 \u009b31m pay 10\u202e00 \u200b\r\u001b[2K",
  );
});
