/**
 * A session: who a client is, what was negotiated, and how far it has got. It outlives connections.
 *
 *   attached -> detached   the connection is gone; the resume window starts (§6.3)
 *   detached -> attached   resume
 *   detached -> (gone)     the window is over; the registry forgets it
 */
import {
  type ARCPError,
  type Clock,
  InternalError,
  type JobId,
  type Logger,
  ResumeWindowExpiredError,
  type SessionId,
  type TraceId,
} from "@arcp/core";
import { ENTRY, type FeedRun, type SessionRecord, type Store } from "../store/store.ts";
import { isGrant } from "./access.ts";
import { Delivery, type FeedSink } from "./delivery.ts";
import { Feed } from "./feed.ts";
import type { Job } from "./job.ts";
import type { Journal } from "./journal.ts";
import type { RuntimeMetrics } from "./metrics/runtime-metrics.ts";
import type { TailRoom } from "./tail.ts";
import { isShown } from "./visibility.ts";

/** The connection that a session is attached to. */
export interface Link {
  /** Where the session's feed goes. */
  readonly sink: FeedSink;
  /** Tells the client of a job that it did not ask for: one that a job of its session delegated to (§10). */
  announce(acceptance: Acceptance): void;
  /** Tells the client that the agent of `job` has given a sign of life, and promised another (RFC §10.3). */
  beat?(job: Job, deadlineMs: number): void;
  /** The session goes on elsewhere: close this connection. */
  displaced(): void;
  /** The session cannot go on over this connection: end it with `error`. */
  fail(error: ARCPError): void;
  /** The session is to be read anew: lose this connection, so that the client comes back. */
  dropped(): void;
}

/** A client in whose name something is done: a session of this process, or of another node. */
export interface Actor {
  readonly id: SessionId;
  readonly principal: string;
  readonly features: ReadonlySet<string>;
  readonly remoteAddress: string | undefined;
  readonly record: { readonly wire: string };
}

type Attachment =
  | { readonly phase: "attached"; readonly link: Link; readonly delivery: Delivery; hasAcked: boolean }
  | { readonly phase: "detached"; readonly since: number };

/** The shortest time that an acknowledgement may be overdue before its absence holds a job up. */
const OVERDUE_MS = 1_000;
/** The longest that one job is held up without any progress of its consumer. */
const MAX_HOLD_MS = 30_000;

/** Submissions of one session by message id, so that a frame that arrives twice runs one job (§7.2). */
class SeenSubmissions {
  readonly #seen = new Map<string, Promise<Acceptance>>();

  get(id: string): Promise<Acceptance> | undefined {
    return this.#seen.get(id);
  }

  /** Remembers `id` until it fails, or so many others have come after it. */
  add(id: string, acceptance: Promise<Acceptance>): void {
    this.#seen.set(id, acceptance);
    acceptance.catch(() => this.#seen.delete(id));
    if (this.#seen.size <= MAX_SEEN) return;
    const oldest = this.#seen.keys().next().value;
    if (oldest !== undefined) this.#seen.delete(oldest);
  }
}

/** What the submitter is told. */
export interface Acceptance {
  readonly jobId: JobId;
  readonly traceId: TraceId;
  /** Was the job there before: does the same key stand for it? */
  readonly isRepeated?: true;
  /** The payload of `job.accepted`, JSON. Without credentials: those are shown to the submitter alone, while it lives. */
  readonly payload: string;
}

const MAX_SEEN = 256;
const MAX_ANNOUNCED = 1024;

export interface SessionTools {
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: RuntimeMetrics;
  /** What is kept in memory for clients that are a little behind. */
  readonly tailRoom: TailRoom;
  /** Events that a client may be behind before its jobs wait for it. */
  readonly backPressureThreshold: number;
}

type Changing = "features" | "tokenHash" | "previousTokenHash" | "mustAuthenticate" | "detachedAt" | "sentSeq";

export class Session {
  readonly #tools: SessionTools;
  readonly feed: Feed;
  /** Where its client was let in last; `undefined` inside this machine, and for a session that is read from the store. */
  remoteAddress: string | undefined;
  readonly seen = new SeenSubmissions();
  #record: SessionRecord;
  #features: ReadonlySet<string>;
  #attachment: Attachment;
  #isLost = false;
  #relief: { readonly gate: PromiseWithResolvers<void>; readonly stopTimer: () => void } | undefined;
  /** What output of low priority waits for. */
  #ease: { readonly gate: PromiseWithResolvers<void>; readonly stopTimer: () => void } | undefined;
  /** Did the consumer make no progress for the longest hold? Then it holds nothing up until it does. */
  #isGivenUp = false;
  /** Delegated jobs, each with the last number that was durable before it: who has a later one has heard of it. */
  #announced: readonly { readonly acceptance: Acceptance; readonly afterSeq: number }[] = [];

  constructor(record: SessionRecord, lastRun: FeedRun | null, tools: SessionTools) {
    this.#tools = tools;
    this.#record = record;
    this.#features = new Set(record.features);
    this.#attachment = { phase: "detached", since: record.detachedAt ?? tools.clock.now() };
    this.feed = new Feed({
      sessionId: record.id,
      journal: tools.journal,
      lastRun,
      shows: (code) => isShown(code, record.wire, this.#features),
      onCommitted: (items) => {
        if (this.#attachment.phase === "attached") this.#attachment.delivery.onCommitted(items);
      },
    });
  }

  get id(): SessionId {
    return this.#record.id;
  }

  get principal(): string {
    return this.#record.principal;
  }

  get features(): ReadonlySet<string> {
    return this.#features;
  }

  get salt(): string {
    return this.#record.salt;
  }

  get record(): SessionRecord {
    return this.#record;
  }

  /** Events that its client, if it is connected, has not been sent. */
  get backlog(): number {
    return this.#attachment.phase === "attached" ? this.#attachment.delivery.backlog : 0;
  }

  get isAttached(): boolean {
    return this.#attachment.phase === "attached";
  }

  /** When the connection was lost, in milliseconds since the epoch; `undefined` while there is one. */
  get detachedAt(): number | undefined {
    return this.#attachment.phase === "detached" ? this.#attachment.since : undefined;
  }

  /** The highest number that the client has acknowledged (§6.5). Numbers up to it are not kept for it any more. */
  get ackedSeq(): number {
    return this.#record.ackedSeq;
  }

  /**
   * The last number that the client can have been sent. Numbers may have been given since it was last there; a client that
   * names one of them was sent it by a history that is lost, out of which a backup was restored.
   */
  get sentHead(): number {
    const { head } = this.feed;
    return Math.min(this.#record.sentSeq ?? head, head);
  }

  /** Is it another's, or read anew? Then nothing of this object is stored. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** It is another's, or is read anew: this object writes nothing any more, and lets its client go. */
  lose(reason: "taken" | "stale"): void {
    this.#isLost = true;
    this.feed.close();
    if (this.#attachment.phase !== "attached") return;
    const { delivery, link } = this.#attachment;
    delivery.stop();
    this.#attachment = { phase: "detached", since: this.#tools.clock.now() };
    this.#release();
    this.#letGo();
    if (reason === "taken") link.displaced();
    else link.dropped();
  }

  /** Changes what is stored of the session, in the open batch. */
  update(change: Partial<Pick<SessionRecord, Changing>>): void {
    this.#record = { ...this.#record, ...change };
    if (change.features) this.#features = new Set(change.features);
    if (!this.#isLost) this.#tools.journal.putSession(this.#record);
  }

  /** The client has negotiated other features; what its credentials permit stays. */
  renegotiate(features: readonly string[]): void {
    this.update({ features: [...features, ...[...this.#features].filter(isGrant)] });
  }

  /**
   * Sends everything after `afterSeq` through `link`, and goes on from there. Takes the place of another link. A link to a session
   * that is lost is dropped.
   */
  attach(link: Link, afterSeq: number): void {
    if (this.#isLost) {
      link.dropped();
      return;
    }
    if (this.#attachment.phase === "attached") {
      this.#attachment.delivery.stop();
      this.#attachment.link.displaced();
    }
    this.#letGo();
    const delivery = this.#delivery(link, afterSeq);
    this.#isGivenUp = false;
    this.#attachment = { phase: "attached", link, delivery, hasAcked: false };
    this.#announced = this.#announced.filter(({ afterSeq: announcedAfter }) => announcedAfter >= afterSeq);
    for (const { acceptance } of this.#announced) link.announce(acceptance);
    if (this.#record.detachedAt !== null) this.update({ detachedAt: null, sentSeq: null });
  }

  /** Sends everything after `afterSeq` once more through the link that it is attached to (RFC §19). */
  rewind(link: Link, afterSeq: number): void {
    if (this.#attachment.phase !== "attached" || this.#attachment.link !== link) return;
    this.#attachment.delivery.stop();
    this.#attachment = { ...this.#attachment, delivery: this.#delivery(link, afterSeq) };
  }

  #delivery(link: Link, afterSeq: number): Delivery {
    const { store, logger, clock, metrics, tailRoom } = this.#tools;
    return new Delivery({
      ...{ metrics, clock, tailRoom },
      ...{ feed: this.feed, store, logger, sink: link.sink, afterSeq },
      onProgress: () => this.#relieve(),
      onUnreadable: ({ reason }) =>
        link.fail(
          reason === "corrupt"
            ? new ResumeWindowExpiredError("what comes next is lost: the database is damaged")
            : new InternalError("what comes next cannot be read: the database failed"),
        ),
    });
  }

  /** The connection of `link` is gone. Does nothing if another one has taken its place. */
  detach(link: Link): void {
    if (this.#attachment.phase !== "attached" || this.#attachment.link !== link) return;
    this.#attachment.delivery.stop();
    const since = this.#tools.clock.now();
    this.#attachment = { phase: "detached", since };
    this.#release();
    this.#letGo();
    this.update({ detachedAt: since, sentSeq: this.feed.committedHead });
  }

  /**
   * Tells the client of a delegated job, before any event of that job is sent, and again after a resume unless it has
   * something that was sent later.
   */
  announce(acceptance: Acceptance): void {
    const announcement = { acceptance, afterSeq: this.feed.committedHead };
    this.#announced = [...this.#announced.slice(1 - MAX_ANNOUNCED), announcement];
    if (this.#attachment.phase === "attached") this.#attachment.link.announce(acceptance);
  }

  /** The agent of `job`, which the client is shown, has given a sign of life. */
  beat(job: Job, deadlineMs: number): void {
    if (this.#attachment.phase === "attached") this.#attachment.link.beat?.(job, deadlineMs);
  }

  /** Is `link` the connection that the session is attached to? */
  isAttachedTo(link: Link): boolean {
    return this.#attachment.phase === "attached" && this.#attachment.link === link;
  }

  /** The client has processed everything up to `seq`. Lower than before, or more than was sent: no effect. */
  ack(seq: number): void {
    if (this.#attachment.phase !== "attached") return;
    this.#attachment.hasAcked = true;
    this.#isGivenUp = false;
    const upTo = Math.min(seq, this.#attachment.delivery.sentSeq);
    if (upTo <= this.#record.ackedSeq) return;
    // Advisory: written with the next batch that there is a reason for.
    this.#record = { ...this.#record, ackedSeq: upTo };
    this.#relieve();
  }

  /** The client said goodbye with everything up to the last acknowledgement: store that. */
  persistAck(): void {
    if (!this.#isLost) this.#tools.journal.putSession(this.#record);
  }

  /**
   * Lasts as long as more is on its way to the client than should be, {@link MAX_HOLD_MS} at most; `undefined` if that is
   * not so.
   */
  get congestion(): Promise<void> | undefined {
    if (!this.#isHeldBack) return undefined;
    if (this.#ease === undefined) {
      const gate = Promise.withResolvers<void>();
      this.#ease = { gate, stopTimer: this.#tools.clock.setTimer(() => this.#letGo(), MAX_HOLD_MS) };
    }
    return this.#ease.gate.promise;
  }

  get #isHeldBack(): boolean {
    return this.#attachment.phase === "attached" && this.#attachment.delivery.isHeldBack;
  }

  #letGo(): void {
    const ease = this.#ease;
    this.#ease = undefined;
    ease?.stopTimer();
    ease?.gate.resolve();
  }

  /**
   * What an emitter of one of this session's jobs waits for: nothing while the client keeps up, or is away. A client
   * that is too far behind is told so once, by an event of `job`, and holds its jobs up until it is halfway back.
   */
  pace(job: Job): Promise<void> | undefined {
    if (this.#relief) return this.#relief.gate.promise;
    if (this.#attachment.phase !== "attached" || this.#isGivenUp || !this.#isBehind()) return undefined;
    const gate = Promise.withResolvers<void>();
    const stopTimer = this.#tools.clock.setTimer(() => {
      this.#isGivenUp = true;
      this.#release();
    }, MAX_HOLD_MS);
    this.#relief = { gate, stopTimer };
    void job.emit(ENTRY.status, "status", {
      phase: "back_pressure",
      message: `the client is more than ${this.#tools.backPressureThreshold} events behind`,
    });
    return gate.promise;
  }

  #isBehind(): boolean {
    if (this.#attachment.phase !== "attached") return false;
    const { delivery, hasAcked } = this.#attachment;
    const threshold = this.#tools.backPressureThreshold;
    if (delivery.isHeldBack && delivery.backlog > threshold) return true;
    if (!hasAcked || delivery.sentSeq - this.#record.ackedSeq <= threshold) return false;
    const sentAt = delivery.sentAt(this.#record.ackedSeq);
    return sentAt !== undefined && this.#tools.clock.monotonic() - sentAt > OVERDUE_MS;
  }

  #relieve(): void {
    if (this.#ease && !this.#isHeldBack) this.#letGo();
    if (!this.#relief || this.#attachment.phase !== "attached") return;
    const { delivery, hasAcked } = this.#attachment;
    const half = this.#tools.backPressureThreshold / 2;
    const unacked = hasAcked ? delivery.sentSeq - this.#record.ackedSeq : 0;
    if (delivery.backlog <= half && unacked <= half) this.#release();
  }

  #release(): void {
    const relief = this.#relief;
    this.#relief = undefined;
    relief?.stopTimer();
    relief?.gate.resolve();
  }
}
