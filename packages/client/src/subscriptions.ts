/** Observing jobs (§7.6), and observing them again from another session. */
import {
  ARCPError,
  CancelledError,
  type JobId,
  type JsonObject,
  type MessageId,
  type MessageOf,
  REPLAYED_AFTER_MEMBER,
  ResumeWindowExpiredError,
} from "@arcp/core";
import type { MessageFields } from "./connection.ts";
import { type Lane, readCorrelators } from "./correlation.ts";
import type { EarlyEvent, JobBook, KnownJob } from "./job-book.ts";
import type { JobEvent } from "./job-events.ts";
import { JobSubscription, readSubscribed, type SubscribedJob } from "./job-subscription.ts";
import type { Session } from "./session.ts";
import { onAbort } from "./waiting.ts";
import { errorOfStatus } from "./wire-error.ts";

/** From where on {@link ARCPClient.subscribe} shows a job (§7.6). */
export interface SubscribeOptions {
  /** Replay what is buffered after this position in the submitter's stream. Implies `history`. 0 is its beginning. */
  readonly fromEventSeq?: number;
  /**
   * Replay what is buffered before going on live. Default: false. Without effect for a job whose events this client has
   * received, and, unless `fromEventSeq` says from where, for one that it submitted.
   */
  readonly history?: boolean;
  /**
   * Collects a streamed result for `done`. `false` is for those who look at the job and not at its result; it holds for every
   * subscription of this client to the job. Default: true.
   */
  readonly collectResult?: boolean;
  /** Ends the wait for the reply, or the subscription. */
  readonly signal?: AbortSignal;
}

export interface SubscriptionsOwner {
  readonly jobs: JobBook;
  readonly requests: Lane<SubscribedJob>;
  readonly send: (type: string, payload: JsonObject, fields: MessageFields) => MessageId;
  readonly isConnected: () => boolean;
  /** The job has ended. */
  readonly onOver: (known: KnownJob) => void;
}

const TERMINAL: ReadonlySet<string> = new Set(["success", "error", "cancelled", "timed_out"]);

export class Subscriptions {
  readonly #owner: SubscriptionsOwner;

  constructor(owner: SubscriptionsOwner) {
    this.#owner = owner;
  }

  async subscribe(jobId: JobId, options: SubscribeOptions): Promise<JobSubscription> {
    const known = this.#owner.jobs.recall(jobId, "observed");
    // What has been received, or is being replayed, must not come a second time.
    const isFirst = known.position === undefined && known.job.eventCount === 0;
    const isAsked = options.fromEventSeq !== undefined || (options.history === true && known.role === "observed");
    const history = isFirst && isAsked && options.history !== false;
    const fromEventSeq = history ? options.fromEventSeq : undefined;
    known.subscriptions += 1;
    if (options.collectResult === false) known.job.letResultGoBy();
    known.position ??= { fromEventSeq, history, eventCount: known.job.eventCount };
    try {
      const subscribed = await this.#ask(known.job.jobId, fromEventSeq, history, options.signal);
      const subscription = new JobSubscription(known.job, subscribed, () => this.#leave(known, true));
      const release = onAbort(options.signal, () => subscription.unsubscribe());
      void subscription.done.then(release, release);
      return subscription;
    } catch (thrown) {
      if (isFirst) known.position = undefined;
      known.early = [];
      this.#leave(known, false);
      throw thrown;
    }
  }

  /**
   * The session that the jobs belonged to is gone and another one is open. With `mayReattach` they are observed from
   * there; otherwise, and where that is refused, they are lost.
   */
  move(before: Session, mayReattach: boolean): void {
    for (const known of this.#owner.jobs.live()) {
      const isAsked = this.#owner.requests.matchJob(known.job.jobId) !== undefined;
      if (!mayReattach || known.role === "unknown")
        this.#lose(known, new ResumeWindowExpiredError("the session is gone"));
      else if (!isAsked) void this.#reattach(known, before.sequence.last);
    }
  }

  /** `deliver` takes events that came before the reply, and do not come again. */
  onSubscribed(
    session: Session,
    message: MessageOf<"job.subscribed">,
    frame: JsonObject,
    deliver: (known: KnownJob, events: readonly JobEvent[]) => void,
  ): void {
    const { requests, jobs } = this.#owner;
    const request = requests.match(readCorrelators(frame));
    const jobId = request?.jobId as JobId | undefined;
    if (request === undefined || jobId === undefined) return;
    const subscribed = readSubscribed(jobId, message.payload);
    const known = jobs.find(jobId);
    const isWanted = requests.resolve(request, subscribed);
    if (known === undefined) {
      // Given up in the meantime.
      if (!isWanted) this.#owner.send("job.unsubscribe", { job_id: jobId }, { jobId });
      return;
    }
    known.job.hold(subscribed.credentials);
    const isRepeated = request.timesSent > 1;
    const kept = known.early.filter((early) => !comesAgain(early, { session, message, subscribed, isRepeated }));
    known.early = [];
    // Without the whole history there is nothing that could come twice.
    if (!subscribed.replayed || subscribed.isHistoryTruncated) known.job.skipNext(0);
    deliver(
      known,
      kept.map(({ event }) => event),
    );
    this.#notePosition(known, subscribed);
    this.#noteEnd(session, known, subscribed);
  }

  /** A job that was over when it was subscribed to, and whose ending is not replayed, ends by its status alone. */
  settleByStatus(session: Session, known: KnownJob): void {
    const end = known.endsAt;
    if (end === undefined || known.job.isOver || session.sequence.last < end.seq) return;
    if (end.status === "success") known.job.succeedWithout();
    else known.job.fail(errorOfStatus(end.status), end.status);
    this.#owner.onOver(known);
  }

  #ask(
    jobId: JobId,
    fromEventSeq: number | undefined,
    history: boolean,
    signal: AbortSignal | undefined,
  ): Promise<SubscribedJob> {
    const payload = {
      job_id: jobId,
      ...(fromEventSeq === undefined ? {} : { from_event_seq: fromEventSeq }),
      ...(history ? { history } : {}),
    };
    return this.#owner.requests.ask(
      {
        type: "job.subscribe",
        jobId,
        isRepeatable: true,
        send: () => this.#owner.send("job.subscribe", payload, { jobId }),
      },
      signal,
    );
  }

  /** Is the job's history asked for, and the reply still to come? */
  isHistoryPending({ job, position }: KnownJob): boolean {
    return position?.history === true && this.#owner.requests.matchJob(job.jobId) !== undefined;
  }

  /** A runtime that tells where the job stands makes a live subscription repeatable without loss. */
  #notePosition(known: KnownJob, { jobLastEventSeq }: SubscribedJob): void {
    if (jobLastEventSeq === undefined || known.position?.history !== false) return;
    known.position = { fromEventSeq: jobLastEventSeq, history: true, eventCount: known.job.eventCount };
  }

  #noteEnd(session: Session, known: KnownJob, { currentStatus, replayed, subscribedFrom }: SubscribedJob): void {
    if (currentStatus === undefined || !TERMINAL.has(currentStatus)) return;
    known.endsAt = { seq: replayed ? (subscribedFrom ?? Number.POSITIVE_INFINITY) : 0, status: currentStatus };
    this.settleByStatus(session, known);
  }

  #leave(known: KnownJob, isAgreed: boolean): void {
    known.subscriptions -= 1;
    if (known.subscriptions > 0 || known.role !== "observed" || known.job.isOver) return;
    const { jobId } = known.job;
    if (isAgreed && this.#owner.isConnected()) this.#owner.send("job.unsubscribe", { job_id: jobId }, { jobId });
    this.#lose(known, new CancelledError("the subscription was ended"));
  }

  async #reattach(known: KnownJob, lastSeq: number): Promise<void> {
    const { job, position } = known;
    // Own events were numbered in the stream that positions are counted in; nothing before `lastSeq` is missing.
    const isOwnStream = known.role !== "observed";
    const from = isOwnStream ? lastSeq : known.foreignSeq > 0 ? known.foreignSeq : position?.fromEventSeq;
    const isExact = isOwnStream || known.foreignSeq > 0;
    const history = isExact || position?.history === true;
    known.role = "observed";
    known.subscriptions += 1;
    known.position = {
      fromEventSeq: from,
      history,
      eventCount: isExact ? job.eventCount : (position?.eventCount ?? 0),
    };
    job.skipNext(history ? job.eventCount - known.position.eventCount : 0);
    try {
      await this.#ask(job.jobId, from, history, undefined);
    } catch (thrown) {
      this.#lose(known, ARCPError.from(thrown));
    }
  }

  #lose(known: KnownJob, error: ARCPError): void {
    known.job.lose(error);
    this.#owner.jobs.retire(known.job.jobId);
  }
}

/** Is an event that came before the reply part of the history that comes after it? */
function comesAgain(
  { session, event }: EarlyEvent,
  reply: {
    readonly session: Session;
    readonly message: MessageOf<"job.subscribed">;
    readonly subscribed: SubscribedJob;
    /** The history may have come for an earlier request already. */
    readonly isRepeated: boolean;
  },
): boolean {
  const { replayed, subscribedFrom } = reply.subscribed;
  if (!replayed) return false;
  if (session !== reply.session) return true;
  const after = reply.message.payload[REPLAYED_AFTER_MEMBER];
  if (typeof after === "number") return event.seq !== undefined && event.seq <= after;
  return reply.isRepeated && subscribedFrom !== undefined && subscribedFrom > session.sequence.last;
}
