/** One connection that the client under test has made: what it says is remembered, and what the script says is sent. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CaseRun } from "../case.ts";
import { type Frame, newId } from "../frame.ts";
import { Violation } from "../judge.ts";
import type { Wire } from "../requirements.ts";
import type { Carrier } from "./carrier.ts";
import { CUT, type Tamper } from "./tamper.ts";

export interface CallerOptions {
  readonly wire: Wire;
  /** How long to wait for what has to come, in milliseconds. */
  readonly patienceMs: number;
  readonly tamper: Tamper | undefined;
  /** Which of the client's connections it is, from 1. */
  readonly place: number;
  /** Rejects when a step that had to succeed did not. */
  readonly broken: Promise<never>;
}

type Members = Readonly<Record<string, unknown>>;

export class Caller {
  /** Every message received, in order. */
  readonly frames: Frame[] = [];
  /** When each of them came, on the clock of `performance.now`. */
  readonly times: number[] = [];
  /** What came and is no message. */
  readonly garbage: string[] = [];
  readonly carrier: Carrier;
  /** The session, on everything that is sent from when it is set. */
  sessionId: string | undefined;
  /** Why it is over; `undefined` while it is not. */
  ended: string | undefined;
  /** Answers `session.close` and pings by itself. */
  isObliging = true;
  /** When a frame was last sent, on the clock of `performance.now`. */
  sentAt = performance.now();
  endedAt: number | undefined;
  readonly #run: CaseRun;
  readonly #options: CallerOptions;
  readonly #number: number;
  readonly #taken = new Set<Frame>();
  readonly #wake = new Set<() => void>();

  constructor(carrier: Carrier, run: CaseRun, options: CallerOptions) {
    this.carrier = carrier;
    this.#run = run;
    this.#options = options;
    this.#number = run.recording.connection();
    carrier.onText = (text) => this.#onText(text);
    carrier.onBinary = (bytes) => this.#odd(`a binary frame of ${bytes.length} bytes`);
    carrier.onClosed = (code) => this.#end(`closed with ${code}`);
  }

  // --- What is said ---------------------------------------------------------------------------------------------------

  /** Sends one message and returns its id. `members` are put on the envelope and may replace any part of it. */
  send(type: string, payload: unknown = {}, members: Members = {}): string {
    const id = newId();
    const session = this.sessionId === undefined ? {} : { session_id: this.sessionId };
    const own = this.#options.wire === "1.0" ? { timestamp: new Date().toISOString() } : {};
    this.sendFrame({ arcp: this.#options.wire, id, type, ...own, ...session, payload, ...members });
    return typeof members["id"] === "string" ? members["id"] : id;
  }

  sendFrame(frame: object): void {
    const told = this.#options.tamper?.tells?.(frame as Frame, this.#options.place) ?? frame;
    if (told !== CUT) this.sendText(JSON.stringify(told));
  }

  sendText(text: string): void {
    this.#run.recording.add("sent", this.#number, text);
    this.sentAt = performance.now();
    if (this.ended === undefined) this.carrier.send(text);
  }

  /** A frame of text that need not be UTF-8. */
  sendBytes(bytes: Uint8Array): void {
    this.#run.recording.add("sent", this.#number, `(${bytes.length} bytes) ${Buffer.from(bytes).toString("latin1")}`);
    if (this.ended === undefined) this.carrier.sendBytes(bytes);
  }

  sendBinary(bytes: Uint8Array): void {
    this.#run.recording.add("sent", this.#number, `(binary, ${bytes.length} bytes)`);
    if (this.ended === undefined) this.carrier.sendBinary(bytes);
  }

  /** Pulls the cable. */
  cut(): void {
    this.#run.recording.add("noted", this.#number, "cut by the suite");
    this.carrier.cut();
    this.#end("cut by the suite");
  }

  close(code?: number, reason?: string): void {
    this.#run.recording.add("noted", this.#number, `closed by the suite with ${code ?? "no code"}`);
    this.carrier.close(code, reason);
  }

  // --- What is waited for ---------------------------------------------------------------------------------------------

  /** The first message of that type that was not asked for before. */
  next(requirement: string | undefined, ...types: readonly string[]): Promise<Frame> {
    const seeing = this.sees(requirement, types.join(" or "), ({ type }) => types.includes(type));
    seeing.catch(() => {
      // A case may be over before it looks at what it has waited for.
    });
    return seeing;
  }

  /** The first message, received already or to come, that was not asked for before and `matches`. */
  async sees(requirement: string | undefined, what: string, matches: (frame: Frame) => boolean): Promise<Frame> {
    this.#run.judge.looksAt(requirement);
    const { patienceMs } = this.#options;
    const found = await this.until(patienceMs, () =>
      this.frames.find((frame) => !this.#taken.has(frame) && matches(frame)),
    );
    if (found !== undefined) {
      this.#taken.add(found);
      return found;
    }
    const last = this.frames.at(-1);
    const why =
      this.ended === undefined ? `nothing like it within ${patienceMs} ms` : `the connection was ${this.ended}`;
    const came = last === undefined ? "nothing" : JSON.stringify(last).slice(0, 600);
    throw new Violation(requirement, `the client to send ${what}`, `${why}; last came ${came}`);
  }

  /** The end of the connection. */
  async hangUp(requirement: string | undefined, what: string): Promise<void> {
    this.#run.judge.looksAt(requirement);
    await this.until(this.#options.patienceMs, () => this.ended);
    if (this.ended === undefined) throw new Violation(requirement, what, "the connection is still open");
  }

  /**
   * Everything that the client had to say to what it was sent so far has come: it has answered a ping after it. Resolves
   * with the id of the ping.
   */
  async fence(): Promise<string> {
    if (this.#options.wire === "1.0") {
      const id = this.send("ping", {});
      await this.sees(undefined, "the pong of a ping", (frame) => frame.type === "pong" && frame.correlation_id === id);
      return id;
    }
    const nonce = newId();
    const id = this.send("session.ping", { nonce, sent_at: new Date().toISOString() });
    await this.sees(
      undefined,
      "the session.pong of a session.ping",
      ({ type, payload }) => type === "session.pong" && payload?.ping_nonce === nonce,
    );
    return id;
  }

  ofType(...types: readonly string[]): readonly Frame[] {
    return this.frames.filter(({ type }) => types.includes(type));
  }

  /** What `look` finds, now or after a message or the end; `undefined` when the time or the connection is over. */
  async until<Found>(limitMs: number, look: () => Found | undefined): Promise<Found | undefined> {
    const timer = new AbortController();
    const over = sleep(limitMs, "over" as const, { signal: timer.signal }).catch(() => "over" as const);
    try {
      for (;;) {
        const found = look();
        if (found !== undefined || this.ended !== undefined) return found;
        const woken = new Promise<"woken">((resolve) => this.#wake.add(() => resolve("woken")));
        if ((await Promise.race([woken, over, this.#options.broken])) === "over") return look();
      }
    } finally {
      timer.abort();
    }
  }

  // --- What comes -----------------------------------------------------------------------------------------------------

  #onText(text: string): void {
    // What was on its way when the connection was given up.
    if (this.ended !== undefined) return;
    const { tamper, place } = this.#options;
    for (const heard of tamper?.hears?.(text, place) ?? [text]) {
      if (heard !== CUT) this.#take(heard);
      else {
        this.carrier.cut();
        this.#end("closed with 1006");
      }
    }
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
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      this.#odd(text);
      return;
    }
    this.frames.push(value as Frame);
    this.times.push(performance.now());
    if (this.isObliging) this.#oblige(value as Frame);
    this.#awake();
  }

  #oblige({ type, id, payload }: Frame): void {
    const received_at = new Date().toISOString();
    if (type === "ping") this.send("pong", { ack_for: id, received_at }, { correlation_id: id });
    if (type === "session.ping") this.send("session.pong", { ping_nonce: payload?.nonce ?? "", received_at });
    if (type === "session.close" && this.#options.wire === "1.1") this.send("session.closed", { request_id: id });
  }

  #odd(what: string): void {
    this.garbage.push(what);
    this.#awake();
  }

  #end(why: string): void {
    if (this.ended !== undefined) return;
    this.ended = why;
    this.endedAt = performance.now();
    this.#run.recording.add("noted", this.#number, why);
    this.#awake();
  }

  #awake(): void {
    for (const wake of this.#wake) wake();
    this.#wake.clear();
  }
}
