/**
 * A runtime is killed after each of its commits, and each time another one goes on from there: what was done is not done
 * again, and the journal is the one that there would have been.
 */
import { pairMemoryTransports } from "@arcp/core";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { RawClient } from "../support/raw-client.ts";
import { CrashImages, type Durable, type Image, idle, journals, serverOn, type Told } from "./crash-images.ts";

/** Runs `agents.main` in a runtime that is never killed. Returns its journals, and an image of each commit. */
async function record(images: CrashImages, agents: Readonly<Record<string, Durable>>, mark: () => unknown) {
  const store = images.store(mark);
  const server = serverOn(store, agents);
  const [left, right] = pairMemoryTransports();
  await server.accept(right);
  const client = new RawClient(left);
  await client.hello(undefined, "alice");
  await client.submit("main", { n: 3 });
  await idle(server);
  left.abort("done");
  await server.close();
  const whole = await journals(store);
  await store.close();
  return whole;
}

/** Goes on from `image` until nothing is left to do. */
async function goOn({ path }: Image, agents: Readonly<Record<string, Durable>>) {
  const store = sqliteStore({ path, synchronous: "NORMAL" });
  const hadJob = await hasJobs(store);
  const server = serverOn(store, agents);
  await settled();
  await idle(server);
  await server.close();
  const whole = await journals(store);
  await store.close();
  return { whole, hadJob };
}

async function hasJobs(store: ReturnType<typeof sqliteStore>): Promise<boolean> {
  for await (const job of store.jobs()) if (job.endedAt === null) return true;
  return false;
}

/** The recovery of a new runtime has begun its jobs. */
const settled = async (): Promise<void> => {
  for (let n = 0; n < 50; n += 1) await new Promise((resolve) => setImmediate(resolve));
};

const isOfRuntime = ({ kind, body }: Told): boolean =>
  kind === "status" && (body as { readonly phase: string }).phase === "resumed";

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
    const whole = await record(images, agents, () => [...effects]);
    const uninterrupted = [...effects];
    expect(new Set(uninterrupted).size).toBe(uninterrupted.length);
    let resumed = 0;
    for (const image of images.images) {
      effects.splice(0, effects.length, ...(image.mark as string[]));
      const before = effects.length;
      const { whole: again, hadJob } = await goOn(image, agents);
      if (!hadJob) continue;
      resumed += 1;
      expect(again.get("main")?.filter((told) => !isOfRuntime(told))).toEqual(whole.get("main"));
      const repeated = effects.slice(before).filter((effect) => effects.indexOf(effect) < before);
      // Two are done at a time.
      expect(repeated.length).toBeLessThanOrEqual(2);
      expect([...new Set(effects)].sort()).toEqual([...uninterrupted].sort());
    }
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
    const whole = await record(images, agents, () => [...effects]);
    const uninterrupted = [...effects];
    const shown = (told: readonly Told[] | undefined): readonly Told[] =>
      (told ?? []).filter((one) => !isOfRuntime(one)).map(withoutIds);
    for (const image of images.images) {
      effects.splice(0, effects.length, ...(image.mark as string[]));
      const before = effects.length;
      const { whole: again, hadJob } = await goOn(image, agents);
      if (!hadJob) continue;
      expect(shown(again.get("main"))).toEqual(shown(whole.get("main")));
      const repeated = effects.slice(before).filter((effect) => effects.indexOf(effect) < before);
      expect(repeated.length).toBeLessThanOrEqual(1);
      expect([...new Set(effects)].sort()).toEqual([...uninterrupted].sort());
    }
  });
});

/** Ids are made anew in each run of the whole. */
function withoutIds({ kind, body }: Told): Told {
  const text = JSON.stringify(body).replace(/\b(chk|res|job)_[0-9A-Z]+/g, "$1");
  return { kind, body: JSON.parse(text.replace(/"created_at":"[^"]*"/, '"created_at":""')) };
}
