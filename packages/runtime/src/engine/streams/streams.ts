/** Every open stream: opened for agents, slowed down and cancelled for clients, ended with its job (RFC §11). */
import { type Clock, type JobId, PermissionDeniedError, type SessionId } from "@arcp/core";
import { CanonicalError, type StreamKind } from "@arcp/core/v1.0";
import { ENTRY, type Store } from "../../store/store.ts";
import type { Cancellation } from "../cancellation.ts";
import { type ActorFacts, actorFacts, actorOf, type Elsewhere } from "../cluster/elsewhere.ts";
import type { Job } from "../job.ts";
import type { JobRegistry } from "../job-registry.ts";
import type { Journal } from "../journal.ts";
import type { Actor, Session } from "../session.ts";
import { Flow, type FlowLimit } from "./flow.ts";
import {
  assertStreamOptions,
  exhausted,
  type JobStream,
  OpenStream,
  type OpenStreamOptions,
  type StreamTools,
} from "./job-stream.ts";
import { Lanes } from "./lanes.ts";
import { streamKindOf } from "./stream-content.ts";

export interface StreamsOptions {
  readonly journal: Journal;
  readonly store: Pick<Store, "findRecord" | "listRecords">;
  readonly clock: Clock;
  readonly sessionOf: (id: SessionId) => Session | undefined;
  /** The jobs of this process. */
  readonly jobs: Pick<JobRegistry, "get">;
  /** The other nodes; `undefined`: there are none. */
  readonly elsewhere?: Elsewhere | undefined;
  readonly cancellation: () => Pick<Cancellation, "controlled">;
}

/** Of the records that say which streams are open: a process that takes a job over ends them. */
const STREAM_KIND = "stream";
/** Streams that have ended, of which it is still known that there were such. */
const MAX_ENDED = 4096;

/** The streams of one job. */
export interface JobStreams {
  /** Opens a stream. Throws {@link InvalidRequestError} for names that are none, InternalError beyond `maxOpenStreams`. */
  open<Kind extends StreamKind>(options: OpenStreamOptions<Kind>): JobStream<Kind>;
  /** Writes a thought into the stream that the job has for them, which it opens. */
  think(text: string, isRedacted: boolean): Promise<void>;
  /** Resolves when nothing waits to be written any more; `undefined` if nothing does. */
  settled(): Promise<void> | undefined;
}

/** What another node is asked for. */
interface RemoteStream {
  readonly actor: ActorFacts;
  readonly streamId: string;
}

export const CANCEL_STREAM = "stream.cancel";
export const LIMIT_STREAM = "stream.limit";
export const FORGET_STREAMS = "stream.forget";

/** What clients can slow down, and perhaps cancel. */
interface Steered {
  readonly job: Job;
  readonly flow: Flow;
  /** Absent: it ends with its job alone. */
  readonly cancel?: (error: CanonicalError) => void;
}

export class Streams {
  readonly #options: StreamsOptions;
  readonly #open = new Map<string, Steered>();
  readonly #lanes = new Map<SessionId, Lanes>();
  /** Whose they were. */
  readonly #ended = new Map<string, string>();

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** The streams of `job`; asked for once. */
  of(job: Job): JobStreams {
    const mine = new Set<OpenStream>();
    let thoughts: OpenStream | undefined;
    const queue = { bytes: 0 };
    let isWatched = false;
    const make = (options: OpenStreamOptions & { readonly isThoughts?: boolean }): OpenStream => {
      job.assertLive();
      if (!isWatched) {
        job.beforeEnd((outcome) => {
          for (const stream of [...mine]) stream.endWith(outcome);
        });
      }
      isWatched = true;
      const stream = this.#make(job, options, queue, (ended) => mine.delete(ended));
      mine.add(stream);
      return stream;
    };
    return {
      open: (options) => {
        assertStreamOptions(options);
        const { maxOpenStreams } = job.caps;
        const count = thoughts === undefined ? mine.size : mine.size - 1;
        if (count >= maxOpenStreams) throw exhausted("maxOpenStreams", maxOpenStreams, "after_capacity");
        return make({ ...options, kind: streamKindOf(options.kind) });
      },
      think: (content, redacted) => {
        thoughts ??= make({ kind: "thought", isThoughts: true });
        return thoughts.write({ content, redacted });
      },
      settled: () => {
        const waiting = [...mine].filter((stream) => stream.isWriting);
        if (waiting.length === 0) return undefined;
        return Promise.all(waiting.map((stream) => stream.settled())).then(() => {});
      },
    };
  }

  /** Lets clients slow down what `job` shows them as stream `id`, until it ends. Returns how fast they can take it. */
  steer(job: Job, id: string): Flow {
    const flow = new Flow(this.#options.clock);
    this.#open.set(id, { job, flow });
    job.whenEnded(() => {
      this.#open.delete(id);
      flow.close();
    });
    return flow;
  }

  /**
   * `session` can take so much of a stream, until it says more or is {@link forget forgotten} (RFC §11.2). It may be any
   * session of the principal whose job it is: nobody else slows a job down.
   *
   * @throws CanonicalError `NOT_FOUND` for a stream that is not open; PermissionDeniedError for one that the session
   * watches and does not own.
   */
  async limit(session: Session, streamId: string, limit: FlowLimit): Promise<void> {
    const stream = this.#open.get(streamId);
    if (stream === undefined) {
      const { elsewhere } = this.#options;
      const jobId = await this.#jobElsewhere(streamId);
      if (elsewhere === undefined || jobId === undefined) throw unknown(streamId);
      await elsewhere.call(jobId, LIMIT_STREAM, { actor: actorFacts(session), streamId, limit });
      return;
    }
    if (stream.job.submitterPrincipal !== session.principal) {
      if (!stream.job.isFollowedBy(session.feed)) throw unknown(streamId);
      throw new PermissionDeniedError("only its own principal slows a job down", { details: { stream_id: streamId } });
    }
    stream.flow.limit(session.id, limit);
  }

  /** What a session has asked for lapses: its connection is gone. */
  forget(sessionId: SessionId): void {
    for (const { flow } of this.#open.values()) flow.forget(sessionId);
  }

  /**
   * Checks that `session` may cancel the stream, which whoever may cancel its job may, and returns what does it: no chunk
   * follows. The job goes on; its next write is told.
   *
   * @throws CanonicalError `NOT_FOUND` for a stream that there is not, `FAILED_PRECONDITION` for one that has ended, or
   * ends with its job alone; what {@link Cancellation.prepare} throws.
   */
  async prepareCancel(session: Actor, streamId: string): Promise<(reason: string | undefined) => void> {
    const stream = this.#open.get(streamId);
    if (stream === undefined) {
      const { elsewhere } = this.#options;
      const jobId = await this.#jobElsewhere(streamId);
      if (elsewhere !== undefined && jobId !== undefined) {
        await elsewhere.call(jobId, CANCEL_STREAM, { actor: actorFacts(session), streamId });
        return () => {};
      }
      if (this.#ended.get(streamId) !== session.principal) throw unknown(streamId);
      throw new CanonicalError("FAILED_PRECONDITION", "the stream has ended", {
        details: { reason: "already_terminal" },
      });
    }
    await this.#options.cancellation().controlled(session, stream.job.id);
    const { cancel } = stream;
    if (cancel === undefined) {
      const details = { reason: "not_cancellable" };
      throw new CanonicalError("FAILED_PRECONDITION", "it is a part of its job, and ends with it", { details });
    }
    return (reason) => cancel(new CanonicalError("CANCELLED", reason ?? "cancelled by the client"));
  }

  /** The same as another node asks for it. */
  readonly cancelFor = async ({ actor, streamId }: RemoteStream): Promise<void> => {
    (await this.prepareCancel(actorOf(actor), streamId))(undefined);
  };

  /** What {@link limit} does, as another node asks for it. */
  readonly limitFor = ({ actor, streamId, limit }: RemoteStream & { readonly limit: FlowLimit }): void => {
    const stream = this.#open.get(streamId);
    if (stream !== undefined && stream.job.submitterPrincipal === actor.principal) stream.flow.limit(actor.id, limit);
  };

  /** The job of a stream that this process does not have open. */
  async #jobElsewhere(streamId: string): Promise<JobId | undefined> {
    const { store, elsewhere, jobs } = this.#options;
    if (elsewhere === undefined || this.#ended.has(streamId)) return undefined;
    const jobId = (await store.findRecord(STREAM_KIND, streamId))?.jobId ?? undefined;
    return jobId === undefined || jobs.get(jobId) !== undefined ? undefined : jobId;
  }

  /** Ends the streams that a process left open that is no more. Its job has been taken over. */
  async recover(job: Job): Promise<void> {
    const { store } = this.#options;
    for (;;) {
      const left = await store.listRecords({ kind: STREAM_KIND, jobId: job.id, limit: 256 });
      for (const { id } of left) {
        const error = new CanonicalError("ABORTED", "the runtime stopped while the stream was open").toWire();
        const body = JSON.stringify({ stream_id: id, error });
        job.tell(ENTRY.stream_closed, "x-vendor.arcp.stream.close", body);
        this.#record(job, id, null);
      }
      if (left.length === 0) return;
      await this.#options.journal.flush();
    }
  }

  #make(
    job: Job,
    options: OpenStreamOptions & { readonly isThoughts?: boolean },
    queue: StreamTools["queue"],
    onEnded: (stream: OpenStream) => void,
  ): OpenStream {
    const { priority = "normal" } = options;
    const lane = this.#lanesOf(job.sessionId).enter(priority);
    const stream = new OpenStream(job, options, {
      ...{ clock: this.#options.clock, lane, queue },
      onEnded: (ended) => {
        this.#open.delete(ended.id);
        this.#remember(ended.id, job.submitterPrincipal);
        this.#record(job, ended.id, null);
        onEnded(ended);
      },
    });
    const { id, flow } = stream;
    const cancel = (error: CanonicalError): void => stream.abort(error);
    this.#open.set(id, { job, flow, ...(options.isThoughts !== true && { cancel }) });
    this.#record(job, stream.id, "{}");
    return stream;
  }

  #record({ id: jobId, submitterPrincipal: principal }: Job, id: string, data: string | null): void {
    this.#options.journal.putRecord({ kind: STREAM_KIND, id, principal, jobId, dueAt: null, data });
  }

  #remember(id: string, principal: string): void {
    this.#ended.set(id, principal);
    const oldest = this.#ended.size > MAX_ENDED ? this.#ended.keys().next().value : undefined;
    if (oldest !== undefined) this.#ended.delete(oldest);
  }

  #lanesOf(sessionId: SessionId): Lanes {
    let lanes = this.#lanes.get(sessionId);
    if (lanes === undefined) {
      lanes = new Lanes({
        congestion: () => this.#options.sessionOf(sessionId)?.congestion,
        onEmpty: () => this.#lanes.delete(sessionId),
      });
      this.#lanes.set(sessionId, lanes);
    }
    return lanes;
  }
}

const unknown = (streamId: string): CanonicalError =>
  new CanonicalError("NOT_FOUND", "there is no such stream", { details: { stream_id: streamId } });
