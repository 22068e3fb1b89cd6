import { InvalidRequestError } from "@arcp/core";
import { initialBudgetFromLease, validateLeaseShape } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import type { Frame, RawClient } from "../support/raw-client.ts";

const REMAINING = "cost.budget.remaining";

/** A decimal of at most nine places, as its text and as an integer of the smallest unit. */
interface Decimal {
  readonly text: string;
  readonly units: bigint;
}

const SCALE = 10n ** 9n;
/** Fifteen significant digits at most: what a JSON number holds exactly. */
const decimal = fc
  .tuple(fc.integer({ min: 0, max: 999_999 }), fc.integer({ min: 0, max: 999_999_999 }), fc.integer({ min: 0, max: 9 }))
  .map(([whole, fraction, places]): Decimal => {
    const digits = String(fraction).padStart(9, "0").slice(0, places);
    const units = BigInt(whole) * SCALE + BigInt(digits.padEnd(9, "0"));
    return { text: places === 0 ? String(whole) : `${whole}.${digits}`, units };
  });

/** The number that JSON shows for so many of the smallest unit. */
function shown(units: bigint): number {
  const size = units < 0n ? -units : units;
  return Number(`${units < 0n ? "-" : ""}${size / SCALE}.${String(size % SCALE).padStart(9, "0")}`);
}

interface Budgeted {
  readonly client: RawClient;
  readonly accepted: Frame;
  readonly run: Run;
}

async function budgeted(harness: Harness, puppet: Puppet, ...amounts: readonly string[]): Promise<Budgeted> {
  const client = await harness.rawSession();
  const accepted = await client.submit("puppet", null, { lease_request: { "cost.budget": amounts } });
  return { client, accepted, run: await puppet.next() };
}

const counters = async ({ client, accepted }: Budgeted): Promise<unknown> =>
  (await client.ask("job.subscribe", { job_id: accepted.payload.job_id })).payload.budget;

/** What was left according to the runtime's own metrics, in order. */
const remaining = ({ client, accepted }: Budgeted): unknown[] =>
  client
    .ofJob(accepted.payload.job_id)
    .filter(({ payload }) => payload.body?.name === REMAINING)
    .map(({ payload }) => payload.body.value);

describe("amounts", () => {
  test("are decimals per currency, and add up within one", async () => {
    covers("V11-7.1-07");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const { accepted } = await budgeted(harness, puppet, "USD:0.1", "USD:0.2", "credits:1000", "x_1-Y:0.000000001");
    expect(accepted.payload.budget).toEqual({ USD: 0.3, credits: 1000, "x_1-Y": 1e-9 });
  });

  test("of zero are legal", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await budgeted(harness, puppet, "USD:0");
    expect(job.accepted.payload.budget).toEqual({ USD: 0 });
    await job.run.context.metric({ name: "cost.inference", value: 0.12, unit: "USD" });
    expect(await counters(job)).toEqual({ USD: -0.12 });
  });

  test.each([
    "USD",
    "USD:",
    ":5",
    "USD:-1",
    "USD:+1",
    "USD:1e3",
    "USD:.5",
    "USD:5.",
    "USD:1,5",
    "USD: 5",
    " USD:5",
    "1USD:5",
    "USD:0.0000000001",
    "USD:1234567890123456",
    "$:5",
    "USD:NaN",
    "USD:Infinity",
    "USD:5:6",
  ])("that are none are refused: %s", async (amount) => {
    await using harness = startHarness({ agents: { puppet: () => null } });
    const client = await harness.rawSession();
    const reply = await client.submit("puppet", null, { lease_request: { "cost.budget": [amount] } });
    expect(reply.payload).toMatchObject({ code: "INVALID_REQUEST", details: { amount } });
    expect(await client.listJobs()).toEqual([]);
    expect(() => validateLeaseShape({ "cost.budget": [amount] })).toThrow(InvalidRequestError);
  });

  test("are exact, however many there are", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom("USD", "EUR"), decimal), { maxLength: 60 }), (amounts) => {
        const lease = { "cost.budget": amounts.map(([currency, { text }]) => `${currency}:${text}`) };
        const budget = initialBudgetFromLease(lease);
        for (const currency of ["USD", "EUR"]) {
          const own = amounts.filter(([name]) => name === currency);
          const sum = own.reduce((units, [, amount]) => units + amount.units, 0n);
          expect(budget.get(currency)).toBe(own.length === 0 ? undefined : shown(sum));
        }
      }),
    );
  });
});

describe("costs", () => {
  test("are taken off exactly, whatever comes, and never forgotten", async () => {
    const report = fc.record({ currency: fc.constantFrom("USD", "EUR", "GBP"), cost: decimal });
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    await fc.assert(
      fc.asyncProperty(decimal, decimal, fc.array(report, { maxLength: 30 }), async (dollars, euros, reports) => {
        const job = await budgeted(harness, puppet, `USD:${dollars.text}`, `EUR:${euros.text}`);
        const left = new Map([
          ["USD", dollars.units],
          ["EUR", euros.units],
        ]);
        const expected: number[] = [];
        for (const { currency, cost } of reports) {
          await job.run.context.metric({ name: "cost.inference", value: Number(cost.text), unit: currency });
          const before = left.get(currency);
          // Without a counter there is nothing to take it off.
          if (before === undefined) continue;
          left.set(currency, before - cost.units);
          expected.push(shown(before - cost.units));
        }
        const after = Object.fromEntries([...left].map(([currency, units]) => [currency, shown(units)]));
        expect(await counters(job)).toEqual(after);
        expect(Object.fromEntries(job.run.context.budget)).toEqual(after);
        expect(remaining(job)).toEqual(expected);
        job.run.finish();
        await job.client.end(job.accepted.payload.job_id);
      }),
      { numRuns: 30 },
    );
  });

  test("of less than the smallest unit count as one", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await budgeted(harness, puppet, "USD:1");
    for (const value of [1e-12, 5e-324, 0.1000000001]) {
      await job.run.context.metric({ name: "cost.inference", value, unit: "USD" });
    }
    expect(await counters(job)).toEqual({ USD: 0.899999997 });
  });

  test("are shown beside what is left of them", async () => {
    covers("V11-7.6-13");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await budgeted(harness, puppet, "USD:5.00");
    await job.run.context.metric({ name: "cost.inference", value: 4.9, unit: "USD", dimensions: { model: "m" } });
    await job.run.context.metric({ name: "cost.inference", value: 0.22, unit: "USD" });
    await job.run.context.metric({ name: "tokens.used", value: 7, unit: "USD" });
    expect(await counters(job)).toEqual({ USD: -0.12 });
    expect(job.client.ofJob(job.accepted.payload.job_id).map(({ payload }) => payload.body)).toEqual([
      { name: "cost.inference", value: 4.9, unit: "USD", dimensions: { model: "m" } },
      { name: REMAINING, value: 0.1, unit: "USD" },
      { name: "cost.inference", value: 0.22, unit: "USD" },
      { name: REMAINING, value: -0.12, unit: "USD" },
      { name: "tokens.used", value: 7, unit: "USD" },
    ]);
  });

  test("that are none are refused, and take nothing off", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await budgeted(harness, puppet, "USD:5");
    const { context } = job.run;
    for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY, "1" as unknown as number]) {
      await expect(context.metric({ name: "cost.inference", value, unit: "USD" })).rejects.toThrow(InvalidRequestError);
      const event = context.emitEvent("metric", { name: "cost.inference", value, unit: "USD" });
      await expect(event).rejects.toThrow(InvalidRequestError);
    }
    // The runtime alone says what is left.
    await expect(context.metric({ name: REMAINING, value: 100, unit: "USD" })).rejects.toThrow(InvalidRequestError);
    // Case matters; a cost without a unit, or in another one, has no counter.
    for (const unit of ["usd", "EUR", undefined]) {
      await context.metric({ name: "cost.inference", value: 1, ...(unit === undefined ? {} : { unit }) });
    }
    expect(await counters(job)).toEqual({ USD: 5 });
    expect(remaining(job)).toEqual([]);
    // By whichever door it comes.
    await context.emitEvent("metric", { name: "cost.inference", value: 1, unit: "USD" });
    expect(await counters(job)).toEqual({ USD: 4 });
  });

  test("cannot be changed through what an agent is shown", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const job = await budgeted(harness, puppet, "USD:5");
    expect(() => (job.run.context.budget as Map<string, number>).set("USD", 500)).toThrow(TypeError);
    expect(job.run.context.budget.get("USD")).toBe(5);
    expect(await counters(job)).toEqual({ USD: 5 });
  });
});
