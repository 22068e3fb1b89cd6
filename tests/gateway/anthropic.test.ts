/** Stock Anthropic clients at the gateway. */
import Anthropic from "@anthropic-ai/sdk";
import { BudgetExhaustedError, PermissionDeniedError } from "@arcp/core";
import { expect, test } from "vitest";
import { explainUpstreamRefusal } from "../../packages/runtime/src/provisioners/upstream-refusal.ts";
import { covers } from "../support/covers.ts";
import { ANTHROPIC_SECRET, Fixture, HELLO, OPENAI_SECRET, rejection } from "./fixture.ts";

const LEASE = { "model.use": ["claude-small"], "cost.budget": ["USD:0.01"] };
const MESSAGE = { model: "claude-small", max_tokens: 100, messages: HELLO };

test("a message within the lease is answered and counted, with what a cache saved and took", async () => {
  covers("V11-14-16");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  fixture.upstream.usage = { input: 10, output: 20, cached: 100, written: 40 };
  const message = await fixture.anthropic(credential.value).messages.create(MESSAGE);
  expect(message.content).toMatchObject([{ text: "Hello" }]);
  // 10 x 3 + 20 x 15 + 100 x 0.3 + 40 x 3.75, per million.
  expect(job.spent()).toBe(0.00051);
  const { headers, body, path } = fixture.upstream.last;
  expect(path).toBe("/v1/messages");
  expect(headers["x-api-key"]).toBe(ANTHROPIC_SECRET);
  expect(headers.authorization).toBeUndefined();
  expect(body["model"]).toBe("claude-small-20260101");
});

test("the key is taken as a bearer token too", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job(LEASE);
  const client = new Anthropic({ authToken: credential.value, apiKey: null, baseURL: fixture.origin });
  await client.messages.create(MESSAGE);
  expect(fixture.upstream.last.headers.authorization).toBeUndefined();
});

test("what is refused is refused in the API's own classes, and explained", async () => {
  covers("V11-9.6-13", "V11-9.7-04");
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  const client = fixture.anthropic(credential.value);
  const denied = await rejection(client.messages.create({ ...MESSAGE, model: "claude-big" }));
  expect(denied).toBeInstanceOf(Anthropic.PermissionDeniedError);
  expect(denied).toMatchObject({ status: 403, error: { type: "error", error: { type: "permission_error" } } });
  expect(explainUpstreamRefusal(denied)).toBeInstanceOf(PermissionDeniedError);
  const tooDear = await rejection(client.messages.create({ ...MESSAGE, max_tokens: 10_000 }));
  expect(tooDear).toMatchObject({ status: 402, error: { error: { type: "billing_error", code: "BUDGET_EXHAUSTED" } } });
  expect(explainUpstreamRefusal(tooDear)).toBeInstanceOf(BudgetExhaustedError);
  const wrong = await rejection(fixture.anthropic("sk-arcp-nothing").messages.create(MESSAGE));
  expect(wrong).toBeInstanceOf(Anthropic.AuthenticationError);
  // Nothing was tried again.
  expect(job.journal).toHaveLength(2);
  expect(fixture.upstream.heard).toEqual([]);
});

test("counting tokens is free, and needs the model all the same", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job({ ...LEASE, "cost.budget": ["USD:0.000001"] });
  const client = fixture.anthropic(credential.value);
  const { input_tokens } = await client.messages.countTokens({ model: "claude-small", messages: HELLO });
  expect(input_tokens).toBe(10);
  expect(job.spent()).toBe(0);
  expect(job.metrics).toEqual([]);
  const denied = await rejection(client.messages.countTokens({ model: "claude-big", messages: HELLO }));
  expect(denied).toMatchObject({ status: 403 });
});

test("input that may be written to a cache is held for at the price of that", async () => {
  await using fixture = await Fixture.start();
  const { job, credential } = await fixture.job(LEASE);
  let held = 0;
  fixture.upstream.onHeard = () => {
    held = job.held();
  };
  const client = fixture.anthropic(credential.value);
  await client.messages.create(MESSAGE);
  const plain = Buffer.byteLength(JSON.stringify(MESSAGE)) * 3 + 1500;
  expect(held).toBeCloseTo(plain / 1e6, 12);
  const system = [{ type: "text" as const, text: "Be brief", cache_control: { type: "ephemeral" as const } }];
  await client.messages.create({ ...MESSAGE, system });
  // Twice the input is the default for an hour in the cache, and dearer than the named price of five minutes.
  expect(held).toBeCloseTo((Buffer.byteLength(JSON.stringify({ ...MESSAGE, system })) * 6 + 1500) / 1e6, 12);
});

test("betas are passed on where the upstream allows them", async () => {
  await using fixture = await Fixture.start({ anthropic: { betas: ["good-2026-01-01"] } });
  const { credential } = await fixture.job(LEASE);
  const betas = ["good-2026-01-01", "context-1m-2025-08-07"];
  await fixture.anthropic(credential.value).beta.messages.create({ ...MESSAGE, betas });
  expect(fixture.upstream.last.headers["anthropic-beta"]).toBe("good-2026-01-01");
  expect(fixture.upstream.last.path).toBe("/v1/messages");
});

test("each API has its own models and its own key", async () => {
  await using fixture = await Fixture.start();
  const { credential } = await fixture.job({ "model.use": ["claude-small", "gpt-small"] });
  const error = await rejection(
    fixture.anthropic(credential.value).messages.create({ ...MESSAGE, model: "gpt-small" }),
  );
  expect(error).toBeInstanceOf(Anthropic.NotFoundError);
  await fixture.openai(credential.value).chat.completions.create({ model: "gpt-small", messages: HELLO });
  expect(fixture.upstream.last.headers.authorization).toBe(`Bearer ${OPENAI_SECRET}`);
  expect(fixture.upstream.last.headers["x-api-key"]).toBeUndefined();
});
