/** What faults act on: runtimes, their clients' connections, and what they use; and how that is put right again. */
import { FakeLiteLLM, type Fault as UpstreamAnswer } from "../tests/support/fake-litellm.ts";
import { applyToCluster, isClusterFault } from "./cluster-faults.ts";
import type { ChaosDatabase } from "./database.ts";
import type { SmallDisk } from "./disk.ts";
import { EffectService } from "./effects.ts";
import type { Recorder } from "./history.ts";
import type { Fault, UpstreamFault } from "./plan.ts";
import { FaultProxy, type LineFault } from "./proxy.ts";
import { RuntimeProcess } from "./runtime-process.ts";
import type { StoreSettings } from "./stores.ts";
import type { VisitorFlood } from "./visitor-flood.ts";
import { pause } from "./visitors.ts";

/** A PostgreSQL, a schema of it, and how many runtimes share that. */
export interface NodesOptions {
  readonly database: ChaosDatabase;
  readonly schema: string;
  readonly count: number;
}

/** A runtime, with what is between it and others. */
export interface Place {
  readonly runtime: RuntimeProcess;
  readonly proxy: FaultProxy;
  /** Of a node. */
  readonly shared: { readonly name: string; readonly line: FaultProxy } | undefined;
}

export interface SceneOptions {
  readonly directory: string;
  readonly store: StoreSettings;
  readonly nodes: NodesOptions | undefined;
  readonly mutant: string | undefined;
  readonly prefix: readonly string[];
  readonly disk: SmallDisk | undefined;
  readonly recorder: Recorder;
  /** What happens to the next connection while the weather is bad. */
  readonly badWeather: () => LineFault;
  readonly onProblem: (problem: string) => void;
  readonly signal: AbortSignal;
}

const QUIET_POLL_MS = 200;
const CLEAR: LineFault = { kind: "none" };

export class Scene implements AsyncDisposable {
  readonly upstream: FakeLiteLLM;
  readonly effects: EffectService;
  readonly places: readonly [Place, ...Place[]];
  readonly #options: SceneOptions;
  readonly #upstreamLine: FaultProxy;
  readonly #weather: { isBad: boolean };
  /** Faults that are not over. */
  readonly #lasting = new Set<Promise<void>>();

  private constructor(
    options: SceneOptions,
    weather: { isBad: boolean },
    {
      upstream,
      effects,
      upstreamLine,
      places,
    }: Pick<Scene, "upstream" | "effects" | "places"> & { upstreamLine: FaultProxy },
  ) {
    this.#options = options;
    this.#weather = weather;
    this.#upstreamLine = upstreamLine;
    this.upstream = upstream;
    this.effects = effects;
    this.places = places;
  }

  /** Nothing of it runs yet. */
  static async set(options: SceneOptions): Promise<Scene> {
    const { nodes, recorder, badWeather } = options;
    const upstream = await FakeLiteLLM.start();
    // So that what hangs there can be ended.
    const upstreamLine = await FaultProxy.start(() => CLEAR);
    upstreamLine.target = Number(new URL(upstream.url).port);
    const effects = await EffectService.start(recorder);
    const weather = { isBad: false };
    let lives = 0;
    const place = async (name: string | undefined): Promise<Place> => {
      const proxy = await FaultProxy.start(() => (weather.isBad ? badWeather() : CLEAR));
      const shared = name === undefined ? undefined : { name, line: await FaultProxy.start(() => CLEAR) };
      if (shared !== undefined) shared.line.target = nodes?.database.port;
      const runtime = new RuntimeProcess({
        settings: {
          ...{ directory: options.directory, node: name, mutant: options.mutant, effectsUrl: effects.url },
          store: storeOf(options, shared?.line.port),
          upstream: { url: `http://127.0.0.1:${upstreamLine.port}`, masterKey: upstream.masterKey },
        },
        ...{ recorder, prefix: options.prefix, onProblem: options.onProblem },
        nextLife: () => ++lives,
        onPort: (port) => {
          proxy.target = port;
        },
      });
      return { runtime, proxy, shared };
    };
    const first = await place(nodes && nameOf(0));
    const others = await Promise.all(
      Array.from({ length: (nodes?.count ?? 1) - 1 }, (_, index) => place(nameOf(index + 1))),
    );
    return new Scene(options, weather, { upstream, effects, upstreamLine, places: [first, ...others] });
  }

  /** How many connections were ended on purpose, torn or disturbed. */
  get cuts(): number {
    return this.places.reduce((sum, { proxy, shared }) => sum + proxy.faults + (shared?.line.faults ?? 0), 0);
  }

  get kills(): number {
    return this.places.reduce((sum, { runtime }) => sum + runtime.kills, 0);
  }

  get lives(): number {
    return this.places.reduce((sum, { runtime }) => sum + runtime.lives, 0);
  }

  /** One after another, for a single runtime; to several at the same time. Resolves when the next may come. */
  async strike(fault: Fault, place: Place, flood: VisitorFlood): Promise<void> {
    const { recorder, nodes } = this.#options;
    const node = place.shared && { node: place.shared.name };
    const text = JSON.stringify(fault);
    recorder.write({ kind: "fault", fault: text, ...node });
    const lasting = this.#apply(fault, place, flood).then(() =>
      recorder.write({ kind: "relief", fault: text, ...node }),
    );
    if (nodes === undefined) return lasting;
    this.#lasting.add(lasting);
    void lasting.then(() => this.#lasting.delete(lasting));
  }

  async #apply(fault: Fault, { runtime, proxy, shared }: Place, flood: VisitorFlood): Promise<void> {
    const { nodes, disk, signal } = this.#options;
    if (isClusterFault(fault)) {
      if (shared === undefined || nodes === undefined) return;
      const { database, schema } = nodes;
      return applyToCluster(
        fault,
        { ...shared, proxy, database, schema, signal: (name) => runtime.signal(name) },
        signal,
      );
    }
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
        await flood.run(fault.forMs, signal);
        return;
      case "bad weather":
        // Those that are made now meet with something.
        this.#weather.isBad = true;
        proxy.cutAll("reset");
        await pause(fault.forMs, signal);
        this.#weather.isBad = false;
        return;
      case "set clock":
        runtime.setClock({ ...runtime.clock, wallMs: fault.byMs });
        return;
      case "sleep":
        runtime.setClock({ ...runtime.clock, asleepMs: runtime.clock.asleepMs + fault.ms });
        return;
      case "upstream":
        this.upstream.fail(fault.route, ...fault.kinds.map(upstreamAnswer));
        return;
      case "effects":
        this.effects.fail(...fault.faults);
        return;
      case "fill disk":
        disk?.fill();
        await pause(fault.forMs, signal);
        disk?.empty();
    }
  }

  /** Resolves when nothing is wrong any more. */
  async heal(): Promise<void> {
    await Promise.all(this.#lasting);
    this.#weather.isBad = false;
    this.#options.disk?.empty();
    this.upstream.heal();
    this.#upstreamLine.cutAll("reset");
    this.effects.heal();
    for (const { runtime, proxy, shared } of this.places) {
      runtime.disarm();
      runtime.signal("SIGCONT");
      proxy.heal();
      shared?.line.heal();
    }
  }

  /** Resolves when no job is left that has not ended, or when `signal` aborts: also those that nobody waits for. */
  async quiet(signal: AbortSignal): Promise<void> {
    const { nodes } = this.#options;
    while (nodes !== undefined && !signal.aborted) {
      const live = await nodes.database.ask(`SELECT FROM "${nodes.schema}".job WHERE ended_at IS NULL LIMIT 1`);
      if (live.length === 0) return;
      await pause(QUIET_POLL_MS, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lasting);
    await Promise.all(this.places.map(({ runtime }) => runtime[Symbol.asyncDispose]()));
    await Promise.all(
      this.places.flatMap(({ proxy, shared }) => [proxy, shared?.line]).map((line) => line?.[Symbol.asyncDispose]()),
    );
    await this.effects[Symbol.asyncDispose]();
    await this.#upstreamLine[Symbol.asyncDispose]();
    await this.upstream[Symbol.asyncDispose]();
  }
}

const nameOf = (index: number): string => `node-${String.fromCharCode(97 + index)}`;

function storeOf({ store, nodes }: SceneOptions, port: number | undefined): StoreSettings {
  if (store.kind === "sqlite" || nodes === undefined || port === undefined) return store;
  return { ...store, url: nodes.database.urlAt(port) };
}

const upstreamAnswer = (kind: UpstreamFault): UpstreamAnswer =>
  kind === "500" || kind === "429" ? { kind: "status", status: Number(kind) } : { kind };
