/** What a case of the server suite works with: connections to the runtime, and its agents. */
import type { Behaviour } from "../behaviours.ts";
import type { Case, CaseRun } from "../case.ts";
import type { Frame } from "../frame.ts";
import { type Judge, NotHere, Violation } from "../judge.ts";
import type { Manifest } from "../manifest.ts";
import type { Bench } from "../run.ts";
import type { Target } from "./connection.ts";
import { Peer, type PeerOptions } from "./peer.ts";

/** What may be negotiated on wire 1.1 (§6.2). */
export const FEATURES: readonly string[] = [
  ...["heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "model.use"],
  ...["provisioned_credentials", "progress", "result_chunk", "agent_versions"],
];

export interface ServerBenchOptions extends Partial<PeerOptions> {
  readonly target: Target;
  /** Who the cases are. */
  readonly token: string;
  /** Somebody else, for what one must not see of another. */
  readonly tokenB?: string;
  readonly manifest: Manifest;
}

const DEFAULT_PATIENCE_MS = 5000;
const DEFAULT_QUIET_MS = 150;

/** How a session is asked for. */
export interface HelloOptions {
  /** `undefined` leaves them out. Default: all. */
  readonly features?: readonly string[] | undefined;
  readonly token?: string;
  /** Further members of the payload, or others in place of these. */
  readonly payload?: Readonly<Record<string, unknown>>;
  readonly members?: Readonly<Record<string, unknown>>;
}

export class ServerContext implements AsyncDisposable {
  readonly judge: Judge;
  readonly signal: AbortSignal;
  readonly #run: CaseRun;
  readonly #options: ServerBenchOptions;
  readonly #peers: Peer[] = [];

  constructor(run: CaseRun, options: ServerBenchOptions) {
    this.judge = run.judge;
    this.signal = run.signal;
    this.#run = run;
    this.#options = options;
  }

  get target(): Target {
    return this.#options.target;
  }

  get token(): string {
    return this.#options.token;
  }

  /** @throws NotHere if there is no second principal. */
  get tokenB(): string {
    if (this.#options.tokenB === undefined) throw new NotHere("no second token was given");
    return this.#options.tokenB;
  }

  /** The agent with that behaviour. */
  agent(behaviour: Behaviour): string {
    const name = this.#options.manifest.agents[behaviour];
    if (name === undefined) throw new NotHere(`the manifest names no agent that does "${behaviour}"`);
    return name;
  }

  /** A connection on which nothing has been said. */
  async connect(): Promise<Peer> {
    const peer = await Peer.dial(this.#options.target, this.#run, {
      patienceMs: this.#options.patienceMs ?? DEFAULT_PATIENCE_MS,
      quietMs: this.#options.quietMs ?? DEFAULT_QUIET_MS,
    });
    this.#peers.push(peer);
    return peer;
  }

  /** The payload of a hello of wire 1.1. */
  hello(options: HelloOptions = {}): Record<string, unknown> {
    const features = "features" in options ? options.features : FEATURES;
    return {
      client: { name: "arcp-conformance", version: "1.0.0" },
      auth: { scheme: "bearer", token: options.token ?? this.token },
      capabilities: { encodings: ["json"], ...(features === undefined ? {} : { features }) },
      ...options.payload,
    };
  }

  /** Says hello on `peer`, and remembers the session. Returns the welcome. */
  async greet(peer: Peer, options: HelloOptions = {}, requirement?: string): Promise<Frame> {
    const id = peer.send("session.hello", this.hello(options), options.members);
    return this.welcomed(peer, id, requirement);
  }

  /** The welcome that answers `id`, whose session `peer` has from then on. */
  async welcomed(peer: Peer, id: string, requirement?: string): Promise<Frame> {
    const answer = await peer.reply(requirement, id, "session.welcome");
    if (answer.type !== "session.welcome") {
      throw new Violation(requirement, "session.welcome", JSON.stringify(answer));
    }
    peer.sessionId = answer.session_id;
    peer.resumeToken = answer.payload?.resume_token;
    return answer;
  }

  /** A connection with a session of wire 1.1. */
  async session(options: HelloOptions = {}): Promise<Peer> {
    const peer = await this.connect();
    await this.greet(peer, options);
    return peer;
  }

  /** Submits a job that has to be accepted. Returns `job.accepted`. */
  async submit(
    peer: Peer,
    behaviour: Behaviour,
    input: unknown = null,
    more: Readonly<Record<string, unknown>> = {},
    requirement?: string,
  ): Promise<Frame> {
    const answer = await peer.ask(requirement, "job.submit", { agent: this.agent(behaviour), input, ...more });
    if (answer.type !== "job.accepted") throw new Violation(requirement, "job.accepted", JSON.stringify(answer));
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.cut();
  }
}

/** The id of the job that a `job.accepted` is about. */
export function jobOf(accepted: Frame): string {
  return accepted.job_id ?? accepted.payload?.job_id;
}

/** Cases against one runtime. */
export function serverBench(options: ServerBenchOptions): Bench<ServerContext> {
  return {
    lacks: (aCase) => lackOf(aCase, options),
    open: async (run) => new ServerContext(run, options),
  };
}

function lackOf({ needs = [], requirements }: Case<ServerContext>, options: ServerBenchOptions): string | undefined {
  const { target, tokenB, manifest } = options;
  for (const name of [...needs, ...requirements]) {
    const reason = manifest.lacks?.[name];
    if (reason !== undefined) return reason;
  }
  for (const need of needs) {
    if (need === "connections") {
      if (!target.isShared) return "needs two connections to one runtime; each connection here starts one of its own";
    } else if (need === "principals") {
      if (tokenB === undefined) return "no second token was given (--token-b)";
    } else if (["websocket", "stdio", "http"].includes(need)) {
      if (target.kind !== need) return `is about ${need} alone`;
    } else if (manifest.agents[need as Behaviour] === undefined) {
      return `the manifest names no agent that does "${need}"`;
    }
  }
  return undefined;
}
