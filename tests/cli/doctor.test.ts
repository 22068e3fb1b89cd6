/** `arcp doctor`: what is really broken is found, named, and comes with what to do about it. */
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer, type Server } from "node:net";
import { sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { Check, exitCodeOf, type Finding, worstOf } from "../../packages/sdk/src/cli/doctor/finding.ts";
import { checkNode, checkPackages, judgeDisk } from "../../packages/sdk/src/cli/doctor/machine.ts";
import { checkPort, checkRuntime, clockSkewMs, judgeClock } from "../../packages/sdk/src/cli/doctor/network.ts";
import { checkAccess, checkAgents, checkConfiguration, checkTls } from "../../packages/sdk/src/cli/doctor/settings.ts";
import { checkDatabase } from "../../packages/sdk/src/cli/doctor/storage.ts";
import { createAuthority, createCertificate } from "../operations/certificate.ts";
import { asked, freshSchema, postgresUrl, reasonForNoPostgres } from "../support/postgres.ts";
import { ECHO } from "./agents.ts";
import { type RunningRuntime, Workspace } from "./arcp.ts";

/** What `look` finds out. */
async function findings(look: (check: Check) => unknown): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  await look(new Check("it", found));
  return found;
}

/** One line each, as people read them. */
const said = (found: readonly Finding[]): readonly string[] =>
  found.map(({ level, message, fix }) => `${level}: ${message}${fix === undefined ? "" : ` → ${fix}`}`);

const isPosix = process.platform !== "win32";

/** A machine that is busy takes its time to start a process. */
const SLOW = { timeout: 60_000 };

describe("the command", SLOW, () => {
  let workspace: Workspace;
  let runtime: RunningRuntime;
  beforeAll(async () => {
    workspace = await Workspace.create({
      "echo.ts": ECHO,
      "arcp.config.json": '{ "agents": { "echo": "./echo.ts" } }',
    });
    runtime = await workspace.serve([]);
  }, SLOW.timeout);
  afterAll(() => workspace[Symbol.asyncDispose]());

  it("has nothing to say against a runtime that is well", async () => {
    const { code, stdout, stderr } = await workspace.run(["doctor", "--port", String(runtime.port)]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const owner =
      process.platform === "linux" ? `node \\(process ${runtime.command.process.pid}\\)` : "another program";
    for (const line of [
      /^✓ node {6}\d+\.\d+\.\d+, and >=22\.19 is needed$/m,
      /^✓ packages {2}arcp \S+, and \d packages of the same$/m,
      /^✓ config {4}arcp\.config\.json$/m,
      /^✓ agents {4}echo@1\.2\.0$/m,
      /^✓ auth {6}on this machine alone, with the token in \.arcp\/token$/m,
      new RegExp(
        `^✓ database {2}\\.arcp/runtime\\.db: in use by another server \\(process ${runtime.command.process.pid}\\)$`,
        "m",
      ),
      /^✓ disk {6}\.arcp: [\d,]+ MiB are free$/m,
      new RegExp(`^✓ port {6}port ${runtime.port} of 127\\.0\\.0\\.1 has a runtime already: ${owner}$`, "m"),
      /^✓ runtime {3}ws:\/\/127\.0\.0\.1:\d+\/arcp is arcp \S+, agents: 1$/m,
      /^✓ clock {5}that of the runtime agrees with this machine's$/m,
      /^nothing is wrong$/m,
    ]) {
      expect(stdout).toMatch(line);
    }
  });

  it("exits with 1 for what is wrong, and says it in JSON", async () => {
    const args = ["doctor", "--json", "--port", "0", "--db", "echo.ts", "--url", runtime.url];
    const { code, lines } = await workspace.run(args, { env: { ARCP_TOKEN: "not-the-right-one" } });
    expect(code).toBe(1);
    expect(lines[0]).toMatchObject({ ok: false, worst: "error" });
    const wrong = ((lines[0]?.["checks"] ?? []) as Finding[]).filter(({ level }) => level !== "ok");
    const others = isPosix ? [{ level: "warning", message: "others can read echo.ts" }] : [];
    expect(wrong).toMatchObject([
      ...others,
      {
        check: "database",
        level: "error",
        message: expect.stringMatching(/^echo\.ts is not the database of a runtime/),
      },
      { check: "runtime", level: "error", message: expect.stringContaining("UNAUTHENTICATED") },
    ]);
    for (const { fix } of wrong) expect(fix).toMatch(/\w/);
  });
});

it("says how bad it is", () => {
  const of = (level: Finding["level"]): Finding => ({ check: "it", level, message: "" });
  expect(worstOf([])).toBe("ok");
  expect(worstOf([of("ok"), of("warning"), of("ok")])).toBe("warning");
  expect(worstOf([of("error"), of("warning")])).toBe("error");
  expect(exitCodeOf("ok", true)).toBe(0);
  expect(exitCodeOf("warning", false)).toBe(0);
  expect(exitCodeOf("warning", true)).toBe(1);
  expect(exitCodeOf("error", false)).toBe(1);
});

describe("this machine", () => {
  it.each([
    ["22.18.0", "error"],
    ["22.19.0", "ok"],
    ["24.0.0", "ok"],
    ["20.19.5", "error"],
  ])("has Node %s: %s", async (version, level) => {
    expect(await findings((check) => checkNode(check, version, ">=22.19"))).toMatchObject([{ level }]);
  });

  it("has packages that do not belong together, or lacks one", async () => {
    await using workspace = await Workspace.create();
    const put = async (name: string, version: string): Promise<void> => {
      await mkdir(workspace.path(`node_modules/${name}/dist`), { recursive: true });
      const manifest = { name, version, exports: { ".": "./dist/index.js" } };
      await writeFile(workspace.path(`node_modules/${name}/package.json`), JSON.stringify(manifest));
      await writeFile(workspace.path(`node_modules/${name}/dist/index.js`), "");
    };
    await put("@arcp/core", "1.0.0");
    await put("@arcp/client", "0.9.0");
    await put("@arcp/sdk", "2.0.0");
    const facts = { own: workspace.directory, project: workspace.directory, version: "1.0.0" };
    const needed = { "@arcp/core": "1.0.0", "@arcp/client": "1.0.0", "@arcp/runtime": "1.0.0", commander: "^15.0.0" };
    const found = await findings((check) => checkPackages(check, { ...facts, needed }));
    expect(said(found)).toEqual([
      "error: @arcp/client is 0.9.0 instead of 1.0.0, @arcp/runtime is missing instead of 1.0.0 → npm install @arcp/sdk@1.0.0, or remove node_modules and npm install",
      "warning: this is arcp 1.0.0, and the project here has @arcp/sdk 2.0.0 → use the project's own: npx arcp",
    ]);
  });

  it.each([
    [50, 1, "error"],
    [500, 1, "warning"],
    [5_000, 0.001, "warning"],
    [5_000, 1, "ok"],
  ])("has %d MiB, and %d of its files, free: %s", async (mib, freeFilesShare, level) => {
    const facts = { place: "/srv", freeBytes: mib * 1024 * 1024, freeFilesShare };
    expect(await findings((check) => judgeDisk(check, facts))).toMatchObject([{ level }]);
  });
});

describe("what `arcp serve` would read", () => {
  it.each([
    ["is not JSON", "{", /^error: \S+ is not JSON: /],
    ["has a misspelt setting", '{ "agent": {} }', /^error: \S+: there is no setting "agent"; /],
    ["is a list", "[]", /^error: \S+: the default export must be an object/],
  ])("%s", async (_, text, message) => {
    await using workspace = await Workspace.create({ "arcp.config.json": text });
    const found = await findings((check) => checkConfiguration(check, workspace.path("arcp.config.json")));
    expect(said(found)).toEqual([expect.stringMatching(message)]);
  });

  it("has agents that are not there, do not load, or are none", async () => {
    await using workspace = await Workspace.create({
      "none.ts": "export const version = '1.0.0';",
      "broken.ts": "throw new Error('no way');",
      "fine.ts": ECHO,
    });
    const agents = {
      away: "./away.ts",
      none: "./none.ts",
      broken: "./broken.ts",
      Fine: "./fine.ts",
      fine: "./fine.ts",
    };
    const loaded = { config: { agents }, directory: workspace.directory, file: "arcp.config.ts" };
    expect(said(await findings((check) => checkAgents(check, loaded)))).toEqual([
      expect.stringMatching(/^error: agent away: there is no file /),
      expect.stringMatching(/^error: agent none: .* has no default export that is a function/),
      expect.stringMatching(/^error: .*broken\.ts could not be loaded: no way/),
      expect.stringMatching(/^error: not an agent's name: "Fine"/),
      "ok: fine@1.2.0",
    ]);
    const empty = { config: {}, directory: ".", file: "arcp.config.ts" };
    expect(said(await findings((check) => checkAgents(check, empty)))).toEqual([
      expect.stringMatching(/^warning: arcp\.config\.ts has none → /),
    ]);
  });

  it("lets in who should not get in, or nobody", async () => {
    await using workspace = await Workspace.create({ tokens: "one=alice\n" });
    await chmod(workspace.path("tokens"), 0o644);
    const look = async (config: object): Promise<readonly string[]> => {
      const loaded = { config, directory: workspace.directory, file: undefined };
      return said(await findings((check) => checkAccess(check, {}, loaded)));
    };
    const long = { "a-token-that-nobody-guesses": "alice" };
    expect(await look({ host: "0.0.0.0" })).toEqual([
      expect.stringMatching(/^error: refused to listen on 0\.0\.0\.0 without tokens/),
    ]);
    expect(await look({ host: "0.0.0.0", tokens: long })).toEqual([expect.stringMatching(/^error: .* without TLS/)]);
    expect(await look({ host: "0.0.0.0", tokens: { short: "bob" }, allowInsecure: true })).toEqual([
      expect.stringMatching(/^warning: 0\.0\.0\.0 is beyond this machine, and a token of bob is short/),
      "ok: tokens: 1",
    ]);
    expect(await look({ port: 70_000 })).toEqual([expect.stringMatching(/^error: not a port: 70000/)]);
    expect(await look({ auth: { jwks: "x" } })).toEqual([
      expect.stringMatching(/^error: auth: there is no setting "jwks"/),
    ]);
    if (isPosix)
      expect(await look({ tokenFile: "tokens" })).toEqual([
        expect.stringMatching(/^error: refused to use .*tokens: others can read it/),
      ]);
  });

  it("has certificates whose time is over, of another key, or that are none", async () => {
    const own = createCertificate("localhost");
    const over = createAuthority().issue("localhost", "over");
    await using workspace = await Workspace.create({
      ...{
        "cert.pem": own.cert,
        "key.pem": own.key,
        "over.pem": over.cert,
        "over-key.pem": over.key,
        "none.pem": "none",
      },
    });
    await chmod(workspace.path("key.pem"), 0o600);
    const look = async (cert: string, key: string, now = Date.UTC(2026, 0, 1)): Promise<readonly string[]> => {
      const found = await findings((check) => checkTls(check, workspace.path(cert), workspace.path(key), now));
      return said(found).filter((line) => !line.includes("others can read"));
    };
    expect(await look("cert.pem", "key.pem")).toEqual([
      expect.stringMatching(/^ok: .*cert\.pem, valid until 2049-12-31$/),
    ]);
    expect(await look("over.pem", "over-key.pem")).toEqual([
      expect.stringMatching(/^error: .*over\.pem was valid until 2021-01-01/),
    ]);
    expect(await look("cert.pem", "over-key.pem")).toContainEqual(
      expect.stringMatching(/^error: .*over-key\.pem is not the key of /),
    );
    expect(await look("none.pem", "key.pem")).toEqual([expect.stringMatching(/^error: .* → .*none\.pem: /)]);
    expect(await look("cert.pem", "away.pem")).toEqual([expect.stringMatching(/^error: ENOENT/)]);
    expect(await look("cert.pem", "key.pem", Date.UTC(2049, 11, 25))).toEqual([
      expect.stringMatching(/^warning: .* until 2049-12-31 only/),
    ]);
    expect(await look("cert.pem", "key.pem", Date.UTC(2019, 0, 1))).toEqual([
      expect.stringMatching(/^error: .* is valid from 2020-01-01/),
    ]);
    if (!isPosix) return;
    await chmod(workspace.path("key.pem"), 0o644);
    const readable = await findings((check) =>
      checkTls(check, workspace.path("cert.pem"), workspace.path("key.pem"), Date.now()),
    );
    expect(readable).toContainEqual(
      expect.objectContaining({ level: "warning", message: expect.stringMatching(/^others can read .*key\.pem$/) }),
    );
  });
});

describe("the database", () => {
  const look = async (path: string): Promise<readonly string[]> =>
    said(await findings((check) => checkDatabase(check, path)));

  it("is somebody else's, of another version, damaged, encrypted, or cannot be made", async () => {
    await using workspace = await Workspace.create({ "text.db": "this is text\n".repeat(100) });
    await mkdir(workspace.path("directory.db"));
    const foreign = new Database(workspace.path("foreign.db"));
    foreign.exec("CREATE TABLE theirs (id INTEGER)");
    foreign.close();
    for (const [name, version] of [
      ["newer.db", 999],
      ["older.db", 1],
    ] as const) {
      await sqliteStore({ path: workspace.path(name) }).close();
      const file = new Database(workspace.path(name));
      file.pragma(`user_version = ${version}`);
      file.close();
    }
    await sqliteStore({ path: workspace.path("sealed.db"), encryptionKeys: [new Uint8Array(32).fill(7)] }).close();
    for (const name of ["text.db", "foreign.db"]) await chmod(workspace.path(name), 0o600);
    expect(await look(workspace.path("text.db"))).toEqual([
      expect.stringMatching(/^error: .* is not the database of a runtime/),
    ]);
    expect(await look(workspace.path("foreign.db"))).toEqual([
      expect.stringMatching(/^error: .*another program's → name another one/),
    ]);
    expect(await look(workspace.path("newer.db"))).toEqual([
      expect.stringMatching(/^error: .* of version 999, .* → use the version/),
    ]);
    expect(await look(workspace.path("older.db"))).toEqual([
      expect.stringMatching(/^warning: .* of version 1: .* → start `arcp serve`/),
    ]);
    expect(await look(workspace.path("sealed.db"))).toEqual([
      expect.stringMatching(/^error: .* is encrypted, .* → set ARCP_DB_KEY/),
    ]);
    expect(await look(workspace.path("directory.db"))).toEqual([
      expect.stringMatching(/^error: .*directory\.db is no file → /),
    ]);
    expect(await look(workspace.path("text.db/below.db"))).toEqual([
      expect.stringMatching(/^error: .* cannot be made: /),
    ]);
    expect(await look(workspace.path("new/place.db"))).toEqual([
      expect.stringMatching(/^ok: .*which `arcp serve` will make/),
    ]);
    expect(await look(":memory:")).toEqual([expect.stringMatching(/^ok: in memory/)]);
  });

  it.runIf(isPosix)("is open to others", async () => {
    await using workspace = await Workspace.create();
    const path = workspace.path("open.db");
    await sqliteStore({ path }).close();
    await chmod(path, 0o644);
    expect(await look(path)).toEqual([`warning: others can read ${path} → chmod 600 ${path}`, `ok: ${path}`]);
  });

  it("is a PostgreSQL that is not there, and its password is not repeated", async () => {
    const lines = await look("postgresql://me:s3cret@127.0.0.1:1/arcp");
    expect(lines).toEqual([
      expect.stringMatching(/^error: postgresql:\/\/me@127\.0\.0\.1:1\/arcp: .* → start it, and look at host/),
    ]);
    expect(lines.join()).not.toContain("s3cret");
  });

  it.skipIf(reasonForNoPostgres() !== undefined)(
    "is a PostgreSQL without a schema, of a newer one, or without that user",
    SLOW,
    async () => {
      const url = new URL(await postgresUrl());
      const schema = freshSchema(url.href);
      url.searchParams.set("schema", schema);
      expect(await look(url.href)).toEqual([
        expect.stringMatching(/^warning: .*there is no schema .* → start `arcp serve`/),
      ]);
      const plain = await postgresUrl();
      await asked(plain, `CREATE SCHEMA ${schema}`);
      await asked(plain, `CREATE TABLE ${schema}.migration (version integer, at timestamptz)`);
      await asked(plain, `INSERT INTO ${schema}.migration VALUES (999, now())`);
      expect(await look(url.href)).toEqual([
        expect.stringMatching(/^error: .* is of version 999, .* → use the version/),
      ]);
      url.username = "nobody_of_that_name";
      expect(await look(url.href)).toEqual([expect.stringMatching(/^error: .* → look at the user, the password/)]);
    },
  );
});

describe("the network", () => {
  const listening = async (server: Server): Promise<number> => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
    return (server.address() as AddressInfo).port;
  };
  const isRuntime = async (): Promise<boolean> => false;

  it("has a port that another program listens on, and an address that is not this machine's", async () => {
    const port = await listening(createServer());
    const taken = await findings((check) => checkPort(check, "127.0.0.1", port, isRuntime));
    const owner = process.platform === "linux" ? `\\(process ${process.pid}\\)` : "another program";
    expect(said(taken)).toEqual([
      expect.stringMatching(new RegExp(`^error: port ${port} of 127\\.0\\.0\\.1 is in use by .*${owner} → stop that`)),
    ]);
    // TEST-NET-1 (RFC 5737): nobody has it.
    const away = await findings((check) => checkPort(check, "192.0.2.1", 7777, isRuntime));
    expect(said(away)).toEqual([expect.stringMatching(/^error: 192\.0\.2\.1 is no address of this machine → /)]);
    expect(said(await findings((check) => checkPort(check, "127.0.0.1", 0, isRuntime)))).toEqual([
      "ok: any free port of 127.0.0.1",
    ]);
  });

  it("has nobody at a URL, something else, or a URL that is none", async () => {
    const web = await listening(createHttpServer((_, response) => void response.writeHead(404).end()));
    const gone = createServer();
    const free = await listening(gone);
    await new Promise<void>((resolve) => void gone.close(() => resolve()));
    const look = async (url: string): Promise<readonly string[]> =>
      said(await findings((check) => checkRuntime(check, { url, token: "any" })));
    expect(await look(`ws://127.0.0.1:${free}/arcp`)).toEqual([
      expect.stringMatching(/^error: .*ECONNREFUSED.* → start it there: arcp serve/),
    ]);
    expect(await look(`ws://127.0.0.1:${web}/arcp`)).toEqual([
      expect.stringMatching(/^error: .* → look at host, port and path/),
    ]);
    expect(await look(`wss://127.0.0.1:${web}/arcp`)).toEqual([
      expect.stringMatching(/^error: .* → use ws:\/\/ where there is no TLS/),
    ]);
    expect(await look("nowhere")).toEqual([expect.stringMatching(/^error: /)]);
  });

  it.each([
    [0, "ok", "agrees with this machine's"],
    [10_000, "warning", "10 s ahead of this machine's"],
    [-3_600_000, "error", "3600 s behind this machine's: tokens and deadlines are misjudged"],
  ])("has a clock that is %d ms ahead: %s", async (aheadMs, level, message) => {
    // In the middle of the second that the runtime says.
    const now = Date.UTC(2026, 0, 1) + 500;
    const web = createHttpServer((_, response) => {
      response.writeHead(426, { date: new Date(now - 500 + aheadMs).toUTCString() }).end();
    });
    const skewMs = await clockSkewMs(`ws://127.0.0.1:${await listening(web)}/arcp`, () => now);
    const found = await findings((check) => judgeClock(check, skewMs ?? Number.NaN));
    expect(found).toMatchObject([{ level, message: expect.stringContaining(message) }]);
  });

  it("says nothing of a clock that it cannot read", async () => {
    expect(await clockSkewMs("unix:///tmp/socket")).toBeUndefined();
    const mute = await listening(createHttpServer({}, (_, response) => void response.setHeader("date", "").end()));
    expect(await clockSkewMs(`ws://127.0.0.1:${mute}/`)).toBeUndefined();
  });
});

it.runIf(isPosix)("does not use a token that is a link to another file", async () => {
  await using workspace = await Workspace.create({ elsewhere: "token\n" });
  await mkdir(workspace.path(".arcp"));
  await symlink(workspace.path("elsewhere"), workspace.path(".arcp/token"));
  const before = process.cwd();
  onTestFinished(() => process.chdir(before));
  process.chdir(workspace.directory);
  const found = await findings((check) => checkAccess(check, {}, { config: {}, directory: ".", file: undefined }));
  process.chdir(before);
  expect(said(found)).toEqual([
    "error: refused to use .arcp/token: it is not a plain file → remove it: `arcp serve` makes another one",
  ]);
});
