/** Stock OpenAI clients at the gateway. */
import { BudgetExhaustedError, LeaseExpiredError, PermissionDeniedError } from "@arcp/core";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { explainUpstreamRefusal } from "../../packages/runtime/src/provisioners/upstream-refusal.ts";
import { covers } from "../support/covers.ts";
import { Fixture, HELLO, OPENAI_SECRET, rejection } from "./fixture.ts";

const LEASE = { "model.use": ["gpt-small", "tier-fast/*"], "cost.budget": ["USD:1.00"] };

test("a chat within the lease is answered, and its real usage is taken from the budget", async () => {
  covers("V11-14-16", "V11-9.8.2-03");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  expect(credential).toMatchObject({ scheme: "bearer", endpoint: `${fixture.origin}/v1`, profile: "openai" });
  const client = new OpenAI({ apiKey: credential.value, baseURL: credential.endpoint });
  fixture.upstream.usage = { input: 100, output: 50, cached: 40 };
  const completion = await client.chat.completions.create({ model: "gpt-small", messages: HELLO, max_tokens: 200 });
  expect(completion.choices[0]?.message.content).toBe("Hello");
  // 60 x 1 + 40 x 0.5 + 50 x 2, per million.
  expect(job.spent()).toBe(0.00018);
  expect(job.held()).toBe(0);
  expect(job.metrics).toEqual([
    {
      name: "cost.inference",
      value: 0.00018,
      unit: "USD",
      dimensions: { model: "gpt-small", input_tokens: 60, output_tokens: 50, cached_input_tokens: 40 },
    },
  ]);
  expect(job.journal).toMatchObject([
    {
      args: { model: "gpt-small", endpoint: "/v1/chat/completions", stream: false, max_output_tokens: 200 },
      result: { status: 200, cost: "0.00018", currency: "USD" },
    },
  ]);
  expect(fixture.upstream.last.headers.authorization).toBe(`Bearer ${OPENAI_SECRET}`);
  expect(fixture.upstream.last.body).toEqual({ model: "gpt-small", messages: HELLO, max_tokens: 200 });
});

test("who has the whole response finds its cost in the job", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  job.beforeReport = async () => {
    for (let turn = 0; turn < 100; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  };
  for (const [count, stream] of [false, true].entries()) {
    const response = await fixture.post("/v1/chat/completions", credential.value, {
      model: "gpt-small",
      messages: HELLO,
      stream,
    });
    await response.text();
    expect(job.spent()).toBe(0.00005 * (count + 1));
  }
});

test("completions, responses and embeddings are counted too", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job({
    "model.use": ["gpt-small", "embed-small"],
    "cost.budget": ["USD:1"],
  });
  const client = fixture.openai(credential.value);
  await client.completions.create({ model: "gpt-small", prompt: "Hello" });
  expect(job.spent()).toBe(0.00005);
  expect(fixture.upstream.last.body["max_tokens"]).toBe(1000);
  const response = await client.responses.create({ model: "gpt-small", input: "Hello" });
  expect(response.output_text).toBe("Hello");
  expect(job.spent()).toBe(0.0001);
  expect(fixture.upstream.last.body["max_output_tokens"]).toBe(1000);
  await client.embeddings.create({ model: "embed-small", input: "Hello", encoding_format: "float" });
  // 10 x 0.02 per million.
  expect(job.spent()).toBe(0.0001002);
  expect(fixture.upstream.heard.map(({ path }) => path)).toEqual([
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
  ]);
});

test("a model outside the lease is refused, and the client does not try again", async () => {
  covers("V11-9.7-03", "V11-9.7-04", "V11-9.8.3-02");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const client = fixture.openai(credential.value);
  const error = await rejection(client.chat.completions.create({ model: "gpt-big", messages: HELLO }));
  expect(error).toBeInstanceOf(OpenAI.PermissionDeniedError);
  expect(error).toMatchObject({ status: 403, code: "model_not_permitted", type: "permission_error" });
  expect(explainUpstreamRefusal(error)).toBeInstanceOf(PermissionDeniedError);
  expect(explainUpstreamRefusal(error)?.details).toMatchObject({ capability: "model.use", target: "gpt-big" });
  expect(fixture.upstream.heard).toEqual([]);
  expect(job.journal).toMatchObject([{ error: "PERMISSION_DENIED" }]);
});

test("a budget that is used up refuses with 402, which no client retries", async () => {
  covers("V11-9.6-13", "V11-9.8.3-01", "V11-14-16");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job({ ...LEASE, "cost.budget": ["USD:0.001"] });
  const client = fixture.openai(credential.value);
  fixture.upstream.usage = { input: 100, output: 450 };
  await client.chat.completions.create({ model: "gpt-small", messages: HELLO, max_tokens: 450 });
  expect(job.spent()).toBe(0.001);
  const error = await rejection(
    client.chat.completions.create({ model: "gpt-small", messages: HELLO, max_tokens: 450 }),
  );
  expect(error).toMatchObject({ status: 402, code: "BUDGET_EXHAUSTED", type: "insufficient_quota" });
  expect(explainUpstreamRefusal(error)).toBeInstanceOf(BudgetExhaustedError);
  expect(fixture.upstream.heard).toHaveLength(1);
  expect(job.journal).toHaveLength(2);
});

test("a request that names a limit which is not affordable is refused, not cut down", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job({ ...LEASE, "cost.budget": ["USD:0.001"] });
  const client = fixture.openai(credential.value);
  const error = await rejection(
    client.chat.completions.create({ model: "gpt-small", messages: HELLO, max_completion_tokens: 500 }),
  );
  expect(error).toMatchObject({ status: 402, code: "BUDGET_EXHAUSTED" });
  expect(fixture.upstream.heard).toEqual([]);
  expect(job.spent()).toBe(0);
});

test("a request that names no limit gets the one that is left to pay for", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job({ ...LEASE, "cost.budget": ["USD:0.001"] });
  await fixture.openai(credential.value).chat.completions.create({ model: "gpt-small", messages: HELLO });
  const { body, text } = fixture.upstream.last;
  // The bound on the input is one token per byte of what the client sent.
  const sent = Buffer.byteLength(JSON.stringify({ model: "gpt-small", messages: HELLO }));
  expect(text.length).toBeGreaterThan(sent);
  expect(body["max_completion_tokens"]).toBe(Math.floor((1000 - sent) / 2));
  expect(job.spent()).toBe(0.00005);
});

test("several answers are held for, each up to its limit", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job({ ...LEASE, "cost.budget": ["USD:0.01"] });
  let held = 0;
  fixture.upstream.onHeard = () => {
    held = job.held();
  };
  const client = fixture.openai(credential.value);
  await client.chat.completions.create({ model: "gpt-small", messages: HELLO, max_tokens: 100, n: 4 });
  const body = { model: "gpt-small", messages: HELLO, max_tokens: 100, n: 4 };
  expect(held).toBeCloseTo((Buffer.byteLength(JSON.stringify(body)) + 800) / 1e6, 12);
  await client.completions.create({ model: "gpt-small", prompt: ["a", "b", "c"], best_of: 3, n: 2, max_tokens: 100 });
  const prompts = { model: "gpt-small", prompt: ["a", "b", "c"], best_of: 3, n: 2, max_tokens: 100 };
  expect(held).toBeCloseTo((Buffer.byteLength(JSON.stringify(prompts)) + 1800) / 1e6, 12);
});

test("nothing goes through at and after the end of the lease", async () => {
  covers("V11-9.8.3-03");
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE, new Date(fixture.clock.now() + 60_000).toISOString());
  const client = fixture.openai(credential.value);
  await client.chat.completions.create({ model: "gpt-small", messages: HELLO });
  fixture.clock.advance(60_000);
  const error = await rejection(client.chat.completions.create({ model: "gpt-small", messages: HELLO }));
  expect(error).toMatchObject({ status: 403, code: "LEASE_EXPIRED" });
  expect(explainUpstreamRefusal(error)).toBeInstanceOf(LeaseExpiredError);
  expect(await rejection(client.models.list().then((page) => page.data))).toMatchObject({ code: "LEASE_EXPIRED" });
  expect(fixture.upstream.heard).toHaveLength(1);
});

test("a key is dead once it was revoked, as often as that is said", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const client = fixture.openai(credential.value);
  await client.chat.completions.create({ model: "gpt-small", messages: HELLO });
  const reference = { credentialId: "cred_1", alias: job.alias, upstreamId: undefined, jobId: job.id };
  const { signal } = new AbortController();
  await fixture.gateway.provisioner.revoke(reference, signal);
  await fixture.gateway.provisioner.revoke(reference, signal);
  const error = await rejection(client.chat.completions.create({ model: "gpt-small", messages: HELLO }));
  expect(error).toBeInstanceOf(OpenAI.AuthenticationError);
  expect(error).toMatchObject({ status: 401, code: "invalid_api_key" });
  expect(explainUpstreamRefusal(error)).toBeUndefined();
  expect(await rejection(client.models.list().then((page) => page.data))).toMatchObject({ status: 401 });
});

test("revoking a key aborts what is under way with it, and that is paid for", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = () => {};
  const arrived = fixture.upstream.next();
  const answered = rejection(
    fixture.openai(credential.value).chat.completions.create({ model: "gpt-small", messages: HELLO, max_tokens: 100 }),
  );
  const heard = await arrived;
  await fixture.gateway.provisioner.revoke(
    { credentialId: "cred_1", alias: job.alias, upstreamId: undefined, jobId: job.id },
    new AbortController().signal,
  );
  await heard.aborted;
  expect(await answered).toMatchObject({ status: 401 });
  expect(job.spent()).toBeGreaterThan(0.0002);
  expect(job.metrics[0]?.dimensions).toEqual({ model: "gpt-small", estimated: true });
});

test("cancelling the job aborts what is under way", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.behaviour = () => {};
  const arrived = fixture.upstream.next();
  const answered = rejection(
    fixture.openai(credential.value).chat.completions.create({ model: "gpt-small", messages: HELLO }),
  );
  const heard = await arrived;
  job.cancel();
  await heard.aborted;
  expect(await answered).toMatchObject({ status: 499, code: "CANCELLED" });
});

test("the list of models has those that the lease covers", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job({ "model.use": ["gpt-*", "claude-*"] });
  const models = await fixture.openai(credential.value).models.list();
  expect(models.data.map(({ id }) => id)).toEqual(["gpt-big", "gpt-euro", "gpt-free", "gpt-small", "gpt-vision"]);
  const anthropic = await fixture.anthropic(credential.value).models.list();
  expect(anthropic.data.map(({ id }) => id)).toEqual(["claude-small"]);
});

test("two jobs never get the same key, and each counts on its own", async () => {
  covers("V11-9.8.2-03");
  await using fixture = await Fixture.start();
  const one = await fixture.job(LEASE);
  const two = await fixture.job(LEASE);
  expect(one.credential.value).toMatch(/^sk-arcp-[\w-]{43}$/);
  expect(two.credential.value).not.toBe(one.credential.value);
  await fixture.openai(one.credential.value).chat.completions.create({ model: "gpt-small", messages: HELLO });
  expect([one.job.spent(), two.job.spent()]).toEqual([0.00005, 0]);
});

test("a credential says what it enforces, and is only issued for jobs that may use models", async () => {
  covers("V11-9.8.1-01", "V11-9.8.1-06");
  await using fixture = await Fixture.start();
  const { provisioner } = fixture.gateway;
  const request = { agent: "agent", principal: "alice" };
  expect(provisioner.issuesFor({ ...request, lease: LEASE })).toBe(true);
  expect(provisioner.issuesFor({ ...request, lease: { "fs.read": ["/data/**"] } })).toBe(false);
  const expires_at = new Date(fixture.clock.now() + 60_000).toISOString();
  const { credential } = await fixture.job(LEASE, expires_at);
  expect(credential.constraints).toEqual({ ...LEASE, expires_at });
});

test("an upstream's name of a model is its own affair", async () => {
  await using fixture = await Fixture.start({ openai: { models: { "tier-fast/small": "gpt-5-nano" } } });
  const { credential } = await fixture.job(LEASE);
  await fixture.openai(credential.value).chat.completions.create({ model: "tier-fast/small", messages: HELLO });
  expect(fixture.upstream.last.body["model"]).toBe("gpt-5-nano");
  const error = await rejection(
    fixture.openai(credential.value).chat.completions.create({ model: "gpt-small", messages: HELLO }),
  );
  expect(error).toMatchObject({ status: 404, code: "model_not_found" });
});

test("a model without a price is for jobs without a budget, and so is one priced in another currency", async () => {
  covers("V11-14-16");
  await using fixture = await Fixture.start();
  const budgeted = await fixture.job({ "model.use": ["gpt-*"], "cost.budget": ["USD:1"] });
  for (const model of ["gpt-free", "gpt-euro"]) {
    const error = await rejection(
      fixture.openai(budgeted.credential.value).chat.completions.create({ model, messages: HELLO }),
    );
    expect(error).toMatchObject({ status: 403, code: "model_not_permitted" });
    expect(explainUpstreamRefusal(error)?.details).toMatchObject({ reason: "no_price", model });
  }
  expect(fixture.upstream.heard).toEqual([]);
  const free = await fixture.job({ "model.use": ["gpt-*"] });
  await fixture.openai(free.credential.value).chat.completions.create({ model: "gpt-free", messages: HELLO });
  expect(fixture.upstream.last.body).toEqual({ model: "gpt-free", messages: HELLO });
  await fixture.openai(free.credential.value).chat.completions.create({ model: "gpt-euro", messages: HELLO });
  expect(free.job.metrics).toMatchObject([{ name: "cost.inference", unit: "EUR", value: 0.00005 }]);
});

test("a job that lives on its parent's budget is a job with a budget", async () => {
  await using fixture = await Fixture.start();
  const { job } = await fixture.job({ "model.use": ["gpt-*"] });
  const credential = await job.issue(fixture.gateway.provisioner, new Map([["USD", 1]]));
  const error = await rejection(
    fixture.openai(credential.value).chat.completions.create({ model: "gpt-free", messages: HELLO }),
  );
  expect(error).toMatchObject({ status: 403, code: "model_not_permitted" });
});
