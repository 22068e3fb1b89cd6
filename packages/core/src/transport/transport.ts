/**
 * What carries frames between two peers (§4). One frame is one JSON envelope as text. Some carriers also take frames of
 * bytes, which belong to the envelope before them (RFC §11.3).
 */
import { ARCPError } from "../errors.ts";

/** How a connection ended. */
export interface TransportClose {
  /** A WebSocket close code, or the nearest to it for other carriers. */
  readonly code: number;
  readonly reason: string;
}

/** What a carrier knows of the other side. */
export interface TransportPeer {
  readonly kind: "memory" | "stdio" | "websocket" | "socket" | "http";
  /** Can nobody else on the network read this connection? In-process, pipes, loopback and TLS are confidential. */
  readonly isConfidential: boolean;
  readonly remoteAddress?: string;
  /**
   * `sha256:` and the digest, in lower-case hexadecimal, of the certificate (DER) with which the client proved who it is
   * (RFC §8.2). Absent without such a certificate, and when no authority that the listener accepts vouches for it.
   */
  readonly certificateFingerprint?: string;
  /**
   * The bearer token with which the connection was asked for (RFC 6750 §2.1). Not yet verified. It counts where the
   * client's first message shows no credentials.
   */
  readonly bearerToken?: string;
  /** Whom that certificate names. Absent without {@link certificateFingerprint}. */
  readonly certificateNames?: CertificateNames;
}

/** The names in a certificate: of the kinds of subject alternative names that say who somebody is, and of its subject. */
export interface CertificateNames {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly emails?: readonly string[];
  readonly commonNames?: readonly string[];
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
  /** Does this carrier have frames of bytes? */
  readonly carriesBinary: boolean;
  /**
   * Queues one binary frame, in order with what {@link send} takes (RFC §11.3). The bytes are copied: they are the
   * caller's again at once. Throws if the carrier has no such frames; otherwise like {@link send}.
   */
  sendBinary(bytes: Uint8Array): void;
  /** Bytes taken by {@link send} and {@link sendBinary} that have not left this process. */
  readonly bufferedBytes: number;
  /** Resolves when {@link bufferedBytes} is low again, or the transport has ended. */
  drained(): Promise<void>;
  /** Sets the consumer. Called once. The handler must not throw. */
  onFrame(handler: (frame: string) => void): void;
  /**
   * Sets the consumer of binary frames, which come in order with those of {@link onFrame}, and not before it was called.
   * Called once, when the peer may send them: one that arrives without a consumer is malformed and ends the connection.
   * The handler must not throw; the bytes are its own.
   */
  onBinary(handler: (bytes: Uint8Array) => void): void;
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
/** A frame of a kind that nobody here takes. */
const CLOSE_UNSUPPORTED = 1003;
/** A frame is larger than this side, or the other one, reads: the next attempt would meet it again. */
export const CLOSE_TOO_LARGE = 1009;
/** The connection vanished without a word. */
export const CLOSE_ABNORMAL = 1006;

const MAX_REASON_BYTES = 123;

/** As much of `reason` as a WebSocket's close takes: 123 bytes (RFC 6455 §5.5). */
export function closeReason(reason: string): string {
  return reason.slice(0, new TextEncoder().encodeInto(reason, new Uint8Array(MAX_REASON_BYTES)).read);
}

/** Delivers frames to one consumer in the order of their arrival, keeps them until there is one, and while it is paused. */
export class Inbox {
  readonly #refuseBinary: () => void;
  #onFrame: ((frame: string) => void) | undefined;
  #onBinary: ((bytes: Uint8Array) => void) | undefined;
  #isPaused = false;
  #kept: (string | Uint8Array)[] = [];

  /** @param refuseBinary Called for each binary frame whose turn comes while nobody takes binary frames. */
  constructor(refuseBinary: () => void = () => {}) {
    this.#refuseBinary = refuseBinary;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Takes a frame from the carrier. */
  push(frame: string): void {
    if (this.#onFrame && !this.#isPaused && this.#kept.length === 0) this.#onFrame(frame);
    else this.#kept.push(frame);
  }

  /** Takes a binary frame from the carrier. */
  pushBinary(bytes: Uint8Array): void {
    if (this.#onFrame && !this.#isPaused && this.#kept.length === 0) this.#takeBinary(bytes);
    else this.#kept.push(bytes);
  }

  onFrame(handler: (frame: string) => void): void {
    if (this.#onFrame) throw new Error("a transport has one consumer");
    this.#onFrame = handler;
    this.#deliver();
  }

  onBinary(handler: (bytes: Uint8Array) => void): void {
    if (this.#onBinary) throw new Error("a transport has one consumer");
    this.#onBinary = handler;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#deliver();
  }

  #deliver(): void {
    while (this.#onFrame && !this.#isPaused) {
      const frame = this.#kept.shift();
      if (frame === undefined) return;
      if (typeof frame === "string") this.#onFrame(frame);
      else this.#takeBinary(frame);
    }
  }

  #takeBinary(bytes: Uint8Array): void {
    if (this.#onBinary) this.#onBinary(bytes);
    else this.#refuseBinary();
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

/** What transports have in common that take whole messages from a carrier: the way to their consumer, and the end. */
export abstract class InboxTransport {
  protected readonly inbox = new Inbox(() => this.refuseBinary());
  protected readonly end = new CloseSignal();
  protected malformed: (problem: string) => void = () => {};

  abstract close(code?: number, reason?: string): void;

  get closed(): Promise<TransportClose> {
    return this.end.promise;
  }

  get isClosed(): boolean {
    return this.end.isClosed;
  }

  onFrame(handler: (frame: string) => void): void {
    this.inbox.onFrame(handler);
  }

  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.inbox.onBinary(handler);
  }

  onMalformed(handler: (problem: string) => void): void {
    this.malformed = handler;
  }

  pause(): void {
    this.inbox.pause();
  }

  resume(): void {
    this.inbox.resume();
  }

  /** Bytes have come that nobody takes. */
  protected refuseBinary(): void {
    this.malformed("a binary frame");
    this.close(CLOSE_UNSUPPORTED, "text frames only");
  }
}

/** Is `hostname` this machine, by name or literal address? */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  return host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}
