import {
  type ARCPError,
  type ErrorPayload,
  errorFromWire,
  InvalidRequestError,
  type JobId,
  type JsonObject,
  type Logger,
  PendingRegistry,
  type SessionId,
  type SessionState,
  type Transport,
} from "@arcp/core";
import { isExtensionType } from "@arcp/core/v1.0";
import type { Engine } from "./engine/engine.ts";
import type { Job } from "./engine/job.ts";
import { Connection10, type ConnectionSettings10 } from "./wire/v1.0/connection.ts";
import { Connection, type ConnectionSettings, type MessageHandler } from "./wire/v1.1/connection.ts";
import { type WireConnection, wireOf } from "./wire/wire-connection.ts";

/** What connections of each wire go by. */
export interface WireSettings {
  readonly "1.1": ConnectionSettings;
  readonly "1.0": ConnectionSettings10;
}

export interface SessionContextOptions {
  readonly engine: Engine;
  readonly transport: Transport;
  readonly settings: WireSettings;
  readonly logger: Logger;
}

/** The jobs of one session that have not ended. */
export interface JobManager {
  get(jobId: JobId): Job | undefined;
  /** In the order of submission. */
  list(): readonly Job[];
}

/** One accepted transport, and the session that it is attached to once the client has been welcomed. */
export class SessionContext {
  readonly #options: SessionContextOptions;
  readonly #engine: Engine;
  /** That of wire 1.1 until the client has spoken: what it says first tells which one it speaks. */
  #connection: WireConnection;
  #hasSpoken = false;
  readonly #handlers = new Map<string, MessageHandler>();
  #pending: PendingRegistry<JsonObject> | undefined;

  constructor(options: SessionContextOptions) {
    const { engine, transport, settings } = options;
    this.#options = options;
    this.#engine = engine;
    const first = new Connection({ ...options, settings: settings["1.1"], handlers: this.#handlers });
    this.#connection = first;
    transport.onMalformed((problem) => this.#connection.onMalformed(problem));
    transport.onFrame((frame) => {
      if (!this.#hasSpoken) this.#listen(first, frame);
      this.#connection.onFrame(frame);
    });
    void transport.closed.then(() => this.#pending?.rejectAll(new InvalidRequestError("the client is gone")));
  }

  /** The client's first frame chooses the wire. */
  #listen(first: Connection, frame: string): void {
    this.#hasSpoken = true;
    if (wireOf(frame) === "1.1") return;
    const { engine, transport, settings, logger } = this.#options;
    first.yield();
    const handlers = this.#handlers;
    this.#connection = new Connection10({ engine, transport, settings: settings["1.0"], handlers, logger });
  }

  /** Requests of the runtime to this client that wait for their answer; for handlers of vendor messages. */
  get pending(): PendingRegistry<JsonObject> {
    this.#pending ??= new PendingRegistry();
    return this.#pending;
  }

  get jobs(): JobManager {
    const own = (): Job[] => [...this.#engine.jobs.all()].filter((job) => job.sessionId === this.sessionId);
    return { get: (jobId) => own().find((job) => job.id === jobId), list: own };
  }

  /** The phase of the connection. */
  get state(): SessionState {
    return this.#connection.state;
  }

  /** `undefined` until the client has been welcomed. */
  get sessionId(): SessionId | undefined {
    return this.#connection.session?.id;
  }

  /** `undefined` until the client has been welcomed. */
  get principal(): string | undefined {
    return this.#connection.session?.principal;
  }

  /** The effective features (§6.2), empty until the client has been welcomed. */
  get negotiatedFeatures(): string[] {
    return [...(this.#connection.session?.features ?? [])];
  }

  /** The highest number that the client has acknowledged; 0 before the first. */
  get lastAckedEventSeq(): number {
    return this.#connection.session?.ackedSeq ?? 0;
  }

  /**
   * The number that the next event, result or error of this session will carry. The feed alone assigns numbers, so that
   * they have no gap: asking does not take one.
   */
  nextEventSeq(): number {
    return (this.#connection.session?.feed.head ?? 0) + 1;
  }

  /** Answers messages of `type`, which the protocol must not know, with `handler`. A later one takes its place. */
  registerHandler(type: string, handler: MessageHandler): void {
    if (!type.startsWith("x-vendor.") && !isExtensionType(type)) {
      throw new InvalidRequestError(
        "handlers are for x-vendor.* messages (§15) and for extensions of wire 1.0 (RFC §21)",
      );
    }
    this.#handlers.set(type, handler);
  }

  /** Sends a message that carries no number, in order with everything else on this connection. */
  send(message: {
    readonly type: string;
    readonly payload: object;
    readonly job_id?: string;
    readonly trace_id?: string;
  }): void {
    const { type, payload, ...members } = message;
    this.#connection.send(type, payload, members);
  }

  /** Tells the client, and ends the connection. The session can be resumed. */
  emitSessionError(error: ARCPError): void {
    this.#connection.fail(error);
  }

  /** Ends a job of this session with an error. Returns whether it was still running. */
  emitJobError(jobId: JobId, payload: ErrorPayload): boolean {
    const job = this.#engine.jobs.get(jobId);
    if (job === undefined || job.sessionId !== this.sessionId) return false;
    return job.end({ status: "error", error: errorFromWire(payload) });
  }

  /** Says goodbye and ends the connection. */
  close(reason: string): void {
    this.#connection.bye(reason);
  }
}
