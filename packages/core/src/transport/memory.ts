import { CLOSE_ABNORMAL, CLOSE_NORMAL, InboxTransport, type Transport, type TransportPeer } from "./transport.ts";

/** What becomes of one frame on its way. `cut` loses it and everything after it, like a cable that is pulled. */
export type FrameFate = "deliver" | "drop" | "duplicate" | "cut";

/** What one end of a connection within a process knows of the other, and which faults it has. */
export interface MemoryTransportOptions {
  /** What this end knows of the other: who stands behind it, if that is not this process. */
  readonly peer?: TransportPeer;
  /** Decides the fate of each frame that this end sends. `index` counts from 0. */
  readonly onSend?: (frame: string, index: number) => FrameFate;
  /** The same for binary frames. `index` goes on counting: it is the place among all frames. */
  readonly onSendBinary?: (bytes: Uint8Array, index: number) => FrameFate;
}

/** Runs after the current task and its microtasks: a peer never answers inside the sender's call. */
const nextTask: (task: () => void) => void =
  typeof setImmediate === "function" ? (task) => void setImmediate(task) : (task) => void setTimeout(task, 0);

/**
 * One end of an in-process connection. It behaves like a network: frames are text or copied bytes, arrive in order and
 * later, stop while the reader is paused, and may be lost by plan.
 */
export class MemoryTransport extends InboxTransport implements Transport {
  readonly peer: TransportPeer;
  readonly carriesBinary = true;
  readonly #options: MemoryTransportOptions;
  #other: MemoryTransport | undefined;
  #sent = 0;
  #inFlight: (string | Uint8Array)[] = [];
  #inFlightBytes = 0;
  #isScheduled = false;
  #drainWaiters: (() => void)[] = [];

  constructor(options: MemoryTransportOptions = {}) {
    super();
    this.#options = options;
    this.peer = options.peer ?? { kind: "memory", isConfidential: true };
  }

  get bufferedBytes(): number {
    return this.#inFlightBytes;
  }

  /** Joins two ends. Called once, by {@link pairMemoryTransports}. */
  link(other: MemoryTransport): void {
    this.#other = other;
  }

  send(frame: string): void {
    if (this.isClosed) return;
    this.#dispatch(frame, this.#options.onSend?.(frame, this.#sent));
  }

  sendBinary(bytes: Uint8Array): void {
    if (this.isClosed) return;
    const copy = new Uint8Array(bytes);
    this.#dispatch(copy, this.#options.onSendBinary?.(copy, this.#sent));
  }

  drained(): Promise<void> {
    if (this.isClosed || this.#inFlight.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#drainWaiters.push(resolve));
  }

  override resume(): void {
    this.inbox.resume();
    this.#other?.schedule();
  }

  close(code: number = CLOSE_NORMAL, reason = ""): void {
    if (this.isClosed) return;
    // What is in flight arrives first; the other end learns of the close after it.
    const finish = (): void => this.#end(code, reason);
    if (this.#inFlight.length === 0) nextTask(finish);
    else this.#drainWaiters.push(finish);
  }

  abort(reason = "aborted"): void {
    this.#inFlight = [];
    this.#inFlightBytes = 0;
    this.#end(CLOSE_ABNORMAL, reason);
  }

  /** Asks for a delivery round, e.g. because the reader is ready again. */
  schedule(): void {
    if (this.#isScheduled || this.#inFlight.length === 0) return;
    this.#isScheduled = true;
    nextTask(() => this.#deliver());
  }

  #dispatch(frame: string | Uint8Array, fate: FrameFate = "deliver"): void {
    this.#sent += 1;
    if (fate === "cut") {
      this.abort("cut");
      return;
    }
    if (fate === "drop") return;
    this.#queue(frame);
    if (fate === "duplicate") this.#queue(typeof frame === "string" ? frame : new Uint8Array(frame));
  }

  #queue(frame: string | Uint8Array): void {
    this.#inFlight.push(frame);
    this.#inFlightBytes += frame.length;
    this.schedule();
  }

  #deliver(): void {
    this.#isScheduled = false;
    const other = this.#other;
    if (other === undefined || other.isClosed || this.isClosed || other.inbox.isPaused) return;
    const frames = this.#inFlight;
    this.#inFlight = [];
    this.#inFlightBytes = 0;
    for (const frame of frames) {
      if (other.isClosed) break;
      if (typeof frame === "string") other.inbox.push(frame);
      else other.inbox.pushBinary(frame);
    }
    this.#releaseDrainWaiters();
  }

  #end(code: number, reason: string): void {
    if (this.end.close(code, reason)) this.#releaseDrainWaiters();
    const other = this.#other;
    if (other === undefined) return;
    if (other.end.close(code, reason)) other.#releaseDrainWaiters();
  }

  #releaseDrainWaiters(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = [];
    for (const release of waiters) release();
  }
}

/** Two connected ends: what one sends, the other receives. */
export function pairMemoryTransports(
  options: { readonly left?: MemoryTransportOptions; readonly right?: MemoryTransportOptions } = {},
): [MemoryTransport, MemoryTransport] {
  const left = new MemoryTransport(options.left);
  const right = new MemoryTransport(options.right);
  left.link(right);
  right.link(left);
  return [left, right];
}
