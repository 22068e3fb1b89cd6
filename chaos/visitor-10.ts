/** This project's client of wire 1.0, which reconnects and resumes by itself. */
import { ARCPToolClient } from "@arcp/client";
import { ARCPError, createLogger } from "@arcp/core";
import type { Random } from "../fuzz/random.ts";
import type { LineMaker } from "./lines.ts";
import { anySubmission, type Places } from "./submissions.ts";
import { pause, unless, type Visitor } from "./visitors.ts";

const MAX_OPEN_JOBS = 5;
const QUIET = createLogger(() => {}, "silent");

export class Visitor10 implements Visitor {
  readonly name: string;
  readonly #principal: string;
  readonly #lines: LineMaker;
  readonly #random: Random;
  readonly #places: Places;
  readonly #open = new Map<string, Promise<unknown>>();
  readonly #ended: string[] = [];
  #client: ARCPToolClient | undefined;
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
      if (this.#open.size < MAX_OPEN_JOBS) this.#invoke(client);
      if (this.#random.oneIn(15)) client.ping().catch(() => {});
      await pause(this.#random.below(160), signal);
    }
  }

  async settle(signal: AbortSignal): Promise<void> {
    await unless(signal, Promise.all(this.#open.values()));
  }

  async end(): Promise<void> {
    await this.#client?.close().catch(() => {});
  }

  async #connected(signal: AbortSignal): Promise<ARCPToolClient | undefined> {
    if (this.#client !== undefined) return this.#client;
    const caller = { client: this.name, principal: this.#principal, wire: "1.0" } as const;
    try {
      this.#client = await ARCPToolClient.open((abort) => this.#lines.connect(caller, abort), {
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
    const opened = this.#client;
    opened.closed.catch((error: unknown) => {
      if (this.#client === opened) this.#client = undefined;
      this.#ended.push(`${this.name}: the client ended with ${ARCPError.from(error).code}: ${String(error)}`);
    });
    return opened;
  }

  #invoke(client: ARCPToolClient): void {
    const { agent, input, lease, cancelAfterMs, maxRuntimeSec } = anySubmission(
      this.#random,
      this.#principal,
      this.#places,
    );
    this.#keys += 1;
    const idempotencyKey = `${this.name}-${this.#keys}`;
    const follow = async (): Promise<void> => {
      const work = client.invoke(
        agent,
        { ...input },
        {
          ...{ idempotencyKey, durable: this.#random.oneIn(2), lease },
          ...(maxRuntimeSec !== undefined && { maxRuntimeSec }),
        },
      );
      const timer =
        cancelAfterMs === undefined
          ? undefined
          : setTimeout(() => {
              if (work.jobId !== undefined) client.cancelJob(work.jobId).catch(() => {});
            }, cancelAfterMs);
      timer?.unref();
      await work.done.catch(() => {});
    };
    const whole = follow().catch(() => {});
    this.#open.set(idempotencyKey, whole);
    void whole.then(() => this.#open.delete(idempotencyKey));
  }
}
