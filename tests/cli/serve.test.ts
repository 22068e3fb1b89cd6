import { chmod, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { defineConfig } from "@arcp/sdk";
import { describe, expect, it } from "vitest";
import { RawSocket } from "../hostile/raw-socket.ts";
import { CARELESS, ECHO, PATIENT } from "./agents.ts";
import { Workspace } from "./arcp.ts";

const isPosix = process.platform !== "win32";
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

/** The head of the answer to who offers compression. */
async function answerToOffer(url: string): Promise<string> {
  using socket = await RawSocket.open(url, { headers: [["Sec-WebSocket-Extensions", "permessage-deflate"]] });
  return socket.head;
}

describe("a developer's runtime", () => {
  it.runIf(isPosix)("makes a token that only its user can read, keeps it, and never prints it", async () => {
    await using workspace = await Workspace.create();
    const first = await workspace.serve([]);
    const token = (await readFile(workspace.path(".arcp/token"), "utf8")).trim();
    expect(token.length).toBeGreaterThan(32);
    expect(await modeOf(workspace.path(".arcp"))).toBe(0o700);
    for (const name of ["token", "runtime.db", "runtime.db-wal"]) {
      expect(await modeOf(workspace.path(`.arcp/${name}`))).toBe(0o600);
    }
    const env = { ARCP_URL: first.url };
    const submitted = await workspace.run(["submit", "echo", "--input", "1"], { env });
    expect(submitted.code).toBe(0);
    const wrong = await workspace.run(["jobs"], { env: { ...env, ARCP_TOKEN: "wrong-token" } });
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/^arcp: UNAUTHENTICATED: [^\n]+\n$/);
    const stopped = await first.command.kill("SIGTERM");
    expect(stopped.code).toBe(0);

    const second = await workspace.serve([]);
    expect((await readFile(workspace.path(".arcp/token"), "utf8")).trim()).toBe(token);
    const jobs = await workspace.run(["jobs"], { env: { ARCP_URL: second.url } });
    expect(jobs.lines).toHaveLength(1);
    for (const { stdout, stderr } of [submitted, wrong, stopped, jobs]) expect(stdout + stderr).not.toContain(token);
    expect(wrong.stderr).not.toContain("wrong-token");
  });

  it("says what to type next", async () => {
    await using workspace = await Workspace.create({ "echo.ts": ECHO });
    const command = workspace.start(["serve", "--port", "0", "--agent", "echo=./echo.ts"]);
    await new Promise<void>((resolve) => {
      command.process.stdout.on("data", () => command.stdout.includes("--input") && resolve());
    });
    expect(command.stdout).toMatch(/^● ws:\/\/127\.0\.0\.1:\d+\/arcp\n {2}agents {3}echo@1\.2\.0\n/);
    const [, args = ""] = /npx arcp (submit echo --url \S+) --input/.exec(command.stdout) ?? [];
    const { code } = await workspace.run([...args.split(" "), "--input", '{"hello":"world"}']);
    expect(code).toBe(0);
  });

  it.runIf(isPosix)("does not use a token that others can read, or that lies somewhere else", async () => {
    await using workspace = await Workspace.create();
    const { url, command } = await workspace.serve([]);
    await chmod(workspace.path(".arcp/token"), 0o644);
    const readable = await workspace.run(["jobs", "--url", url]);
    expect(readable).toMatchObject({ code: 64 });
    expect(readable.stderr).toMatch(/others can read it; chmod 600 it/);
    await command.kill("SIGKILL");
    await using other = await Workspace.create();
    await other.run(["serve", "--port", "none"]);
    await symlink(workspace.path(".arcp"), other.path(".arcp"));
    await chmod(workspace.path(".arcp/token"), 0o600);
    await symlink(workspace.path(".arcp/token"), other.path("link"));
    const asFile = await other.run(["jobs", "--url", url, "--token-file", "link"]);
    expect(asFile.code).toBe(1);
  });
});

describe("who is let in", () => {
  it("gives each token its principal, who sees only the jobs of its own", async () => {
    await using workspace = await Workspace.create();
    const { url } = await workspace.serve([], { ARCP_TOKEN: "one=alice, two=bob" });
    const as = (token: string, args: string[]) => workspace.run(args, { env: { ARCP_URL: url, ARCP_TOKEN: token } });
    const { lines } = await as("one", ["submit", "echo"]);
    expect((await as("one=alice,two=bob", ["jobs"])).lines).toHaveLength(1);
    expect((await as("two", ["jobs"])).stdout).toBe("");
    expect((await as("two", ["tail", String(lines[0]?.["job_id"])])).code).toBe(1);
    expect((await as("three", ["jobs"])).stderr).toMatch(/^arcp: UNAUTHENTICATED: /);
  });

  it("warns of a token on the command line, without repeating it", async () => {
    await using workspace = await Workspace.create();
    const { url, command } = await workspace.serve(["--token", "s3cret=alice"]);
    expect(command.stderr).toMatch(/^arcp: warning: other users of this machine can see --token[^\n]*\n/);
    const jobs = await workspace.run(["agents", "--url", url, "--token", "s3cret"]);
    expect(jobs.code).toBe(0);
    expect(jobs.stderr).toMatch(/^arcp: warning: [^\n]*\n$/);
    expect(jobs.stderr + jobs.stdout + command.stderr + command.stdout).not.toContain("s3cret");
  });

  it.runIf(isPosix)("reads tokens from a file that nobody else can read", async () => {
    await using workspace = await Workspace.create({ tokens: "# ours\none=alice\n\ntwo=bob\n" });
    const open = await workspace.run(["serve", "--token-file", "tokens", "--port", "0"]);
    expect(open).toMatchObject({ code: 64, stderr: "arcp: refused to use tokens: others can read it; chmod 600 it\n" });
    await chmod(workspace.path("tokens"), 0o600);
    const { url } = await workspace.serve(["--token-file", "tokens"]);
    expect((await workspace.run(["agents", "--url", url, "--token-file", "tokens"])).code).toBe(0);
    expect((await workspace.run(["agents", "--url", url], { env: { ARCP_TOKEN: "two" } })).code).toBe(0);
  });

  const exposures: readonly (readonly [string, readonly string[], NodeJS.ProcessEnv, RegExp])[] = [
    ["without tokens", ["--host", "0.0.0.0"], {}, /refused to listen on 0\.0\.0\.0 without tokens/],
    ["without TLS", ["--bind", "0.0.0.0:0"], { ARCP_TOKEN: "one" }, /refused to listen on 0\.0\.0\.0 without TLS/],
    ["with half of TLS", ["--tls-cert", "cert.pem"], {}, /--tls-cert and --tls-key go together/],
  ];
  it.each(exposures)("does not listen beyond this machine %s", async (_, args, env, message) => {
    await using workspace = await Workspace.create();
    const { code, stdout, stderr } = await workspace.run(["serve", ...args], { env });
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(stderr).toMatch(message);
  });

  it("listens there in the clear where that is allowed explicitly", async () => {
    await using workspace = await Workspace.create();
    const { url } = await workspace.serve(["--host", "0.0.0.0", "--allow-insecure"], { ARCP_TOKEN: "one" });
    expect(url).toMatch(/^ws:\/\/0\.0\.0\.0:/);
    const local = url.replace("0.0.0.0", "127.0.0.1");
    expect((await workspace.run(["agents", "--url", local], { env: { ARCP_TOKEN: "one" } })).code).toBe(0);
  });
});

describe("agents and configuration", () => {
  const wrong: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["a file that is not there", ["echo=./nowhere.ts"], /agent echo: there is no file nowhere\.ts/],
    ["a module without a default function", ["echo=./none.ts"], /has no default export that is a function/],
    ["a module that cannot be loaded", ["echo=./broken.ts"], /broken\.ts could not be loaded: no way/],
    ["an option without a file", ["echo"], /expected name=file/],
    ["a name that is not one", ["Echo=./echo.ts"], /not an agent's name: "Echo"/],
  ];
  it.each(wrong)("refuses %s", async (_, agents, message) => {
    await using workspace = await Workspace.create({
      "echo.ts": ECHO,
      "none.ts": "export const version = '1.0.0';",
      "broken.ts": "throw new Error('no way');",
    });
    const { code, stdout, stderr } = await workspace.run(["serve", ...agents.flatMap((agent) => ["--agent", agent])]);
    expect(code === 64 || code === 1).toBe(true);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^arcp: [^\n]+\n$/);
  });

  it("serves several versions of an agent", async () => {
    await using workspace = await Workspace.create({ "echo.ts": ECHO });
    const { url } = await workspace.serve(["--agent", "echo=./echo.ts", "--agent", "echo@2.0.0-beta=./echo.ts"]);
    const { lines } = await workspace.run(["agents", "--url", url]);
    expect(lines).toEqual([{ name: "echo", versions: ["1.2.0", "2.0.0-beta"], default: "2.0.0-beta" }]);
  });

  it("finds arcp.config.ts, whose agents are functions or files", async () => {
    await using workspace = await Workspace.create({
      "echo.ts": ECHO,
      "arcp.config.ts": `
        export default {
          runtime: { name: "configured", version: "3.0.0" },
          agents: { echo: "./echo.ts", "sum@1.0.0": async (input: number[]) => input.reduce((a, b) => a + b, 0) },
          db: ":memory:",
          path: "/elsewhere",
          cancelAuthority: "session",
        };`,
    });
    const { url } = await workspace.serve([]);
    expect(url).toMatch(/\/elsewhere$/);
    const env = { ARCP_URL: url };
    const { lines } = await workspace.run(["submit", "sum", "--input", "[1,2,3]"], { env });
    expect(lines.at(-1)).toMatchObject({ result: 6 });
    expect(lines[0]).toMatchObject({ agent: "sum@1.0.0" });
    await expect(stat(workspace.path(".arcp/runtime.db"))).rejects.toThrow("ENOENT");
  });

  it("lets only the submitting session cancel where the configuration says so", async () => {
    await using workspace = await Workspace.create({
      "patient.ts": PATIENT,
      "other.json": '{ "agents": { "patient": "./patient.ts" }, "cancelAuthority": "session" }',
    });
    const { url } = await workspace.serve(["--config", "other.json"]);
    const env = { ARCP_URL: url };
    const jobId = (await workspace.run(["submit", "patient", "--detach"], { env })).stdout.trim();
    const { code, stderr } = await workspace.run(["cancel", jobId], { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arcp: PERMISSION_DENIED: /);
  });

  it("refuses a setting that there is not", async () => {
    await using workspace = await Workspace.create({ "arcp.config.json": '{ "agent": {} }' });
    const { code, stderr } = await workspace.run(["serve"]);
    expect(code).toBe(64);
    expect(stderr).toMatch(/^arcp: arcp\.config\.json: there is no setting "agent"; there are [^\n]+\n$/);
  });

  it("types a configuration without changing it", () => {
    const config = { agents: { echo: "./echo.ts" }, port: 0 };
    expect(defineConfig(config)).toBe(config);
  });
});

describe("the process", () => {
  it("does not share its database with a second server", async () => {
    await using workspace = await Workspace.create();
    const { command } = await workspace.serve([]);
    const second = await workspace.run(["serve", "--port", "0"]);
    expect(second.code).toBe(1);
    expect(second.stderr).toBe(
      `arcp: .arcp/runtime.db is in use by another server (process ${command.process.pid}); give this one a database of its own with --db\n`,
    );
  });

  it("says in one line that its port is taken", async () => {
    await using workspace = await Workspace.create();
    const { port } = await workspace.serve([]);
    const second = await workspace.run(["serve", "--port", String(port), "--db", ":memory:"]);
    expect(second).toMatchObject({ code: 1, stdout: "" });
    expect(second.stderr).toMatch(new RegExp(`^arcp: port ${port} of 127\\.0\\.0\\.1 is in use: [^\\n]+\\n$`));
  });

  it("ends what is running with a retryable error when it is asked to stop, and logs lines of JSON", async () => {
    await using workspace = await Workspace.create({ "patient.ts": PATIENT });
    const { command, url, port } = await workspace.serve(["--agent", "patient=./patient.ts"]);
    const watching = workspace.start(["submit", "patient"], { ARCP_URL: url });
    await watching.sees(({ kind }) => kind === "log");
    const { code, stderr } = await command.kill("SIGINT");
    expect(code).toBe(0);
    const log = stderr.trim().split("\n");
    expect(log.map((line) => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ level: "info", signal: "SIGINT" }),
    );
    const ended = await watching.end();
    expect(ended.code).toBe(2);
    expect(ended.lines.at(-1)).toMatchObject({ type: "job.error", retryable: true });
    await expect(
      new Promise((resolve, reject) => connect(port, "127.0.0.1").on("connect", resolve).on("error", reject)),
    ).rejects.toThrow("ECONNREFUSED");
  });

  it.runIf(isPosix)("makes the directory of its database", async () => {
    await using workspace = await Workspace.create();
    await workspace.serve(["--db", "data/deep/runtime.db", "--sync", "normal"]);
    expect(await modeOf(workspace.path("data/deep/runtime.db"))).toBe(0o600);
  });
});

describe("replay", () => {
  it("prints the jobs of a database, for people and as JSON, while the server runs", async () => {
    await using workspace = await Workspace.create({ "echo.ts": ECHO });
    const { url } = await workspace.serve(["--agent", "echo=./echo.ts", "--db", "runtime.db"]);
    const { lines } = await workspace.run(["submit", "echo", "--url", url, "--input", "1"]);
    const jobId = String(lines[0]?.["job_id"]);
    const text = await workspace.run(["replay", "--db", "runtime.db"]);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^● job_\w+ echo@1\.2\.0 · success · by local · \d{4}-/);
    expect(text.stdout).toContain("info     echoing\n");
    expect(text.stdout).toContain('✔ success {"echoed":1}\n');
    const json = await workspace.run(["replay", "--db", "runtime.db", "--job", jobId, "--after", "1", "--json"]);
    expect(json.lines.map(({ type, n }) => [type, n])).toEqual([
      ["job", undefined],
      ["job.result", 2],
    ]);
    const none = await workspace.run(["replay", "--db", "runtime.db", "--job", "job_00000000000000000000000000"]);
    expect(none).toMatchObject({ code: 1, stdout: "" });
  });

  it("refuses a file that is no database", async () => {
    await using workspace = await Workspace.create({ "notes.txt": "hello ".repeat(100) });
    await writeFile(workspace.path("empty.db"), "");
    for (const [file, problem] of [
      ["notes.txt", "notes.txt is not the database of a runtime: "],
      ["empty.db", "empty.db cannot be opened: the database is of version 0"],
    ] as const) {
      const { code, stderr } = await workspace.run(["replay", "--db", file]);
      expect(code).toBe(1);
      expect(stderr).toMatch(new RegExp(`^arcp: ${problem}[^\\n]*\\n$`));
    }
  });
});

describe("a careless agent", () => {
  it("does not end the runtime, and with it everybody else's jobs", async () => {
    await using workspace = await Workspace.create({ "careless.ts": CARELESS, "echo.ts": ECHO });
    const { url, command } = await workspace.serve([
      ...["--agent", "careless=./careless.ts"],
      ...["--agent", "echo=./echo.ts"],
    ]);
    const env = { ARCP_URL: url };
    const careless = await workspace.run(["submit", "careless"], { env });
    expect(careless.lines.at(-1)).toMatchObject({ type: "job.result", result: "careless" });
    for (const message of ["rejected for nobody", "thrown in a timer", "thrown in a listener"]) {
      await command.complains(message);
    }
    expect((await workspace.run(["submit", "echo", "--input", "1"], { env })).code).toBe(0);
  });
});

describe("plain HTTP on the port of the WebSockets", () => {
  it("is served, to those who have a token, unless it is left out", async () => {
    await using workspace = await Workspace.create();
    const statusOf = async (url: string, path: string, token: string): Promise<number> => {
      const headers = { authorization: `Bearer ${token}` };
      return (await fetch(new URL(path, url.replace(/^ws/, "http")), { headers })).status;
    };
    const { url, command } = await workspace.serve([], { ARCP_TOKEN: "one=alice" });
    expect(await statusOf(url, "/v1/jobs", "one")).toBe(200);
    expect(await statusOf(url, "/v1/jobs", "two")).toBe(401);
    expect(await statusOf(url, "/arcp/http/x/events", "one")).toBe(404);
    // The dashboard has no token, and every answer on its origin tells browsers to be careful.
    expect(await (await fetch(url.replace(/^ws/, "http").replace("/arcp", "/"))).text()).toContain(
      "<title>arcp</title>",
    );
    for (const path of ["/", "/v1/jobs", "/v1/none", "/arcp/http/x/events", "/openapi.json", "/arcp", "/none"]) {
      const { headers } = await fetch(new URL(path, url.replace(/^ws/, "http")));
      expect([path, headers.get("x-content-type-options")]).toEqual([path, "nosniff"]);
      expect([path, headers.get("content-security-policy")]).toEqual([
        path,
        expect.stringContaining("default-src 'none'"),
      ]);
      expect([path, headers.get("cache-control")]).toEqual([path, "no-store"]);
    }
    expect(await answerToOffer(url)).not.toContain("permessage-deflate");
    await command.kill("SIGTERM");
    const bare = await workspace.serve(["--no-dashboard", "--compression"], { ARCP_TOKEN: "one=alice" });
    expect(await answerToOffer(bare.url)).toContain("permessage-deflate");
    expect(await statusOf(bare.url, "/", "one")).toBe(426);
    expect(await statusOf(bare.url, "/v1/jobs", "one")).toBe(200);
    await bare.command.kill("SIGTERM");
    const without = await workspace.serve(["--no-http"], { ARCP_TOKEN: "one=alice" });
    for (const path of ["/", "/v1/jobs", "/arcp/http", "/openapi.json"]) {
      expect(await statusOf(without.url, path, "one")).toBe(426);
    }
  });
});
