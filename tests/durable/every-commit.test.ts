/**
 * A runtime is killed after each of its commits, and each time another one goes on from there: what was done is not done
 * again, and the journal is the one that there would have been.
 */
import { describe, expect, test } from "vitest";
import { afterEveryCommit, CrashImages, type Durable, toldBy, uninterrupted } from "./crash-images.ts";

describe("steps", () => {
  const effects: string[] = [];
  const agents: Readonly<Record<string, Durable>> = {
    main: {
      handler: async (input, context) => {
        const { n } = input as { readonly n: number };
        await context.log("info", "begin");
        const first = await context.step("first", () => {
          effects.push("first");
          return { at: new Date(0), skipped: undefined };
        });
        await context.status("between", JSON.stringify(first));
        const both = await Promise.all([
          context.step("left", () => effects.push("left")),
          context.step("right", () => effects.push("right")),
        ]);
        await context.progress(1, { total: 2 });
        await context.sleep(1);
        let sum = 0;
        for (let i = 0; i < n; i += 1) {
          sum += await context.step("item", async () => {
            effects.push(`item ${i}`);
            await context.log("debug", `within item ${i}`);
            return i;
          });
          await context.log("info", `item ${i} is done`);
        }
        const failure = await context
          .step("failing", () => {
            effects.push("failing");
            throw new RangeError("out of range");
          })
          .catch((error: Error) => error.message);
        await context.log("info", `failed: ${failure}`);
        return { sum, both: both.length, failure };
      },
    },
  };

  test("each is done once but for the one that was being done, and everything is told once", async () => {
    using images = new CrashImages();
    const trial = { agents, effects, input: { n: 3 } };
    const whole = await uninterrupted(images, trial);
    expect(new Set(whole.effects).size).toBe(whole.effects.length);
    const resumed = await afterEveryCommit(images, trial, (again) => {
      expect(toldBy(again)).toEqual(toldBy(whole));
      // Two are done at a time.
      expect(again.repeated.length).toBeLessThanOrEqual(2);
      expect([...new Set(again.effects)].sort()).toEqual([...whole.effects].sort());
    });
    expect(resumed).toBeGreaterThan(5);
  });
});

describe("checkpoints", () => {
  const effects: string[] = [];
  const agents: Readonly<Record<string, Durable>> = {
    main: {
      handler: async (_input, context) => {
        const { from } = (context.restored ?? { from: 0 }) as { readonly from: number };
        const pieces = context.streamResult();
        for (let i = from; i < 4; i += 1) {
          await context.step("read", () => effects.push(`read ${i}`));
          await context.log("info", `read ${i}`);
          await pieces.write(`piece ${i};`);
          await context.step("write", () => effects.push(`write ${i}`));
          await context.checkpoint({ from: i + 1 });
        }
        await pieces.finalize();
        return undefined;
      },
    },
  };

  test("the agent goes on from the last one, and its result in pieces is whole", async () => {
    using images = new CrashImages();
    const trial = { agents, effects };
    const whole = await uninterrupted(images, trial);
    const resumed = await afterEveryCommit(images, trial, (again) => {
      expect(toldBy(again)).toEqual(toldBy(whole));
      expect(again.repeated.length).toBeLessThanOrEqual(1);
      expect([...new Set(again.effects)].sort()).toEqual([...whole.effects].sort());
    });
    expect(resumed).toBeGreaterThan(5);
  });
});
