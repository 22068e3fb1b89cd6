import { readFile, stat } from "node:fs/promises";
import { ARCPClient } from "@arcp/client";
import { StdioTransport } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { ECHO } from "./agents.ts";
import { Workspace } from "./arcp.ts";

const isPosix = process.platform !== "win32";

describe("where serve answers", () => {
  it("is found on /arcp, / and /ws, or on the one path that was chosen", async () => {
    await using workspace = await Workspace.create();
    const usual = await workspace.serve(["--db", ":memory:"]);
    for (const path of ["/arcp", "", "/", "/ws"]) {
      const { code } = await workspace.run(["agents", "--uri", `ws://127.0.0.1:${usual.port}${path}`]);
      expect({ path, code }).toEqual({ path, code: 0 });
    }
    const chosen = await workspace.serve(["--db", ":memory:", "--path", "/ours"]);
    expect((await workspace.run(["agents", "--url", chosen.url])).code).toBe(0);
    const elsewhere = await workspace.run(["agents", "--url", `ws://127.0.0.1:${chosen.port}/ws`]);
    expect(elsewhere).toMatchObject({ code: 1, stderr: expect.stringContaining("404") });
  });

  it.runIf(isPosix)("listens on a Unix socket that only this user can write to, alone or beside a port", async () => {
    await using workspace = await Workspace.create();
    const { url, command } = await workspace.serve(["--unix", "a socket#1", "--db", ":memory:"].concat("--port", "0"));
    expect(url).toMatch(/^ws:/);
    const { urls } = await command.sees(({ type }) => type === "ready");
    const [, socket = ""] = urls as string[];
    expect(socket).toMatch(/^unix:\/\/\/.*\/a%20socket%231$/);
    expect((await stat(workspace.path("a socket#1"))).mode & 0o777).toBe(0o600);
    expect((await workspace.run(["agents", "--url", socket])).code).toBe(0);
    const stranger = await workspace.run(["agents"], { env: { ARCP_URL: socket, ARCP_TOKEN: "wrong" } });
    expect(stranger).toMatchObject({ code: 1, stderr: expect.stringContaining("UNAUTHENTICATED") });
    await command.kill("SIGTERM");

    const alone = workspace.start(["serve", "--unix", "alone", "--json", "--db", ":memory:"]);
    const ready = await alone.sees(({ type }) => type === "ready");
    expect(ready["urls"]).toEqual([expect.stringMatching(/^unix:.*\/alone$/)]);
    expect((await workspace.run(["agents", "--url", String(ready["url"])])).code).toBe(0);
    await alone.kill("SIGTERM");
    await expect(stat(workspace.path("alone"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("says which carriers exclude each other", async () => {
    await using workspace = await Workspace.create();
    for (const args of [
      ["--stdio", "--ws"],
      ["--transport", "stdio", "--ws"],
      ["--stdio", "--unix", "x"],
    ]) {
      const { code, stderr } = await workspace.run(["serve", ...args]);
      expect({ code, stderr }).toEqual({ code: 64, stderr: expect.stringMatching(/^arcp: --stdio and --\w+ exclude/) });
    }
  });
});

describe("serve --ws without a token", () => {
  it("lets any token in on this machine, with a warning, and none that is empty", async () => {
    await using workspace = await Workspace.create();
    const { url, command } = await workspace.serve(["--ws"]);
    expect(command.stderr).toMatch(/^arcp: warning: whoever can reach this port[^\n]*set ARCP_TOKEN to lock it down\n/);
    for (const token of ["any", "other"]) {
      expect((await workspace.run(["agents", "--url", url], { env: { ARCP_TOKEN: token } })).code).toBe(0);
    }
    expect(await workspace.run(["agents", "--url", url])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("UNAUTHENTICATED"),
    });
    // Nothing is made for a developer who does not need it.
    await expect(stat(workspace.path(".arcp/token"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("is locked down by a token, and never listens beyond this machine", async () => {
    await using workspace = await Workspace.create();
    const { url, command } = await workspace.serve(["--ws"], { ARCP_TOKEN: "one=alice" });
    expect(command.stderr).not.toContain("warning");
    expect((await workspace.run(["agents", "--url", url], { env: { ARCP_TOKEN: "any" } })).code).toBe(1);
    expect((await workspace.run(["agents", "--url", url], { env: { ARCP_TOKEN: "one" } })).code).toBe(0);
    const exposed = await workspace.run(["serve", "--ws", "--host", "0.0.0.0", "--allow-insecure"]);
    expect(exposed).toMatchObject({ code: 64, stderr: expect.stringContaining("without tokens") });
  });
});

it("takes whatever the parent process shows over stdio for its own", async () => {
  await using workspace = await Workspace.create({ "echo.ts": ECHO });
  const child = workspace.start(["serve", "--transport", "stdio", "--agent", "echo=./echo.ts"]);
  const client = new ARCPClient({ token: "any" });
  await client.connect(new StdioTransport({ input: child.process.stdout, output: child.process.stdin }));
  expect((await (await client.submit({ agent: "echo", input: 1 })).done).result).toEqual({ echoed: 1 });
  await client.close();
  expect((await child.end()).code).toBe(0);
});

describe("what stays beside the database", () => {
  it.runIf(isPosix)("is a key that the runtime is known by, and a directory of artifacts", async () => {
    await using workspace = await Workspace.create();
    const fingerprintOf = async (args: readonly string[]): Promise<unknown> => {
      const { command } = await workspace.serve(args);
      const ready = await command.sees(({ type }) => type === "ready");
      await command.kill("SIGTERM");
      return ready["fingerprint"];
    };
    const first = await fingerprintOf(["--db", "one.db"]);
    expect(first).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await fingerprintOf(["--db", "one.db"])).toBe(first);
    expect(await fingerprintOf(["--db", "two.db"])).not.toBe(first);
    const key = (await readFile(workspace.path("one.db.key"), "utf8")).trim();
    expect(String(first)).not.toContain(key);
    expect((await stat(workspace.path("one.db.key"))).mode & 0o777).toBe(0o600);
    expect((await stat(workspace.path("one.db.artifacts"))).mode & 0o777).toBe(0o700);
  });

  it("is not taken from another program", async () => {
    await using workspace = await Workspace.create({
      "notes.txt": "not a database at all, but longer than a header\n",
    });
    const { code, stderr } = await workspace.run(["serve", "--db", "notes.txt", "--port", "0"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^arcp: notes\.txt is not the database of a runtime: [^\n]+\n$/);
  });
});
