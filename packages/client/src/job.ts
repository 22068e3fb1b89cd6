/** One job as this client knows it: its events, its result and its one ending. */
import { ARCPError, type JobId, type JobStatus, type Lease, type MessageOf } from "@arcp/core";
import type { Backlog } from "./backlog.ts";
import { type ProvisionedCredential, readCredentials, readRotation } from "./credentials.ts";
import type { EventQueue } from "./event-queue.ts";
import { EventTape } from "./event-tape.ts";
import type { JobEvent } from "./job-events.ts";
import { ResultAssembly, type ResultPiece } from "./result-assembly.ts";
import { errorOfStatus } from "./wire-error.ts";

/** What `job.accepted` said (§7.1). Members that the runtime left out are `undefined`. */
export interface AcceptedJob {
  readonly jobId: JobId;
  /** The agent with its resolved version, `name@version` (§7.5). */
  readonly agent: string | undefined;
  /** The effective lease. Empty when the runtime granted, or said, nothing. */
  readonly lease: Lease;
  readonly leaseConstraints: { readonly expiresAt?: string } | undefined;
  /** Counters per currency at the time of acceptance (§9.6). */
  readonly budget: Readonly<Record<string, number>> | undefined;
  readonly credentials: readonly ProvisionedCredential[];
  readonly traceId: string | undefined;
  readonly acceptedAt: string | undefined;
  /** Set on delegated jobs only (§10). */
  readonly parentJobId: JobId | undefined;
  readonly delegateId: string | undefined;
}

/** How a job ended well (§7.3). */
export interface JobResult {
  readonly finalStatus: "success";
  /**
   * The inline result, or the assembled one: text if every chunk was text, otherwise bytes. Absent when there was none,
   * when {@link JobHandle.resultStream} took the pieces, and for a subscriber who missed the beginning.
   */
  readonly result?: unknown;
  readonly resultId?: string;
  /** Decoded bytes, as the runtime counted them. */
  readonly resultSize?: number;
  readonly summary?: string;
}

/** How a job ended (§7.3). */
export type FinalStatus = Exclude<JobStatus, "pending" | "running">;

/** Bounds on what one job may keep in memory. */
export interface JobBounds {
  /** Events kept for a first iterator that does not exist yet; beyond it the oldest are dropped. */
  readonly maxKeptEvents: number;
  /** Unread events per iterator at which reading from the connection stops. */
  readonly maxUnreadEvents: number;
  /** Decoded bytes of a streamed result that is collected for `done`. */
  readonly maxResultBytes: number;
}

/** Text of result chunks among the kept events; beyond it the oldest events are dropped. */
const MAX_KEPT_CHUNK_CHARACTERS = 16 * 1024 * 1024;
/** Unread bytes of a result stream at which reading from the connection stops. */
const MAX_UNREAD_RESULT_BYTES = 4 * 1024 * 1024;

interface NumberedPiece {
  readonly seq: number | undefined;
  readonly piece: ResultPiece;
}

type State =
  | { readonly phase: "live" }
  /** The runtime said how it ended. */
  | { readonly phase: "ended"; readonly finalStatus: FinalStatus; readonly error: ARCPError | undefined }
  /** The client can no longer learn how it ends. */
  | { readonly phase: "lost"; readonly error: ARCPError };

const LIVE: State = { phase: "live" };

/**
 * live -> ended   job.result, job.error, or a subscription to a job that is over
 * live -> lost    the session is gone, the client was closed
 */
export class Job {
  readonly jobId: JobId;
  /** Resolves or rejects at the ending. Nobody has to look at it. */
  readonly done: Promise<JobResult>;
  readonly #backlog: Backlog;
  readonly #bounds: JobBounds;
  readonly #settle: { readonly resolve: (result: JobResult) => void; readonly reject: (error: unknown) => void };
  #state: State = LIVE;
  #accepted: AcceptedJob;
  readonly #credentials = new Set<ProvisionedCredential>();
  readonly #tape: EventTape<JobEvent>;
  readonly #pieceReaders = new Set<EventQueue<NumberedPiece>>();
  #isResultStreamed = false;
  readonly #assemblies = new Map<string, ResultAssembly>();
  /** The result that was put together of its pieces: what `done` has, too. */
  #collected: ResultPiece | undefined;
  #eventsToSkip = 0;
  #eventCount = 0;
  #currentSeq: number | undefined;

  constructor(jobId: JobId, backlog: Backlog, bounds: JobBounds) {
    this.jobId = jobId;
    this.#backlog = backlog;
    this.#bounds = bounds;
    this.#tape = new EventTape(backlog, {
      ...bounds,
      weigh: chunkCharacters,
      maxKeptWeight: MAX_KEPT_CHUNK_CHARACTERS,
    });
    const { promise, resolve, reject } = Promise.withResolvers<JobResult>();
    this.done = promise;
    this.#settle = { resolve, reject };
    promise.catch(() => {
      // Whoever waits for `done` hears of it; nobody has to.
    });
    this.#accepted = readAccepted(jobId, {});
  }

  get accepted(): AcceptedJob {
    return this.#accepted;
  }

  get isOver(): boolean {
    return this.#state.phase !== "live";
  }

  /** How the job ended, once it has. */
  get finalStatus(): FinalStatus | undefined {
    return this.#state.phase === "ended" ? this.#state.finalStatus : undefined;
  }

  /** Events taken so far, for {@link skipNext} after a subscription is made anew. */
  get eventCount(): number {
    return this.#eventCount;
  }

  /** Takes the facts of `job.accepted`. */
  accept(payload: MessageOf<"job.accepted">["payload"]): void {
    this.#wipeCredentials();
    this.#accepted = readAccepted(this.jobId, payload);
    this.hold(this.#accepted.credentials);
  }

  /** Takes further credentials into custody: they are rotated, and wiped at the ending, with the job's own. */
  hold(credentials: readonly ProvisionedCredential[]): void {
    for (const credential of credentials) this.#credentials.add(credential);
    if (this.isOver) this.#wipeCredentials();
  }

  /** The next `count` events are already known: a history that is replayed again. */
  skipNext(count: number): void {
    this.#eventsToSkip = count;
  }

  receive(event: JobEvent): JobEvent | undefined {
    if (this.#state.phase !== "live") return undefined;
    if (this.#eventsToSkip > 0) {
      this.#eventsToSkip -= 1;
      return undefined;
    }
    this.#eventCount += 1;
    const shown = event.kind === "status" && event.body.phase === "credential_rotated" ? this.#rotate(event) : event;
    if (shown.kind === "result_chunk") this.#addChunk(shown);
    this.#tape.push(shown);
    return shown;
  }

  /** The job ended with `job.result`. */
  finish(payload: MessageOf<"job.result">["payload"]): void {
    if (this.#state.phase !== "live") return;
    if (payload.final_status !== undefined && payload.final_status !== "success") {
      // One SDK tells of cancellation and time-out like this.
      this.fail(errorOfStatus(payload.final_status), payload.final_status);
      return;
    }
    try {
      const result = this.#result(payload);
      this.#end({ phase: "ended", finalStatus: "success", error: undefined });
      this.#settle.resolve(result);
    } catch (thrown) {
      const error = ARCPError.from(thrown);
      this.#end({ phase: "ended", finalStatus: "success", error });
      this.#settle.reject(error);
    }
  }

  /** The job is known to have succeeded, and its result is not. */
  succeedWithout(): void {
    if (this.#state.phase !== "live") return;
    this.#end({ phase: "ended", finalStatus: "success", error: undefined });
    this.#settle.resolve({ finalStatus: "success" });
  }

  /** The job ended with `job.error`. */
  fail(error: ARCPError, finalStatus: string | undefined): void {
    if (this.#state.phase !== "live") return;
    this.#end({ phase: "ended", finalStatus: toFinalStatus(finalStatus, error.code), error });
    this.#settle.reject(error);
  }

  /** Nothing more can be learnt of the job. Its iterators throw `error`. */
  lose(error: ARCPError): void {
    if (this.#state.phase !== "live") return;
    this.#end({ phase: "lost", error });
    this.#settle.reject(error);
  }

  /** A new reader of the events. The first one also gets those that were kept for it. */
  events(signal: AbortSignal | undefined, onLeave: () => void = () => {}): EventQueue<JobEvent> {
    return this.#tape.read(signal, onLeave);
  }

  /** The decoded pieces of a streamed result, which is then not collected for `done`. */
  resultPieces(signal: AbortSignal | undefined): AsyncGenerator<ResultPiece, void, undefined> {
    return piecesOf(this.#openPieces(signal));
  }

  /** A streamed result is not collected for `done`, whether anybody reads its pieces or not. */
  letResultGoBy(): void {
    this.#isResultStreamed = true;
    for (const assembly of this.#assemblies.values()) assembly.stopKeeping();
  }

  #openPieces(signal: AbortSignal | undefined): EventQueue<NumberedPiece> {
    this.#isResultStreamed = true;
    const reader = this.#backlog.open<NumberedPiece>(
      { highWater: MAX_UNREAD_RESULT_BYTES, weigh: ({ piece }) => piece.length },
      signal,
      (queue) => void this.#pieceReaders.delete(queue),
    );
    for (const assembly of this.#assemblies.values()) {
      for (const piece of assembly.pieces) reader.push({ seq: undefined, piece });
      assembly.stopKeeping();
    }
    if (this.#collected !== undefined) reader.push({ seq: undefined, piece: this.#collected });
    if (this.#state.phase === "live") this.#pieceReaders.add(reader);
    else if (this.#state.error) reader.fail(this.#state.error);
    else reader.end();
    return reader;
  }

  #addChunk(event: JobEvent & { readonly kind: "result_chunk" }): void {
    const resultId = event.body.result_id;
    let assembly = this.#assemblies.get(resultId);
    if (assembly === undefined) {
      assembly = new ResultAssembly(resultId, this.#bounds.maxResultBytes, (piece) => {
        for (const reader of this.#pieceReaders) reader.push({ seq: this.#currentSeq, piece });
      });
      if (this.#isResultStreamed) assembly.stopKeeping();
      this.#assemblies.set(resultId, assembly);
    }
    this.#currentSeq = event.seq;
    assembly.add(event.body);
  }

  #result(payload: MessageOf<"job.result">["payload"]): JobResult {
    const resultId = payload.result_id ?? (this.#assemblies.size === 1 ? [...this.#assemblies.keys()][0] : undefined);
    const facts = {
      finalStatus: "success" as const,
      ...(resultId === undefined ? {} : { resultId }),
      ...(payload.result_size === undefined ? {} : { resultSize: payload.result_size }),
      ...(payload.summary === undefined ? {} : { summary: payload.summary }),
    };
    if (resultId === undefined) {
      const inline = [payload.result, payload.output, payload["value"]].find((value) => value !== undefined);
      return inline === undefined ? facts : { ...facts, result: inline };
    }
    const assembled = this.#assemblies.get(resultId)?.assemble(payload.result_size);
    if (assembled === undefined) return facts;
    this.#collected = assembled.result;
    return { ...facts, resultSize: payload.result_size ?? assembled.size, result: assembled.result };
  }

  /** The event without the new secret, which goes to the credential alone (§9.8.2). */
  #rotate(event: JobEvent & { readonly kind: "status" }): JobEvent {
    const { id, value, publicBody } = readRotation(event.body);
    for (const credential of this.#credentials) {
      if (value !== undefined && credential.id === id) credential.rotate(value);
    }
    return { ...event, body: publicBody };
  }

  #end(state: Exclude<State, { phase: "live" }>): void {
    this.#state = state;
    this.#wipeCredentials();
    this.#tape.finish(state.phase === "ended" ? undefined : state.error);
    for (const reader of this.#pieceReaders) {
      if (state.error) reader.fail(state.error);
      else reader.end();
    }
    this.#pieceReaders.clear();
    this.#assemblies.clear();
  }

  #wipeCredentials(): void {
    for (const credential of this.#credentials) credential.wipe();
    this.#credentials.clear();
  }
}

const chunkCharacters = (event: JobEvent): number => (event.kind === "result_chunk" ? event.body.data.length : 0);

async function* piecesOf(queue: EventQueue<NumberedPiece>): AsyncGenerator<ResultPiece, void, undefined> {
  for await (const { piece } of queue) yield piece;
}

function readAccepted(jobId: JobId, payload: Partial<MessageOf<"job.accepted">["payload"]>): AcceptedJob {
  return {
    jobId,
    agent: payload.agent,
    lease: readLease(payload.lease),
    leaseConstraints: readConstraints(payload.lease_constraints),
    budget: payload.budget,
    credentials: readCredentials(payload.credentials),
    traceId: payload.trace_id,
    acceptedAt: payload.accepted_at,
    parentJobId: payload.parent_job_id,
    delegateId: payload.delegate_id,
  };
}

/** The capabilities of a lease; other SDKs put members of their own beside them, which are left out. */
export function readLease(wire: { readonly [capability: string]: unknown } | undefined): Lease {
  const isPatterns = (value: unknown): value is readonly string[] =>
    Array.isArray(value) && value.every((pattern) => typeof pattern === "string");
  const lease: Record<string, readonly string[]> = {};
  for (const [capability, patterns] of Object.entries(wire ?? {})) {
    if (isPatterns(patterns)) lease[capability] = patterns;
  }
  return lease;
}

export const readConstraints = (
  wire: { readonly expires_at?: string | undefined } | undefined,
): { readonly expiresAt?: string } | undefined =>
  wire === undefined ? undefined : wire.expires_at === undefined ? {} : { expiresAt: wire.expires_at };

function toFinalStatus(status: string | undefined, code: string): FinalStatus {
  if (status === "success" || status === "error" || status === "cancelled" || status === "timed_out") return status;
  if (code === "CANCELLED") return "cancelled";
  return code === "TIMEOUT" ? "timed_out" : "error";
}
