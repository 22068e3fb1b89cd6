import type { Transport, TransportClose, TransportPeer } from "@arcp/core";

/** A transport that shows every text frame to somebody before its consumer, and stops reading while either of them wants it. */
export class TappedTransport implements Transport {
  readonly #inner: Transport;
  readonly #onFrame: (frame: string) => void;
  #isHeld = false;
  #isPaused = false;

  constructor(inner: Transport, onFrame: (frame: string) => void) {
    this.#inner = inner;
    this.#onFrame = onFrame;
  }

  /** Stops reading for whoever looks on, or reads on. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#apply();
  }

  get peer(): TransportPeer {
    return this.#inner.peer;
  }
  get carriesBinary(): boolean {
    return this.#inner.carriesBinary;
  }
  get bufferedBytes(): number {
    return this.#inner.bufferedBytes;
  }
  get closed(): Promise<TransportClose> {
    return this.#inner.closed;
  }
  get isClosed(): boolean {
    return this.#inner.isClosed;
  }
  send(frame: string): void {
    this.#inner.send(frame);
  }
  sendBinary(frame: Uint8Array): void {
    this.#inner.sendBinary(frame);
  }
  drained(): Promise<void> {
    return this.#inner.drained();
  }
  onFrame(handler: (frame: string) => void): void {
    this.#inner.onFrame((frame) => {
      this.#onFrame(frame);
      handler(frame);
    });
  }
  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.#inner.onBinary(handler);
  }
  onMalformed(handler: (problem: string) => void): void {
    this.#inner.onMalformed(handler);
  }
  pause(): void {
    this.#isPaused = true;
    this.#apply();
  }
  resume(): void {
    this.#isPaused = false;
    this.#apply();
  }
  close(code?: number, reason?: string): void {
    this.#inner.close(code, reason);
  }
  abort(reason?: string): void {
    this.#inner.abort(reason);
  }

  #apply(): void {
    if (this.#isHeld || this.#isPaused) this.#inner.pause();
    else this.#inner.resume();
  }
}
