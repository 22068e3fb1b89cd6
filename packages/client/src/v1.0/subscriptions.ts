/** Observing what goes on in sessions (RFC §13), and observing it on over a new connection (RFC §19). */
import { ARCPError, CancelledError, type JsonObject, newMessageId } from "@arcp/core";
import {
  decodeAnyMessage10,
  errorFromV10,
  type MessageOf10,
  type Priority,
  priorityRank,
  type RuntimeMessage10,
  type SubscriptionFilter10,
} from "@arcp/core/v1.0";
import type { Backlog } from "../backlog.ts";
import type { EventQueue } from "../event-queue.ts";
import { RecentIds } from "../recent-ids.ts";
import { onAbort } from "../waiting.ts";
import type { AskOptions, Unsent } from "./requests.ts";
import { isPlaceless } from "./session.ts";

/** A message of some session, as an observer sees it (RFC §13.1). */
export interface ObservedEvent {
  readonly id: string;
  readonly type: string;
  /** RFC 3339, as the runtime wrote it. */
  readonly ts: string | undefined;
  readonly sessionId: string | undefined;
  readonly jobId: string | undefined;
  readonly streamId: string | undefined;
  readonly traceId: string | undefined;
  readonly correlationId: string | undefined;
  readonly causationId: string | undefined;
  readonly priority: Priority;
  readonly payload: JsonObject;
  /** Did it happen before the subscription was made (RFC §13.3)? */
  readonly isHistory: boolean;
}

/** Which events to see: all members have to match, one value of each (RFC §13.2). */
export interface ObserverFilter {
  readonly sessionId?: string | readonly string[];
  readonly jobId?: string | readonly string[];
  readonly streamId?: string | readonly string[];
  readonly traceId?: string | readonly string[];
  readonly types?: readonly string[];
  readonly minPriority?: Priority;
}

/** Which messages an observer is sent, and from where on (RFC §13). */
export interface ObserveOptions {
  /** Replays what came after that message, and goes on live. */
  readonly since?: string;
  /** Replays everything that the runtime still has, and goes on live. Default: false. */
  readonly backfill?: boolean;
  /** Ends the wait for the answer, or the subscription. */
  readonly signal?: AbortSignal;
}

/**
 * A subscription: iterating gives the events that match, in order, each once, until it is closed. Over a lost connection
 * it goes on after the last event that was seen.
 */
export class Subscription implements AsyncIterable<ObservedEvent, undefined> {
  readonly #queue: EventQueue<ObservedEvent>;
  readonly #close: () => Promise<void>;
  readonly #backfilled: Promise<void>;
  readonly #current: () => string | undefined;

  /** @internal */
  constructor(
    queue: EventQueue<ObservedEvent>,
    backfilled: Promise<void>,
    current: () => string | undefined,
    close: () => Promise<void>,
  ) {
    this.#queue = queue;
    this.#backfilled = backfilled;
    this.#current = current;
    this.#close = close;
  }

  /** As the runtime named it last: over a new connection it gets another name. */
  get subscriptionId(): string | undefined {
    return this.#current();
  }

  /** Resolves when the history is through: at once if none was asked for. Rejects when the subscription ends before. */
  get backfillComplete(): Promise<void> {
    return this.#backfilled;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<ObservedEvent, undefined> {
    return this.#queue;
  }

  /** Ends the subscription (RFC §13.4): iterating ends after what has come. Resolves when the runtime knows. Idempotent. */
  close(): Promise<void> {
    return this.#close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

interface Watch {
  readonly filter: JsonObject;
  readonly wire: SubscriptionFilter10;
  readonly queue: EventQueue<ObservedEvent>;
  readonly backfilled: PromiseWithResolvers<void>;
  readonly seen: RecentIds;
  /** The last events seen: where to go on from. Several, because those of different sessions overlap in time. */
  trail: readonly string[];
  /** What the caller asked for. */
  readonly since: JsonObject | undefined;
  /** When the runtime began to show what happens, and the message that said so. */
  began: { readonly messageId: string; readonly atMs: number } | undefined;
  /** What is older is not shown: it was over when the subscription was made. */
  notBeforeMs: number | undefined;
  id: string | undefined;
  isBackfilling: boolean;
  isClosed: boolean;
  release: () => void;
}

export interface SubscriptionsOwner10 {
  readonly backlog: Backlog;
  readonly maxUnreadEvents: number;
  readonly silenceMs: number;
  readonly ask: (message: Unsent, options: AskOptions) => Promise<RuntimeMessage10 | undefined>;
  /** An `unsubscribe` of that subscription is answered, by a message that may not name it. */
  readonly onClosed: (subscriptionId: string | undefined, message: RuntimeMessage10) => void;
  readonly isConnected: () => boolean;
  readonly mayContinue: () => boolean;
  readonly onProblem: (error: ARCPError) => void;
}

/** How many of the last events are remembered as places to go on from. */
const TRAIL = 64;
const MARKER = "subscription.backfill_complete";

export class Subscriptions10 {
  readonly #owner: SubscriptionsOwner10;
  readonly #watches = new Set<Watch>();
  /** By the `subscribe` that was sent for it last. */
  readonly #asked = new Map<string, Watch>();

  constructor(owner: SubscriptionsOwner10) {
    this.#owner = owner;
  }

  /** Rejects with the runtime's refusal. */
  async open(filter: ObserverFilter, options: ObserveOptions): Promise<Subscription> {
    const { since, backfill = false, signal } = options;
    const asked = since !== undefined ? { after_message_id: since } : backfill ? {} : undefined;
    const watch: Watch = {
      ...{ filter: toWire(filter), wire: toFilter(filter), seen: new RecentIds(), trail: [], since: asked },
      queue: this.#owner.backlog.open<ObservedEvent>({ highWater: this.#owner.maxUnreadEvents }, undefined, () => {
        void this.#close(watch);
      }),
      backfilled: Promise.withResolvers<void>(),
      ...{ began: undefined, notBeforeMs: undefined, id: undefined, release: () => {} },
      isBackfilling: asked !== undefined,
      isClosed: false,
    };
    watch.backfilled.promise.catch(() => {
      // Whoever waits for it hears of it; nobody has to.
    });
    this.#watches.add(watch);
    try {
      await this.#subscribe(watch, asked, { signal });
    } catch (thrown) {
      this.#end(watch, ARCPError.from(thrown));
      throw thrown;
    }
    if (asked === undefined) watch.backfilled.resolve();
    watch.release = onAbort(signal, () => void this.#close(watch));
    return new Subscription(
      watch.queue,
      watch.backfilled.promise,
      () => watch.id,
      () => this.#close(watch),
    );
  }

  /** There is a connection again: what was observed is observed on. */
  resume(): void {
    for (const watch of this.#watches) {
      if (watch.id !== undefined) void this.#resubscribe(watch);
    }
  }

  endAll(error: ARCPError): void {
    for (const watch of [...this.#watches]) this.#end(watch, error);
  }

  /** Takes a message of a subscription. Returns whether it is one. */
  receive(message: RuntimeMessage10): boolean {
    switch (message.type) {
      case "subscribe.accepted":
        this.#onAccepted(message);
        return true;
      case "subscribe.event":
        for (const watch of this.#meant(message)) this.#onEvent(watch, message.payload.event);
        return true;
      case "subscribe.closed":
      case "unsubscribe":
        for (const watch of this.#named(message.subscription_id)) this.#end(watch, closingOf(message));
        this.#owner.onClosed(message.subscription_id, message);
        return true;
      default:
        return false;
    }
  }

  async #subscribe(watch: Watch, since: JsonObject | undefined, options: AskOptions): Promise<void> {
    const payload = { filter: watch.filter, ...(since !== undefined && { since }) };
    const id = newMessageId();
    this.#asked.set(id, watch);
    try {
      const answer = await this.#owner.ask({ type: "subscribe", id, payload }, options);
      if (answer?.type !== "subscribe.closed") return;
      throw closingOf(answer) ?? new CancelledError("the subscription was refused");
    } finally {
      this.#asked.delete(id);
    }
  }

  /** Takes the answer at once: what comes next may be an event. */
  #onAccepted({ id, correlation_id, timestamp, subscription_id }: MessageOf10<"subscribe.accepted">): void {
    const watch = correlation_id === undefined ? undefined : this.#asked.get(correlation_id);
    // Given up in the meantime, or never asked for.
    if (watch === undefined || watch.isClosed) {
      void this.#unsubscribe(subscription_id);
      return;
    }
    watch.id = subscription_id;
    watch.began ??= { messageId: id, atMs: Date.parse(timestamp ?? "") };
  }

  /** Goes on after what was seen; if the runtime does not know that place, after another one close to it. */
  async #resubscribe(watch: Watch): Promise<void> {
    let error = new ARCPError("INTERNAL_ERROR", "");
    for (const { since, notBeforeMs } of placesOf(watch)) {
      watch.notBeforeMs = notBeforeMs;
      try {
        await this.#subscribe(watch, since, { isBoundToConnection: true });
        return;
      } catch (thrown) {
        error = ARCPError.from(thrown);
        if (error.code !== "RESUME_WINDOW_EXPIRED") break;
      }
    }
    if (error.code !== "RESUME_WINDOW_EXPIRED" || !this.#owner.mayContinue()) {
      this.#end(watch, error);
      return;
    }
    // What was missed is gone. The caller has said that it goes on.
    this.#owner.onProblem(error);
    watch.trail = [];
    watch.backfilled.resolve();
    await this.#subscribe(watch, undefined, { isBoundToConnection: true }).catch((thrown: unknown) => {
      this.#end(watch, ARCPError.from(thrown));
    });
  }

  /** Other SDKs do not say of which subscription an event is. */
  #meant(message: MessageOf10<"subscribe.event">): readonly Watch[] {
    const { subscription_id } = message;
    if (subscription_id !== undefined) return this.#named(subscription_id);
    const all = [...this.#watches];
    if (all.length === 1 || isMarker(message.payload.event)) return all;
    return all.filter(({ wire }) => matches(wire, message.payload.event));
  }

  #named(id: string | undefined): readonly Watch[] {
    // An event may come before the answer that gives the subscription its name.
    return [...this.#watches].filter(
      (watch) => watch.id === id || (watch.id === undefined && this.#watches.size === 1),
    );
  }

  #onEvent(watch: Watch, event: JsonObject): void {
    if (watch.isClosed) return;
    if (isMarker(event)) {
      watch.isBackfilling = false;
      watch.backfilled.resolve();
      return;
    }
    try {
      const observed = toObserved(event, watch.isBackfilling);
      if (!watch.seen.add(observed.id) || isBefore(observed, watch.notBeforeMs)) return;
      if (!isPlaceless(observed.type)) watch.trail = [...watch.trail.slice(1 - TRAIL), observed.id];
      watch.queue.push(observed);
    } catch (thrown) {
      this.#owner.onProblem(ARCPError.from(thrown));
    }
  }

  async #close(watch: Watch): Promise<void> {
    if (watch.isClosed) return;
    this.#end(watch, undefined);
    if (watch.id !== undefined && this.#owner.isConnected()) await this.#unsubscribe(watch.id);
  }

  /** Some runtimes do not answer. */
  async #unsubscribe(id: string): Promise<void> {
    const named = { subscription_id: id };
    const { silenceMs } = this.#owner;
    await this.#owner
      .ask({ type: "unsubscribe", ...named, payload: named }, { silenceMs, isBoundToConnection: true })
      .catch((thrown: unknown) => this.#owner.onProblem(ARCPError.from(thrown)));
  }

  #end(watch: Watch, error: ARCPError | undefined): void {
    if (watch.isClosed) return;
    watch.isClosed = true;
    watch.release();
    this.#watches.delete(watch);
    watch.backfilled.reject(error ?? new CancelledError("the subscription was closed"));
    if (error === undefined) watch.queue.end();
    else watch.queue.fail(error);
  }
}

interface Place {
  readonly since: JsonObject | undefined;
  readonly notBeforeMs: number | undefined;
}

/** Where to go on from, the best place first. */
function placesOf({ trail, since, began }: Watch): readonly Place[] {
  const after = (id: string): Place => ({ since: { after_message_id: id }, notBeforeMs: undefined });
  if (trail.length > 0) return trail.map(after);
  if (since !== undefined || began === undefined) return [{ since, notBeforeMs: undefined }];
  // Nothing was seen yet. Everything since the beginning, or everything, of which the older part is left out.
  return [after(began.messageId), { since: {}, notBeforeMs: began.atMs }];
}

const isBefore = ({ ts }: ObservedEvent, notBeforeMs: number | undefined): boolean =>
  notBeforeMs !== undefined && Date.parse(ts ?? "") < notBeforeMs;

const isMarker = (event: JsonObject): boolean => {
  const payload = event["payload"] as JsonObject | undefined;
  if (event["type"] === MARKER) return true;
  return event["type"] === "event.emit" && (payload?.["name"] === MARKER || payload?.["type"] === MARKER);
};

/** Throws InvalidRequestError for what is no message. */
function toObserved(event: JsonObject, isHistory: boolean): ObservedEvent {
  const message = decodeAnyMessage10(withPayload(event), { allowMissingTimestamp: true });
  return {
    ...{ id: message.id, type: message.type, ts: message.timestamp, sessionId: message.session_id },
    ...{ jobId: message.job_id, streamId: message.stream_id, traceId: message.trace_id },
    ...{ correlationId: message.correlation_id, causationId: message.causation_id },
    ...{ priority: message.priority ?? "normal", payload: message.payload, isHistory },
  };
}

/** Another SDK wraps what the message says: `{"type":"job_progress","payload":{"item":{…}}}`. */
function withPayload(event: JsonObject): JsonObject {
  const payload = event["payload"] as JsonObject | undefined;
  const inner = payload?.["payload"] as JsonObject | undefined;
  const isWrapped = typeof payload?.["type"] === "string" && Object.keys(payload).length <= 2;
  if (!isWrapped || event["type"] === "event.emit") return event;
  return { ...event, payload: inner?.["item"] ?? inner ?? {} };
}

const listOf = (values: string | readonly string[] | undefined): readonly string[] | undefined =>
  typeof values === "string" ? [values] : values;

function toFilter({ sessionId, jobId, streamId, traceId, types, minPriority }: ObserverFilter): SubscriptionFilter10 {
  return {
    session_id: listOf(sessionId) as string[] | undefined,
    job_id: listOf(jobId) as string[] | undefined,
    stream_id: listOf(streamId) as string[] | undefined,
    trace_id: listOf(traceId) as string[] | undefined,
    types: listOf(types) as string[] | undefined,
    min_priority: minPriority,
  };
}

const toWire = (filter: ObserverFilter): JsonObject =>
  Object.fromEntries(Object.entries(toFilter(filter)).filter(([, value]) => value !== undefined));

function matches(filter: SubscriptionFilter10, event: JsonObject): boolean {
  const isIn = (values: readonly string[] | undefined, value: unknown): boolean =>
    values === undefined || values.includes(String(value));
  return (
    isIn(filter.session_id, event["session_id"]) &&
    isIn(filter.job_id, event["job_id"]) &&
    isIn(filter.stream_id, event["stream_id"]) &&
    isIn(filter.trace_id, event["trace_id"]) &&
    isIn(filter.types, event["type"]) &&
    priorityRank(event["priority"] as Priority | undefined) >= priorityRank(filter.min_priority ?? "low")
  );
}

/** Why the runtime ended a subscription; `undefined` when it was asked to. */
function closingOf({ payload, type }: MessageOf10<"subscribe.closed" | "unsubscribe">): ARCPError | undefined {
  if (type === "unsubscribe") return undefined;
  const { code, reason, message } = payload as MessageOf10<"subscribe.closed">["payload"];
  if (code === undefined || code === "OK" || code === "CANCELLED") return undefined;
  return errorFromV10({ code, message: message ?? reason ?? "the runtime ended the subscription" });
}
