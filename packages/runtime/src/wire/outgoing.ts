import type { Clock, Logger, Transport } from "@arcp/core";

export interface OutgoingOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxBufferedBytes: number;
  readonly maxBufferedEvents: number;
}

/** Bytes on their way to the peer at which nothing more is written, whatever the cap says. */
const CONGESTED_BYTES = 2 * 1024 * 1024;
/** How long a peer may read nothing before it is given up. Its session stays. */
const SLOW_CONSUMER_MS = 60_000;

/** The frames of one connection on their way out: how much may wait, and for how long. The same on every wire. */
export class Outgoing {
  readonly #options: OutgoingOptions;
  readonly #transport: Transport;
  #isClosed = false;
  #queuedFrames = 0;

  constructor(options: OutgoingOptions) {
    this.#options = options;
    this.#transport = options.transport;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Nothing leaves after this. */
  close(): void {
    this.#isClosed = true;
  }

  send(frame: string): void {
    if (!this.#isClosed) this.#transport.send(frame);
  }

  sendBinary(bytes: Uint8Array): void {
    if (!this.#isClosed) this.#transport.sendBinary(bytes);
  }

  /** One more frame that was sent counts against `maxBufferedEvents`. */
  count(): void {
    this.#queuedFrames += 1;
  }

  get isCongested(): boolean {
    const { bufferedBytes } = this.#transport;
    if (bufferedBytes === 0) this.#queuedFrames = 0;
    const maxBytes = Math.min(this.#options.maxBufferedBytes, CONGESTED_BYTES);
    return bufferedBytes > maxBytes || this.#queuedFrames > this.#options.maxBufferedEvents;
  }

  /** Resolves when there is room, or the connection is over: it is cut when the peer reads nothing for a minute. */
  async drained(): Promise<void> {
    let stopTimer = (): void => {};
    const watch = (bufferedBytes: number): void => {
      stopTimer = this.#options.clock.setTimer(() => {
        // Slow is not dead: what has been read since the last look counts.
        if (this.#transport.bufferedBytes < bufferedBytes) watch(this.#transport.bufferedBytes);
        else this.#giveUp();
      }, SLOW_CONSUMER_MS);
    };
    watch(this.#transport.bufferedBytes);
    try {
      while (this.isCongested && !this.#transport.isClosed) {
        await this.#transport.drained();
        // The transport counts as drained before it is empty.
        this.#queuedFrames = 0;
      }
    } finally {
      stopTimer();
    }
  }

  #giveUp(): void {
    this.#options.logger.warn({}, "a client that does not read is disconnected");
    this.#transport.abort("slow consumer");
  }
}
