/**
 * Whatever a durable agent does, and whenever its runtime is killed, again and again: its history is the one that it would have
 * had, apart from the order in which branches that run at the same time take turns.
 */
import type { JobContext } from "@arcp/runtime";
import fc from "fast-check";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import { CrashImages, killedAt, type Told, type Trial, toldBy, uninterrupted, type Whole } from "./crash-images.ts";

type Simple =
  | { readonly does: "step"; readonly turns: number; readonly tells: number; readonly fails: boolean }
  | { readonly does: "log" | "status" | "note" | "flush" | "pay" | "sleep" | "tool" | "artifact" };
type Act =
  | Simple
  | { readonly does: "checkpoint" | "pieces" | "refused" }
  | { readonly does: "delegate"; readonly child: readonly Simple[] }
  | { readonly does: "branches"; readonly branches: readonly (readonly Simple[])[] };

const simple: fc.Arbitrary<Simple> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      does: fc.constant("step" as const),
      turns: fc.integer({ min: 0, max: 6 }),
      tells: fc.integer({ min: 0, max: 2 }),
      fails: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constantFrom("log", "status", "note", "flush", "pay", "sleep", "tool", "artifact"),
    }) as fc.Arbitrary<Simple>,
  },
);
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 6, arbitrary: simple },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constantFrom("checkpoint", "pieces", "refused") }) as fc.Arbitrary<Act>,
  },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant("delegate" as const), child: fc.array(simple, { maxLength: 4 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      does: fc.constant("branches" as const),
      branches: fc.array(fc.array(simple, { maxLength: 4 }), { minLength: 2, maxLength: 3 }),
    }),
  },
);

/** Does one thing. `at` is where in the program it stands: whatever is told says so. */
async function doSimple(context: JobContext, one: Simple, at: string, effects: string[]): Promise<unknown> {
  switch (one.does) {
    case "step":
      return context
        .step(`step ${at}`, async () => {
          for (let n = 0; n < one.tells; n += 1) await context.log("debug", `within ${at}`);
          await settle(one.turns);
          effects.push(at);
          if (one.fails) throw new RangeError(`failed ${at}`);
          return at;
        })
        .catch((error: Error) => error.message);
    case "log":
      return context.log("info", `log ${at}`);
    case "status":
      return context.status(`status ${at}`);
    case "note":
      return context.emitEvent("x-vendor.acme.note", { at });
    case "flush":
      return context.flush();
    case "pay":
      return context.metric({ name: `cost.${at}`, value: 0.01, unit: "USD" });
    case "sleep":
      return context.sleep(1);
    case "tool":
      return context.callTool("mark", { at });
    case "artifact":
      return (await context.putArtifact(at)).artifact_id.length;
  }
}

async function doAll(context: JobContext, all: readonly Simple[], at: string, effects: string[]): Promise<unknown[]> {
  const results: unknown[] = [];
  for (const [n, one] of all.entries()) results.push((await doSimple(context, one, `${at}.${n}`, effects)) ?? null);
  return results;
}

async function doAct(context: JobContext, one: Act, n: number, effects: string[]): Promise<unknown> {
  switch (one.does) {
    case "branches":
      return Promise.all(one.branches.map((branch, index) => doAll(context, branch, `@${n}.${index}`, effects)));
    case "delegate": {
      const lease_request = { "cost.budget": ["USD:1"], "tool.call": ["mark"] };
      const { result } = await context.delegate({
        agent: "child",
        input: { at: `@${n}.0`, all: one.child },
        lease_request,
      }).done;
      return result;
    }
    case "refused":
      return context
        .delegate({ agent: "stranger", input: { at: `@${n}.0` }, lease_request: {} })
        .done.catch(({ code }) => code);
    case "pieces":
      return context.streamResult().write(`piece @${n}.0;`);
    case "checkpoint":
      return undefined;
    default:
      return doSimple(context, one, `@${n}.0`, effects);
  }
}

const trialOf = (program: readonly Act[], effects: string[]): Trial => ({
  effects,
  submission: {
    lease_request: { "cost.budget": ["USD:100"], "agent.delegate": ["child", "stranger"], "tool.call": ["mark"] },
  },
  prepare: (server) =>
    server.registerTool<{ readonly at: string }>("mark", {
      handler: async ({ at }, { report }) => {
        effects.push(at);
        await report({ name: "cost.mark", value: 0.5, unit: "USD" });
        return at;
      },
    }),
  agents: {
    main: {
      handler: async (_input, context) => {
        const before = (context.restored ?? { n: 0, results: [] }) as {
          readonly n: number;
          readonly results: unknown[];
        };
        const results = [...before.results];
        for (let n = before.n; n < program.length; n += 1) {
          const one = program[n] as Act;
          results.push((await doAct(context, one, n, effects)) ?? null);
          if (one.does === "checkpoint")
            await context.checkpoint({ n: n + 1, results }, { label: `checkpoint @${n}.0` });
        }
        return { results, left: context.budget.get("USD") };
      },
    },
    child: {
      handler: (input, context) => {
        const { at, all } = input as { readonly at: string; readonly all: readonly Simple[] };
        return doAll(context, all, at, effects);
      },
    },
  },
});

const isCounter = ({ kind, body }: Told): boolean => kind === "metric" && body.name === "cost.budget.remaining";

/** Where in the program something was told: the act, and its branch. Tools, costs and artifacts do not say. */
const placeOf = ({ kind, body }: Told): string =>
  kind === "job.result" ? "" : (/@(\d+\.\d+)/.exec(JSON.stringify(body))?.[1] ?? "");

/** Everything that was told, branch by branch; what says of no branch where it stands, sorted. */
function branchesOf(whole: Whole, agent: string): ReadonlyMap<string, readonly string[]> {
  const branches = new Map<string, string[]>();
  for (const told of toldBy(whole, agent)) {
    if (isCounter(told)) continue;
    const place = placeOf(told);
    branches.set(place, [...(branches.get(place) ?? []), JSON.stringify(told)]);
  }
  return new Map([...branches].sort().map(([place, texts]) => [place, place === "" ? texts.sort() : texts]));
}

test("a killed job has the history, the result and the budget of one that was not", async () => {
  covers("V10-4.3-01", "V10-10.2-03", "V11-7.3-02");
  const point = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const points = fc.array(point, { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 1, maxLength: 8 }), points, async (program, kills) => {
      using images = new CrashImages();
      const whole = await uninterrupted(images, trialOf(program, []));
      const killed = await killedAt(trialOf(program, []), kills);
      // Killed before the job was accepted.
      if (killed.jobs.length === 0) return;
      expect(killed.jobs.map(({ agent, status }) => [agent, status]).sort()).toEqual(
        whole.jobs.map(({ agent, status }) => [agent, status]).sort(),
      );
      expect(branchesOf(killed, "main")).toEqual(branchesOf(whole, "main"));
      expect(branchesOf(killed, "child")).toEqual(branchesOf(whole, "child"));
      // Acts come one after the other.
      const acts = toldBy(killed)
        .map((told) => Number(placeOf(told).split(".")[0] || Number.NaN))
        .filter(Number.isFinite);
      expect(acts).toEqual(acts.toSorted((a, b) => a - b));
      for (const effect of whole.effects) {
        const times = killed.effects.filter((one) => one === effect).length;
        expect(times).toBeGreaterThanOrEqual(1);
        expect(times).toBeLessThanOrEqual(1 + kills.length);
      }
      const widest = Math.max(1, ...program.map((one) => (one.does === "branches" ? one.branches.length : 1)));
      expect(killed.effects.length - whole.effects.length).toBeLessThanOrEqual(kills.length * widest);
    }),
    { numRuns: Number(process.env["DURABLE_RUNS"] ?? 25) },
  );
}, 120_000);
