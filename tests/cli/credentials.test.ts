/** The keys of jobs as a program of the user's meets them, with a stock OpenAI client, and a runtime that is killed. */
import { ARCPClient, type JobHandle } from "@arcp/client";
import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { FakeUpstream } from "../gateway/fake-upstream.ts";
import { covers } from "../support/covers.ts";
import { FakeLiteLLM } from "../support/fake-litellm.ts";
import { PATIENT } from "./agents.ts";
import { type RunningRuntime, Workspace } from "./arcp.ts";

const TOKEN = "a-secret-token";
const MODELS = { "model.use": ["fast"] };

const files = (config: object): Record<string, string> => ({
  "patient.ts": PATIENT,
  "arcp.config.json": JSON.stringify({ agents: { patient: "./patient.ts" }, ...config }),
});

const litellmConfig = ({ url }: FakeLiteLLM): object => ({ litellm: { baseUrl: url, masterKey: { env: "K" } } });

const gatewayConfig = ({ origin }: FakeUpstream): object => ({
  gateway: {
    upstreams: [{ api: "openai", baseUrl: `${origin}/v1`, apiKey: { env: "K" }, models: ["fast", "best"] }],
    prices: { fast: { input: "1", output: "2" }, best: { input: "1", output: "2" } },
  },
});

const serve = (workspace: Workspace, key: string, args: readonly string[] = []): Promise<RunningRuntime> =>
  workspace.serve(args, { ARCP_TOKEN: `${TOKEN}=alice`, K: key });

const connect = ({ url }: RunningRuntime): Promise<ARCPClient> => ARCPClient.connect(url, { token: TOKEN });

/** Another vendor's client, with nothing but what the job was given. */
function openaiOf({ credentials }: JobHandle, { root = "" } = {}): OpenAI {
  const [credential] = credentials;
  return new OpenAI({ apiKey: credential?.value, baseURL: `${credential?.endpoint}${root}`, maxRetries: 0 });
}

const ask = (openai: OpenAI, model = "fast"): Promise<number> =>
  openai.chat.completions.create({ model, max_tokens: 1000, messages: [{ role: "user", content: "hi" }] }).then(
    () => 200,
    (error) => error.status,
  );

describe("a stock OpenAI client with the key of a job", () => {
  it("at the gateway: within model, budget and time, and dead after the job", async () => {
    covers("V11-9.8.2-01", "V11-9.8.3-01");
    await using upstream = await FakeUpstream.start();
    upstream.usage = { input: 0, output: 1000 };
    await using workspace = await Workspace.create(files(gatewayConfig(upstream)));
    const client = await connect(await serve(workspace, "sk-vendor"));
    const leaseRequest = { ...MODELS, "cost.budget": ["USD:0.0045"] };
    const job = await client.submit({ agent: "patient", leaseRequest });
    const openai = openaiOf(job);
    expect(await ask(openai)).toBe(200);
    expect(await ask(openai, "best")).toBe(403);
    expect(await ask(openai)).toBe(200);
    // What is left would not pay for the answer that is asked for.
    expect(await ask(openai)).toBe(402);
    expect(upstream.heard.map(({ headers }) => headers.authorization)).toEqual([
      "Bearer sk-vendor",
      "Bearer sk-vendor",
    ]);

    await client.cancelJob(job.jobId);
    await expect(job.done).rejects.toMatchObject({ code: "CANCELLED" });
    expect(await ask(openai)).toBe(401);
    expect(upstream.heard).toHaveLength(2);

    const brief = await client.submit({
      agent: "patient",
      leaseRequest: MODELS,
      leaseConstraints: { expiresAt: new Date(Date.now() + 1000) },
    });
    const late = openaiOf(brief);
    expect(await ask(late)).toBe(200);
    // The first use that is too late ends the job.
    let status = 200;
    while (status === 200) status = await ask(late);
    expect([401, 403]).toContain(status);
    await expect(brief.done).rejects.toMatchObject({ code: "LEASE_EXPIRED" });
    await client.close();
  });

  it("at LiteLLM, whose administration fails twice and then works", async () => {
    await using litellm = await FakeLiteLLM.start();
    await using workspace = await Workspace.create(files(litellmConfig(litellm)));
    const client = await connect(await serve(workspace, litellm.masterKey));
    const fault = { kind: "status", status: 503 } as const;
    litellm.fail("generate", fault, fault);
    litellm.costUsd = 0.5;
    const job = await client.submit({ agent: "patient", leaseRequest: { ...MODELS, "cost.budget": ["USD:1"] } });
    expect(litellm.requests.filter(({ route }) => route === "generate")).toHaveLength(3);
    const openai = openaiOf(job);
    expect(await ask(openai)).toBe(200);
    expect(await ask(openai, "best")).toBe(403);
    expect(await ask(openai)).toBe(200);
    expect(await ask(openai)).toBe(400);

    litellm.fail("delete", fault, fault);
    await client.cancelJob(job.jobId);
    await expect(job.done).rejects.toMatchObject({ code: "CANCELLED" });
    await litellm.until(({ live }) => live.length === 0);
    expect(await ask(openai)).toBe(401);
    await client.close();
  });
});

describe("a runtime that is killed", () => {
  it("revokes, when it is started again, what it had issued", async () => {
    covers("V11-9.8.2-04");
    await using litellm = await FakeLiteLLM.start();
    await using workspace = await Workspace.create(files(litellmConfig(litellm)));
    const runtime = await serve(workspace, litellm.masterKey);
    const client = await connect(runtime);
    const openai = openaiOf(await client.submit({ agent: "patient", leaseRequest: MODELS }));
    await runtime.command.kill("SIGKILL");
    client.abort();
    expect(await ask(openai)).toBe(200);
    expect(litellm.live).toHaveLength(1);
    await serve(workspace, litellm.masterKey);
    await litellm.until(({ live }) => live.length === 0);
    expect(await ask(openai)).toBe(401);
  });

  it("also what it had asked for, and was not told of", async () => {
    await using litellm = await FakeLiteLLM.start();
    await using workspace = await Workspace.create(files(litellmConfig(litellm)));
    const runtime = await serve(workspace, litellm.masterKey);
    const client = await connect(runtime);
    litellm.fail("generate", { kind: "silent" });
    client.submit({ agent: "patient", leaseRequest: MODELS }).catch(() => {});
    await litellm.until(({ keys }) => keys.length === 1);
    await runtime.command.kill("SIGKILL");
    client.abort();
    expect(litellm.live).toHaveLength(1);
    const after = await serve(workspace, litellm.masterKey);
    await litellm.until(({ live }) => live.length === 0);
    const again = await connect(after);
    expect((await again.listJobs()).jobs).toEqual([]);
    await again.close();
  });

  it("took the gateway's keys with it, also from one that has the same address", async () => {
    await using upstream = await FakeUpstream.start();
    await using workspace = await Workspace.create(files(gatewayConfig(upstream)));
    const runtime = await serve(workspace, "sk-vendor");
    const client = await connect(runtime);
    const job = await client.submit({ agent: "patient", leaseRequest: MODELS });
    const openai = openaiOf(job);
    expect(await ask(openai)).toBe(200);
    await runtime.command.kill("SIGKILL");
    client.abort();
    const after = await serve(workspace, "sk-vendor");
    const gateway = String(after.command.lines[0]?.["gateway"]);
    const moved = new OpenAI({ apiKey: openai.apiKey, baseURL: `${gateway}/v1`, maxRetries: 0 });
    expect(await ask(moved)).toBe(401);
    expect(upstream.heard).toHaveLength(1);
    const listed = await workspace.run(["credentials", "--all"]);
    expect(listed.lines.map(({ state }) => state)).toEqual(["revoked"]);
  });
});
