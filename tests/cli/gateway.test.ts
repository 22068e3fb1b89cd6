/** `arcp gateway`: a model gateway by itself, in a process of its own. */
import { chmod, readFile, writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { FakeUpstream } from "../gateway/fake-upstream.ts";
import { Workspace } from "./arcp.ts";

const MASTER = "sk-master-0123456789abcdef";
const ENV = { UPSTREAM_KEY: "sk-real", ARCP_GATEWAY_MASTER_KEY: MASTER };

const configured = (baseUrl: string): Record<string, string> => ({
  "arcp.config.json": JSON.stringify({
    gateway: {
      upstreams: [{ api: "openai", baseUrl, apiKey: { env: "UPSTREAM_KEY" }, models: ["fast"] }],
      prices: { fast: { input: "1", output: "2" } },
    },
  }),
});

async function started(workspace: Workspace, args: readonly string[] = [], env: NodeJS.ProcessEnv = ENV) {
  const command = workspace.start(["gateway", "--json", "--port", "0", ...args], env);
  const { url } = await command.sees(({ type }) => type === "ready");
  return { command, url: String(url) };
}

const post = (url: string, path: string, key: string, body: object): Promise<Response> =>
  fetch(`${url}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

async function newKey(url: string): Promise<string> {
  const made = await post(url, "/key/generate", MASTER, { models: ["fast"], max_budget: 1 });
  expect(made.status).toBe(200);
  return ((await made.json()) as { readonly key: string }).key;
}

const chat = (url: string, key: string): Promise<Response> =>
  post(url, "/v1/chat/completions", key, {
    model: "fast",
    max_tokens: 10,
    messages: [{ role: "user", content: "hi" }],
  });

describe("arcp gateway", () => {
  it("makes keys that outlive it, and stops gracefully", async () => {
    await using upstream = await FakeUpstream.start();
    await using workspace = await Workspace.create(configured(`${upstream.origin}/v1`));
    const first = await started(workspace, ["--key-file", "keys/keys.jsonl"]);
    expect(first.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const key = await newKey(first.url);
    expect((await chat(first.url, key)).status).toBe(200);
    expect(upstream.last.headers.authorization).toBe("Bearer sk-real");
    const second = await workspace.run(["gateway", "--port", "0", "--key-file", "keys/keys.jsonl"], { env: ENV });
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/keys\.jsonl is in use by another server \(process \d+\); give this one a key file/);
    const { code, stdout, stderr } = await first.command.kill("SIGTERM");
    expect(code).toBe(0);
    expect(stdout + stderr).not.toMatch(/sk-/);
    expect(await readFile(workspace.path("keys/keys.jsonl"), "utf8")).not.toContain(key);
    const again = await started(workspace, ["--key-file", "keys/keys.jsonl"]);
    expect((await chat(again.url, key)).status).toBe(200);
  });

  it.runIf(process.platform !== "win32")("takes its master key from a file that nobody else can read", async () => {
    await using upstream = await FakeUpstream.start();
    await using workspace = await Workspace.create(configured(`${upstream.origin}/v1`));
    await writeFile(workspace.path("master"), `${MASTER}\n`);
    const env = { UPSTREAM_KEY: "sk-real" };
    const args = ["--master-key-file", "master"];
    const open = await workspace.run(["gateway", "--port", "0", ...args], { env });
    expect(open.code).toBe(64);
    expect(open.stderr).toMatch(/master: others can read it; chmod 600 it/);
    await chmod(workspace.path("master"), 0o600);
    const { url } = await started(workspace, args, env);
    expect((await chat(url, await newKey(url))).status).toBe(200);
  });

  const refusals: readonly (readonly [string, readonly string[], NodeJS.ProcessEnv, RegExp])[] = [
    ["without a master key", [], { UPSTREAM_KEY: "k" }, /the master key \(\$ARCP_GATEWAY_MASTER_KEY\): it is empty/],
    ["without the upstream's key", [], { ARCP_GATEWAY_MASTER_KEY: MASTER }, /apiKey of .* \(\$UPSTREAM_KEY\)/],
    ["beyond this machine in the clear", ["--host", "0.0.0.0"], ENV, /refused to listen on 0\.0\.0\.0 without TLS/],
    ["on a port that is none", ["--port", "x"], ENV, /not a port: x/],
    ["with half of TLS", ["--tls-cert", "cert.pem"], ENV, /go together/],
  ];
  it.each(refusals)("does not start %s", async (_, args, env, message) => {
    await using workspace = await Workspace.create(configured("http://127.0.0.1:1/v1"));
    const { code, stdout, stderr } = await workspace.run(["gateway", ...args], { env });
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^arcp: [^\n]+\n$/);
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
  });

  it("says where its upstreams are to be written", async () => {
    await using workspace = await Workspace.create();
    const { code, stderr } = await workspace.run(["gateway"], { env: ENV });
    expect(code).toBe(64);
    expect(stderr).toMatch(/^arcp: there is no configuration: write the upstreams/);
  });
});
