/** No interleaving of requests spends more than there is. */
import type { ServerResponse } from "node:http";
import fc from "fast-check";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import type { HeardRequest } from "./fake-upstream.ts";
import { Fixture, HELLO, MASTER_KEY } from "./fixture.ts";

interface Waiting {
  readonly heard: HeardRequest;
  readonly response: ServerResponse;
}

/** One request: the limit that it names, and how much of what it may use it uses, in tenths. */
interface Ask {
  readonly limit: number | undefined;
  readonly used: number;
  readonly fate: "answers" | "says nothing" | "dies";
}

const asks = fc.array(
  fc.record<Ask>({
    limit: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }),
    used: fc.integer({ min: 0, max: 10 }),
    fate: fc.constantFrom("answers", "answers", "answers", "says nothing", "dies"),
  }),
  { minLength: 50, maxLength: 50 },
);

/** Sends all at once; when each has been refused or has arrived, lets the upstream answer them in `order`. */
async function wave(fixture: Fixture, key: string, all: readonly Ask[], order: readonly number[]): Promise<number> {
  const { upstream } = fixture;
  const waiting = new Map<number, Waiting>();
  const settled = Promise.withResolvers<void>();
  let refused = 0;
  const check = (): void => {
    if (waiting.size + refused === all.length) settled.resolve();
  };
  upstream.behaviour = (heard, response) => {
    waiting.set(Number(heard.body["user"]), { heard, response });
    check();
  };
  const answers = all.map(async ({ limit }, index) => {
    const body = { model: "gpt-small", messages: HELLO, user: String(index), ...(limit && { max_tokens: limit }) };
    const response = await fixture.post("/v1/chat/completions", key, body);
    if (response.status === 402) {
      refused += 1;
      check();
    }
    await response.text();
    return response.status;
  });
  await settled.promise;
  for (const index of order) {
    const { heard, response } = waiting.get(index) ?? {};
    const ask = all[index];
    if (heard === undefined || response === undefined || ask === undefined) continue;
    const limit = Number(heard.body["max_tokens"] ?? heard.body["max_completion_tokens"]);
    if (ask.fate === "dies") response.destroy();
    else if (ask.fate === "says nothing")
      upstream.speak({ ...heard, path: "/v1/unknown" }, response, { input: 0, output: 0 });
    else upstream.speak(heard, response, { input: 1 + ask.used, output: Math.floor((limit * ask.used) / 10) });
  }
  const statuses = await Promise.all(answers);
  return statuses.filter((status) => status !== 402).length;
}

test("fifty requests at once never overspend a job", async () => {
  covers("V11-14-16", "V11-9.6-13");
  await using fixture = await Fixture.start();
  let sent = 0;
  const order = fc.shuffledSubarray([...Array(50).keys()], { minLength: 50 });
  await fc.assert(
    fc.asyncProperty(asks, order, fc.integer({ min: 100, max: 20_000 }), async (all, finish, budget) => {
      const limit = budget / 1e6;
      const { job, credential } = await fixture.job({
        "model.use": ["gpt-small"],
        "cost.budget": [`USD:${limit.toFixed(6)}`],
      });
      for (const half of [all.slice(0, 25), all.slice(25)]) {
        sent += await wave(fixture, credential.value, half, finish);
        expect(job.spent()).toBeLessThanOrEqual(limit);
        expect(job.held()).toBeCloseTo(0, 12);
      }
      sent += await wave(fixture, credential.value, all, finish);
      expect(job.spent()).toBeLessThanOrEqual(limit);
      const told = job.metrics.reduce((sum, { value }) => sum + value, 0);
      expect(told).toBeCloseTo(job.spent(), 9);
    }),
    { numRuns: 15 },
  );
  expect(sent).toBeGreaterThan(100);
}, 60_000);

test("nor a key without a job", async () => {
  await using fixture = await Fixture.start({ gateway: { admin: { masterKey: MASTER_KEY } } });
  const order = fc.shuffledSubarray([...Array(50).keys()], { minLength: 50 });
  await fc.assert(
    fc.asyncProperty(asks, order, fc.integer({ min: 100, max: 20_000 }), async (all, finish, budget) => {
      const max_budget = budget / 1e6;
      const { body } = await fixture.admin("POST", "/key/generate", { models: ["gpt-small"], max_budget });
      const key = String(body["key"]);
      await wave(fixture, key, all.slice(0, 25), finish);
      await wave(fixture, key, all, finish);
      const { body: told } = await fixture.admin("GET", `/key/info?key=${key}`);
      expect((told["info"] as { spend: number }).spend).toBeLessThanOrEqual(max_budget);
    }),
    { numRuns: 15 },
  );
}, 60_000);
