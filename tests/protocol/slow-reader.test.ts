import { pairMemoryTransports, type Transport, type TransportClose, type TransportPeer } from "@arcp/core";
import { expect, test } from "vitest";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { RawClient } from "../support/raw-client.ts";

const MINUTE_MS = 60_000;
const MIB = 1024 * 1024;

/** A connection whose other end reads as slowly as the test says. */
class SlowTransport implements Transport {
  readonly carriesBinary = false;
  readonly #inner: Transport;
  #bufferedBytes = 0;
  readonly #drained = Promise.withResolvers<void>();

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  get peer(): TransportPeer {
    return this.#inner.peer;
  }

  get bufferedBytes(): number {
    return this.#bufferedBytes;
  }

  set bufferedBytes(bytes: number) {
    this.#bufferedBytes = bytes;
    if (bytes === 0) this.#drained.resolve();
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

  sendBinary(bytes: Uint8Array): void {
    this.#inner.sendBinary(bytes);
  }

  drained(): Promise<void> {
    return Promise.race([this.#drained.promise, this.closed.then(() => {})]);
  }

  onFrame(handler: (frame: string) => void): void {
    this.#inner.onFrame(handler);
  }

  onBinary(handler: (bytes: Uint8Array) => void): void {
    this.#inner.onBinary(handler);
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

async function congested(clock: ManualClock, harness: ReturnType<typeof startHarness>) {
  const [left, right] = pairMemoryTransports();
  const slow = new SlowTransport(right);
  await harness.server.accept(slow);
  const client = new RawClient(left);
  await client.hello([]);
  slow.bufferedBytes = 4 * MIB;
  const { payload } = await client.submit("echo", 1);
  // The result goes out as it is committed, and what is on its way is then too much: the runtime begins to wait.
  await client.ended(payload.job_id);
  await expect.poll(() => clock.pending).toBeGreaterThan(0);
  return { slow, client };
}

test("a client that reads slowly is kept, one that has stopped reading is not", async () => {
  const clock = new ManualClock();
  await using harness = startHarness({ server: { clock }, agents: { echo: (input) => input } });
  const { slow, client } = await congested(clock, harness);
  for (const left of [3.5, 3, 2.5]) {
    slow.bufferedBytes = left * MIB;
    clock.advance(MINUTE_MS);
    expect(slow.isClosed).toBe(false);
  }
  clock.advance(MINUTE_MS);
  await client.transport.closed;
});

test("a client that has caught up is left alone", async () => {
  const clock = new ManualClock();
  await using harness = startHarness({ server: { clock }, agents: { echo: (input) => input } });
  const { slow, client } = await congested(clock, harness);
  slow.bufferedBytes = 0;
  await client.submit("echo", 2);
  clock.advance(10 * MINUTE_MS);
  expect(slow.isClosed).toBe(false);
});
