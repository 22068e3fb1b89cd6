import { ForwardingTransport, type Transport } from "@arcp/core";
import type { RuntimeMetrics } from "../engine/metrics/runtime-metrics.ts";

/** A transport whose frames are counted. */
export class CountingTransport extends ForwardingTransport {
  readonly #received: (bytes: number) => void;
  readonly #sent: (bytes: number) => void;

  constructor(inner: Transport, metrics: RuntimeMetrics) {
    super(inner);
    const { kind } = inner.peer;
    this.#received = metrics.frames("received", kind);
    this.#sent = metrics.frames("sent", kind);
    void inner.closed.then(metrics.connected());
  }

  override send(frame: string): void {
    this.#sent(Buffer.byteLength(frame));
    this.inner.send(frame);
  }

  override sendBinary(bytes: Uint8Array): void {
    this.#sent(bytes.byteLength);
    this.inner.sendBinary(bytes);
  }

  override onFrame(handler: (frame: string) => void): void {
    this.inner.onFrame((frame) => {
      this.#received(Buffer.byteLength(frame));
      handler(frame);
    });
  }

  override onBinary(handler: (bytes: Uint8Array) => void): void {
    this.inner.onBinary((bytes) => {
      this.#received(bytes.byteLength);
      handler(bytes);
    });
  }
}
