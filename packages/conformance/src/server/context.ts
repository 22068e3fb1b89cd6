/** What a case of the server suite works with: connections to the runtime, and its agents. */
import type { Behaviour } from "../behaviours.ts";
import type { Case, CaseRun } from "../case.ts";
import type { Frame } from "../frame.ts";
import { type Claim, type Judge, NotHere, Violation } from "../judge.ts";
import type { Limit, Manifest } from "../manifest.ts";
import { shown } from "../matcher.ts";
import type { Bench } from "../run.ts";
import type { Target } from "./connection.ts";
import { Peer, type PeerOptions } from "./peer.ts";

/** What may be negotiated on wire 1.1 (§6.2). */
export const FEATURES: readonly string[] = [
  ...["heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "model.use"],
  ...["provisioned_credentials", "progress", "result_chunk", "agent_versions"],
];

/** All but heartbeats: what most cases negotiate, as they say nothing while they wait. */
export const QUIET_FEATURES: readonly string[] = FEATURES.filter((name) => name !== "heartbeat");

export interface ServerBenchOptions extends Partial<PeerOptions> {
  readonly target: Target;
  /** Who the cases are. */
  readonly token: string;
  /** Somebody else, for what one must not see of another. */
  readonly tokenB?: string;
  /** Somebody's whose credentials end within seconds after they were shown. */
  readonly tokenBrief?: string;
  /** Somebody whom the operator lets observe the jobs of `token`. */
  readonly tokenObserver?: string;
  readonly manifest: Manifest;
}

const DEFAULT_PATIENCE_MS = 5000;
const DEFAULT_QUIET_MS = 150;

/** How a session is asked for. */
export interface HelloOptions {
  /** `undefined` leaves them out. Default: {@link QUIET_FEATURES}. */
  readonly features?: readonly string[] | undefined;
  readonly token?: string;
  /** Further members of the payload, or others in place of these. */
  readonly payload?: Readonly<Record<string, unknown>>;
  readonly members?: Readonly<Record<string, unknown>>;
}

/** What may be agreed on over wire 1.0 (RFC §7). */
export const CAPABILITIES = {
  ...{ streaming: true, durable_jobs: true, checkpoints: true, binary_streams: true, agent_handoff: true },
  ...{ human_input: true, artifacts: true, subscriptions: true, scheduled_jobs: true, interrupt: true },
  ...{ anonymous: false, binary_encoding: ["base64"], extensions: [] },
};

/** A session of wire 1.0. */
export interface Opened {
  readonly peer: Peer;
  readonly accepted: Frame;
}

/** A connection that asked for a session, and what it was told. */
export interface Claimed {
  readonly peer: Peer;
  readonly answer: Frame;
}

/** A job that has ended with success. */
export interface Performed {
  readonly accepted: Frame;
  readonly jobId: string;
  readonly end: Frame;
  // biome-ignore lint/suspicious/noExplicitAny: what an agent returned
  readonly result: any;
}

/** A job as `session.jobs` shows it. */
// biome-ignore lint/suspicious/noExplicitAny: nothing about it is believed
export type Listed = Readonly<Record<string, any>>;

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

  /** @throws NotHere if nobody's credentials end soon. */
  get tokenBrief(): string {
    if (this.#options.tokenBrief === undefined) throw new NotHere("no token was given that ends soon");
    return this.#options.tokenBrief;
  }

  /** @throws NotHere if nobody may observe somebody else's jobs. */
  get tokenObserver(): string {
    if (this.#options.tokenObserver === undefined) throw new NotHere("no token of an observer was given");
    return this.#options.tokenObserver;
  }

  /** One of the runtime's own bounds. */
  limit(name: Limit): number {
    const most = this.#options.manifest.limits?.[name];
    if (most === undefined) throw new NotHere(`the manifest does not say limits.${name}`);
    return most;
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
    const features = "features" in options ? options.features : QUIET_FEATURES;
    return {
      client: { name: "arcp-conformance", version: "1.0.0" },
      auth: { scheme: "bearer", token: options.token ?? this.token },
      capabilities: { encodings: ["json"], ...(features === undefined ? {} : { features }) },
      ...options.payload,
    };
  }

  /** Says hello on `peer`, and remembers the session. Returns the welcome. */
  async greet(peer: Peer, options: HelloOptions = {}, requirement?: Claim): Promise<Frame> {
    const id = peer.send("session.hello", this.hello(options), options.members);
    return this.welcomed(peer, id, requirement);
  }

  /** The welcome that answers `id`, whose session `peer` has from then on. */
  async welcomed(peer: Peer, id: string, requirement?: Claim): Promise<Frame> {
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

  /** Asks on a new connection to go on with the session of `peer` after a number. The answer may be anything. */
  async claim(
    peer: Pick<Peer, "sessionId" | "resumeToken">,
    lastEventSeq: number,
    requirement: Claim,
    options: HelloOptions = {},
  ): Promise<Claimed> {
    const claimed = await this.connect();
    const resume = { session_id: peer.sessionId, resume_token: peer.resumeToken, last_event_seq: lastEventSeq };
    const payload = { ...this.hello(options), resume };
    const answer = await claimed.ask(requirement, "session.hello", payload);
    if (answer.type === "session.welcome") {
      claimed.sessionId = answer.session_id;
      claimed.resumeToken = answer.payload?.resume_token;
    }
    return { peer: claimed, answer };
  }

  /** The same, which has to be welcomed. */
  async resume(peer: Peer, lastEventSeq: number, requirement?: Claim): Promise<Peer> {
    const claimed = await this.claim(peer, lastEventSeq, requirement);
    if (claimed.answer.type !== "session.welcome") {
      throw new Violation(requirement, "session.welcome", JSON.stringify(claimed.answer));
    }
    return claimed.peer;
  }

  /** Submits a job that has to be accepted. Returns `job.accepted`. */
  async submit(
    peer: Peer,
    behaviour: Behaviour,
    input: unknown = null,
    more: Readonly<Record<string, unknown>> = {},
    requirement?: Claim,
  ): Promise<Frame> {
    const answer = await peer.ask(requirement, "job.submit", { agent: this.agent(behaviour), input, ...more });
    if (answer.type !== "job.accepted") throw new Violation(requirement, "job.accepted", JSON.stringify(answer));
    return answer;
  }

  /** Opens a session of wire 1.0 on a new connection. Returns it, and `session.accepted`. */
  async open10(payload: Readonly<Record<string, unknown>> = {}, requirement?: Claim): Promise<Opened> {
    const peer = await this.connect();
    peer.arcp = "1.0";
    const accepted = await peer.ask(requirement, "session.open", { ...this.opening(), ...payload });
    if (accepted.type !== "session.accepted") {
      throw new Violation(requirement, "session.accepted", JSON.stringify(accepted));
    }
    peer.sessionId = accepted.payload?.session_id ?? accepted.session_id;
    return { peer, accepted };
  }

  /** The payload of a `session.open` of wire 1.0. */
  opening(token: string = this.token): Record<string, unknown> {
    return {
      auth: { scheme: "bearer", token },
      client: { kind: "arcp-conformance", version: "1.0.0" },
      capabilities: CAPABILITIES,
    };
  }

  /** Invokes an agent over wire 1.0. Returns `job.accepted`. */
  async invoke(
    peer: Peer,
    behaviour: Behaviour,
    input: unknown = {},
    more: Readonly<Record<string, unknown>> = {},
    requirement?: Claim,
  ): Promise<Frame> {
    const payload = { tool: this.agent(behaviour).split("@")[0], arguments: input, ...more };
    const answer = await peer.ask(requirement, "tool.invoke", payload);
    if (answer.type !== "job.accepted") throw new Violation(requirement, "job.accepted", JSON.stringify(answer));
    return answer;
  }

  /** Submits a job, and waits for its end, which has to be a success. */
  async perform(
    peer: Peer,
    behaviour: Behaviour,
    input: unknown = null,
    more: Readonly<Record<string, unknown>> = {},
    requirement?: Claim,
  ): Promise<Performed> {
    const accepted = await this.submit(peer, behaviour, input, more);
    const jobId = jobOf(accepted);
    const end = await peer.end(undefined, jobId);
    this.judge.that(requirement, "job.result", end.type === "job.result", end);
    return { accepted, jobId, end, result: end.payload?.result };
  }

  /** Asks for what has to be refused, with one of these codes. */
  async refused(
    requirement: Claim,
    peer: Peer,
    type: string,
    payload: unknown,
    codes: readonly string[],
    members: Readonly<Record<string, unknown>> = {},
  ): Promise<Frame> {
    const answer = await peer.ask(requirement, type, payload, members);
    this.isRefusal(requirement, answer, codes, `the answer to ${type} ${shown(payload)}`);
    return answer;
  }

  /** @throws Violation unless `frame` is an error with one of these codes. */
  isRefusal(requirement: Claim, frame: Frame, codes: readonly string[], what: string): void {
    const isError = frame.type === "session.error" || frame.type === "job.error";
    const expected = `${what}: an error with the code ${codes.join(" or ")}`;
    this.judge.that(requirement, expected, isError && codes.includes(frame.payload?.code), frame);
  }

  /** What `session.list_jobs` shows, all pages of it. */
  async jobs(
    peer: Peer,
    payload: Readonly<Record<string, unknown>> = {},
    requirement?: Claim,
  ): Promise<readonly Listed[]> {
    const jobs: Listed[] = [];
    for (let cursor: unknown; ; ) {
      const page = await peer.ask(requirement, "session.list_jobs", {
        limit: 500,
        ...payload,
        ...(cursor == null ? {} : { cursor }),
      });
      if (page.type !== "session.jobs") throw new Violation(requirement, "session.jobs", JSON.stringify(page));
      jobs.push(...(page.payload?.jobs ?? []));
      cursor = page.payload?.next_cursor;
      if (cursor == null) return jobs;
    }
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
  const { target, tokenB, tokenBrief, tokenObserver, manifest } = options;
  for (const name of [...needs, ...requirements]) {
    const reason = manifest.lacks?.[name];
    if (reason !== undefined) return reason;
  }
  for (const need of needs) {
    if (need === "connections") {
      if (!target.isShared) return "needs two connections to one runtime; each connection here starts one of its own";
    } else if (need === "principals") {
      if (tokenB === undefined) return "no second token was given (--token-b)";
    } else if (need === "brief") {
      if (tokenBrief === undefined) return "no token that ends soon was given (--token-brief)";
    } else if (need === "observer") {
      if (tokenObserver === undefined) return "no token of an observer was given (--token-observer)";
    } else if (need.startsWith("limits.")) {
      if (manifest.limits?.[need.slice("limits.".length) as Limit] === undefined)
        return `the manifest does not say ${need}`;
    } else if (need === "duplex") {
      if (target.kind === "http") return "over HTTP the first message opens the connection";
    } else if (["websocket", "stdio", "http"].includes(need)) {
      if (target.kind !== need) return `is about ${need} alone`;
    } else if (manifest.agents[need as Behaviour] === undefined) {
      return `the manifest names no agent that does "${need}"`;
    }
  }
  return undefined;
}
