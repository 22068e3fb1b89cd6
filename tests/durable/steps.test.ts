/** Steps: what they return and throw, how often and how long they are tried, and what ends a job that cannot go on. */

import { InvalidRequestError, PermissionDeniedError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import type { AgentOptions, JobContext } from "@arcp/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import type { Frame } from "../support/raw-client.ts";
import type { Durable } from "./crash-images.ts";
import { Lives, turns } from "./lives.ts";

let clock: ManualClock;
let lives: Lives;
const effects: string[] = [];

beforeEach(() => {
  effects.splice(0);
  clock = new ManualClock();
});
afterEach(() => lives[Symbol.asyncDispose]());

/** Runs one job of an agent that does `act`, to its end. */
async function run(
  act: (context: JobContext) => Promise<unknown>,
  options: AgentOptions = {},
): Promise<Frame["payload"]> {
  await start(act, options);
  const client = await lives.session();
  const { payload } = await client.submit("main");
  return (await client.ended(payload.job_id)).payload;
}

async function start(act: (context: JobContext) => Promise<unknown>, options: AgentOptions = {}): Promise<void> {
  lives = new Lives({ main: { handler: (_input, context) => act(context), options } }, { clock });
  await lives.begin();
}

/** The error that `promise` rejects with, as an agent sees it. */
const failure = (promise: Promise<unknown>): Promise<{ readonly code: string; readonly message: string }> =>
  promise.then(
    () => ({ code: "none", message: "" }),
    ({ code, message }) => ({ code, message }),
  );

describe("a value", () => {
  test("is what JSON makes of it, at once and after a restart", async () => {
    const values = () => ({ date: new Date(0), skipped: undefined, nested: [Number.NaN, -0, "\ud800"] });
    const seen: unknown[] = [];
    await start(async (context) => {
      seen.push(await context.step("values", values), await context.step("nothing", () => undefined));
      seen.push(await context.step("null", () => null));
      await context.sleep(1_000);
    });
    await lives.submit("main");
    await lives.kill();
    await lives.begin();
    const json = { date: "1970-01-01T00:00:00.000Z", nested: [null, 0, "\ufffd"] };
    expect(seen).toEqual([json, undefined, null, json, undefined, null]);
  });

  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  const big = Array.from({ length: 1024 }, () => "x".repeat(1024 * 1024));
  test.each<[string, unknown, string]>([
    ["a bigint", 1n, "INVALID_REQUEST"],
    ["a bigint inside", { deep: [1n] }, "INVALID_REQUEST"],
    ["a cycle", cyclic, "INVALID_REQUEST"],
    ["a function", () => 1, "INVALID_REQUEST"],
    ["a symbol", Symbol("none"), "INVALID_REQUEST"],
    ["NaN", Number.NaN, "INVALID_REQUEST"],
    ["an invalid date", new Date(Number.NaN), "INVALID_REQUEST"],
    ["a member __proto__", JSON.parse('{"__proto__": 1}'), "INVALID_REQUEST"],
    ["2 MiB", "x".repeat(2 * 1024 * 1024), "INTERNAL_ERROR"],
    ["1 GiB", big, "INTERNAL_ERROR"],
    ["1 GiB of bytes", new Uint8Array(new SharedArrayBuffer(1024 * 1024 * 1024)), "INTERNAL_ERROR"],
  ])("that is %s is refused, and the job can go on", async (_name, value, code) => {
    const before = process.memoryUsage().rss;
    const { result } = await run(async (context) => {
      const refusal = await failure(
        context.step(
          "bad",
          () => {
            effects.push("bad");
            return value;
          },
          { retry: { maxAttempts: 3 } },
        ),
      );
      const checkpoint = await failure(context.checkpoint(value));
      return { refusal: refusal.code, checkpoint: checkpoint.code, after: await context.step("good", () => 1) };
    });
    expect(result).toMatchObject({ refusal: code, after: 1 });
    // What JSON makes `null` of is a checkpoint as good as any.
    expect([code, "none"]).toContain(result.checkpoint);
    expect(effects).toEqual(["bad"]);
    expect(process.memoryUsage().rss - before).toBeLessThan(256 * 1024 * 1024);
  });
});

describe("a failure", () => {
  test("is thrown again after a restart: its code, words, details, and whether it may pass", async () => {
    const seen: unknown[] = [];
    const cases: readonly (() => never)[] = [
      () => {
        throw new RangeError("out of range");
      },
      () => {
        throw new PermissionDeniedError("not you", { details: { who: "you" } });
      },
      () => {
        throw new CanonicalError("UNAVAILABLE", "not now");
      },
      () => {
        throw new InvalidRequestError("odd details", { details: { big: 1n } });
      },
      () => {
        throw "a text";
      },
    ];
    await start(async (context) => {
      for (const [n, act] of cases.entries()) {
        await context
          .step(`case ${n}`, () => {
            effects.push(`case ${n}`);
            return act();
          })
          .catch((error) => {
            const { code, message, retryable, canonicalCode, details } = error;
            seen.push({ code, message, retryable, canonicalCode, details: n === 3 ? undefined : details });
          });
      }
      await context.sleep(1_000);
    });
    await lives.submit("main");
    await lives.kill();
    await lives.begin();
    expect(seen).toHaveLength(10);
    expect(seen.slice(5)).toEqual(seen.slice(0, 5));
    expect(effects).toHaveLength(5);
  });

  test("is tried again as the step says, within the same call of the agent", async () => {
    const attempts: number[] = [];
    const keys = new Set<string>();
    let calls = 0;
    await start(async (context) => {
      calls += 1;
      return context.step(
        "flaky",
        ({ attempt, idempotencyKey }) => {
          attempts.push(attempt);
          keys.add(idempotencyKey);
          if (attempt < 3) throw new CanonicalError("UNAVAILABLE", "not now");
          return "done";
        },
        { retry: { maxAttempts: 3, initialDelayMs: 1_000 } },
      );
    });
    const client = await lives.session();
    const { payload } = await client.submit("main");
    for (let n = 0; n < 3; n += 1) {
      await turns();
      clock.advance(2_000);
    }
    expect((await client.ended(payload.job_id)).payload).toMatchObject({ result: "done" });
    expect({ attempts, calls, keys: keys.size }).toEqual({ attempts: [1, 2, 3], calls: 1, keys: 1 });
  });

  test("that cannot pass is not tried again, nor is one that says so", async () => {
    const { result } = await run(async (context) => {
      const codes: string[] = [];
      const retry = { maxAttempts: 5 };
      for (const error of [
        new InvalidRequestError("wrong"),
        new CanonicalError("FAILED_PRECONDITION", "not so"),
        new CanonicalError("DATA_LOSS", "gone"),
      ]) {
        await context
          .step(
            "wrong",
            () => {
              effects.push(error.message);
              throw error;
            },
            { retry },
          )
          .catch(({ code }) => codes.push(code));
      }
      return codes.length;
    });
    expect(result).toBe(3);
    expect(effects).toEqual(["wrong", "not so", "gone"]);
  });

  test("is a TIMEOUT after timeoutMs, which the step is told of", async () => {
    let reason: unknown;
    await start(async (context) => {
      const { code } = await failure(
        context.step(
          "slow",
          ({ signal }) =>
            new Promise((_resolve, reject) => {
              signal.addEventListener("abort", () => {
                reason = signal.reason;
                reject(signal.reason);
              });
            }),
          { timeoutMs: 1_000 },
        ),
      );
      return code;
    });
    const client = await lives.session();
    const { payload } = await client.submit("main");
    await turns();
    clock.advance(1_000);
    expect((await client.ended(payload.job_id)).payload).toMatchObject({ result: "TIMEOUT" });
    expect(reason).toMatchObject({ code: "TIMEOUT" });
    expect(clock.pending).toBeLessThan(10);
  });

  test.each([{ timeoutMs: 0 }, { timeoutMs: Number.NaN }, { timeoutMs: -1 }, { retry: { maxAttempts: 0 } }])(
    "of options that make no sense is told before anything is done: %j",
    async (options) => {
      const { result } = await run(async (context) =>
        failure(context.step("never", () => effects.push("never"), options)),
      );
      expect(result).toMatchObject({ code: "INVALID_REQUEST" });
      expect(effects).toEqual([]);
    },
  );
});

describe("a name", () => {
  test.each([[""], ["x".repeat(257)], [7 as never]])("that is none is refused: %s", async (name) => {
    const { result } = await run(async (context) => failure(context.step(name, () => 1)));
    expect(result).toMatchObject({ code: "INVALID_REQUEST" });
  });

  test("may be one that was used before", async () => {
    const { result } = await run(async (context) => [
      await context.step("same", () => 1),
      await context.step("same", () => 2),
    ]);
    expect(result).toEqual([1, 2]);
  });
});

test("a step or a checkpoint within a step is refused; after it, both are well", async () => {
  const { result } = await run(async (context) => {
    const inner: string[] = [];
    await context.step("outer", async () => {
      inner.push((await failure(context.step("inner", () => 1))).code);
      inner.push((await failure(context.checkpoint({}))).code);
    });
    await context.step("next", () => 1);
    await context.checkpoint({});
    return inner;
  });
  expect(result).toEqual(["INVALID_REQUEST", "INVALID_REQUEST"]);
});

describe("code that has changed", () => {
  /** Runs `before` until it sleeps, and then `after` in its place. */
  async function change(before: Durable["handler"], after: Durable["handler"], options: AgentOptions = {}) {
    lives = new Lives({ main: { handler: before, options } }, { clock });
    await lives.begin();
    const client = await lives.session();
    const { payload } = await client.submit("main");
    await turns();
    await lives.kill();
    await lives.begin((store) => store, { main: { handler: after, options } });
    const again = await lives.resumed(client);
    return (await again.ended(payload.job_id)).payload;
  }

  const done: Durable["handler"] = async (_input, context) => {
    await context.step("one", () => effects.push("one"));
    await context.step("two", () => effects.push("two"));
    await context.sleep(60_000);
  };

  test.each<[string, Durable["handler"], object]>([
    [
      "another order",
      async (_input, context) => {
        await context.step("two", () => effects.push("two again"));
        await context.step("one", () => effects.push("one again"));
      },
      { step: 1, recorded: "one", asked: "two" },
    ],
    [
      "another name",
      async (_input, context) => {
        await context.step("one", () => 0);
        await context.step("second", () => effects.push("second"));
      },
      { step: 2, recorded: "two", asked: "second" },
    ],
    [
      "a step where there was a sleep",
      async (_input, context) => {
        await context.step("one", () => 0);
        await context.step("two", () => 0);
        await context.step("three", () => effects.push("three"));
      },
      { step: 3, recorded: "sleep", asked: "three" },
    ],
    [
      "a question where there was a step",
      async (_input, context) => {
        await context.requestHumanInput({ prompt: "One?" });
      },
      { step: 1, recorded: "one", asked: "ask input" },
    ],
    ["nothing at all", async () => "early", { step: 1, recorded: "one" }],
  ])("to %s ends the job, and says where", async (_name, after, details) => {
    const end = await change(done, after, { retry: { maxAttempts: 3, initialDelayMs: 0 } });
    expect(end).toMatchObject({
      final_status: "error",
      code: "INTERNAL_ERROR",
      details: { reason: "step_mismatch", ...details },
    });
    expect(effects).toEqual(["one", "two"]);
  });

  test("after its last step goes on with what was done", async () => {
    const end = await change(
      async (_input, context) => {
        await context.step("one", () => effects.push("one"));
        await new Promise(() => {});
      },
      async (_input, context) => {
        await context.step("one", () => effects.push("one again"));
        await context.step("two", () => effects.push("two"));
        return "new";
      },
    );
    expect(end).toMatchObject({ result: "new" });
    expect(effects).toEqual(["one", "two"]);
  });
});

test("more than 10,000 steps without a checkpoint are refused, and a checkpoint makes room", async () => {
  const { result } = await run(async (context) => {
    await Promise.all(Array.from({ length: 10_000 }, () => context.step("many", () => 1)));
    const { code } = await failure(context.step("one more", () => 1));
    await context.checkpoint({});
    return [code, await context.step("one more", () => 2)];
  });
  expect(result).toEqual(["INTERNAL_ERROR", 2]);
});
