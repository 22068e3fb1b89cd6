/** One connection of a case: says what the case says, and remembers all that comes. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CaseRun } from "../case.ts";
import { type Frame, newId } from "../frame.ts";
import { type Claim, NotHere, Violation } from "../judge.ts";
import type { Connection, ConnectionReader, Target } from "./connection.ts";

export interface PeerOptions {
  /** How long to wait for what has to come, in milliseconds, counted from whatever came last. */
  readonly patienceMs: number;
  /** How long nothing may come before it is taken for granted that nothing will. */
  readonly quietMs: number;
}

export class Peer {
  /** Every message received, in order. */
  readonly frames: Frame[] = [];
  /** What was received and is no message: as it was. */
  readonly garbage: string[] = [];
  /** The session, once it is welcomed. */
  sessionId: string | undefined;
  resumeToken: string | undefined;
  /** What the first message called the protocol; every other says the same. */
  arcp = "1.1";
  ended: string | undefined;
  readonly #run: CaseRun;
  readonly #options: PeerOptions;
  readonly #number: number;
  #connection: Connection | undefined;
  #wake = new Set<() => void>();
  /** Requests by id: of which type, and how much had been received before. */
  readonly #asked = new Map<string, { readonly type: string; readonly after: number }>();
  readonly #answers = new Set<Frame>();

  private constructor(run: CaseRun, options: PeerOptions) {
    this.#run = run;
    this.#options = options;
    this.#number = run.recording.connection();
  }

  static async dial(target: Target, run: CaseRun, options: PeerOptions): Promise<Peer> {
    const peer = new Peer(run, options);
    const reader: ConnectionReader = {
      onText: (text) => peer.#take(text),
      onBinary: (bytes) => peer.#odd(`a binary frame of ${bytes} bytes`),
      onEnd: (why) => {
        peer.ended = why;
        run.recording.add("noted", peer.#number, why);
        peer.#awake();
      },
    };
    try {
      peer.#connection = await target.dial(reader, run.signal);
    } catch (thrown) {
      throw new Violation(undefined, `a connection to ${target.name}`, String(thrown));
    }
    return peer;
  }

  #take(text: string): void {
    this.#run.recording.add("received", this.#number, text);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      this.#odd(text);
      return;
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) this.#odd(text);
    else this.#receive(value as Frame);
    this.#awake();
  }

  #receive(frame: Frame): void {
    this.frames.push(frame);
    // Over HTTP the session may be taken up anew for a stream that came late: the newest token is the one that counts.
    const isOfSession = frame.type === "session.welcome" && frame.session_id === this.sessionId;
    if (isOfSession && typeof frame.payload?.resume_token === "string") this.resumeToken = frame.payload.resume_token;
  }

  #odd(what: string): void {
    this.garbage.push(what);
    this.#awake();
  }

  #awake(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }

  // --- What is said ---------------------------------------------------------------------------------------------------

  /** Sends one message and returns its id. `members` are put on the envelope, and may replace any part of it. */
  send(type: string, payload: unknown = {}, members: Readonly<Record<string, unknown>> = {}): string {
    const id = newId();
    const session = this.sessionId === undefined ? {} : { session_id: this.sessionId };
    const time = this.arcp === "1.0" ? { timestamp: new Date().toISOString() } : {};
    const message = { arcp: this.arcp, id, type, ...time, ...session, payload, ...members };
    this.#asked.set(message.id, { type, after: this.frames.length });
    this.sendText(JSON.stringify(message));
    return message.id;
  }

  sendText(text: string): void {
    this.#run.recording.add("sent", this.#number, text);
    this.#wire.send(text);
  }

  /** @throws NotHere on connections without binary frames. */
  sendBinary(bytes: Uint8Array): void {
    if (this.#wire.sendBinary === undefined) throw new NotHere("this transport has no binary frames");
    this.#run.recording.add("sent", this.#number, `(binary, ${bytes.length} bytes)`);
    this.#wire.sendBinary(bytes);
  }

  /** @throws NotHere on connections that are no stream of bytes. */
  sendBytes(bytes: Uint8Array): void {
    if (this.#wire.sendBytes === undefined) throw new NotHere("this transport takes no bytes as they are");
    this.#run.recording.add(
      "sent",
      this.#number,
      `(${bytes.length} bytes as they are) ${Buffer.from(bytes).toString("latin1")}`,
    );
    this.#wire.sendBytes(bytes);
  }

  get #wire(): Connection {
    if (this.#connection === undefined) throw new Error("not connected");
    return this.#connection;
  }

  /** Pulls the cable. */
  cut(): void {
    this.#connection?.cut();
  }

  // --- What is waited for ---------------------------------------------------------------------------------------------

  /** The first message, received already or to come, that `matches`. A violation of `requirement` if there is none in time. */
  async sees(
    requirement: Claim,
    what: string,
    matches: (frame: Frame) => boolean,
    patienceMs: number = this.#options.patienceMs,
  ): Promise<Frame> {
    this.#run.judge.looksAt(requirement);
    let place = 0;
    const found = await this.#patiently(patienceMs, () => {
      for (; place < this.frames.length; place += 1) {
        const frame = this.frames[place] as Frame;
        if (matches(frame)) return frame;
      }
      return undefined;
    });
    if (found !== undefined) return found;
    const last = this.frames.at(-1);
    const why =
      this.ended === undefined ? `nothing like it within ${patienceMs} ms` : `the connection was ${this.ended}`;
    throw new Violation(
      requirement,
      what,
      `${why}; last came ${last === undefined ? "nothing" : JSON.stringify(last)}`,
    );
  }

  /** The answer to the request `id`. */
  async reply(requirement: Claim, id: string, what = "an answer to the request"): Promise<Frame> {
    const found = await this.sees(requirement, what, (frame) => this.#isReply(frame, id));
    this.#answers.add(found);
    return found;
  }

  /** Named as the answer; or, as most answers need not name what they answer, the first of the right type that names nothing. */
  #isReply(frame: Frame, id: string): boolean {
    const names = namesOf(frame);
    if (names.length > 0) return frame.type !== "job.event" && names.includes(id);
    const asked = this.#asked.get(id);
    // The end of a job answers a submission at most, and only that of a job that nobody has accepted.
    if (frame.event_seq !== undefined && asked?.type !== "job.submit") return false;
    const isAccepted = ({ type, job_id }: Frame): boolean => type === "job.accepted" && job_id === frame.job_id;
    if (frame.type === "job.error" && frame.job_id !== undefined && this.frames.some(isAccepted)) return false;
    if (asked === undefined || this.#answers.has(frame) || this.frames.indexOf(frame) < asked.after) return false;
    return (ANSWERS[asked.type] ?? ["session.error"]).includes(frame.type) && frame.payload?.parent_job_id == null;
  }

  /** Asks, and resolves with the answer. */
  ask(
    requirement: Claim,
    type: string,
    payload: unknown = {},
    members: Readonly<Record<string, unknown>> = {},
  ): Promise<Frame> {
    const id = this.send(type, payload, members);
    return this.reply(requirement, id, `an answer to ${type}`);
  }

  /** The last message of a job. */
  end(requirement: Claim, jobId: string, patienceMs?: number): Promise<Frame> {
    return this.sees(requirement, `the last message of ${jobId}`, (frame) => isEndOf(frame, jobId), patienceMs);
  }

  /** The end of the connection. */
  async hangUp(requirement: Claim, what: string): Promise<string> {
    this.#run.judge.looksAt(requirement);
    const why = await this.#until(this.#options.patienceMs, () => this.ended);
    if (why === undefined) throw new Violation(requirement, what, "the connection is still open");
    return why;
  }

  /** Resolves when enough time has passed in which whatever was to come would have come. */
  async quiet(): Promise<void> {
    await this.#until(this.#options.quietMs, () => this.ended);
  }

  /** Waits on as long as anything comes: a machine may be slow, and a case has its deadline. */
  async #patiently<Found>(patienceMs: number, look: () => Found | undefined): Promise<Found | undefined> {
    const told = (): number => this.frames.filter(({ type }) => !SIGNS_OF_LIFE.has(type)).length;
    for (;;) {
      const before = told();
      const found = await this.#until(patienceMs, look);
      if (found !== undefined || this.ended !== undefined || told() === before) return found;
    }
  }

  /** What `look` finds, now or after a message or the end, or `undefined` when the time or the connection is over. */
  async #until<Found>(limitMs: number, look: () => Found | undefined): Promise<Found | undefined> {
    const timer = new AbortController();
    const over = sleep(limitMs, "over" as const, { signal: timer.signal, ref: false }).catch(() => "over" as const);
    try {
      for (;;) {
        const found = look();
        if (found !== undefined || this.ended !== undefined) return found;
        const woken = new Promise<"woken">((resolve) => this.#wake.add(() => resolve("woken")));
        if ((await Promise.race([woken, over])) === "over") return look();
      }
    } finally {
      timer.abort();
    }
  }

  // --- What was seen --------------------------------------------------------------------------------------------------

  /** What came with a number, in order. */
  get numbered(): readonly Frame[] {
    return this.frames.filter((frame) => frame.event_seq !== undefined);
  }

  /** What came with a number about one job. */
  ofJob(jobId: string): readonly Frame[] {
    return this.numbered.filter((frame) => frame.job_id === jobId);
  }

  /** Events of one kind of one job. */
  events(jobId: string, kind: string): readonly Frame[] {
    return this.ofJob(jobId).filter((frame) => frame.type === "job.event" && frame.payload?.kind === kind);
  }
}

/** What comes for ever, whatever else does. */
const SIGNS_OF_LIFE: ReadonlySet<string> = new Set(["session.ping", "job.heartbeat"]);

/** What answers a request, if it does not say so: the specification has only `session.jobs` name its request. */
const ANSWERS: Readonly<Record<string, readonly string[]>> = {
  "session.hello": ["session.welcome", "session.error"],
  "session.resume": ["session.welcome", "session.error"],
  "session.ping": ["session.pong"],
  "session.close": ["session.closed", "session.error"],
  "session.list_jobs": ["session.jobs", "session.error"],
  "job.submit": ["job.accepted", "job.error", "session.error"],
  "job.cancel": ["job.cancelled", "job.error", "session.error"],
  "job.subscribe": ["job.subscribed", "job.error", "session.error"],
};

/** The requests that a message says to answer, in any of the ways that runtimes have for it. */
function namesOf(frame: Frame): readonly unknown[] {
  const { request_id, reply_to, ack_for, ping_nonce } = (frame.payload ?? {}) as Record<string, unknown>;
  const named = [frame.correlation_id, request_id, reply_to, ack_for].filter((name) => typeof name === "string");
  return frame.type === "session.pong" && named.length === 0 ? [ping_nonce] : named;
}

export function isEndOf(frame: Frame, jobId: string): boolean {
  return frame.job_id === jobId && (frame.type === "job.result" || frame.type === "job.error");
}
