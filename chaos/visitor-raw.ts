/**
 * A client of wire 1.1 made of bare frames, which does what a library never would: it says things twice, resumes from
 * further back than it has to, from two places at once, and leaves in the middle of everything.
 */
import { type Transport, V1_1_FEATURES } from "@arcp/core";
import type { Random } from "../fuzz/random.ts";
import type { LineMaker } from "./lines.ts";
import { OVERCLAIM } from "./runtime-settings.ts";
import { anySubmission, type Places } from "./submissions.ts";
import { pause, unless, type Visitor } from "./visitors.ts";

interface Frame {
  readonly type: string;
  readonly id: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly event_seq?: number;
  readonly payload: Readonly<Record<string, unknown>>;
}

interface Session {
  readonly id: string;
  token: string;
  /** The highest number that was received. */
  last: number;
  acked: number;
  /** Has another connection brought the token from which the current one was made, and not been answered? */
  isContested: boolean;
}

const MAX_OPEN_JOBS = 5;
const ANSWER_MS = 8_000;
const OVERCLAIM_ONE_IN = 15;
const isEnding = ({ type }: Frame): boolean => type === "job.result" || type === "job.error";

export class VisitorRaw implements Visitor {
  readonly name: string;
  readonly #principal: string;
  readonly #lines: LineMaker;
  readonly #random: Random;
  readonly #places: Places;
  /** One that never acknowledges can ask for everything again. */
  readonly #isForgetful: boolean;
  #session: Session | undefined;
  #current: Transport | undefined;
  #ids = 0;
  #keys = 0;
  /** Submissions that were not answered, by key. */
  readonly #unanswered = new Map<string, object>();
  readonly #keyOf = new Map<string, string>();
  readonly #open = new Set<string>();
  readonly #over = new Set<string>();
  readonly #lost: string[] = [];

  constructor(name: string, principal: string, lines: LineMaker, random: Random, places: Places) {
    this.name = name;
    this.#principal = principal;
    this.#lines = lines;
    this.#random = random;
    this.#places = places;
    this.#isForgetful = random.oneIn(2);
  }

  get missing(): readonly string[] {
    return [
      ...[...this.#open].map((job) => `${this.name}: the end of ${job}`),
      ...[...this.#unanswered.keys()].map((key) => `${this.name}: an answer to ${key}`),
      ...this.#lost,
    ];
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const transport = await this.#attach(signal, this.#random.oneIn(4));
      if (transport === undefined) {
        await pause(60, signal);
        continue;
      }
      await this.#act(transport, signal);
      if (this.#random.oneIn(3)) transport.abort("the client is gone");
    }
  }

  async settle(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && (this.#open.size > 0 || this.#unanswered.size > 0)) {
      const transport = await this.#attach(signal, false);
      if (transport === undefined) {
        await pause(100, signal);
        continue;
      }
      this.#sayAgain(transport);
      await unless(
        AbortSignal.any([signal, AbortSignal.timeout(2_000)]),
        this.#until(transport, () => this.#isDone),
      );
    }
    if (signal.aborted || this.#session === undefined) return;
    // Everything that may still be asked for, once more: it has to be what it was.
    this.#current?.abort("the client begins at the beginning");
    const transport = await this.#attach(signal, true);
    if (transport === undefined) return;
    const pong = this.#say(transport, "session.ping", { nonce: "end", sent_at: new Date().toISOString() });
    await unless(AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]), this.#answer(transport, pong));
  }

  async end(): Promise<void> {
    this.#current?.close();
  }

  get #isDone(): boolean {
    return this.#open.size === 0 && this.#unanswered.size === 0;
  }

  /** A connection with the session on it; `undefined` if that did not work. */
  async #attach(signal: AbortSignal, fromFurtherBack: boolean): Promise<Transport | undefined> {
    const before = this.#current;
    // Sometimes the connection of before is still there: the new one takes its place.
    if (before !== undefined && !before.isClosed && !fromFurtherBack) return before;
    try {
      const transport = await this.#lines.connect(
        { client: this.name, principal: this.#principal, wire: "1.1" },
        signal,
      );
      this.#listen(transport);
      const session = this.#session;
      // Numbers that never were: a client of a history that the runtime does not have.
      const isFromElsewhere = session !== undefined && this.#random.oneIn(OVERCLAIM_ONE_IN);
      const last = session === undefined ? 0 : fromFurtherBack ? this.#furtherBack(session) : session.last;
      const greeted = this.#greeted(transport);
      this.#say(transport, "session.hello", {
        client: { name: this.name, version: "1.0.0" },
        auth: { scheme: "bearer", token: this.#principal },
        capabilities: { encodings: ["json"], features: V1_1_FEATURES.filter((name) => name !== "heartbeat") },
        ...(session && {
          resume: {
            session_id: session.id,
            resume_token: session.token,
            last_event_seq: isFromElsewhere ? last + OVERCLAIM : last,
          },
        }),
      });
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
      const answer = await unless(limit, greeted);
      if (answer?.type === "session.welcome") {
        if (this.#session !== undefined) this.#session.isContested = false;
        this.#current = transport;
        return transport;
      }
      if (answer?.payload["code"] === "RESUME_WINDOW_EXPIRED" && !isFromElsewhere) {
        if (session?.isContested) this.#open.clear();
        else this.#lost.push(`${this.name}: session ${session?.id} could not be resumed`);
        this.#session = undefined;
      }
      transport.abort("no welcome");
    } catch {
      // Nobody is there at the moment.
    }
    return undefined;
  }

  #furtherBack(session: Session): number {
    const lowest = this.#isForgetful ? 0 : session.acked;
    return this.#random.oneIn(4) ? lowest : lowest + this.#random.below(session.last - lowest + 1);
  }

  async #act(transport: Transport, signal: AbortSignal): Promise<void> {
    this.#sayAgain(transport);
    for (let n = 4 + this.#random.below(30); n > 0 && !transport.isClosed && !signal.aborted; n -= 1) {
      const roll = this.#random.below(20);
      if (roll < 6 && this.#open.size + this.#unanswered.size < MAX_OPEN_JOBS) this.#submit(transport);
      else if (roll < 8) this.#say(transport, "session.list_jobs", {});
      else if (roll < 10 && !this.#isForgetful) this.#ack(transport);
      else if (roll === 10) this.#cancelAny(transport);
      else if (roll === 11) {
        // Two at once want the session.
        const [one] = await Promise.all([this.#attach(signal, true), this.#attach(signal, true)]);
        // The one that was answered first, or not at all, may have come second: then the token that was told last is void.
        if (this.#session !== undefined) this.#session.isContested = true;
        if (one === undefined) return;
        // What is asked for there is told there alone.
        this.#submit(one);
      }
      await pause(this.#random.below(80), signal);
    }
  }

  #submit(transport: Transport): void {
    const { agent, input, lease, maxRuntimeSec } = anySubmission(this.#random, this.#principal, this.#places);
    this.#keys += 1;
    // The same keys for everybody: each principal has its own.
    const key = `raw-${this.#keys}`;
    const payload = { agent, input, lease_request: lease, idempotency_key: key, max_runtime_sec: maxRuntimeSec };
    this.#unanswered.set(key, payload);
    this.#keyOf.set(this.#say(transport, "job.submit", payload, this.#random.oneIn(4) ? 2 : 1), key);
  }

  /** The answer may have been lost, or never made. */
  #sayAgain(transport: Transport): void {
    for (const [key, payload] of this.#unanswered) this.#keyOf.set(this.#say(transport, "job.submit", payload), key);
  }

  #ack(transport: Transport): void {
    const session = this.#session;
    if (session === undefined) return;
    session.acked = session.last;
    this.#say(transport, "session.ack", { last_processed_seq: session.acked });
  }

  #cancelAny(transport: Transport): void {
    const [job] = this.#open;
    if (job !== undefined) this.#say(transport, "job.cancel", { job_id: job }, this.#random.oneIn(3) ? 2 : 1);
  }

  /** Says it, or says it several times in the very same words. Returns the message's id. */
  #say(transport: Transport, type: string, payload: object, times = 1): string {
    this.#ids += 1;
    const id = `msg_${this.name}-${this.#ids}`;
    const isHello = type === "session.hello";
    const session = isHello || this.#session === undefined ? {} : { session_id: this.#session.id };
    const text = JSON.stringify({ arcp: "1.1", id, type, ...session, payload });
    for (let n = 0; n < times; n += 1) transport.send(text);
    return id;
  }

  readonly #waiting = new Map<Transport, ((frame: Frame) => void)[]>();

  #listen(transport: Transport): void {
    this.#waiting.set(transport, []);
    void transport.closed.then(() => this.#waiting.delete(transport));
    transport.onFrame((text) => {
      const frame = JSON.parse(text) as Frame;
      this.#take(frame);
      for (const look of [...(this.#waiting.get(transport) ?? [])]) look(frame);
    });
  }

  #take(frame: Frame): void {
    const { type, payload } = frame;
    if (type === "session.welcome") {
      const id = String(frame.session_id);
      if (this.#session?.id !== id) this.#session = { id, token: "", last: 0, acked: 0, isContested: false };
      this.#session.token = String(payload["resume_token"]);
    }
    if (frame.event_seq !== undefined && this.#session?.id === frame.session_id && this.#session !== undefined) {
      this.#session.last = Math.max(this.#session.last, frame.event_seq);
    }
    const key = this.#keyOf.get(String(payload["request_id"]));
    if (key !== undefined && this.#unanswered.delete(key) && type === "job.accepted") {
      const job = String(payload["job_id"]);
      if (!this.#over.has(job)) this.#open.add(job);
    }
    if (isEnding(frame) && frame.job_id !== undefined) {
      this.#open.delete(frame.job_id);
      this.#over.add(frame.job_id);
    }
  }

  /** The welcome, or the refusal of it. */
  #greeted(transport: Transport): Promise<Frame> {
    return this.#whichever(transport, ({ type }) => type === "session.welcome" || type === "session.error");
  }

  #answer(transport: Transport, id: string): Promise<Frame> {
    return this.#whichever(
      transport,
      (frame) =>
        (frame as { readonly correlation_id?: string }).correlation_id === id || frame.payload["request_id"] === id,
    );
  }

  async #until(transport: Transport, isTrue: () => boolean): Promise<void> {
    if (!isTrue()) await this.#whichever(transport, isTrue);
  }

  /** The first frame that `matches`. Rejects when the connection ends before. */
  #whichever(transport: Transport, matches: (frame: Frame) => boolean): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const looks = this.#waiting.get(transport);
      if (looks === undefined) return reject(new Error("the connection is over"));
      looks.push((frame) => {
        if (matches(frame)) resolve(frame);
      });
      void transport.closed.then(() => reject(new Error("the connection is over")));
    });
  }
}
