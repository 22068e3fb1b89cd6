import { UnauthenticatedError } from "@arcp/core";
import { errorToV10 } from "@arcp/core/v1.0";
import { AttemptLimiter, AttemptsExhaustedError } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";

const ADDRESS = "192.0.2.1";
const wrong = async (): Promise<never> => {
  throw new UnauthenticatedError("wrong");
};
const right = async (): Promise<string> => "alice";

function setting(options: { perMinute?: number; burst?: number; maxAddresses?: number; maxWaiting?: number } = {}) {
  const clock = new ManualClock();
  return { clock, limiter: new AttemptLimiter({ perMinute: 60, burst: 3, clock, ...options }) };
}

/** An attempt that ends when it is told to. */
function open() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let hasBegun = false;
  const attempt = (): Promise<string> => {
    hasBegun = true;
    return promise;
  };
  return {
    attempt,
    hasBegun: () => hasBegun,
    succeed: () => resolve("alice"),
    fail: () => reject(new UnauthenticatedError("no")),
  };
}

/** What has been resolved takes effect. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("an address that is wrong", () => {
  test("has so many attempts, then it has to wait", async () => {
    const { limiter, clock } = setting();
    for (let n = 0; n < 3; n += 1)
      expect(await failureOf(limiter.run(ADDRESS, wrong))).toBeInstanceOf(UnauthenticatedError);
    let ran = false;
    const refusal = await failureOf(
      limiter.run(ADDRESS, async () => {
        ran = true;
      }),
    );
    expect(refusal).toBeInstanceOf(AttemptsExhaustedError);
    expect(ran).toBe(false);
    clock.advance(999);
    expect(await failureOf(limiter.run(ADDRESS, right))).toBeInstanceOf(AttemptsExhaustedError);
    clock.advance(1);
    expect(await limiter.run(ADDRESS, right)).toBe("alice");
  });

  test("is told when to come back, in the words of both wires", async () => {
    const { limiter } = setting({ perMinute: 4, burst: 1 });
    await failureOf(limiter.run(ADDRESS, wrong));
    const refusal = (await failureOf(limiter.run(ADDRESS, right))) as AttemptsExhaustedError;
    expect(refusal.toWire()).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { retry: "after_capacity", retry_after_seconds: 15 },
    });
    expect(errorToV10(refusal)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      retryable: true,
      details: { limit: "authAttempts", retry_after_seconds: 15 },
    });
  });

  test("gets no more for waiting long than it had at first", async () => {
    const { limiter, clock } = setting();
    await failureOf(limiter.run(ADDRESS, wrong));
    clock.advance(3_600_000);
    for (let n = 0; n < 3; n += 1)
      expect(await failureOf(limiter.run(ADDRESS, wrong))).toBeInstanceOf(UnauthenticatedError);
    expect(await failureOf(limiter.run(ADDRESS, right))).toBeInstanceOf(AttemptsExhaustedError);
  });

  test("gets no more from a hundred attempts at once than from a hundred in a row", async () => {
    const { limiter } = setting();
    let ran = 0;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, () =>
        limiter.run(ADDRESS, async () => {
          ran += 1;
          await settle();
          throw new UnauthenticatedError("wrong");
        }),
      ),
    );
    expect(ran).toBe(3);
    const refused = outcomes.filter((one) => one.status === "rejected" && one.reason instanceof AttemptsExhaustedError);
    expect(refused).toHaveLength(97);
  });

  test("keeps no other address out", async () => {
    const { limiter } = setting({ burst: 1 });
    await failureOf(limiter.run(ADDRESS, wrong));
    expect(await limiter.run("192.0.2.2", right)).toBe("alice");
  });
});

describe("an address that is right", () => {
  test("is not limited, however many its clients are", async () => {
    const { limiter } = setting();
    let running = 0;
    let most = 0;
    const attempts = Array.from({ length: 1000 }, () =>
      limiter.run(ADDRESS, async () => {
        running += 1;
        most = Math.max(most, running);
        await Promise.resolve();
        running -= 1;
        return "alice";
      }),
    );
    expect(new Set(await Promise.all(attempts))).toEqual(new Set(["alice"]));
    expect(most).toBe(3);
    expect(limiter.size).toBe(0);
  });

  test("is let in although some of its attempts fail for reasons that are not its own", async () => {
    const { limiter } = setting({ burst: 1 });
    for (let n = 0; n < 10; n += 1) {
      await failureOf(limiter.run(ADDRESS, () => Promise.reject(new Error("the identity provider is down"))));
    }
    expect(await limiter.run(ADDRESS, right)).toBe("alice");
  });

  test("waits while as many are looked at as may still be wrong, in the order of arrival", async () => {
    const { limiter } = setting({ burst: 2 });
    const [one, two, three, four] = [open(), open(), open(), open()];
    const outcomes = Promise.allSettled([one, two, three, four].map(({ attempt }) => limiter.run(ADDRESS, attempt)));
    await settle();
    expect([one, two, three, four].map(({ hasBegun }) => hasBegun())).toEqual([true, true, false, false]);
    one.succeed();
    await settle();
    expect([three.hasBegun(), four.hasBegun()]).toEqual([true, false]);
    two.fail();
    await settle();
    // One failure is left, and one attempt is being looked at.
    expect(four.hasBegun()).toBe(false);
    three.succeed();
    await settle();
    expect(four.hasBegun()).toBe(true);
    four.succeed();
    expect((await outcomes).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "fulfilled"]);
  });

  test("waits no longer than it wants to", async () => {
    const { limiter } = setting({ burst: 1 });
    const [first, third] = [open(), open()];
    const stop = new AbortController();
    const running = limiter.run(ADDRESS, first.attempt);
    const waiting = failureOf(limiter.run(ADDRESS, right, stop.signal));
    const last = limiter.run(ADDRESS, third.attempt);
    stop.abort(new Error("gone"));
    expect((await waiting).message).toBe("gone");
    expect((await failureOf(limiter.run(ADDRESS, right, AbortSignal.abort(new Error("never came"))))).message).toBe(
      "never came",
    );
    first.succeed();
    third.succeed();
    expect(await running).toBe("alice");
    expect(await last).toBe("alice");
    expect(limiter.size).toBe(0);
  });

  test("is refused when too many wait already", async () => {
    const { limiter } = setting({ burst: 1, maxWaiting: 1 });
    const first = open();
    const runs = [limiter.run(ADDRESS, first.attempt), limiter.run(ADDRESS, right)];
    expect(await failureOf(limiter.run(ADDRESS, right))).toBeInstanceOf(AttemptsExhaustedError);
    first.succeed();
    expect(await Promise.all(runs)).toEqual(["alice", "alice"]);
  });
});

describe("one and the same are", () => {
  test.each([
    ["an IPv4 address and its IPv6 form", "192.0.2.1", "::ffff:192.0.2.1"],
    ["the same form in hexadecimal", "192.0.2.1", "::ffff:c000:201"],
    ["addresses with the same 64 bits", "2001:db8:1:2::1", "2001:db8:1:2:ffff::7"],
    ["an address with a zone", "fe80::1", "fe80::2%eth0"],
    ["what is no address", "somewhere", "somewhere"],
  ])("%s", async (_what, one, other) => {
    const { limiter } = setting({ burst: 1 });
    await failureOf(limiter.run(one, wrong));
    expect(await failureOf(limiter.run(other, right))).toBeInstanceOf(AttemptsExhaustedError);
  });

  test.each([
    ["two networks of IPv6", "2001:db8:1:2::1", "2001:db8:1:3::1"],
    ["two addresses in their IPv6 form", "::ffff:192.0.2.1", "::ffff:192.0.2.2"],
  ])("not %s", async (_what, one, other) => {
    const { limiter } = setting({ burst: 1 });
    await failureOf(limiter.run(one, wrong));
    expect(await limiter.run(other, right)).toBe("alice");
  });
});

test("a connection inside this machine, which has no address, is not limited", async () => {
  const { limiter } = setting({ burst: 1 });
  for (let n = 0; n < 5; n += 1) await failureOf(limiter.run(undefined, wrong));
  expect(await limiter.run(undefined, right)).toBe("alice");
});

test("what is remembered is bounded, and what failed longest ago is forgotten first", async () => {
  const { limiter } = setting({ burst: 1, maxAddresses: 3 });
  for (const host of [1, 2, 3, 4]) await failureOf(limiter.run(`192.0.2.${host}`, wrong));
  expect(limiter.size).toBe(3);
  expect(await limiter.run("192.0.2.1", right)).toBe("alice");
  expect(await failureOf(limiter.run("192.0.2.4", right))).toBeInstanceOf(AttemptsExhaustedError);
});

test("an address that is being looked at is not forgotten", async () => {
  const { limiter } = setting({ burst: 1, maxAddresses: 1 });
  const [first, second] = [open(), open()];
  const outcomes = Promise.allSettled([first, second].map(({ attempt }) => limiter.run(ADDRESS, attempt)));
  await failureOf(limiter.run("192.0.2.2", wrong));
  const third = failureOf(limiter.run(ADDRESS, right));
  first.fail();
  expect(await third).toBeInstanceOf(AttemptsExhaustedError);
  expect(second.hasBegun()).toBe(false);
  expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});

test("limits that let nobody in are refused at once", () => {
  const clock = new ManualClock();
  for (const limits of [
    { perMinute: 0, burst: 1 },
    { perMinute: 1, burst: 0.5 },
    { perMinute: Number.NaN, burst: 1 },
    { perMinute: 1, burst: Number.POSITIVE_INFINITY },
  ]) {
    expect(() => new AttemptLimiter({ ...limits, clock })).toThrow(TypeError);
  }
});

test("whatever happens when, no more attempts fail than the bucket has held", async () => {
  const act = fc.oneof(
    fc.record({ type: fc.constant("attempt" as const), fails: fc.boolean(), turns: fc.nat(3) }),
    fc.record({ type: fc.constant("wait" as const), ms: fc.nat(5_000) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(act, { maxLength: 60 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 120 }),
      async (acts, burst, perMinute) => {
        const { limiter, clock } = setting({ burst, perMinute });
        const start = clock.now();
        let failures = 0;
        const runs: Promise<unknown>[] = [];
        for (const one of acts) {
          if (one.type === "wait") {
            await settle();
            clock.advance(one.ms);
            continue;
          }
          const attempt = async (): Promise<void> => {
            for (let turn = 0; turn < one.turns; turn += 1) await Promise.resolve();
            if (!one.fails) return;
            failures += 1;
            throw new UnauthenticatedError("wrong");
          };
          runs.push(limiter.run(ADDRESS, attempt).catch(() => {}));
        }
        await Promise.all(runs);
        expect(failures).toBeLessThanOrEqual(burst + ((clock.now() - start) * perMinute) / 60_000 + 1e-6);
        clock.advance(3_600_000);
        expect(await limiter.run(ADDRESS, right)).toBe("alice");
        expect(limiter.size).toBe(0);
      },
    ),
    { numRuns: 200 },
  );
});
