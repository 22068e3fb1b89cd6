/** The queue as such, under whatever is asked of it. */
import type { JobId } from "@arcp/core";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Agent } from "../../packages/runtime/src/engine/agents.ts";
import { FairOrder } from "../../packages/runtime/src/engine/queue/fair-order.ts";
import { DEFAULT_CONCURRENCY, JobQueue } from "../../packages/runtime/src/engine/queue/job-queue.ts";

const PRINCIPALS = ["alice", "bob", "carol", "dave"] as const;
const principal = fc.constantFrom(...PRINCIPALS);

test("principals take turns: nobody's next job waits for two of another's", () => {
  const step = fc.oneof(fc.record({ add: principal }), fc.constant("take" as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      interface Entry {
        readonly principal: string;
        readonly lane: string;
        readonly isAwaited: boolean;
        /** Turns of others since it has been the first of its principal's. */
        readonly turns: Map<string, number>;
      }
      const order = new FairOrder<Entry>();
      const waiting = new Map<string, Entry[]>();
      for (const what of steps) {
        if (what === "take") {
          const positions = [...waiting.values()].flat().map((entry) => [order.positionOf(entry), entry] as const);
          const taken = order.take(() => true);
          expect(positions.find(([position]) => position === 1)?.[1]).toBe(taken);
          expect(positions.map(([position]) => position).sort((a, b) => a - b)).toEqual(
            positions.map((_, index) => index + 1),
          );
          if (taken === undefined) continue;
          expect(waiting.get(taken.principal)?.shift()).toBe(taken);
          for (const [other, [head]] of waiting) {
            if (head === undefined || other === taken.principal) continue;
            const turns = (head.turns.get(taken.principal) ?? 0) + 1;
            head.turns.set(taken.principal, turns);
            expect(turns).toBeLessThanOrEqual(1);
          }
        } else {
          const entry = { principal: what.add, lane: "agent", isAwaited: false, turns: new Map() };
          order.add(entry);
          waiting.set(what.add, [...(waiting.get(what.add) ?? []), entry]);
        }
      }
    }),
  );
});

interface Script {
  readonly principal: string;
  readonly agent: number;
  /** Whether it rests before it ends. */
  readonly rests: boolean;
}

/** A job as the queue sees it, and what it does. */
class Player {
  readonly id: JobId;
  readonly submitterPrincipal: string;
  readonly parentJobId = undefined;
  readonly agent: number;
  state: "waiting" | "working" | "resting" | "ended" = "waiting";
  /** What it does when it is told to go on. */
  wake: () => void = () => {};
  readonly #stop = new AbortController();
  readonly #tasks: (() => void)[] = [];

  constructor(n: number, { principal: submitter, agent }: Script) {
    this.id = `job_${n}` as JobId;
    this.submitterPrincipal = submitter;
    this.agent = agent;
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  whenEnded(task: () => void): void {
    this.#tasks.push(task);
  }

  end(): void {
    this.state = "ended";
    this.#stop.abort();
    for (const task of this.#tasks) task();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("caps are kept, and every job ends", async () => {
  const script = fc.record({ principal, agent: fc.nat(2), rests: fc.boolean() });
  const cap = fc.integer({ min: 1, max: 4 });
  const caps = fc.record({ jobs: cap, perPrincipal: cap, agent: fc.tuple(cap, cap, cap) });
  await fc.assert(
    fc.asyncProperty(caps, fc.array(script, { maxLength: 30 }), fc.infiniteStream(fc.nat()), async (max, all, dice) => {
      const queue = new JobQueue({ ...DEFAULT_CONCURRENCY, jobs: max.jobs, perPrincipal: max.perPrincipal });
      const players: Player[] = [];
      const check = (): void => {
        const working = players.filter(({ state }) => state === "working");
        expect(working.length).toBeLessThanOrEqual(max.jobs);
        for (const who of PRINCIPALS) {
          const own = working.filter(({ submitterPrincipal }) => submitterPrincipal === who);
          expect(own.length).toBeLessThanOrEqual(max.perPrincipal);
        }
        for (const [agent, most] of max.agent.entries()) {
          expect(working.filter((player) => player.agent === agent).length).toBeLessThanOrEqual(most);
        }
      };
      const roll = (below: number): number => (dice.next().value ?? 0) % below;
      const goOn = async (): Promise<void> => {
        const able = players.filter(({ state }) => state === "working" || state === "resting");
        if (able.length > 0) able[roll(able.length)]?.wake();
        await turn();
        check();
      };
      for (const [n, each] of all.entries()) {
        const player = new Player(n, each);
        players.push(player);
        const agent = { name: "agent", version: String(each.agent), concurrency: max.agent[each.agent] } as Agent;
        const act = async (): Promise<void> => {
          player.state = "working";
          check();
          if (each.rests) {
            await new Promise<void>((resolve) => {
              player.wake = resolve;
            });
            const rested = Promise.withResolvers<void>();
            player.state = "resting";
            player.wake = rested.resolve;
            await queue.rest(player, rested.promise);
            player.state = "working";
            check();
          }
          player.wake = () => player.end();
        };
        queue.enter(player, agent, () => void act());
        if (roll(2) === 0) await goOn();
      }
      // Each is told to go on three times at most.
      for (let left = 4 * all.length; left > 0; left -= 1) {
        if (players.every(({ state }) => state === "ended")) break;
        for (const player of players) if (player.state !== "waiting") player.wake();
        await turn();
        check();
      }
      expect(players.filter(({ state }) => state !== "ended")).toEqual([]);
      expect(players.map((player) => queue.placeOf(player)).filter((place) => place !== undefined)).toEqual([]);
    }),
  );
});
