import type { Transport, TransportClose, TransportPeer } from "@arcp/core";
import type { RuntimeMetrics } from "../engine/metrics/runtime-metrics.ts";

/** A transport whose frames are counted. */
export class CountingTransport implements Transport {
  readonly #inner: Transport;
  readonly #received: (bytes: number) => void;
  readonly #sent: (bytes: number) => void;

  constructor(inner: Transport, metrics: RuntimeMetrics) {
    this.#inner = inner;
    const { kind } = inner.peer;
    this.#received = metrics.frames("received", kind);
    this.#sent = metrics.frames("sent", kind);
    void inner.closed.then(metrics.connected());
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
    this.#sent(Buffer.byteLength(frame));
    this.#inner.send(frame);
  }
  sendBinary(bytes: Uint8Array): void {
    this.#sent(bytes.byteLength);
    this.#inner.sendBinary(bytes);
  }
  drained(): Promise<void> {
    return this.#inner.drained();
  }
  onFrame(handler: (frame: string) => void): void {
    this.#inner.onFrame((frame) => {
      this.#received(Buffer.byteLength(frame));
      handler(frame);
    });
  }
  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.#inner.onBinary((bytes) => {
      this.#received(bytes.byteLength);
      handler(bytes);
    });
  }
  onMalformed(handler: (problem: string) => void): void {
    this.#inner.onMalformed(handler);
  }
  pause(): void {
    this.#inner.pause();
  }
  resume(): void {
    this.#inner.resume();
  }
  close(code?: number, reason?: string): void {
    this.#inner.close(code, reason);
  }
  abort(reason?: string): void {
    this.#inner.abort(reason);
  }
}
