/**
 * A cursor over one feed: what brings committed items to one connection, in order, each once.
 *
 *   live         every item goes out as its batch commits
 *   catching-up  the reader is behind (resume, history, slow socket): slices are read from the store, or taken from what
 *                was committed last, one per turn of the event loop, each after the socket has drained
 *   stopped      the connection is gone
 *
 *   live -> catching-up   the socket is full, or items were numbered that are not in memory
 *   catching-up -> live   the cursor reached the committed head
 *   any -> stopped        stop()
 */
import type { Clock, Logger } from "@arcp/core";
import type { FeedItem, Store } from "../store/store.ts";
import { StoreError } from "../store/store-error.ts";
import type { Feed, LiveItem } from "./feed.ts";
import type { RuntimeMetrics } from "./metrics/runtime-metrics.ts";
import { MAX_TAIL_ITEMS, Tail, type TailRoom } from "./tail.ts";

/** The connection's side: spells items and writes them. */
export interface FeedSink {
  /** Returns false, and writes nothing, if these items need something from the store. */
  writeLive(items: readonly LiveItem[]): boolean;
  writeStored(items: readonly FeedItem[]): void | Promise<void>;
  /** Is more waiting to leave this process than should? */
  readonly isCongested: boolean;
  /** Resolves when it is no longer congested, or gone. */
  drained(): Promise<void>;
}

const SLICE_ITEMS = 512;
const SLICE_BYTES = 1024 * 1024;
/** Items between two time marks. */
const MARK_EVERY = 128;

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Delivery {
  readonly #feed: Feed;
  readonly #store: Store;
  readonly #sink: FeedSink;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #metrics: RuntimeMetrics;
  readonly #onProgress: () => void;
  readonly #onUnreadable: (error: StoreError) => void;
  #phase: "live" | "catching-up" | "stopped" = "catching-up";
  #sentSeq: number;
  #isReading = false;
  /** What was committed while the reader was a little behind. */
  readonly #tail: Tail;
  /** When some of the numbers were sent, oldest first: how long an acknowledgement takes. */
  #marks: { readonly seq: number; readonly at: number }[] = [];

  constructor(options: {
    readonly feed: Feed;
    readonly store: Store;
    readonly sink: FeedSink;
    readonly logger: Logger;
    readonly clock: Clock;
    readonly metrics: RuntimeMetrics;
    readonly tailRoom: TailRoom;
    /** Called when a backlog has become smaller. */
    readonly onProgress: () => void;
    /** What comes next is damaged, or the disk does not give it out. */
    readonly onUnreadable: (error: StoreError) => void;
    /** The client has everything up to here. */
    readonly afterSeq: number;
  }) {
    this.#feed = options.feed;
    this.#store = options.store;
    this.#sink = options.sink;
    this.#logger = options.logger;
    this.#clock = options.clock;
    this.#metrics = options.metrics;
    this.#onProgress = options.onProgress;
    this.#onUnreadable = options.onUnreadable;
    this.#sentSeq = options.afterSeq;
    this.#tail = new Tail(options.tailRoom);
    this.onCommitted([]);
  }

  /** The highest number written to the connection. */
  get sentSeq(): number {
    return this.#sentSeq;
  }

  /** Items that are durable and not written yet. */
  get backlog(): number {
    return this.#feed.committedHead - this.#sentSeq;
  }

  /** Is the connection the reason for the backlog? */
  get isHeldBack(): boolean {
    return this.#phase === "catching-up" && this.#sink.isCongested;
  }

  /** When the oldest item after `seq` was written; `undefined` if there is none. */
  sentAt(seq: number): number | undefined {
    while ((this.#marks[0]?.seq ?? Number.POSITIVE_INFINITY) <= seq) this.#marks.shift();
    return this.#marks[0]?.at;
  }

  onCommitted(items: readonly LiveItem[]): void {
    if (this.#phase === "stopped") return;
    const first = items[0];
    const isNext = first !== undefined && first.seq === this.#sentSeq + 1 && this.#isAllCommitted(items);
    if (this.#phase === "live" && isNext && this.#sink.writeLive(items)) {
      this.#sent(items.length, first.entry.ts);
      if (this.#sink.isCongested) this.#fallBehind();
    } else if (this.backlog > 0) {
      if (!this.#tail.add(items)) this.#feed.keepLive(false);
      this.#fallBehind();
    } else this.#goLive();
  }

  stop(): void {
    this.#phase = "stopped";
    this.#tail.clear();
    this.#feed.keepLive(false);
  }

  #isAllCommitted(items: readonly LiveItem[]): boolean {
    return this.#sentSeq + items.length === this.#feed.committedHead;
  }

  #goLive(): void {
    this.#phase = "live";
    this.#feed.keepLive(true);
  }

  #fallBehind(): void {
    this.#phase = "catching-up";
    if (this.#isReading) return;
    this.#isReading = true;
    this.#catchUp().catch((error) => this.#onFailure(error));
  }

  /** What cannot be read cannot be sent, and nothing that follows it may be. */
  #onFailure(error: unknown): void {
    if (!(error instanceof StoreError)) {
      this.#logger.error({ err: error, invariant: true }, "reading a feed failed");
      return;
    }
    this.#logger.error({ err: error }, "a session cannot be sent what comes next: it cannot be read");
    if (this.#isCatchingUp()) this.#onUnreadable(error);
  }

  async #catchUp(): Promise<void> {
    try {
      await this.#readSlices();
    } finally {
      this.#isReading = false;
    }
  }

  async #readSlices(): Promise<void> {
    while (this.#phase === "catching-up") {
      if (this.#sink.isCongested) await this.#sink.drained();
      if (!this.#isCatchingUp()) return;
      if (!this.#sendFromTail()) await this.#sendFromStore();
      if (!this.#isCatchingUp()) return;
      if (this.backlog === 0 && !this.#sink.isCongested) {
        this.#goLive();
        this.#onProgress();
        // Items numbered before this moment are not in memory: if there are any, this is seen at their commit.
        return;
      }
      this.#onProgress();
      await nextTurn();
    }
  }

  /** Sends what comes next if it is in memory. */
  #sendFromTail(): boolean {
    const items = this.#tail.from(this.#sentSeq + 1, SLICE_ITEMS);
    if (items.length === 0 || !this.#sink.writeLive(items)) return false;
    this.#sent(items.length);
    this.#tail.dropUpTo(this.#sentSeq);
    return true;
  }

  async #sendFromStore(): Promise<void> {
    const { firstSeq } = this.#tail;
    const upTo = firstSeq > this.#sentSeq + 1 ? firstSeq - 1 : Number.POSITIVE_INFINITY;
    const limit = Math.min(SLICE_ITEMS, this.backlog, upTo - this.#sentSeq);
    const items = await this.#store.readFeed(this.#feed.sessionId, this.#sentSeq, limit, SLICE_BYTES);
    if (!this.#isCatchingUp()) return;
    if (items.length > 0) {
      await this.#sink.writeStored(items);
      this.#sent(items.length);
      this.#tail.dropUpTo(this.#sentSeq);
    } else if (this.backlog > 0) throw new Error(`item ${this.#sentSeq + 1} is missing from the feed`);
    // What is committed from now on may be sent as it is.
    if (this.#isCatchingUp() && this.backlog < MAX_TAIL_ITEMS / 2) this.#feed.keepLive(true);
  }

  #isCatchingUp(): boolean {
    return this.#phase === "catching-up";
  }

  /** `ts` is the time of the oldest of them, if they went out as they came. */
  #sent(count: number, ts?: number): void {
    this.#metrics.delivered(count, ts === undefined ? undefined : this.#clock.now() - ts);
    const before = this.#sentSeq;
    this.#sentSeq += count;
    if (Math.floor(before / MARK_EVERY) !== Math.floor(this.#sentSeq / MARK_EVERY) || this.#marks.length === 0) {
      this.#marks.push({ seq: this.#sentSeq, at: this.#clock.monotonic() });
    }
  }
}
