/** One episode: a runtime and its clients from the first process to the last, and what happened to them. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Random, seedOf } from "../fuzz/random.ts";
import { FakeLiteLLM, type Fault as UpstreamAnswer } from "../tests/support/fake-litellm.ts";
import type { SmallDisk } from "./disk.ts";
import { EffectService } from "./effects.ts";
import { Recorder, touch, type Wire } from "./history.ts";
import { lineMaker } from "./lines.ts";
import type { Fault, Plan, UpstreamFault } from "./plan.ts";
import { anyLineFault, FaultProxy } from "./proxy.ts";
import { RuntimeProcess } from "./runtime-process.ts";
import { FILES } from "./runtime-settings.ts";
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
  /** Where the database and the blobs are. */
  readonly storeDirectory: string;
  readonly plan: Plan;
  readonly synchronous: "FULL" | "NORMAL";
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
  readonly faults: number;
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
  const { directory, plan, signal } = options;
  mkdirSync(directory, { recursive: true });
  touch(join(directory, FILES.ledger));
  using recorder = new Recorder(join(directory, FILES.history));
  const problems: string[] = [];
  using lag = new Lag();
  const random = new Random(seedOf(plan.seed, 1));
  const weather = { isBad: false };
  await using upstream = await FakeLiteLLM.start();
  // So that what hangs there can be ended.
  await using upstreamLine = await FaultProxy.start(() => ({ kind: "none" }));
  upstreamLine.target = Number(new URL(upstream.url).port);
  await using effects = await EffectService.start(recorder);
  using world = new World(directory);
  const places: Places = { files: world.directory, pages: effects.pagesUrl };
  await using proxy = await FaultProxy.start(() => (weather.isBad ? anyLineFault(random) : { kind: "none" }));
  await using runtime = new RuntimeProcess({
    settings: {
      directory,
      storeDirectory: options.storeDirectory,
      ...{ synchronous: options.synchronous, effectsUrl: effects.url, mutant: options.mutant },
      upstream: { url: `http://127.0.0.1:${upstreamLine.port}`, masterKey: upstream.masterKey },
    },
    recorder,
    prefix: options.prefix ?? [],
    onPort: (port) => {
      proxy.target = port;
    },
    onProblem: (problem) => problems.push(problem),
  });
  if (plan.firstFailPoints !== undefined) runtime.arm(plan.firstFailPoints);
  await runtime.start();

  const lines = lineMaker(
    () => `ws://127.0.0.1:${proxy.port}/arcp`,
    recorder,
    () => runtime.life,
  );
  const loot: Found = { sessions: [], jobs: [], tokens: [], heads: new Map() };
  const visitors = visitorsOf(plan.seed, options.wires, places, spied(lines, loot), () => loot);
  const flood = new VisitorFlood(spied(lines, loot));

  const asking = new AbortController();
  const stop = AbortSignal.any([signal, asking.signal]);
  const running = visitors.map((visitor) => visitor.run(stop));
  const scene = { flood, runtime, proxy, upstream, upstreamLine, effects, weather, disk: options.disk, signal };
  let faults = 0;
  for (const { afterMs, fault } of plan.steps) {
    await pause(afterMs, signal);
    // On a slow machine, too, what is struck lives; what strikes it while it begins is a part of some faults.
    await Promise.race([runtime.ready(), pause(MAX_BEGINNING_MS, signal)]);
    if (signal.aborted || problems.length > 0) break;
    recorder.write({ kind: "fault", fault: JSON.stringify(fault) });
    faults += 1;
    await apply(fault, scene);
  }
  asking.abort();
  heal(scene);
  recorder.write({ kind: "healed" });
  const limit = AbortSignal.any([signal, AbortSignal.timeout(options.settleMs ?? SETTLE_MS)]);
  await Promise.all(running);
  await Promise.all(visitors.map((visitor) => visitor.settle(limit)));
  await untilRevoked(upstream, limit);
  const missing = visitors.flatMap((visitor) => visitor.missing);
  if (!signal.aborted) recorder.write({ kind: "settled", missing });
  await Promise.all(visitors.map((visitor) => Promise.race([visitor.end(), pause(LAST_CALL_MS, signal)])));
  for (const { alias, value } of upstream.keys) {
    const isLive = upstream.live.some((key) => key.value === value);
    recorder.write({ kind: "credential", alias, value, isLive });
  }
  await runtime.end(random.oneIn(2) ? "SIGTERM" : "SIGKILL");
  return { kills: runtime.kills, lives: runtime.life, faults: faults + proxy.faults, lagMs: lag.maxMs, problems };
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

interface Scene {
  readonly runtime: RuntimeProcess;
  readonly flood: VisitorFlood;
  readonly proxy: FaultProxy;
  readonly upstream: FakeLiteLLM;
  readonly upstreamLine: FaultProxy;
  readonly effects: EffectService;
  readonly weather: { isBad: boolean };
  readonly disk: SmallDisk | undefined;
  readonly signal: AbortSignal;
}

async function apply(fault: Fault, scene: Scene): Promise<void> {
  const { runtime, proxy, upstream, effects, weather, disk, signal } = scene;
  switch (fault.do) {
    case "kill":
      runtime.arm(...fault.failPoints);
      runtime.signal("SIGKILL");
      return;
    case "kill in recovery":
      runtime.signal("SIGKILL");
      for (const ms of fault.afterMs) {
        await pause(ms, signal);
        runtime.signal("SIGKILL");
      }
      return;
    case "terminate":
      runtime.signal("SIGTERM");
      return;
    case "stop":
      runtime.signal("SIGSTOP");
      await pause(fault.forMs, signal);
      runtime.signal("SIGCONT");
      return;
    case "cut all":
      proxy.cutAll(fault.way);
      return;
    case "flood":
      await scene.flood.run(fault.forMs, signal);
      return;
    case "bad weather":
      // Those that are made now meet with something.
      weather.isBad = true;
      proxy.cutAll("reset");
      await pause(fault.forMs, signal);
      weather.isBad = false;
      return;
    case "set clock":
      runtime.setClock({ ...runtime.clock, wallMs: fault.byMs });
      return;
    case "sleep":
      runtime.setClock({ ...runtime.clock, asleepMs: runtime.clock.asleepMs + fault.ms });
      return;
    case "upstream":
      upstream.fail(fault.route, ...fault.kinds.map(upstreamAnswer));
      return;
    case "effects":
      effects.fail(...fault.faults);
      return;
    case "fill disk":
      disk?.fill();
      await pause(fault.forMs, signal);
      disk?.empty();
  }
}

const upstreamAnswer = (kind: UpstreamFault): UpstreamAnswer =>
  kind === "500" || kind === "429" ? { kind: "status", status: Number(kind) } : { kind };

function heal({ runtime, proxy, upstream, upstreamLine, effects, weather, disk }: Scene): void {
  weather.isBad = false;
  disk?.empty();
  upstream.heal();
  upstreamLine.cutAll("reset");
  effects.heal();
  runtime.disarm();
  runtime.signal("SIGCONT");
  proxy.heal();
}

/** Revocations are tried again and again: the upstream answers now. */
async function untilRevoked(upstream: FakeLiteLLM, signal: AbortSignal): Promise<void> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(REVOKE_MS)]);
  while (upstream.live.length > 0 && !limit.aborted) await pause(100, limit);
}
