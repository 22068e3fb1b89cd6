import type { Transport, TransportClose, TransportPeer } from "./transport.ts";

/** A transport that hands everything on to another one. Whoever watches or changes what passes extends it. */
export class ForwardingTransport implements Transport {
  protected readonly inner: Transport;

  constructor(inner: Transport) {
    this.inner = inner;
  }

  get peer(): TransportPeer {
    return this.inner.peer;
  }
  get carriesBinary(): boolean {
    return this.inner.carriesBinary;
  }
  get bufferedBytes(): number {
    return this.inner.bufferedBytes;
  }
  get closed(): Promise<TransportClose> {
    return this.inner.closed;
  }
  get isClosed(): boolean {
    return this.inner.isClosed;
  }
  send(frame: string): void {
    this.inner.send(frame);
  }
  sendBinary(bytes: Uint8Array): void {
    this.inner.sendBinary(bytes);
  }
  drained(): Promise<void> {
    return this.inner.drained();
  }
  onFrame(handler: (frame: string) => void): void {
    this.inner.onFrame(handler);
  }
  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.inner.onBinary(handler);
  }
  onMalformed(handler: (problem: string) => void): void {
    this.inner.onMalformed(handler);
  }
  pause(): void {
    this.inner.pause();
  }
  resume(): void {
    this.inner.resume();
  }
  close(code?: number, reason?: string): void {
    this.inner.close(code, reason);
  }
  abort(reason?: string): void {
    this.inner.abort(reason);
  }
}
