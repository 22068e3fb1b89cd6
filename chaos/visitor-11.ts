/** This project's client of wire 1.1, which reconnects and resumes by itself. */
import { ARCPClient } from "@arcp/client";
import { ARCPError, createLogger } from "@arcp/core";
import type { Random } from "../fuzz/random.ts";
import type { LineMaker } from "./lines.ts";
import { anySubmission, type Places } from "./submissions.ts";
import { pause, unless, type Visitor } from "./visitors.ts";

const MAX_OPEN_JOBS = 6;
const QUIET = createLogger(() => {}, "silent");

export class Visitor11 implements Visitor {
  readonly name: string;
  readonly #principal: string;
  readonly #lines: LineMaker;
  readonly #random: Random;
  readonly #places: Places;
  readonly #open = new Map<string, Promise<unknown>>();
  readonly #ended: string[] = [];
  #client: ARCPClient | undefined;
  #keys = 0;

  constructor(name: string, principal: string, lines: LineMaker, random: Random, places: Places) {
    this.name = name;
    this.#principal = principal;
    this.#lines = lines;
    this.#random = random;
    this.#places = places;
  }

  get missing(): readonly string[] {
    return [...[...this.#open.keys()].map((what) => `${this.name}: the end of ${what}`), ...this.#ended];
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const client = await this.#connected(signal);
      if (client === undefined) continue;
      if (this.#open.size < MAX_OPEN_JOBS) this.#submit(client);
      if (this.#random.oneIn(12)) client.listJobs().catch(() => {});
      if (this.#random.oneIn(20)) this.#observe(client).catch(() => {});
      await pause(this.#random.below(120), signal);
    }
  }

  async settle(signal: AbortSignal): Promise<void> {
    await unless(signal, Promise.all(this.#open.values()));
  }

  async end(): Promise<void> {
    await this.#client?.close().catch(() => {});
  }

  async #connected(signal: AbortSignal): Promise<ARCPClient | undefined> {
    if (this.#client !== undefined) return this.#client;
    const caller = { client: this.name, principal: this.#principal, wire: "1.1" } as const;
    try {
      this.#client = await ARCPClient.connect((abort) => this.#lines.connect(caller, abort), {
        logger: QUIET,
        token: this.#principal,
        handshakeTimeoutMs: 5_000,
        requestTimeoutMs: 120_000,
        reconnect: { initialDelayMs: 20, maxDelayMs: 300, random: () => this.#random.next() },
        signal,
      });
    } catch {
      await pause(100, signal);
      return undefined;
    }
    const connected = this.#client;
    connected.closed.catch((error: unknown) => {
      if (this.#client === connected) this.#client = undefined;
      this.#ended.push(`${this.name}: the client ended with ${ARCPError.from(error).code}: ${String(error)}`);
    });
    return connected;
  }

  #submit(client: ARCPClient): void {
    const { agent, input, lease, cancelAfterMs, maxRuntimeSec } = anySubmission(
      this.#random,
      this.#principal,
      this.#places,
    );
    this.#keys += 1;
    const idempotencyKey = `${this.name}-${this.#keys}`;
    const follow = async (): Promise<void> => {
      const handle = await client.submit({
        ...{ agent, input, leaseRequest: lease, idempotencyKey },
        ...(maxRuntimeSec !== undefined && { maxRuntimeSec }),
      });
      const timer =
        cancelAfterMs === undefined ? undefined : setTimeout(() => void handle.cancel().catch(() => {}), cancelAfterMs);
      timer?.unref();
      await handle.done.catch(() => {});
    };
    // A refusal is an answer, too.
    const whole = follow().catch(() => {});
    this.#open.set(idempotencyKey, whole);
    void whole.then(() => this.#open.delete(idempotencyKey));
  }

  /** Another session's job of the same principal. */
  async #observe(client: ARCPClient): Promise<void> {
    const { jobs } = await client.listJobs();
    if (jobs.length === 0) return;
    const subscription = await client.subscribe(this.#random.pick(jobs).jobId, { history: true });
    await subscription.done.catch(() => {});
  }
}
