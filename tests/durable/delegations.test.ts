/** Parents and children over restarts: each child is made once, and what both may spend is spent once. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import {
  afterEveryCommit,
  CrashImages,
  type Durable,
  keptJobs,
  type Trial,
  toldBy,
  uninterrupted,
  type Whole,
} from "./crash-images.ts";
import { Lives, turns } from "./lives.ts";

const LEASE = { lease_request: { "agent.delegate": ["child"], "cost.budget": ["USD:10"] } };

const agentsOf = (whole: Whole): readonly string[] => whole.jobs.map(({ agent }) => agent).sort();

describe("killed after every commit", () => {
  const effects: string[] = [];
  const parent: Durable["handler"] = async (_input, context) => {
    const results: unknown[] = [];
    for (let n = 1; n <= 2; n += 1) {
      const delegation = context.delegate({
        agent: "child",
        input: { n },
        lease_request: { "cost.budget": ["USD:2"] },
      });
      await context.step(`beside ${n}`, () => effects.push(`beside ${n}`));
      const { result } = await delegation.done;
      results.push(result);
    }
    return { results, left: context.budget.get("USD") };
  };
  const child: Durable["handler"] = async (input, context) => {
    const { n } = input as { readonly n: number };
    await context.metric({ name: "cost.model", value: 0.5, unit: "USD" });
    await context.step("work", async () => {
      await settle(3);
      effects.push(`work ${n}`);
    });
    return `done ${n}`;
  };

  test("a parent and its children go on: each is made once, and pays once", async () => {
    covers("V11-7.3-02");
    using images = new CrashImages();
    const trial: Trial = {
      effects,
      agents: { main: { handler: parent }, child: { handler: child } },
      submission: LEASE,
    };
    const whole = await uninterrupted(images, trial);
    expect(toldBy(whole).at(-1)?.body).toMatchObject({ result: { results: ["done 1", "done 2"], left: 9 } });
    const resumed = await afterEveryCommit(images, trial, (again) => {
      expect(agentsOf(again)).toEqual(["child", "child", "main"]);
      expect(toldBy(again)).toEqual(toldBy(whole));
      // The second child is like the first.
      expect(again.jobs.filter(({ agent }) => agent === "child").map(({ status }) => status)).toEqual([
        "success",
        "success",
      ]);
      expect(again.repeated.length).toBeLessThanOrEqual(2);
      expect([...new Set(again.effects)].sort()).toEqual([...whole.effects].sort());
    });
    expect(resumed).toBeGreaterThan(5);
  });

  test("a child that is not durable ends with its runtime, its parent hears of it, and no other is made in its place", async () => {
    using images = new CrashImages();
    const trial: Trial = {
      effects,
      agents: {
        main: {
          handler: async (_input, context) => {
            const delegation = context.delegate({ agent: "child", input: { n: 1 }, lease_request: {} });
            return delegation.done.then(
              ({ result }) => result,
              ({ code, details }) => ({ code, details }),
            );
          },
        },
        child: { handler: child, options: { durable: false } },
      },
      submission: LEASE,
    };
    await uninterrupted(images, trial);
    let interrupted = 0;
    await afterEveryCommit(images, trial, (again) => {
      expect(agentsOf(again)).toEqual(["child", "main"]);
      const result: unknown = toldBy(again).at(-1)?.body.result;
      if (result !== "done 1") {
        interrupted += 1;
        expect(result).toEqual({ code: "INTERNAL_ERROR", details: { reason: "runtime_restarted" } });
      }
    });
    expect(interrupted).toBeGreaterThan(0);
  });

  test("a delegation that was refused stays refused", async () => {
    using images = new CrashImages();
    const trial: Trial = {
      effects,
      agents: {
        main: {
          handler: async (_input, context) => {
            const codes: string[] = [];
            for (const [agent, budget] of [
              ["child", "USD:100"],
              ["stranger", "USD:1"],
            ] as const) {
              const delegation = context.delegate({ agent, input: null, lease_request: { "cost.budget": [budget] } });
              await delegation.done.catch(({ code }) => codes.push(code));
              await context.step("beside", () => settle(2));
            }
            return codes;
          },
        },
        child: { handler: child },
      },
      submission: LEASE,
    };
    const whole = await uninterrupted(images, trial);
    await afterEveryCommit(images, trial, (again) => {
      expect(agentsOf(again)).toEqual(["main"]);
      expect(toldBy(again)).toEqual(toldBy(whole));
    });
  });
});

describe("a family over restarts", () => {
  let clock: ManualClock;
  let lives: Lives;

  beforeEach(() => {
    clock = new ManualClock();
  });
  afterEach(() => lives[Symbol.asyncDispose]());

  test("a parent that is cancelled after the restart takes its child along", async () => {
    lives = new Lives(
      {
        main: {
          handler: async (_input, context) => {
            await context.delegate({ agent: "child", input: null, lease_request: {} }).done;
          },
        },
        child: { handler: (_input, context) => context.sleep(60_000) },
      },
      { clock },
    );
    await lives.begin();
    const client = await lives.session();
    const { payload } = await client.submit("main", null, LEASE);
    await turns();
    await lives.kill();
    await lives.begin();
    const again = await lives.resumed(client);
    again.send("job.cancel", {}, { job_id: payload.job_id });
    await again.ended(payload.job_id);
    await turns();
    const ends = [...client.frames, ...again.frames].filter(({ type }) => type === "job.error");
    expect(ends.map(({ payload: { final_status } }) => final_status)).toEqual(["cancelled", "cancelled"]);
  });

  test.each([["well"], ["badly"]])(
    "what came of a child that ended %s is known when the child is forgotten",
    async (how) => {
      const HOUR_MS = 3_600_000;
      lives = new Lives(
        {
          main: {
            handler: async (_input, context) => {
              const { done } = context.delegate({ agent: "child", input: { how }, lease_request: {} });
              const end = await done.then(
                ({ result }) => ({ result }),
                ({ code, message }) => ({ code, message }),
              );
              await context.sleep(40 * HOUR_MS);
              return end;
            },
          },
          child: {
            handler: (input) => {
              if ((input as { readonly how: string }).how === "badly") throw new RangeError("out of range");
              return { sum: 3 };
            },
          },
        },
        { clock },
      );
      await lives.begin();
      const client = await lives.session();
      await client.submit("main", null, LEASE);
      await turns();
      // Whoever follows a job keeps it.
      client.cut();
      for (let hour = 0; hour < 39; hour += 1) {
        clock.advance(HOUR_MS);
        await turns();
      }
      expect((await keptJobs(lives.store)).map(({ agent }) => agent)).toEqual(["main"]);
      await lives.kill();
      await lives.begin();
      clock.advance(HOUR_MS);
      await turns();
      const [main] = await keptJobs(lives.store);
      expect(main?.told.at(-1)?.body.result).toEqual(
        how === "well" ? { result: { sum: 3 } } : { code: "INTERNAL_ERROR", message: "out of range" },
      );
    },
  );

  /** A grandparent that waits, a parent that has ended, and their child, which spends when it is let. */
  const generations = (childLease: object) => ({
    main: {
      handler: async (_input: unknown, context: Parameters<Durable["handler"]>[1]) => {
        const parent = context.delegate({
          agent: "parent",
          input: null,
          lease_request: { "agent.delegate": ["child"], "cost.budget": ["USD:6"] },
        });
        await parent.done;
        await context.sleep(60_000);
        return { left: context.budget.get("USD") };
      },
    },
    parent: {
      handler: async (_input: unknown, context: Parameters<Durable["handler"]>[1]) => {
        await context.delegate({ agent: "child", input: null, lease_request: childLease as never }).accepted;
      },
    },
    child: {
      handler: async (_input: unknown, context: Parameters<Durable["handler"]>[1]) => {
        await context.metric({ name: "cost.early", value: 1, unit: "USD" });
        await context.sleep(1_000);
        await context.metric({ name: "cost.late", value: 2, unit: "USD" });
        return { left: context.budget.get("USD") };
      },
    },
  });

  test.each([
    ["a budget of its own", { "cost.budget": ["USD:4"] }, 1],
    ["its parent's budget", {}, 3],
  ])(
    "a grandchild with %s spends what is its grandparent's, also after its parent has ended",
    async (_name, lease, left) => {
      lives = new Lives(generations(lease), { clock });
      await lives.begin();
      const client = await lives.session();
      const { payload } = await client.submit("main", null, {
        lease_request: { "agent.delegate": ["parent", "child"], "cost.budget": ["USD:10"] },
      });
      await turns();
      await lives.kill();
      await lives.begin();
      const again = await lives.resumed(client);
      await turns();
      clock.advance(1_000);
      await turns();
      const ended = again.frames.find(({ type }) => type === "job.result");
      expect(ended?.payload.result).toEqual({ left });
      clock.advance(60_000);
      expect((await again.ended(payload.job_id)).payload).toMatchObject({ result: { left: 7 } });
    },
  );
});
