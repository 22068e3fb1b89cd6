/** Agents that are called again after a failure, and runtimes that die in between: attempts are counted once. */
import { CanonicalError } from "@arcp/core/v1.0";
import { afterEach, beforeEach, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import type { RawClient } from "../support/raw-client.ts";
import { afterEveryCommit, CrashImages, type Trial, toldBy, uninterrupted } from "./crash-images.ts";
import { Lives, turns } from "./lives.ts";

let clock: ManualClock;
let lives: Lives | undefined;

beforeEach(() => {
  clock = new ManualClock();
  lives = undefined;
});
afterEach(() => lives?.[Symbol.asyncDispose]());

const retry = { maxAttempts: 3, initialDelayMs: 60_000, maxDelayMs: 60_000 };

const retrying = (...clients: readonly RawClient[]): readonly string[] =>
  clients
    .flatMap(({ numbered }) => numbered)
    .filter(({ payload }) => payload.body?.phase === "retrying")
    .map(({ payload }) => payload.body.message.slice(0, 14));

test("attempts are counted over restarts, and waits go on", async () => {
  covers("V10-10.2-04");
  const calls: number[] = [];
  const keys = new Set<string>();
  lives = new Lives(
    {
      main: {
        options: { retry },
        handler: async (_input, context) => {
          calls.push(clock.now());
          await context.step("well", () => "once");
          await context.step("unwell", ({ idempotencyKey }) => {
            keys.add(idempotencyKey);
            throw new CanonicalError("UNAVAILABLE", "not now");
          });
        },
      },
    },
    { clock },
  );
  await lives.begin();
  const client = await lives.session();
  const { payload } = await client.submit("main");
  await turns();
  expect(calls).toHaveLength(1);
  clock.advance(10_000);
  await lives.kill();
  await lives.begin();
  const second = await lives.resumed(client);
  await turns();
  // Killing the runtime does not cut the wait short.
  expect(calls).toHaveLength(1);
  clock.advance(50_000);
  await turns();
  expect(calls).toHaveLength(2);
  await lives.kill();
  clock.advance(3_600_000);
  await lives.begin();
  const third = await lives.resumed(second);
  expect((await third.ended(payload.job_id)).payload).toMatchObject({
    final_status: "error",
    details: { code: "UNAVAILABLE" },
  });
  expect(calls).toHaveLength(3);
  expect(keys.size).toBe(1);
  expect(retrying(client, second, third)).toEqual(["attempt 2 of 3", "attempt 3 of 3"]);
});

test("an agent that is called again does nothing twice but what has failed, and says anew what it says from there", async () => {
  const effects: string[] = [];
  using images = new CrashImages();
  let failures = 0;
  const trial: Trial = {
    effects,
    prepare: () => {
      failures = effects.filter((effect) => effect === "unwell").length;
    },
    agents: {
      main: {
        options: { retry: { maxAttempts: 5, initialDelayMs: 0 } },
        handler: async (_input, context) => {
          await context.log("info", "begins");
          const [, kept] = await Promise.all([
            context.step("unwell", async () => {
              await settle(2);
              effects.push("unwell");
              failures += 1;
              if (failures < 3) throw new CanonicalError("UNAVAILABLE", `not now: ${failures}`);
            }),
            context.step("well", () => {
              effects.push("well");
              return "kept";
            }),
          ]);
          await context.log("info", "through");
          return kept;
        },
      },
    },
  };
  const whole = await uninterrupted(images, trial);
  expect(whole.effects).toEqual(["well", "unwell", "unwell", "unwell"]);
  expect(toldBy(whole).map(({ kind, body }) => body.message?.slice(0, 12) ?? kind)).toEqual([
    ...["begins", "attempt 2 of", "attempt 3 of", "through", "job.result"],
  ]);
  await afterEveryCommit(images, trial, (again) => {
    expect(toldBy(again).at(-1)?.body).toMatchObject({ result: "kept" });
    expect(again.effects.filter((effect) => effect === "well").length).toBeLessThanOrEqual(2);
    const told = toldBy(again).map(({ body }) => body.message?.slice(0, 12));
    expect(told.filter((message) => message === "begins" || message === "through")).toEqual(["begins", "through"]);
  });
});

test("what an agent has dealt with is not tried again when something else fails", async () => {
  const effects: string[] = [];
  using images = new CrashImages();
  const trial: Trial = {
    effects,
    agents: {
      main: {
        options: { retry: { maxAttempts: 3, initialDelayMs: 0 } },
        handler: async (_input, context) => {
          await context
            .step("dealt with", () => {
              effects.push("dealt with");
              throw new CanonicalError("UNAVAILABLE", "never mind");
            })
            .catch(() => {});
          await context.step("once more", () => {
            effects.push("once more");
            if (effects.filter((effect) => effect === "once more").length < 2) throw new Error("again", { cause: 1 });
          });
          return "through";
        },
      },
    },
  };
  const whole = await uninterrupted(images, trial);
  expect(whole.effects).toEqual(["dealt with", "once more", "once more"]);
  expect(toldBy(whole).at(-1)?.body).toMatchObject({ result: "through" });
});

test("budgets and deadlines span all attempts", async () => {
  lives = new Lives(
    {
      main: {
        options: { retry },
        handler: async (_input, context) => {
          await context.step("pay", () => context.metric({ name: "cost.model", value: 1, unit: "USD" }));
          throw new CanonicalError("UNAVAILABLE", String(context.budget.get("USD")));
        },
      },
    },
    { clock },
  );
  await lives.begin();
  const client = await lives.session();
  const { payload } = await client.submit("main", null, {
    lease_request: { "cost.budget": ["USD:5"] },
    max_runtime_sec: 70,
  });
  await turns();
  await lives.kill();
  await lives.begin();
  const again = await lives.resumed(client);
  await turns();
  clock.advance(60_000);
  await turns();
  const words = [...client.numbered, ...again.numbered]
    .filter(({ payload: { body } }) => body?.phase === "retrying")
    .map(({ payload: { body } }) => body.message.split(": ").at(-1));
  expect(words).toEqual(["4", "4"]);
  clock.advance(10_000);
  expect((await again.ended(payload.job_id)).payload).toMatchObject({ final_status: "timed_out" });
});

test("an error that no attempt can change ends the job at once", async () => {
  let calls = 0;
  lives = new Lives(
    {
      main: {
        options: { retry: { maxAttempts: 3, initialDelayMs: 0 } },
        handler: async (_input, context) => {
          calls += 1;
          await context.step("too much", () => "x".repeat(2 * 1024 * 1024));
        },
      },
    },
    { clock },
  );
  await lives.begin();
  const client = await lives.session();
  const { payload } = await client.submit("main");
  expect((await client.ended(payload.job_id)).payload).toMatchObject({ details: { limit: "maxCheckpointBytes" } });
  expect(calls).toBe(1);
});
