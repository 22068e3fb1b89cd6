/**
 * A runtime is killed after each of its commits: whatever an agent tells, spends, makes and calls is in its history once,
 * in the order that it would have had.
 */
import type { JobContext } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { afterEveryCommit, CrashImages, type Trial, toldBy, uninterrupted, type Whole } from "./crash-images.ts";

/** Kills a trial after every commit. What it leaves is always what it would have been, apart from what `check` looks at. */
async function alwaysTheSame(trial: Trial, maxRepeated: number, check?: (again: Whole, whole: Whole) => void) {
  using images = new CrashImages();
  const whole = await uninterrupted(images, trial);
  const resumed = await afterEveryCommit(images, trial, (again) => {
    for (const { agent } of whole.jobs) expect(toldBy(again, agent)).toEqual(toldBy(whole, agent));
    expect(again.jobs.map(({ agent, status }) => [agent, status])).toEqual(
      whole.jobs.map(({ agent, status }) => [agent, status]),
    );
    expect(again.repeated.length).toBeLessThanOrEqual(maxRepeated);
    expect([...new Set(again.effects)].sort()).toEqual([...new Set(whole.effects)].sort());
    check?.(again, whole);
  });
  expect(resumed).toBeGreaterThan(1);
  return whole;
}

const turns = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

describe("branches that run at the same time", () => {
  /** A branch of `steps` steps, each of which takes `slow` turns and tells of itself within it and after it. */
  const branch = async (context: JobContext, effects: string[], name: string, steps: number, slow: number) => {
    for (let n = 1; n <= steps; n += 1) {
      await context.step(`${name} ${n}`, async () => {
        await context.log("debug", `${name} ${n} begins`);
        await turns(slow);
        effects.push(`${name} ${n}`);
      });
      await context.log("info", `${name} ${n} is done`);
    }
  };

  test("tell everything once, in the order in which their steps were done", async () => {
    const effects: string[] = [];
    await alwaysTheSame(
      {
        effects,
        agents: {
          main: {
            handler: async (_input, context) => {
              await Promise.all([branch(context, effects, "slow", 2, 40), branch(context, effects, "fast", 4, 6)]);
              await context.log("info", "both are done");
            },
          },
        },
      },
      2,
      (again) => {
        const told = toldBy(again).map(({ body }) => body.message);
        expect(new Set(told).size).toBe(told.length);
      },
    );
  });

  test("go on in that order, too, when one of them comes to its next step late", async () => {
    const effects: string[] = [];
    await alwaysTheSame(
      {
        effects,
        agents: {
          main: {
            handler: async (_input, context) => {
              const late = async () => {
                await context.step("late 1", () => effects.push("late 1"));
                await turns(3);
                await context.step("late 2", () => effects.push("late 2"));
                await context.log("info", "late is done");
              };
              const slow = async () => {
                await context.step("slow", async () => {
                  await turns(60);
                  effects.push("slow");
                });
                await context.log("info", "slow is done");
              };
              await Promise.all([slow(), late()]);
              await context.step("last", () => turns(2));
            },
          },
        },
      },
      2,
    );
  });

  test("keep no step of before a checkpoint that was made while it was being done", async () => {
    const effects: string[] = [];
    const trial: Trial = {
      effects,
      agents: {
        main: {
          handler: async (_input, context) => {
            if (context.restored === undefined) {
              const late = context.step("late", async () => {
                await turns(30);
                return "late";
              });
              await context.step("early", () => "early");
              await context.checkpoint({ at: 1 });
              await late;
            }
            const value = await context.step("after", async () => {
              effects.push("after");
              return "after";
            });
            await context.step("last", () => turns(3));
            return value;
          },
        },
      },
    };
    using images = new CrashImages();
    const whole = await uninterrupted(images, trial);
    expect(toldBy(whole).at(-1)?.body).toMatchObject({ result: "after" });
    await afterEveryCommit(images, trial, (again) => {
      expect(toldBy(again).at(-1)?.body).toMatchObject({ final_status: "success", result: "after" });
    });
  });
});

describe("what a job tells between its steps", () => {
  test("is told once: logs, thoughts, statuses, progress, metrics, vendors' events, and events of the same text", async () => {
    covers("V11-7.3-02", "V10-10.2-03");
    const effects: string[] = [];
    await alwaysTheSame(
      {
        effects,
        agents: {
          main: {
            handler: async (_input, context) => {
              for (let n = 1; n <= 3; n += 1) {
                await context.log("info", "tick");
                await context.progress(n, { total: 3 });
                await context.thought("again the same");
                await context.step("work", async () => {
                  await context.log("info", "tick");
                  effects.push(`work ${n}`);
                });
                await context.status("worked", String(n));
                await context.metric({ name: "latency", value: 7 });
                await context.emitEvent("x-vendor.acme.note", { n });
                await context.flush();
              }
            },
          },
        },
      },
      1,
    );
  });

  test("and so are the pieces of its result", async () => {
    const effects: string[] = [];
    const whole = await alwaysTheSame(
      {
        effects,
        agents: {
          main: {
            handler: async (_input, context) => {
              const pieces = context.streamResult();
              for (let n = 1; n <= 3; n += 1) {
                await pieces.write(`piece ${n};`);
                await context.flush();
                await context.step("between", () => effects.push(`between ${n}`));
              }
              await pieces.finalize("end");
            },
          },
        },
      },
      1,
    );
    const chunks = toldBy(whole).filter(({ kind }) => kind === "result_chunk");
    expect(chunks.map(({ body }) => body.chunk_seq)).toEqual([0, 1, 2, 3]);
  });
});

test("pieces of a result that are written within steps are numbered on after those that are out", async () => {
  const effects: string[] = [];
  const whole = await alwaysTheSame(
    {
      effects,
      agents: {
        main: {
          handler: async (_input, context) => {
            for (let n = 1; n <= 3; n += 1) {
              await context.step("write", async () => {
                await context.streamResult({ resultId: "res_own" }).write(`piece ${n};`);
                await context.flush();
                effects.push(`write ${n}`);
              });
            }
          },
        },
      },
    },
    1,
  );
  const chunks = toldBy(whole).filter(({ kind }) => kind === "result_chunk");
  expect(chunks.map(({ body }) => body.chunk_seq)).toEqual([0, 1, 2, 3]);
  expect(toldBy(whole).at(-1)?.body).toMatchObject({ result_size: 24 });
});

describe("what a job does besides its steps", () => {
  test("tools are called once, but for the call that was under way, and so is what they cost", async () => {
    const effects: string[] = [];
    await alwaysTheSame(
      {
        effects,
        submission: { lease_request: { "tool.call": ["pay"], "cost.budget": ["USD:10"] } },
        prepare: (server) =>
          server.registerTool<{ readonly n: number }>("pay", {
            handler: async ({ n }, { report }) => {
              effects.push(`pay ${n}`);
              await report({ name: "cost.tool", value: 2, unit: "USD" });
              return { paid: n };
            },
          }),
        agents: {
          main: {
            handler: async (_input, context) => {
              const paid: unknown[] = [];
              for (let n = 1; n <= 3; n += 1) paid.push(await context.callTool("pay", { n }));
              return { paid, left: context.budget.get("USD") };
            },
          },
        },
      },
      1,
    );
  });

  test("artifacts are kept once", async () => {
    const effects: string[] = [];
    await alwaysTheSame(
      {
        effects,
        agents: {
          main: {
            handler: async (_input, context) => {
              const ref = await context.putArtifact("what was found");
              await context.artifactRef({
                artifact_id: ref.artifact_id,
                uri: ref.uri,
                content_type: "text/plain",
              } as never);
              await context.step("after", () => turns(2));
              const again = await context.putArtifact("what was found then");
              await context.log("info", "kept", { isSame: again.artifact_id === ref.artifact_id });
            },
          },
        },
      },
      0,
    );
  });

  test("a cost that the agent reports is taken from the budget once", async () => {
    const effects: string[] = [];
    const whole = await alwaysTheSame(
      {
        effects,
        submission: { lease_request: { "cost.budget": ["USD:10"] } },
        agents: {
          main: {
            handler: async (_input, context) => {
              for (let n = 1; n <= 3; n += 1) {
                await context.metric({ name: "cost.model", value: 1.5, unit: "USD" });
                await context.step("between", async () => {
                  await context.metric({ name: "cost.step", value: 0.25, unit: "USD" });
                  await turns(2);
                });
              }
              return { left: context.budget.get("USD") };
            },
          },
        },
      },
      0,
    );
    expect(toldBy(whole).at(-1)?.body).toMatchObject({ result: { left: 4.75 } });
  });
});
