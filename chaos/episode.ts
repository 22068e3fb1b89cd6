/** One episode: a runtime and its clients from the first process to the last, and what happened to them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Random, seedOf } from "../fuzz/random.ts";
import type { FakeLiteLLM } from "../tests/support/fake-litellm.ts";
import type { SmallDisk } from "./disk.ts";
import { Recorder, touch, type Wire } from "./history.ts";
import { type Door, lineMaker } from "./lines.ts";
import { MUTANTS } from "./mutants/mutants.ts";
import type { Fault, Plan } from "./plan.ts";
import { anyLineFault } from "./proxy.ts";
import { FILES } from "./runtime-settings.ts";
import { type NodesOptions, type Place, Scene } from "./scene.ts";
import type { StoreSettings } from "./stores.ts";
import type { Places } from "./submissions.ts";
import { Visitor10 } from "./visitor-10.ts";
import { Visitor11 } from "./visitor-11.ts";
import { VisitorFlood } from "./visitor-flood.ts";
import { type Loot, VisitorHostile } from "./visitor-hostile.ts";
import { VisitorRaw } from "./visitor-raw.ts";
import { pause, type Visitor } from "./visitors.ts";
import { World } from "./world.ts";

export interface EpisodeOptions {
  /** Where everything is kept. It is not removed. */
  readonly directory: string;
  readonly store: StoreSettings;
  /** Several runtimes over `store`, instead of one. */
  readonly nodes: NodesOptions | undefined;
  readonly plan: Plan;
  /** Of the clients. Default: both. */
  readonly wires: readonly Wire[];
  readonly mutant: string | undefined;
  /** Under the directory of the database, if that is one that can be filled. */
  readonly disk: SmallDisk | undefined;
  /** Put before the command of the runtime: what watches it. */
  readonly prefix?: readonly string[];
  /** How long everybody may take, in the end, to hear of everything. Default: generous, for the machine is shared. */
  readonly settleMs?: number;
  /** Ends the episode early; what runs is ended. */
  readonly signal: AbortSignal;
}

/** What an episode was like, beside its files. */
export interface EpisodeOutcome {
  readonly kills: number;
  readonly lives: number;
  /** What was done, beside what befell single connections. */
  readonly faults: readonly Fault["do"][];
  /** How many connections were ended, torn or disturbed. */
  readonly cuts: number;
  /** The longest time that this process, which has next to nothing to do, was kept waiting, in milliseconds. */
  readonly lagMs: number;
  /** What was seen to go wrong while it ran. */
  readonly problems: readonly string[];
}

const SETTLE_MS = 60_000;
/** A revocation that has failed is tried again after up to so long. */
const REVOKE_MS = 75_000;
const MAX_BEGINNING_MS = 3_000;
const LAST_CALL_MS = 3_000;

export async function playEpisode(options: EpisodeOptions): Promise<EpisodeOutcome> {
  const { directory, plan, signal, store, nodes, mutant, disk, prefix = [] } = options;
  mkdirSync(directory, { recursive: true });
  touch(join(directory, FILES.ledger));
  using recorder = new Recorder(join(directory, FILES.history));
  const problems: string[] = [];
  using lag = new Lag();
  const random = new Random(seedOf(plan.seed, 1));
  await using scene = await Scene.set({
    ...{ directory, store, nodes, mutant, prefix, disk, recorder, signal },
    badWeather: () => anyLineFault(random),
    onProblem: (problem) => problems.push(problem),
  });
  const { upstream, effects } = scene;
  using world = new World(directory);
  const places: Places = { files: world.directory, pages: effects.pagesUrl };
  const [first] = scene.places;
  if (plan.firstFailPoints !== undefined) first.runtime.arm(plan.firstFailPoints);
  await Promise.all(scene.places.map(({ runtime }) => runtime.start()));
  const bug = mutant === undefined ? undefined : MUTANTS[mutant];
  if (bug?.inDatabase !== undefined) await nodes?.database.rewrite(nodes.schema, bug.inDatabase);

  const choices = new Random(seedOf(plan.seed, 2));
  const lines = lineMaker(() => doorOf(scene.places, choices), recorder);
  const loot: Found = { sessions: [], jobs: [], tokens: [], heads: new Map() };
  const visitors = visitorsOf(plan.seed, options.wires, places, spied(lines, loot), () => loot);
  const flood = new VisitorFlood(spied(lines, loot));

  const asking = new AbortController();
  const stop = AbortSignal.any([signal, asking.signal]);
  const running = visitors.map((visitor) => visitor.run(stop));
  const faults: Fault["do"][] = [];
  for (const { afterMs, fault, node = 0 } of plan.steps) {
    await pause(afterMs, signal);
    const place = scene.places[node] ?? first;
    // On a slow machine, too, what is struck lives; what strikes it while it begins is a part of some faults.
    await Promise.race([place.runtime.ready(), pause(MAX_BEGINNING_MS, signal)]);
    if (signal.aborted || problems.length > 0) break;
    faults.push(fault.do);
    await scene.strike(fault, place, flood);
  }
  asking.abort();
  await scene.heal();
  recorder.write({ kind: "healed" });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(options.settleMs ?? SETTLE_MS)]);
  await Promise.all(running);
  await Promise.all(visitors.map((visitor) => visitor.settle(limit)));
  await scene.quiet(limit);
  await untilRevoked(upstream, limit);
  const missing = visitors.flatMap((visitor) => visitor.missing);
  if (!signal.aborted) recorder.write({ kind: "settled", missing });
  await Promise.all(visitors.map((visitor) => Promise.race([visitor.end(), pause(LAST_CALL_MS, signal)])));
  for (const { alias, value } of upstream.keys) {
    const isLive = upstream.live.some((key) => key.value === value);
    recorder.write({ kind: "credential", alias, value, isLive });
  }
  for (const { runtime } of scene.places) await runtime.end(random.oneIn(2) ? "SIGTERM" : "SIGKILL");
  const { kills, lives, cuts } = scene;
  return { kills, lives, cuts, faults, lagMs: lag.maxMs, problems };
}

/** One of those that are there, mostly: as a load balancer does that hears of the end of a node a little late. */
function doorOf(places: readonly [Place, ...Place[]], random: Random): Door {
  const ready = places.filter(({ runtime }) => runtime.isReady);
  const { runtime, proxy } = random.pick(ready.length === 0 || random.oneIn(8) ? places : ready);
  return { url: `ws://127.0.0.1:${proxy.port}/arcp`, life: runtime.life };
}

function visitorsOf(
  seed: number,
  wires: readonly Wire[],
  places: Places,
  lines: ReturnType<typeof lineMaker>,
  loot: () => Loot,
): readonly Visitor[] {
  const own = (index: number): Random => new Random(seedOf(seed, 100 + index));
  const eleven = [
    new Visitor11("eleven-1", "alice", lines, own(1), places),
    new Visitor11("eleven-2", "bob", lines, own(2), places),
    new VisitorRaw("raw-1", "alice", lines, own(3), places),
    new VisitorRaw("raw-2", "bob", lines, own(4), places),
  ];
  const ten = [
    new Visitor10("ten-1", "alice", lines, own(5), places),
    new Visitor10("ten-2", "bob", lines, own(6), places),
  ];
  return [
    ...(wires.includes("1.1") ? eleven : []),
    ...(wires.includes("1.0") ? ten : []),
    new VisitorHostile(lines, own(7), loot),
  ];
}

/** Where a frame says whose it is. */
const HEAD = 400;

interface Found extends Loot {
  readonly sessions: string[];
  readonly jobs: string[];
  readonly tokens: [string, string][];
  readonly heads: Map<string, number>;
}

/** The same, telling `loot` of the ids that the others were given, and of their tokens. */
function spied(lines: ReturnType<typeof lineMaker>, loot: Found): ReturnType<typeof lineMaker> {
  const note = (list: string[], id: string | undefined): void => {
    if (id !== undefined && list.at(-1) !== id) list.push(id);
  };
  return {
    connect: async (caller, signal) => {
      const transport = await lines.connect(caller, signal);
      if (caller.principal === "mallory") return transport;
      return new Proxy(transport, {
        get(target, name) {
          if (name !== "onFrame") {
            const value: unknown = Reflect.get(target, name, target);
            return typeof value === "function" ? value.bind(target) : value;
          }
          return (handler: (frame: string) => void) =>
            target.onFrame((frame) => {
              note(loot.sessions, /"session_id":"([^"]+)"/.exec(frame)?.[1]);
              note(loot.jobs, /"job_id":"([^"]+)"/.exec(frame)?.[1]);
              const [, session, token] = /"session_id":"([^"]+)".*"resume_token":"([^"]+)"/.exec(frame) ?? [];
              const [, numbered, seq] = /"session_id":"([^"]+)".*"event_seq":(\d+)/.exec(frame.slice(0, HEAD)) ?? [];
              if (numbered !== undefined) loot.heads.set(numbered, Number(seq));
              if (session !== undefined && token !== undefined) loot.tokens.push([session, token]);
              handler(frame);
            });
        },
      });
    },
  };
}

const LAG_INTERVAL_MS = 100;

/** How slow the machine is. */
class Lag implements Disposable {
  maxMs = 0;
  #last = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.maxMs = Math.max(this.maxMs, now - this.#last - LAG_INTERVAL_MS);
    this.#last = now;
  }, LAG_INTERVAL_MS);

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Revocations are tried again and again: the upstream answers now. */
async function untilRevoked(upstream: FakeLiteLLM, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(REVOKE_MS)]);
  while (upstream.live.length > 0 && !limit.aborted) await pause(100, limit);
}
