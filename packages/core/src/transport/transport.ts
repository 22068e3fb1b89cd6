/** What carries frames between two peers (§4). One frame is one JSON envelope as text. */
import { ARCPError } from "../errors.ts";

/** How a connection ended. */
export interface TransportClose {
  /** A WebSocket close code, or the nearest to it for other carriers. */
  readonly code: number;
  readonly reason: string;
}

/** What a carrier knows of the other side. */
export interface TransportPeer {
  readonly kind: "memory" | "stdio" | "websocket";
  /** Can nobody else on the network read this connection? In-process, pipes, loopback and TLS are confidential. */
  readonly isConfidential: boolean;
  readonly remoteAddress?: string;
}

/**
 * An ordered, reliable, two-way carrier of frames until it closes; after that, nothing sent is known to have arrived.
 *
 * A transport has one consumer. Frames that arrive before {@link onFrame} is called are kept, so none is missed.
 */
export interface Transport {
  readonly peer: TransportPeer;
  /** Queues one frame. Never blocks. Does nothing after the end: {@link closed} is where that is learnt. */
  send(frame: string): void;
  /** Bytes taken by {@link send} that have not left this process. */
  readonly bufferedBytes: number;
  /** Resolves when {@link bufferedBytes} is low again, or the transport has ended. */
  drained(): Promise<void>;
  /** Sets the consumer. Called once. The handler must not throw. */
  onFrame(handler: (frame: string) => void): void;
  /** Sets what is called for input that is not a frame at all: text that is not UTF-8, a line without an end. */
  onMalformed(handler: (problem: string) => void): void;
  /** Stops reading, so that the peer feels the pressure. Frames already read are kept. */
  pause(): void;
  /** Reads on. */
  resume(): void;
  /** Ends after what is queued has been sent. Idempotent. */
  close(code?: number, reason?: string): void;
  /** Ends at once; what is queued is dropped. Idempotent. */
  abort(reason?: string): void;
  /** Resolves once, when the connection is over, whoever ended it. */
  readonly closed: Promise<TransportClose>;
  readonly isClosed: boolean;
}

/** A connection could not be made, or was lost before it could be used. Worth another try. */
export class TransportError extends ARCPError {
  constructor(message: string, options?: { readonly cause?: unknown; readonly retryable?: boolean }) {
    super("INTERNAL_ERROR", message, options);
  }
}

/** Normal closure. */
export const CLOSE_NORMAL = 1000;
/** The connection vanished without a word. */
export const CLOSE_ABNORMAL = 1006;

/** Delivers frames to one consumer, keeps them until there is one, and while it is paused. */
export class Inbox {
  #handler: ((frame: string) => void) | undefined;
  #isPaused = false;
  #kept: string[] = [];

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Takes a frame from the carrier. */
  push(frame: string): void {
    if (this.#handler && !this.#isPaused && this.#kept.length === 0) this.#handler(frame);
    else this.#kept.push(frame);
  }

  onFrame(handler: (frame: string) => void): void {
    if (this.#handler) throw new Error("a transport has one consumer");
    this.#handler = handler;
    this.#deliver();
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#deliver();
  }

  #deliver(): void {
    while (this.#handler && !this.#isPaused) {
      const frame = this.#kept.shift();
      if (frame === undefined) return;
      this.#handler(frame);
    }
  }
}

/** A promise with its resolver that settles once. */
export class CloseSignal {
  readonly promise: Promise<TransportClose>;
  #resolve: (close: TransportClose) => void = () => {};
  #isClosed = false;

  constructor() {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Returns whether this was the call that ended it. */
  close(code: number, reason: string): boolean {
    if (this.#isClosed) return false;
    this.#isClosed = true;
    this.#resolve({ code, reason });
    return true;
  }
}

/** Is `hostname` this machine, by name or literal address? */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
