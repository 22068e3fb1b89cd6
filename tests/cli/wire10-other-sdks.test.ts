/** The command lines that other SDKs of wire 1.0 print in their documentation, as they print them. */
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { ARCPToolClient } from "@arcp/client";
import { StdioTransport, silentLogger } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { type RunningCommand, Workspace } from "./arcp.ts";

const PYTHON = {
  serve: "uv run arcp serve --transport ws --bind 127.0.0.1:7777 --token demo=alice &",
  send: `uv run arcp send --uri ws://127.0.0.1:7777 --token demo --type ping --payload '{"nonce":"x"}'`,
};
const RUBY = {
  version: "arcp version",
  stdio: "arcp serve --transport stdio        # blocks on stdin/stdout",
  serve: "arcp serve --transport ws --bind 127.0.0.1:7777",
  tail: "arcp tail   path/to/event-log.sqlite",
  replay: "arcp replay path/to/event-log.sqlite --after msg_xyz",
  send: "arcp send   ping '{}'",
};
const F_SHARP = {
  version: "arcp --version                                                              # SDK + protocol version",
  stdio: "arcp serve --stdio                                                          # NDJSON stdio runtime",
  serve: "arcp serve --ws --port 7878                                                 # WebSocket runtime on /ws",
  send: `arcp send --url ws://127.0.0.1:7878/ws --token any --tool echo --args '"hi"'`,
  tail: "arcp tail --url ws://127.0.0.1:7878/ws --token any                          # tail every envelope",
  replay: "arcp replay --session 01K... --db /path/to/events.db                        # replay the event log",
};

/** The words of a command line behind what runs the program, without comments, and with `replaced` in it. */
function words(line: string, replaced: Readonly<Record<string, string>> = {}): string[] {
  let text = line.replace(/^.*?\barcp /, "");
  for (const [printed, value] of Object.entries(replaced)) {
    expect(text).toContain(printed);
    text = text.replaceAll(printed, value);
  }
  return [...text.matchAll(/'([^']*)'|([^\s'#&]+)|#.*|&/g)].flatMap(([, quoted, plain]) => quoted ?? plain ?? []);
}

/** That port, if it can be had; another one while somebody else on this machine has it. */
async function portOr(port: number): Promise<string> {
  for (const wanted of [port, 0]) {
    const server = createServer();
    const found = await new Promise<number | undefined>((resolve) => {
      server.once("error", () => resolve(undefined));
      server.listen(wanted, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
    });
    await new Promise((resolve) => server.close(resolve));
    if (found !== undefined) return String(found);
  }
  throw new Error("there is no port");
}

const listening = async (command: RunningCommand): Promise<void> => {
  await new Promise<void>((resolve) => {
    command.process.stdout.on("data", () => command.stdout.includes("Now type") && resolve());
  });
};

async function pingOverStdio(workspace: Workspace, line: string): Promise<void> {
  const child = workspace.start([...words(line), "--db", ":memory:"]);
  const transport = new StdioTransport({ input: child.process.stdout, output: child.process.stdin });
  const client = await ARCPToolClient.open(transport, { token: "any", logger: silentLogger });
  expect(await client.ping()).toMatchObject({ receivedAt: expect.any(String) });
  await client.close();
  expect((await child.end()).code).toBe(0);
}

describe("Python's", () => {
  it("runtime answers Python's ping", async () => {
    covers("V10-22-01");
    await using workspace = await Workspace.create();
    const port = { "7777": await portOr(7777) };
    await listening(workspace.start(words(PYTHON.serve, port)));
    const { code, lines } = await workspace.run(words(PYTHON.send, port));
    expect(code).toBe(0);
    expect(lines).toMatchObject([{ arcp: "1.0", type: "pong", payload: { nonce: "x" } }]);
  });
});

describe("Ruby's", () => {
  it("version, and runtimes over both carriers", async () => {
    await using workspace = await Workspace.create();
    expect((await workspace.run(words(RUBY.version))).stdout).toMatch(/^arcp \d+\.\d+\.\d+ \(wire 1\.1 and 1\.0, /);
    await pingOverStdio(workspace, RUBY.stdio);
    const port = await portOr(7777);
    await listening(workspace.start(words(RUBY.serve, { "7777": port })));
    const env = port === "7777" ? {} : { ARCP_URL: `ws://127.0.0.1:${port}` };
    const { code, lines } = await workspace.run(words(RUBY.send), { env });
    expect({ code, lines }).toMatchObject({ code: 0, lines: [{ type: "pong" }] });
  });

  it("event log is followed, and read from a message on", async () => {
    await using workspace = await Workspace.create();
    await mkdir(workspace.path("path/to"), { recursive: true });
    const runtime = await workspace.serve(["--db", "path/to/event-log.sqlite"]);
    const tail = workspace.start(words(RUBY.tail));
    const sent = await workspace.run(["send", "--tool", "echo"], { env: { ARCP_URL: runtime.url } });
    await tail.sees(({ type }) => type === "job.result");
    expect((await tail.kill("SIGINT")).code).toBe(130);
    await runtime.command.kill("SIGTERM");

    const id = String(sent.lines[3]?.["id"]);
    const replayed = await workspace.run([...words(RUBY.replay, { msg_xyz: id }), "--json"]);
    expect(replayed.code).toBe(0);
    expect(replayed.lines).toEqual(sent.lines.slice(4));
    const asPrinted = await workspace.run(words(RUBY.replay));
    expect(asPrinted.code).toBe(1);
    expect(asPrinted.stderr).toMatch(/^arcp: path\/to\/event-log\.sqlite has no message msg_xyz: [^\n]+\n$/);
  });
});

describe("F#'s", () => {
  it("version, and runtime over stdio", async () => {
    await using workspace = await Workspace.create();
    expect((await workspace.run(words(F_SHARP.version))).stdout).toMatch(/^arcp \S+ \(wire 1\.1 and 1\.0, /);
    await pingOverStdio(workspace, F_SHARP.stdio);
  });

  it("runtime takes any token; what it does is seen live and later", async () => {
    covers("V10-13.3-03");
    await using workspace = await Workspace.create();
    const port = { "7878": await portOr(7878) };
    const runtime = workspace.start([...words(F_SHARP.serve, port), "--db", "events.db"]);
    await listening(runtime);
    const before = await workspace.run(words(F_SHARP.send, port));
    const tail = workspace.start([...words(F_SHARP.tail, port), "--types", "tool.result"]);
    const every = workspace.start(words(F_SHARP.tail, port));
    // Observers are there when they see something.
    let sent = await workspace.run(words(F_SHARP.send, port));
    while (tail.stdout === "" || every.stdout === "") sent = await workspace.run(words(F_SHARP.send, port));
    expect(sent.lines.at(-1)).toMatchObject({ type: "tool.result", payload: { value: { echoed: "hi" } } });
    const last = sent.lines.at(-1) ?? {};
    await every.sees(({ id }) => id === last["id"]);
    const ofSession = every.lines.filter(({ session_id }) => session_id === last["session_id"]);
    expect(ofSession).toEqual(sent.lines);
    expect(every.lines.some(({ session_id }) => session_id === before.lines[0]?.["session_id"])).toBe(false);
    await runtime.kill("SIGTERM");

    const session = String(last["session_id"]).replace("sess_", "");
    const replay = words(F_SHARP.replay, { "01K...": session, "/path/to/events.db": workspace.path("events.db") });
    const replayed = await workspace.run([...replay, "--json"]);
    expect(replayed.lines).toEqual(sent.lines);
    const asPrinted = await workspace.run(words(F_SHARP.replay));
    expect(asPrinted).toMatchObject({
      code: 64,
      stderr: "arcp: there is no file /path/to/events.db; --db says where the database is\n",
    });
  });
});
