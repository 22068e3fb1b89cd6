/** This project's clients, which reconnect and resume by themselves: what is the same on both wires. */
import type { TransportFactory } from "@arcp/client";
import { ARCPError, createLogger, type Logger } from "@arcp/core";
import type { Random } from "../fuzz/random.ts";
import type { LineMaker } from "./lines.ts";
import { anySubmission, type Places, type Submission } from "./submissions.ts";
import { pause, unless, type Visitor } from "./visitors.ts";

/** Options that the clients of both wires take. */
export interface VisitingOptions {
  readonly logger: Logger;
  readonly token: string;
  readonly handshakeTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly reconnect: {
    readonly initialDelayMs: number;
    readonly maxDelayMs: number;
    readonly random: () => number;
  };
  readonly signal: AbortSignal;
}

interface VisitingClient {
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

export abstract class ClientVisitor<Client extends VisitingClient> implements Visitor {
  readonly name: string;
  protected readonly random: Random;
  protected abstract readonly wire: "1.0" | "1.1";
  protected abstract readonly maxOpenJobs: number;
  /** The longest time between two acts. */
  protected abstract readonly maxPauseMs: number;
  readonly #principal: string;
  readonly #lines: LineMaker;
  readonly #places: Places;
  readonly #open = new Map<string, Promise<unknown>>();
  readonly #ended: string[] = [];
  #client: Client | undefined;
  #keys = 0;

  constructor(name: string, principal: string, lines: LineMaker, random: Random, places: Places) {
    this.name = name;
    this.random = random;
    this.#principal = principal;
    this.#lines = lines;
    this.#places = places;
  }

  protected abstract connect(dial: TransportFactory, options: VisitingOptions): Promise<Client>;

  /** Asks for the job, cancels it if that is to be, and resolves when it has ended. A refusal is an answer, too. */
  protected abstract follow(client: Client, submission: Submission, idempotencyKey: string): Promise<void>;

  /** What a client does besides. */
  protected abstract lookAround(client: Client): void;

  get missing(): readonly string[] {
    return [...[...this.#open.keys()].map((what) => `${this.name}: the end of ${what}`), ...this.#ended];
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const client = await this.#connected(signal);
      if (client === undefined) continue;
      if (this.#open.size < this.maxOpenJobs) this.#submit(client);
      this.lookAround(client);
      await pause(this.random.below(this.maxPauseMs), signal);
    }
  }

  async settle(signal: AbortSignal): Promise<void> {
    await unless(signal, Promise.all(this.#open.values()));
  }

  async end(): Promise<void> {
    await this.#client?.close().catch(() => {});
  }

  async #connected(signal: AbortSignal): Promise<Client | undefined> {
    if (this.#client !== undefined) return this.#client;
    const caller = { client: this.name, principal: this.#principal, wire: this.wire } as const;
    let client: Client;
    try {
      client = await this.connect((abort) => this.#lines.connect(caller, abort), {
        logger: QUIET,
        token: this.#principal,
        handshakeTimeoutMs: 5_000,
        requestTimeoutMs: 120_000,
        reconnect: { initialDelayMs: 20, maxDelayMs: 300, random: () => this.random.next() },
        signal,
      });
    } catch {
      await pause(100, signal);
      return undefined;
    }
    this.#client = client;
    client.closed.catch((error: unknown) => {
      if (this.#client === client) this.#client = undefined;
      this.#ended.push(`${this.name}: the client ended with ${ARCPError.from(error).code}: ${String(error)}`);
    });
    return client;
  }

  #submit(client: Client): void {
    const submission = anySubmission(this.random, this.#principal, this.#places);
    this.#keys += 1;
    const idempotencyKey = `${this.name}-${this.#keys}`;
    const whole = this.follow(client, submission, idempotencyKey).catch(() => {});
    this.#open.set(idempotencyKey, whole);
    void whole.then(() => this.#open.delete(idempotencyKey));
  }
}

const QUIET = createLogger(() => {}, "silent");

/** Does it then, unless it is never to be done. */
export function later(afterMs: number | undefined, act: () => void): void {
  if (afterMs !== undefined) setTimeout(act, afterMs).unref();
}
