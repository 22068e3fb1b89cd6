/** A client of the runtime's own, inside this process: what a request over HTTP asks for, it asks for on the wire. */
import {
  type ARCPError,
  buildEnvelope,
  type ErrorPayload,
  type JsonObject,
  type MemoryTransport,
  newMessageId,
  pairMemoryTransports,
  type Transport,
  type TransportPeer,
} from "@arcp/core";
import { CanonicalError, errorFromV10 } from "@arcp/core/v1.0";

/** Serves a client on a transport, as `ARCPServer.accept` does. */
export type Accept = (transport: Transport) => Promise<unknown>;

/** A message of the runtime. */
export interface Frame {
  readonly type: string;
  readonly event_seq?: number;
  readonly job_id?: string;
  readonly trace_id?: string;
  readonly correlation_id?: string;
  readonly payload: JsonObject;
}

export interface CallerOptions {
  readonly accept: Accept;
  /** Who asks: the runtime sees the client of HTTP, and not this process. */
  readonly peer: TransportPeer;
  readonly wire: "1.0" | "1.1";
  readonly opening: { readonly type: string; readonly payload: object };
  /** Called for each numbered message, in order. */
  readonly onNumbered: (frame: Frame) => void;
}

/** A request that was not answered yet. */
interface Waiting extends PromiseWithResolvers<Frame> {
  readonly onReply: ((reply: Frame) => void) | undefined;
}

export interface AskOptions {
  /** Put on the envelope. */
  readonly members?: object;
  /** Go right after the message (RFC §11.3). */
  readonly bytes?: Uint8Array;
  /** Called with the reply before anything that comes after it is looked at. */
  readonly onReply?: (reply: Frame) => void;
}

/** Types that say that a request was refused. */
const REFUSALS: ReadonlySet<string> = new Set(["session.error", "session.rejected", "nack", "tool.error"]);

export class Caller {
  readonly #transport: MemoryTransport;
  readonly #wire: "1.0" | "1.1";
  readonly #onNumbered: (frame: Frame) => void;
  readonly #waiting = new Map<string, Waiting>();

  private constructor(transport: MemoryTransport, { wire, onNumbered }: CallerOptions) {
    this.#transport = transport;
    this.#wire = wire;
    this.#onNumbered = onNumbered;
    transport.onFrame((text) => this.#onFrame(JSON.parse(text) as Frame));
    void transport.closed.then(({ reason }) => {
      for (const { reject } of this.#waiting.values()) reject(unavailable(reason));
      this.#waiting.clear();
    });
  }

  /** A session in the client's name. Rejects with the runtime's refusal. */
  static async open(options: CallerOptions): Promise<Caller> {
    const [own, theirs] = pairMemoryTransports({ right: { peer: options.peer } });
    const caller = new Caller(own, options);
    // A runtime that takes nobody has closed the transport, and says why by that.
    await options.accept(theirs).catch(() => {});
    await caller.ask(options.opening.type, options.opening.payload);
    return caller;
  }

  get isClosed(): boolean {
    return this.#transport.isClosed;
  }

  /** Resolves when the session cannot be used any more. */
  get closed(): Promise<unknown> {
    return this.#transport.closed;
  }

  /** Resolves with the reply; rejects with the error that the runtime answered, or when the session is over. */
  ask(type: string, payload: object, { members, bytes, onReply }: AskOptions = {}): Promise<Frame> {
    if (this.isClosed) return Promise.reject(unavailable("the session is over"));
    const id = newMessageId();
    const answer = Promise.withResolvers<Frame>();
    this.#waiting.set(id, { ...answer, onReply });
    const version = this.#wire === "1.0" ? { arcp: "1.0", timestamp: new Date().toISOString() } : {};
    this.#transport.send(JSON.stringify(buildEnvelope({ ...members, ...version, id, type, payload })));
    if (bytes !== undefined) this.#transport.sendBinary(bytes);
    return answer.promise;
  }

  /** Stops or goes on reading, so that the runtime feels it. */
  setReading(reads: boolean): void {
    if (reads) this.#transport.resume();
    else this.#transport.pause();
  }

  close(): void {
    this.#transport.close();
  }

  #onFrame(frame: Frame): void {
    if (frame.event_seq !== undefined) {
      this.#onNumbered(frame);
      return;
    }
    const { correlation_id: id = "" } = frame;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (REFUSALS.has(frame.type)) waiting.reject(errorOf(frame.payload));
    else {
      waiting.onReply?.(frame);
      waiting.resolve(frame);
    }
  }
}

/** Codes of both wires become the same errors. */
const errorOf = (payload: JsonObject): ARCPError => errorFromV10(payload as unknown as ErrorPayload);

const unavailable = (reason: string): CanonicalError =>
  new CanonicalError("UNAVAILABLE", reason === "" ? "the runtime ended the session" : reason);
