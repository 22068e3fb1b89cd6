import { ForwardingTransport, type Transport } from "@arcp/core";

/** A transport that shows every text frame to somebody before its consumer, and stops reading while either of them wants it. */
export class TappedTransport extends ForwardingTransport {
  readonly #onFrame: (frame: string) => void;
  #isHeld = false;
  #isPaused = false;

  constructor(inner: Transport, onFrame: (frame: string) => void) {
    super(inner);
    this.#onFrame = onFrame;
  }

  /** Stops reading for whoever looks on, or reads on. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#apply();
  }

  override onFrame(handler: (frame: string) => void): void {
    this.inner.onFrame((frame) => {
      this.#onFrame(frame);
      handler(frame);
    });
  }

  override pause(): void {
    this.#isPaused = true;
    this.#apply();
  }

  override resume(): void {
    this.#isPaused = false;
    this.#apply();
  }

  #apply(): void {
    if (this.#isHeld || this.#isPaused) this.inner.pause();
    else this.inner.resume();
  }
}
