/** What `arcp serve` gives to jobs by its configuration: tools, and credentials of a gateway and of LiteLLM. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { FakeUpstream } from "../gateway/fake-upstream.ts";
import { FakeLiteLLM } from "../support/fake-litellm.ts";
import { Workspace } from "./arcp.ts";

/** Calls the model with each credential, and the tool; answers with what they said. */
const WORKER = `
export default async function worker(input, ctx) {
  const statuses = [];
  for (const credential of ctx.credentials) {
    const response = await fetch(credential.endpoint + "/chat/completions", {
      method: "POST",
      headers: { authorization: "Bearer " + credential.reveal(), "content-type": "application/json" },
      body: JSON.stringify({ model: "fast", max_tokens: 10, messages: [{ role: "user", content: "hi" }] }),
    });
    statuses.push(response.status);
  }
  return { statuses, sum: await ctx.callTool("sum", [1, 2]) };
}`;

const TOOL = "export default { handler: (numbers) => numbers.reduce((a, b) => a + b, 0) };";

const configured = (config: object): Record<string, string> => ({
  "worker.ts": WORKER,
  "sum.ts": TOOL,
  "arcp.config.json": JSON.stringify({ agents: { worker: "./worker.ts" }, tools: { sum: "./sum.ts" }, ...config }),
});

const gatewayOf = (upstream: FakeUpstream): object => ({
  upstreams: [{ api: "openai", baseUrl: `${upstream.origin}/v1`, apiKey: { env: "UPSTREAM_KEY" }, models: ["fast"] }],
  prices: { fast: { input: "1", output: "2" } },
});

const LEASE = ["--lease", "model.use=fast", "--lease", "tool.call=sum", "--budget", "USD:1"];

describe("arcp serve with a gateway, LiteLLM and tools", () => {
  it("says that they are on, and gives jobs what their leases cover", async () => {
    await using upstream = await FakeUpstream.start();
    await using litellm = await FakeLiteLLM.start();
    await using workspace = await Workspace.create(
      configured({
        gateway: gatewayOf(upstream),
        litellm: { baseUrl: litellm.url, masterKey: { env: "LITELLM_KEY" } },
      }),
    );
    const { url, command } = await workspace.serve([], { UPSTREAM_KEY: "sk-real", LITELLM_KEY: litellm.masterKey });
    expect(command.lines[0]).toMatchObject({ tools: ["sum"], provisioners: ["litellm", "arcp-gateway"] });
    expect(command.lines[0]?.["gateway"]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const { code, lines, stdout } = await workspace.run(["submit", "worker", "--url", url, ...LEASE]);
    expect(lines.at(-1)).toHaveProperty("result", { statuses: [200, 200], sum: 3 });
    expect(code).toBe(0);
    expect(upstream.last.headers.authorization).toBe("Bearer sk-real");
    expect(stdout).not.toMatch(/sk-/);
    const refused = await workspace.run(["submit", "worker", "--url", url]);
    expect(refused.code).toBe(2);
    await command.kill("SIGTERM");
    expect(command.process.exitCode).toBe(0);
    expect(litellm.live).toEqual([]);
    const database = await readFile(workspace.path(".arcp/runtime.db"), "latin1");
    expect(database).not.toContain("sk-real");
    expect(database).not.toContain(litellm.keys[0]?.value);
  });

  const refusals: readonly (readonly [string, readonly string[], NodeJS.ProcessEnv, object, RegExp])[] = [
    ["a store that forgets", ["--db", ":memory:"], { K: "k" }, {}, /credentials need a database/],
    ["a store that is not synchronous", ["--sync", "normal"], { K: "k" }, {}, /credentials need a database/],
    ["a key that is not set", [], {}, {}, /litellm: the master key \(\$K\): it is empty or not set/],
    ["a misspelt setting", [], { K: "k" }, { gateway: { upstream: [] } }, /gateway: there is no setting "upstream"/],
    ["a gateway without upstreams", [], { K: "k" }, { gateway: { upstreams: [] } }, /it has no upstreams/],
    ["a tool without a handler", [], { K: "k" }, { tools: { sum: "./worker.ts" } }, /tool sum: it has no handler/],
  ];
  it.each(refusals)("refuses %s", async (_, args, env, config, message) => {
    await using workspace = await Workspace.create(
      configured({ litellm: { baseUrl: "http://127.0.0.1:1", masterKey: { env: "K" } }, ...config }),
    );
    const { code, stdout, stderr } = await workspace.run(["serve", "--port", "0", ...args], { env });
    expect({ code, stdout }).toEqual({ code: 64, stdout: "" });
    expect(stderr).toMatch(message);
  });
});

describe("arcp credentials", () => {
  it("lists what could not be revoked, and with --all the rest, without a secret", async () => {
    await using litellm = await FakeLiteLLM.start();
    await using workspace = await Workspace.create(
      configured({ litellm: { baseUrl: litellm.url, masterKey: { env: "K" } } }),
    );
    const { url, command } = await workspace.serve([], { K: litellm.masterKey });
    await workspace.run(["submit", "worker", "--url", url, ...LEASE]);
    litellm.failAlways("delete", { kind: "status", status: 500 });
    await workspace.run(["submit", "worker", "--url", url, ...LEASE]);
    await command.kill("SIGTERM");
    const [dead, left] = litellm.keys;
    const outstanding = await workspace.run(["credentials"]);
    expect(outstanding).toMatchObject({ code: 0, stderr: "" });
    expect(outstanding.lines).toHaveLength(1);
    expect(outstanding.lines[0]).toMatchObject({ alias: left?.alias, provisioner: "litellm", state: "revoking" });
    expect(Number(outstanding.lines[0]?.["attempts"])).toBeGreaterThan(0);
    expect(outstanding.lines[0]?.["last_error"]).toEqual(expect.any(String));
    const all = await workspace.run(["credentials", "--all"]);
    expect(all.lines.map(({ alias, state }) => [alias, state])).toEqual([
      [dead?.alias, "revoked"],
      [left?.alias, "revoking"],
    ]);
    const table = await workspace.run(["credentials", "--no-json"]);
    expect(table.stdout).toMatch(/^CREDENTIAL +ALIAS +JOB +PROVISIONER +STATE +SINCE +ATTEMPTS +LAST ERROR\n/);
    for (const { stdout } of [outstanding, all, table]) expect(stdout).not.toContain(left?.value);
  });

  it("says so when there are none, and refuses a file that is not there", async () => {
    await using workspace = await Workspace.create();
    const { command } = await workspace.serve([]);
    await command.kill("SIGTERM");
    expect(await workspace.run(["credentials"])).toMatchObject({ code: 0, stdout: "" });
    expect(await workspace.run(["credentials", "--no-json"])).toMatchObject({ code: 0, stdout: "no credentials\n" });
    expect((await workspace.run(["credentials", "--db", "nowhere.db"])).code).toBe(64);
  });
});
