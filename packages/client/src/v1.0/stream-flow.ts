/** When the sender of a stream is told how much its reader can take (RFC §11.2). */

/** What a reader can take. */
export interface Flow {
  /** Chunks a second; 0 stops the stream. */
  readonly ratePerSecond?: number;
  /** Bytes that there is room for until more is said. */
  readonly remainingBytes?: number;
}

const HALF = 2;
const REASON = "the reader is slow";

export class StreamFlow {
  readonly #maxUnreadBytes: number;
  readonly #tell: (flow: Flow & { readonly reason?: string }) => void;
  #unread = 0;
  /** Bytes that the sender believes there is room for; `undefined`: as many as it likes. */
  #told: number | undefined;

  constructor(maxUnreadBytes: number, tell: (flow: Flow & { readonly reason?: string }) => void) {
    this.#maxUnreadBytes = maxUnreadBytes;
    this.#tell = tell;
  }

  /** So many bytes have come, and wait. */
  arrived(bytes: number): void {
    this.#unread += bytes;
    if (this.#told !== undefined) this.#told = Math.max(0, this.#told - bytes);
    else if (this.#unread > this.#maxUnreadBytes / HALF) this.#tellRoom();
  }

  /** The reader has taken so many. */
  taken(bytes: number): void {
    this.#unread -= bytes;
    if (this.#told === undefined) return;
    if (this.#unread <= this.#maxUnreadBytes / HALF / HALF) {
      this.#told = undefined;
      this.#tell({});
    } else if (this.#room - this.#told >= this.#maxUnreadBytes / HALF / HALF) this.#tellRoom();
  }

  /** Nobody reads any more: what comes is dropped, as fast as it comes. */
  stop(): void {
    if (this.#told !== undefined) this.#tell({});
    this.#told = undefined;
    this.#unread = 0;
  }

  get #room(): number {
    return Math.max(0, this.#maxUnreadBytes - this.#unread);
  }

  #tellRoom(): void {
    this.#told = this.#room;
    this.#tell({ remainingBytes: this.#told, reason: REASON });
  }
}
