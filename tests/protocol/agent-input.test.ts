/** What input an agent takes: refused where it does not fit, and told to whoever asks. */
import { InvalidRequestError } from "@arcp/core";
import type { AgentHandler, AgentInputSchema, AgentOptions } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { type HarnessOptions, startHarness } from "../support/harness.ts";

const echo: AgentHandler = async (input) => ({ heard: input });

const QUESTION = {
  type: "object",
  title: "A question",
  properties: {
    question: { type: "string", minLength: 3, description: "What to look for" },
    depth: { type: "integer", minimum: 1, maximum: 5, default: 2 },
    sources: { type: "array", items: { type: "object", properties: { url: { type: "string", format: "uri" } } } },
  },
  required: ["question"],
};

const harnessWith = (options: AgentOptions, harness: HarnessOptions = {}) => {
  const made = startHarness(harness);
  made.server.registerAgent("research@1.2.0", echo, options);
  made.server.registerAgent("anything", echo);
  return made;
};

const refusal = (promise: Promise<unknown>): Promise<InvalidRequestError> =>
  promise.then(
    () => Promise.reject(new Error("it was not refused")),
    (error) => {
      expect(error).toBeInstanceOf(InvalidRequestError);
      return error as InvalidRequestError;
    },
  );

describe.each(["memory", "http"] as const)("over %s", (carrier) => {
  test("an input that does not fit is refused with the place, and one that fits is taken", async () => {
    await using harness = harnessWith({ inputSchema: QUESTION }, { carrier });
    const client = await harness.client();
    const input = { question: "why?", sources: [{ url: "https://a.example/" }, { url: "not one" }] };
    const error = await refusal(client.submit({ agent: "research", input }));
    expect(error.message).toBe('the input of research is not valid: /sources/1/url: must match format "uri"');
    expect(error.details).toMatchObject({ agent: "research@1.2.0", path: "/sources/1/url" });
    expect(error.retryable).toBe(false);
    const whole = await refusal(client.submit({ agent: "research" }));
    expect(whole.details).toMatchObject({ path: "", problem: "must be object" });
    const job = await client.submit({ agent: "research", input: { question: "why?" } });
    await expect(job.done).resolves.toMatchObject({ result: { heard: { question: "why?" } } });
  });

  test("whoever asks is told the schema, of the version that is meant", async () => {
    await using harness = harnessWith({ inputSchema: QUESTION, description: "Looks things up" }, { carrier });
    const client = await harness.client();
    expect(await client.describeAgent("research")).toEqual({
      ...{ agent: "research@1.2.0", description: "Looks things up", inputSchema: QUESTION },
    });
    expect(await client.describeAgent("anything")).toEqual({
      ...{ agent: "anything@0.0.0", description: undefined, inputSchema: undefined },
    });
    await expect(client.describeAgent("nobody")).rejects.toMatchObject({ code: "AGENT_NOT_AVAILABLE" });
  });
});

test("a schema of zod is told as JSON Schema, and kept", async () => {
  const inputSchema = z.object({ path: z.string().min(1), mode: z.enum(["fast", "thorough"]).default("fast") });
  await using harness = harnessWith({ inputSchema });
  const client = await harness.client();
  const { inputSchema: told } = await client.describeAgent("research");
  expect(told).toMatchObject({ type: "object", required: ["path"], properties: { mode: { default: "fast" } } });
  const { details } = await refusal(client.submit({ agent: "research", input: { path: "/a", mode: "slow" } }));
  expect(details).toMatchObject({ path: "/mode" });
});

test.each([
  ["no schema", { type: "strnig" }],
  ["a keyword that is not supported", { $dynamicRef: "#a" }],
  ["a reference to elsewhere", { $ref: "http://169.254.169.254/" }],
  ["itself again", { allOf: [{ $ref: "#" }] }],
  ["a pattern that is none", { type: "string", pattern: "(" }],
  ["too many values", { enum: Array.from({ length: 2000 }, (_, index) => index) }],
  ["more than 64 KiB", { description: "x".repeat(65_536) }],
  ["names that every object has", JSON.parse('{"properties":{"__proto__":{"default":{"x":1}}}}')],
  ["a library without JSON Schema", { "~standard": { version: 1, vendor: "other", validate: () => ({}) } }],
] as const)("an agent is not registered with %s", (_, inputSchema) => {
  const { server } = startHarness();
  expect(() =>
    server.registerAgent("research", echo, { inputSchema: inputSchema as unknown as AgentInputSchema }),
  ).toThrow(/^the input schema of research is not taken: /);
});

test.each([
  ["runs out of time", { type: "string", pattern: "^(a+)+$" }, `${"a".repeat(64)}!`, "too_slow"],
  ["has a name that every object has", {}, JSON.parse('{"toString":1}'), "unsafe_name"],
])("an input that %s is refused, and nothing else suffers", async (_, inputSchema, input, reason) => {
  await using harness = harnessWith({ inputSchema });
  const client = await harness.client();
  expect((await refusal(client.submit({ agent: "research", input }))).details).toMatchObject({ reason });
  await expect((await client.submit({ agent: "anything", input: 1 })).done).resolves.toMatchObject({
    result: { heard: 1 },
  });
});

test("inputs may be as large as a frame", async () => {
  await using harness = harnessWith({ inputSchema: { type: "string" } });
  const client = await harness.client();
  const input = "x".repeat(500_000);
  await expect((await client.submit({ agent: "research", input })).done).resolves.toMatchObject({
    result: { heard: input },
  });
});

test("wire 1.0 refuses the same", async () => {
  await using harness = harnessWith({ inputSchema: QUESTION });
  const client = await harness.rawSession10();
  const error = await client.invoke("research", { question: "no" });
  expect(error.payload).toMatchObject({ code: "INVALID_ARGUMENT", details: { path: "/question" } });
});

test("what an agent delegates is checked, too", async () => {
  await using harness = harnessWith({ inputSchema: QUESTION });
  harness.server.registerAgent("boss", async (_input, ctx) => {
    const problem = await ctx
      .delegate({ agent: "research", input: { question: 1 }, lease_request: {} })
      .done.catch(String);
    const { result } = await ctx.delegate({ agent: "research", input: { question: "why?" }, lease_request: {} }).done;
    return { problem, result };
  });
  const client = await harness.client();
  const job = await client.submit({ agent: "boss", leaseRequest: { "agent.delegate": ["research"] } });
  expect((await job.done).result).toEqual({
    problem: expect.stringContaining("the input of research is not valid: /question: must be string"),
    result: { heard: { question: "why?" } },
  });
});

test("a submission that is only checked says what would be granted, and makes no job", async () => {
  await using harness = harnessWith(
    { inputSchema: QUESTION },
    {
      server: {
        leasePolicy: (request) => ({ "fs.read": request["fs.read"]?.filter((text) => !text.startsWith("/etc")) ?? [] }),
      },
    },
  );
  const client = await harness.client();
  const input = { question: "why?" };
  const lease = { "fs.read": ["/etc/hosts", "/srv/app/**"], "net.fetch": ["https://a.example/**"] };
  const expiresAt = new Date(Date.now() + 60_000).toISOString();
  expect(
    await client.checkSubmission({ agent: "research", input, leaseRequest: lease, leaseConstraints: { expiresAt } }),
  ).toEqual({
    ...{ agent: "research@1.2.0", lease: { "fs.read": ["/srv/app/**"] }, leaseConstraints: { expiresAt } },
  });
  const { details } = await refusal(client.checkSubmission({ agent: "research", input: {} }));
  expect(details).toMatchObject({ problem: "must have required property 'question'" });
  await refusal(client.checkSubmission({ agent: "research", input, leaseRequest: { "fs.read": ["srv"] } }));
  await refusal(
    client.checkSubmission({ agent: "research", input, leaseConstraints: { expiresAt: "2001-01-01T00:00:00Z" } }),
  );
  expect((await client.listJobs()).jobs).toEqual([]);
});

test("the welcome says what the credentials permit, to those who ask for it", async () => {
  const bearer = {
    verify: async (token: string) => ({
      principal: "alice",
      ...(token === "reader" && { permissions: ["observe:own"] as const }),
    }),
  };
  await using harness = startHarness({ server: { bearer } });
  const all = await harness.client();
  expect(all.session?.permissions).toEqual(new Set(["submit", "observe:own", "answer"]));
  const reader = await harness.client({ token: "reader" });
  expect(reader.session?.permissions).toEqual(new Set(["observe:own"]));
  await expect(reader.describeAgent("a")).rejects.toMatchObject({ details: { permission: "submit" } });
  const old = await harness.client({ features: ["subscribe"] });
  expect(old.session?.permissions).toBeUndefined();
  await refusal(old.describeAgent("a"));
  await refusal(old.checkSubmission({ agent: "a" }));
});
