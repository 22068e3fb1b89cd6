/** Budgets as an agent meets them: what stops at zero, what is held back, and that no unit is lost or made. */
import type { Lease } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Budget, type Hold } from "../../packages/runtime/src/engine/lease/budget.ts";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { settle } from "../support/puppet.ts";
import { type AuthorizedJob, authorizedJob, eventsOf, Puppet, refusalOf } from "./authorized-job.ts";

const EVERYTHING: Lease = {
  "fs.read": ["/tmp/**"],
  "fs.write": ["/tmp/**"],
  "net.fetch": ["https://example.com/**"],
  "tool.call": ["*"],
  "agent.delegate": ["puppet"],
  "model.use": ["*"],
};

/** A job with `amounts`, and grants for everything. */
async function withBudget(
  amounts: readonly string[],
  body: (job: AuthorizedJob) => Promise<void>,
  register: (harness: ReturnType<typeof startHarness>) => void = () => {},
): Promise<void> {
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  register(harness);
  const job = await authorizedJob(harness, puppet, { ...EVERYTHING, "cost.budget": amounts });
  await body(job);
  for (const { finish } of puppet.runs) finish();
  await job.client.end(job.jobId);
}

const spend = ({ run }: AuthorizedJob, value: number, unit = "USD", name = "cost.inference"): Promise<void> =>
  run.context.metric({ name, value, unit });

const call = ({ run }: AuthorizedJob): Promise<unknown> => run.context.operation("tool.call", "search", () => 1);

const shown = async (job: AuthorizedJob): Promise<unknown> =>
  (await job.client.ask("job.subscribe", { job_id: job.jobId })).payload.budget;

describe("amounts", () => {
  test.each(["USD:5", "USD:5.00", "credits:1000", "acme_units:3"])("%s is one", async (amount) => {
    covers("V11-9.6-01");
    await withBudget([amount], async ({ accepted }) => {
      expect(accepted.payload.lease["cost.budget"]).toEqual([amount]);
    });
  });

  test.each(["USD", "USD:", ":5", "USD:-1", "USD:1e3", "USD:5.", "USD: 5"])("%j is none", async (amount) => {
    covers("V11-9.6-01");
    await using harness = startHarness({ agents: { puppet: vi.fn() } });
    const client = await harness.rawSession();
    const answer = await client.submit("puppet", null, { lease_request: { "cost.budget": [amount] } });
    expect(answer.payload).toMatchObject({ code: "INVALID_REQUEST" });
    expect(await client.listJobs()).toEqual([]);
  });
});

describe("a counter", () => {
  test("is one per currency, and ctx.budget shows where it stands", async () => {
    covers("V11-9.6-02", "V11-9.6-03");
    await withBudget(["USD:1.00", "credits:10"], async (job) => {
      const { budget } = job.run.context;
      expect(job.accepted.payload.budget).toEqual({ USD: 1, credits: 10 });
      expect(Object.fromEntries(budget)).toEqual({ USD: 1, credits: 10 });
      await spend(job, 0.0234);
      expect(Object.fromEntries(budget)).toEqual({ USD: 0.9766, credits: 10 });
      expect(await shown(job)).toEqual({ USD: 0.9766, credits: 10 });
      expect([budget.size, budget.has("EUR"), budget.get("EUR")]).toEqual([2, false, undefined]);
    });
  });

  test("is lowered by costs in its currency alone", async () => {
    covers("V11-9.6-04");
    await withBudget(["USD:1.00"], async (job) => {
      await spend(job, 100, "USD", "tokens");
      await spend(job, 5, "EUR", "cost.x");
      await spend(job, 5, "USD", "costly");
      await job.run.context.metric({ name: "cost.inference", value: 5 });
      expect(await shown(job)).toEqual({ USD: 1 });
    });
  });

  test("is not raised by a negative cost", async () => {
    covers("V11-9.6-05");
    await withBudget(["USD:1.00"], async (job) => {
      await expect(spend(job, -1, "USD", "cost.refund")).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      await expect(
        job.run.context.operation("tool.call", "search", ({ report }) =>
          report({ name: "cost.refund", value: -1, unit: "USD" }),
        ),
      ).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      expect(await shown(job)).toEqual({ USD: 1 });
    });
  });

  test("has metrics of its own, which are no spending, and which an agent cannot forge (D21)", async () => {
    covers("V11-9.6-06", "V11-9.6-12");
    await withBudget(["USD:5.00"], async (job) => {
      const forged = spend(job, 4.99, "USD", "cost.budget.remaining");
      await expect(forged).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      const emitted = job.run.context.emitEvent("metric", { name: "cost.budget.remaining", value: 4.99, unit: "USD" });
      await expect(emitted).rejects.toMatchObject({ code: "INVALID_REQUEST" });
      expect(await shown(job)).toEqual({ USD: 5 });
      await spend(job, 2);
      expect(await eventsOf(job, "metric")).toMatchObject([
        { name: "cost.inference", value: 2 },
        { name: "cost.budget.remaining", value: 3, unit: "USD" },
      ]);
      expect(await shown(job)).toEqual({ USD: 3 });
    });
  });

  test("is exact: ten times 0.1 use up 1.00 (D19)", async () => {
    covers("V11-9.6-07");
    await withBudget(["USD:1.00"], async (job) => {
      for (let n = 0; n < 9; n += 1) await spend(job, 0.1);
      await expect(call(job)).resolves.toBe(1);
      await spend(job, 0.1);
      expect(job.run.context.budget.get("USD")).toBe(0);
      expect(await refusalOf(call(job))).toMatchObject({
        code: "BUDGET_EXHAUSTED",
        details: { currency: "USD", remaining: 0 },
      });
    });
  });
});

describe("a budget that is used up in one currency", () => {
  test("stops operations of every kind, and only those", async () => {
    covers("V11-9.6-08", "V11-9.6-09", "V11-9.6-10");
    const handler = vi.fn();
    await withBudget(
      ["USD:1.00", "credits:10"],
      async (job) => {
        await spend(job, 10, "credits");
        const { context } = job.run;
        const use = vi.fn();
        const attempts: readonly Promise<unknown>[] = [
          context.fs.read("/tmp/x"),
          context.fs.write("/tmp/x", "text"),
          context.fs.list("/tmp/x"),
          context.fetch("https://example.com/x"),
          context.callTool("search"),
          context.useModel("model", use),
          context.delegate({ delegate_id: "d1", agent: "puppet", input: null, lease_request: {} }).accepted,
        ];
        for (const attempt of attempts) {
          expect(await refusalOf(attempt)).toMatchObject({ code: "BUDGET_EXHAUSTED", retryable: false });
        }
        expect(handler).not.toHaveBeenCalled();
        expect(use).not.toHaveBeenCalled();
        const results = await eventsOf(job, "tool_result");
        expect(results).toHaveLength(attempts.length);
        for (const { error } of results) expect(error).toMatchObject({ code: "BUDGET_EXHAUSTED", retryable: false });
        await context.log("info", "what is free goes on");
        job.run.finish("a result");
        expect((await job.client.end(job.jobId)).payload).toMatchObject({
          final_status: "success",
          result: "a result",
        });
      },
      (harness) => harness.server.registerTool("search", { handler }),
    );
  });
});

describe("the cost of an operation", () => {
  test("is not guessed: what begins above zero may end below it", async () => {
    covers("V11-9.6-11");
    await withBudget(["USD:0.58"], async (job) => {
      await job.run.context.operation("tool.call", "search", ({ report }) =>
        report({ name: "cost.tool", value: 0.7, unit: "USD" }),
      );
      expect(job.run.context.budget.get("USD")).toBe(-0.12);
      expect(await refusalOf(call(job))).toMatchObject({ code: "BUDGET_EXHAUSTED" });
    });
  });

  test("is held back while it runs, and given back as far as it was not spent", async () => {
    await withBudget(["USD:1.00"], async (job) => {
      const { context } = job.run;
      const begun = Promise.withResolvers<void>();
      const go = Promise.withResolvers<void>();
      const first = context.operation(
        "tool.call",
        "search",
        async ({ report }) => {
          begun.resolve();
          await go.promise;
          await report({ name: "cost.tool", value: 0.25, unit: "USD" });
        },
        { cost: { USD: 0.6 } },
      );
      await begun.promise;
      const act = vi.fn();
      const second = () => context.operation("tool.call", "search", act, { cost: { USD: 0.5 } });
      expect(await refusalOf(second())).toMatchObject({
        code: "BUDGET_EXHAUSTED",
        details: { currency: "USD", remaining: 0.4, estimate: 0.5 },
      });
      expect(act).not.toHaveBeenCalled();
      await expect(context.operation("tool.call", "search", () => 1, { cost: { USD: 0.4 } })).resolves.toBe(1);
      expect(context.budget.get("USD")).toBe(1);
      go.resolve();
      await first;
      expect(context.budget.get("USD")).toBe(0.75);
      await second();
      expect(act).toHaveBeenCalledOnce();
    });
  });

  test("that is held back by an operation that failed is given back", async () => {
    await withBudget(["USD:1.00"], async ({ run: { context } }) => {
      const failing = (): never => {
        throw new Error("failed");
      };
      for (let n = 0; n < 3; n += 1) {
        await expect(context.operation("tool.call", "search", failing, { cost: { USD: 1 } })).rejects.toThrow("failed");
      }
      await expect(context.operation("tool.call", "search", () => 1, { cost: { USD: 1 } })).resolves.toBe(1);
    });
  });

  test("is a finite amount, not below zero", async () => {
    await withBudget(["USD:1.00"], async ({ run: { context } }) => {
      for (const USD of [-1, Number.NaN, Number.POSITIVE_INFINITY, "1" as never]) {
        const act = vi.fn();
        const attempt = context.operation("tool.call", "search", act, { cost: { USD } });
        expect(await refusalOf(attempt)).toMatchObject({ code: "INVALID_REQUEST" });
        expect(act).not.toHaveBeenCalled();
      }
    });
  });

  test.each([["unknown"], [{ USD: 0.01 }]] as const)(
    "%j: of twenty calls at once with 0.01 left, one is made (D22)",
    async (cost) => {
      let underWay = 0;
      let most = 0;
      let made = 0;
      await withBudget(
        ["USD:0.01"],
        async (job) => {
          const outcomes = await Promise.allSettled(
            Array.from({ length: 20 }, () => job.run.context.callTool("search")),
          );
          const refused = outcomes.filter(({ status }) => status === "rejected");
          expect([made, most, refused.length]).toEqual([1, 1, 19]);
          for (const outcome of refused) expect(outcome).toMatchObject({ reason: { code: "BUDGET_EXHAUSTED" } });
          expect(job.run.context.budget.get("USD")).toBe(0);
        },
        (harness) =>
          harness.server.registerTool("search", {
            cost,
            async handler(_input, { report }) {
              made += 1;
              underWay += 1;
              most = Math.max(most, underWay);
              await settle(2);
              await report({ name: "cost.tool", value: 0.01, unit: "USD" });
              underWay -= 1;
            },
          }),
      );
    },
  );
});

const UNIT = 10 ** 6;
const inUnits = (amount: number | undefined): number => Math.round((amount ?? 0) * UNIT);
const leftOf = (budget: Budget): number => inUnits(budget.remainingOf("USD"));
const availableOf = (budget: Budget): number => inUnits(budget.available().get("USD"));

/** One budget of a tree. */
interface Member {
  readonly budget: Budget;
  readonly holds: { readonly hold: Hold; left: number }[];
  isClosed: boolean;
}

interface Tree {
  readonly root: Budget;
  readonly members: Member[];
  /** Units that were spent, all in all. */
  spent: number;
}

interface Step {
  /** `report` is a cost of an operation that has held something back, however much; `settle` no more than that. */
  readonly kind: "spend" | "hold" | "report" | "settle" | "release" | "reserve" | "close";
  readonly who: number;
  readonly units: number;
}

const steps = (...kinds: readonly Step["kind"][]): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      kind: fc.constantFrom(...kinds),
      who: fc.nat({ max: 9 }),
      units: fc.integer({ min: 1, max: 400_000 }),
    }),
    { maxLength: 60 },
  );

/** The root has 1.00, and nothing above it that it could be closed into. */
function plant(): Tree {
  const root = Budget.fromLease({ "cost.budget": ["USD:1.00"] }) as Budget;
  return { root, members: [{ budget: root, holds: [], isClosed: false }], spent: 0 };
}

/** What a runtime would do: nothing is reserved or held that is not there, or for a job that has ended. */
function take(tree: Tree, { kind, who, units }: Step): void {
  const member = tree.members[who % tree.members.length] as Member;
  const { budget, holds } = member;
  const [oldest] = holds;
  const pay = (cost: number, hold?: Hold): void => {
    expect(budget.spend("USD", cost / UNIT, hold)).toBe(true);
    tree.spent += cost;
  };
  if (kind === "spend") pay(units);
  else if (kind === "report" && oldest !== undefined) {
    oldest.left = Math.max(oldest.left - units, 0);
    pay(units, oldest.hold);
  } else if (kind === "settle" && oldest !== undefined) {
    const cost = Math.min(units, oldest.left);
    oldest.left -= cost;
    pay(cost, oldest.hold);
  } else if (kind === "release") holds.shift()?.hold.release();
  else if (kind === "close" && budget !== tree.root) {
    budget.close();
    member.isClosed = true;
  } else if (kind === "hold" && !member.isClosed && units <= availableOf(budget)) {
    holds.push({ hold: budget.hold({ USD: units / UNIT }), left: units });
  } else if (kind === "reserve" && !member.isClosed && units <= availableOf(budget)) {
    const child = budget.reserve({ "cost.budget": [`USD:${(units / UNIT).toFixed(6)}`] });
    tree.members.push({ budget: child, holds: [], isClosed: false });
  }
}

/** Ends everything: operations first, or jobs first. */
function fell(tree: Tree, first: "holds" | "jobs"): void {
  const release = (): void => {
    for (const { holds } of tree.members) for (const { hold } of holds.splice(0)) hold.release();
  };
  if (first === "holds") release();
  for (const { budget } of tree.members.slice(1).reverse()) budget.close();
  release();
}

const RUNS = { numRuns: 500 };

describe("a tree of budgets, whatever happens to it in whatever order", () => {
  test("has at any time what it began with: left, reserved, or spent", () => {
    covers("V11-9.6-07", "V11-10.2-04");
    const property = fc.property(steps("spend", "hold", "report", "release", "reserve", "close"), (all) => {
      const tree = plant();
      for (const step of all) {
        // What a job that has ended still holds back is neither left nor spent until its operation is over.
        if (step.kind === "close") {
          const { holds } = tree.members[step.who % tree.members.length] as Member;
          for (const { hold } of holds.splice(0)) hold.release();
        }
        take(tree, step);
        const reserved = tree.members
          .filter(({ budget, isClosed }) => budget !== tree.root && !isClosed)
          .reduce((sum, { budget }) => sum + Math.max(leftOf(budget), 0), 0);
        expect(leftOf(tree.root) + reserved + tree.spent).toBe(UNIT);
      }
    });
    fc.assert(property, RUNS);
  });

  test("has back what was not spent when all of it has ended", () => {
    const kinds = steps("spend", "hold", "report", "release", "reserve", "close");
    const property = fc.property(kinds, fc.constantFrom("holds", "jobs"), (all, first) => {
      const tree = plant();
      for (const step of all) take(tree, step);
      fell(tree, first as "holds" | "jobs");
      expect(leftOf(tree.root)).toBe(UNIT - tree.spent);
      expect(availableOf(tree.root)).toBe(UNIT - tree.spent);
    });
    fc.assert(property, RUNS);
  });

  test("never falls below zero if every cost is held back before", () => {
    const property = fc.property(steps("hold", "settle", "release", "reserve", "close"), (all) => {
      const tree = plant();
      for (const step of all) {
        take(tree, step);
        for (const { budget, isClosed } of tree.members) {
          if (isClosed) continue;
          expect(leftOf(budget)).toBeGreaterThanOrEqual(0);
          expect(availableOf(budget)).toBeGreaterThanOrEqual(0);
        }
      }
    });
    fc.assert(property, RUNS);
  });
});
