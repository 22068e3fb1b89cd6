import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { type ARCPError, type JobId, newJobId } from "@arcp/core";
import { describe, expect, test, vi } from "vitest";
import type { CredentialRequest } from "../../packages/runtime/src/engine/credentials/provisioner.ts";
import { type LiteLLMOptions, litellmProvisioner } from "../../packages/runtime/src/provisioners/litellm.ts";
import { covers } from "../support/covers.ts";
import { FakeLiteLLM } from "../support/fake-litellm.ts";

const NOW = Date.UTC(2026, 0, 1);
const never = new AbortController().signal;

function ask(overrides: Partial<CredentialRequest> = {}): CredentialRequest {
  return {
    ...{ credentialId: "cred_1", alias: "arcp-1", jobId: newJobId(), agent: "worker@1.0.0", principal: "alice" },
    ...{ lease: { "model.use": ["fast"] }, leaseConstraints: {}, budget: new Map(), expiresAt: undefined },
    guard: () => undefined,
    ...overrides,
  };
}

async function withUpstream(
  run: (
    upstream: FakeLiteLLM,
    provisioner: (options?: Partial<LiteLLMOptions>) => ReturnType<typeof litellmProvisioner>,
  ) => Promise<void>,
): Promise<void> {
  await using upstream = await FakeLiteLLM.start(() => NOW);
  await run(upstream, (options) =>
    litellmProvisioner({ baseUrl: upstream.url, masterKey: upstream.masterKey, now: () => NOW, ...options }),
  );
}

/** What a key for `overrides` is limited to at the upstream, and says that it is. */
async function minted(overrides: Partial<CredentialRequest>, options?: Partial<LiteLLMOptions>) {
  let result: { asked: Readonly<Record<string, unknown>> | undefined; constraints: unknown } | undefined;
  await withUpstream(async (upstream, provisioner) => {
    const { constraints } = await provisioner(options).issue(ask(overrides), never);
    result = { asked: upstream.keys[0]?.asked, constraints };
  });
  return result;
}

const use = (upstream: FakeLiteLLM, value: string, model: string): Promise<Response> =>
  fetch(`${upstream.url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${value}` },
    body: JSON.stringify({ model }),
  });

const refusal = (overrides: Partial<CredentialRequest>, options?: Partial<LiteLLMOptions>): Promise<ARCPError> =>
  minted(overrides, options).then(
    () => Promise.reject(new Error("it was issued")),
    (error: ARCPError) => error,
  );

const models = (...patterns: string[]) => ({ lease: { "model.use": patterns } });

describe("a key", () => {
  test("carries the lease's limits, and the job's name for whoever looks there", async () => {
    covers("V11-9.8-01", "V11-9.8.1-06", "V11-9.8.3-01", "V11-9.8.3-02", "V11-9.8.3-03");
    const jobId = "job_1" as JobId;
    const expiresAt = NOW + 90_999;
    const expires_at = new Date(expiresAt).toISOString();
    const request = {
      ...{ jobId, lease: { "model.use": ["fast", "cheap"], "cost.budget": ["USD:5"] }, expiresAt },
      ...{
        leaseConstraints: { expires_at },
        budget: new Map([
          ["USD", 1.25],
          ["credits", 3],
        ]),
      },
    };
    expect(await minted(request)).toEqual({
      asked: {
        ...{ key_alias: "arcp-1", models: ["fast", "cheap"], max_budget: 1.25, duration: "90s" },
        metadata: { arcp_job_id: "job_1", arcp_credential_id: "cred_1", arcp_agent: "worker@1.0.0" },
      },
      constraints: { "model.use": ["fast", "cheap"], "cost.budget": ["USD:1.25"], expires_at },
    });
  });

  test("is refused by the upstream beyond its models, its budget and its life", () =>
    withUpstream(async (upstream, provisioner) => {
      const subject = provisioner();
      const { value } = await subject.issue(ask({ budget: new Map([["USD", 0.02]]) }), never);
      expect((await use(upstream, value, "fast")).status).toBe(200);
      expect((await use(upstream, value, "dear")).status).toBe(403);
      expect((await use(upstream, value, "fast")).status).toBe(200);
      expect((await use(upstream, value, "fast")).status).toBe(400);
      await subject.revoke(
        { credentialId: "cred_1", alias: "arcp-1", upstreamId: undefined, jobId: newJobId() },
        never,
      );
      expect((await use(upstream, value, "fast")).status).toBe(401);
    }));

  test("always has an end, at most as far away as configured", async () => {
    const at = (ms: number) => ({
      expiresAt: NOW + ms,
      leaseConstraints: { expires_at: new Date(NOW + ms).toISOString() },
    });
    expect(await minted({})).toMatchObject({
      ...{ asked: { duration: "86400s" }, constraints: { expires_at: "2026-01-02T00:00:00.000Z" } },
    });
    expect(await minted(at(7_200_000), { maxDurationSec: 3_600 })).toMatchObject({
      ...{ asked: { duration: "3600s" }, constraints: { expires_at: "2026-01-01T01:00:00.000Z" } },
    });
    expect(await minted(at(400))).toMatchObject({ asked: { duration: "1s" } });
    expect(await refusal(at(0))).toMatchObject({ code: "LEASE_EXPIRED" });
  });

  test.each([
    [0.1, 0.1, "USD:0.1"],
    [1e-7, 1e-7, "USD:0.0000001"],
    [100, 100, "USD:100"],
    [999_999.999999999, 999_999.999999999, "USD:999999.999999999"],
  ])("has a budget of %d as an exact number", async (usd, max_budget, constraint) => {
    expect(await minted({ budget: new Map([["USD", usd]]) })).toMatchObject({
      ...{ asked: { max_budget }, constraints: { "cost.budget": [constraint] } },
    });
  });

  test("is not for a job without money left; one with other money has no limit and says none", async () => {
    covers("V11-9.8.3-04");
    expect(await refusal({ budget: new Map([["USD", 0]]) })).toMatchObject({ code: "BUDGET_EXHAUSTED" });
    expect(await refusal({ budget: new Map([["USD", -0.12]]) })).toMatchObject({ code: "BUDGET_EXHAUSTED" });
    const other = await minted({ budget: new Map([["EUR", 5]]) });
    expect(other?.asked).not.toHaveProperty("max_budget");
    expect(other?.constraints).not.toHaveProperty("cost.budget");
  });
});

describe("models", () => {
  const known = ["tier-fast/a", "tier-fast/b", "tier-fast/eu/a", "tier-slow/a", "gpt"];

  test.each<[string[], string[]]>([
    [["tier-fast/*"], ["tier-fast/a", "tier-fast/b"]],
    [["tier-fast/**"], ["tier-fast/a", "tier-fast/b", "tier-fast/eu/a"]],
    [
      ["*/a", "gpt"],
      ["tier-fast/a", "tier-slow/a", "gpt"],
    ],
    [["gpt", "unknown"], ["gpt"]],
    [["**"], known],
  ])("that %j covers are named one by one, if they are known", async (patterns, expected) => {
    covers("V11-9.8.2-11");
    expect(await minted(models(...patterns), { models: known })).toMatchObject({
      ...{ asked: { models: expected }, constraints: { "model.use": expected } },
    });
  });

  test("are never none, which would be all", async () => {
    expect(await refusal(models("unknown/*"), { models: known })).toMatchObject({ code: "PERMISSION_DENIED" });
    await withUpstream(async (_, provisioner) => {
      for (const lease of [{}, { "model.use": [] }]) {
        expect(provisioner().issuesFor({ lease, agent: "a@1", principal: "alice" })).toBe(false);
      }
    });
  });

  test.each<[string, string]>([
    ["gpt", "gpt"],
    ["tier-fast/eu/a", "tier-fast/eu/a"],
    ["tier-fast/**", "tier-fast/*"],
    ["**", "all-proxy-models"],
  ])("of %s are what LiteLLM calls so, if they are not known", async (pattern, expected) => {
    expect(await minted(models(pattern))).toMatchObject({
      ...{ asked: { models: [expected] }, constraints: { "model.use": [pattern] } },
    });
  });

  test.each(["tier-fast/*", "*", "gpt-*", "tier.fast/**", "a/b/**", "**/a", "all-proxy-models", "all-team-models"])(
    "of %s would be more at the upstream than in the lease: refused, and nothing is asked",
    (pattern) =>
      withUpstream(async (upstream, provisioner) => {
        const issued = provisioner().issue(ask(models("gpt", pattern)), never);
        await expect(issued).rejects.toMatchObject({ code: "PERMISSION_DENIED", details: { pattern } });
        expect(upstream.requests).toEqual([]);
      }),
  );
});

describe("the upstream", () => {
  /** One that gives every key another alias. Returns what it was asked, by path. */
  async function contrary(path: string, run: (baseUrl: string) => Promise<void>): Promise<[string, unknown][]> {
    const asked: [string, unknown][] = [];
    const server = createServer(async (request, response) => {
      asked.push([request.url ?? "", await json(request)]);
      response.end(JSON.stringify({ key: "sk-virtual-1", key_alias: "other" }));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
    server.closeAllConnections();
    server.close();
    return asked;
  }

  test.each(["/proxy", "/proxy/"])("that names the key otherwise gets it back at once, also under %s", async (path) => {
    const asked = await contrary(path, async (baseUrl) => {
      const issued = litellmProvisioner({ baseUrl, masterKey: "sk-m" }).issue(ask(), never);
      await expect(issued).rejects.toThrow("gave the key another alias");
    });
    expect(asked).toEqual([
      ["/proxy/key/generate", expect.objectContaining({ key_alias: "arcp-1" })],
      ["/proxy/key/delete", { keys: ["sk-virtual-1"] }],
    ]);
  });

  test("is told nothing but by its own address: redirects and proxies of the environment are not followed", () =>
    withUpstream(async (upstream, provisioner) => {
      await using other = await FakeLiteLLM.start();
      for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY"]) vi.stubEnv(name, other.url);
      vi.stubEnv("NODE_USE_ENV_PROXY", "1");
      try {
        upstream.fail("generate", { kind: "status", status: 307, headers: { location: `${other.url}/key/generate` } });
        await expect(provisioner().issue(ask(), never)).rejects.toMatchObject({ status: 307 });
        await provisioner().issue(ask(), never);
      } finally {
        vi.unstubAllEnvs();
      }
      expect(upstream.requests).toHaveLength(2);
      expect(other.requests).toEqual([]);
    }));

  test("is at the endpoint that jobs are told, unless that is another", () =>
    withUpstream(async (upstream, provisioner) => {
      const credential = { scheme: "bearer", profile: "openai", endpoint: `${upstream.url}/v1` };
      expect(await provisioner().issue(ask({ alias: "a" }), never)).toMatchObject(credential);
      const options = { endpoint: "https://x.example/v1", profile: "anthropic" };
      expect(await provisioner(options).issue(ask({ alias: "b" }), never)).toMatchObject(options);
    }));

  test("that sends and sends is not listened to for ever", () =>
    withUpstream(async (upstream, provisioner) => {
      upstream.fail("generate", { kind: "status", status: 200, body: `{"key":"${"a".repeat(1024 * 1024)}"}` });
      await expect(provisioner().issue(ask(), never)).rejects.toThrow("too long");
    }));

  test("is asked no longer than it is waited for", () =>
    withUpstream(async (upstream, provisioner) => {
      upstream.fail("generate", { kind: "hang" });
      const stop = new AbortController();
      const issued = provisioner().issue(ask(), stop.signal);
      setImmediate(() => stop.abort(new Error("enough")));
      await expect(issued).rejects.toThrow("enough");
    }));

  test("is understood when it refuses", () =>
    withUpstream(async (_, provisioner) => {
      const error = { status: 400, type: "budget_exceeded", message: "Budget has been exceeded!" };
      expect(provisioner().explain?.(error)).toMatchObject({ code: "BUDGET_EXHAUSTED" });
      expect(provisioner().explain?.(new Error("other"))).toBeUndefined();
    }));
});

test.each<[string, Partial<LiteLLMOptions>]>([
  ["a URL that is none", { baseUrl: "litellm:4000" }],
  ["a URL with a password", { baseUrl: "http://a:b@litellm" }],
  ["a URL with a query", { baseUrl: "http://litellm/?a=1" }],
  ["no key", { masterKey: "" }],
  ["no time", { maxDurationSec: 0 }],
  ["a fraction of a second", { maxDurationSec: 1.5 }],
  ["wildcards for models", { models: ["openai/*"] }],
  ["a name for all models", { models: ["all-proxy-models"] }],
])("options with %s are refused", (_, options) => {
  expect(() => litellmProvisioner({ baseUrl: "http://litellm:4000", masterKey: "sk-m", ...options })).toThrow(
    TypeError,
  );
});
