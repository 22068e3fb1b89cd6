/** Whatever the clock does, and wherever a process ends: no occurrence runs twice, and those of a schedule run in order. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { recurrenceOf } from "../../packages/runtime/src/engine/schedules/recurrence.ts";
import { DAY, HOUR, MINUTE, NOW, World } from "./world.ts";

const IDS = ["a", "b", "c"];

type Step =
  | { readonly do: "schedule"; readonly id: string; readonly when: object; readonly overlap: "skip" | "allow" }
  | { readonly do: "pass"; readonly ms: number }
  | { readonly do: "jump"; readonly ms: number }
  | { readonly do: "change"; readonly change: "pause" | "resume" | "cancel"; readonly id: string }
  | { readonly do: "end runs" | "commit" | "crash" | "restart" };

const ID = fc.constantFrom(...IDS);
const WHEN = fc.constantFrom<object>(
  ...[{ every: "FREQ=MINUTELY;INTERVAL=7" }, { every: "FREQ=HOURLY" }, { every: "FREQ=HOURLY;COUNT=3" }],
  ...[{ every: "FREQ=DAILY;BYHOUR=9,18" }, { after: 0 }, { after: 1800 }, { at: "2026-01-01T15:00:00Z" }],
);
const PASS = fc.oneof(fc.integer({ min: 1, max: 5 * MINUTE }), fc.integer({ min: 1, max: 5 * HOUR }));
const JUMP = fc.oneof(fc.integer({ min: -2 * HOUR, max: 2 * HOUR }), fc.integer({ min: -2 * DAY, max: 2 * DAY }));

const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("schedule"),
      id: ID,
      when: WHEN,
      overlap: fc.constantFrom("skip", "allow"),
    } as const),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("pass"), ms: PASS } as const) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("jump"), ms: JUMP } as const) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("change"),
      change: fc.constantFrom("pause", "resume", "cancel"),
      id: ID,
    } as const),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom("end runs", "commit", "crash", "restart") } as const) },
);

/** Gives every schedule another id, as the runtime does, and remembers what it was to run by. */
class Story {
  readonly world: World;
  readonly accepted = new Map<
    string,
    { readonly when: object; readonly acceptedAt: number; readonly overlap: string }
  >();
  readonly #current = new Map<string, string>();

  constructor(world: World) {
    this.world = world;
  }

  async tell(step: Step): Promise<void> {
    const { world } = this;
    if (step.do === "schedule") this.#schedule(step);
    else if (step.do === "pass") await world.pass(step.ms, 10 * MINUTE);
    else if (step.do === "jump") world.clock.jump(step.ms);
    else if (step.do === "end runs") world.living.clear();
    else if (step.do === "commit") await world.commit();
    else if (step.do === "crash") await world.crash();
    else if (step.do === "restart") await world.restart();
    else if (step.do === "change") world.scheduler[step.change](this.#current.get(step.id) ?? step.id, "alice");
    world.commits = "when told";
    await world.settled();
  }

  #schedule({ id, when, overlap }: Extract<Step, { do: "schedule" }>): void {
    const now = this.world.clock.now();
    if ("at" in when && Date.parse(`${when.at}`) < now) return;
    const name = `${id} ${this.accepted.size}`;
    this.world.scheduler.schedule({ id: name, principal: "alice", when, job: {}, overlap });
    this.accepted.set(name, { when, acceptedAt: now, overlap });
    this.#current.set(id, name);
  }
}

test("random clocks, crashes and restarts", async () => {
  let runCount = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { minLength: 5, maxLength: 40 }), async (steps) => {
      await using world = await World.begin({ runsLive: true });
      world.commits = "when told";
      const story = new Story(world);
      for (const step of steps) await story.tell(step);
      await world.restart();
      const { scheduler } = world;
      for (const [id, { when, acceptedAt }] of story.accepted) {
        const { first, after } = recurrenceOf(when, acceptedAt);
        const occurrences = world.runs.filter((run) => run.scheduleId === id).map((run) => run.occurrenceAt + NOW);
        // In order, and so none of them twice; and each is one that the rule names.
        for (const [index, at] of occurrences.entries()) {
          if (index > 0) expect(at).toBeGreaterThan(occurrences[index - 1] ?? 0);
          expect(at === first || after(at - 1) === at).toBe(true);
        }
        // Nothing that is due is left, unless nobody wants it.
        const left = scheduler.find(id, "alice");
        if (left?.isPaused === false) expect(left.nextAt).toBeGreaterThan(world.clock.now());
      }
      expect(world.overlaps).toEqual([]);
      // A run that nobody heard of is one that is stored.
      expect(await world.storedRuns()).toEqual(world.runs.map(({ id }) => id).sort());
      runCount += world.runs.length;
    }),
    { numRuns: 150 },
  );
  expect(runCount).toBeGreaterThan(30);
});
