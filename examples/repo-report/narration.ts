/** What the watcher of the job sees while it runs, and the points at which the agent can be stopped. */
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import type { JobContext } from "@arcp/sdk";

/** At most 50 progress events a second: more than anyone can read. */
const PROGRESS_INTERVAL_MS = 20;
/** How long the agent computes before it lets the event loop serve others. */
const TURN_MS = 10;

export type Progress = { readonly total?: number; readonly units: string; readonly message?: string };

/**
 * Every stage is told through one narrator. Each of its methods throws the signal's reason once the job is cancelled
 * or out of time, so that a stage which narrates regularly stops promptly without further checks.
 */
export class Narrator {
  readonly signal: AbortSignal;
  readonly #ctx: JobContext;
  readonly #paceMs: number;
  #progressAt = Number.NEGATIVE_INFINITY;
  #turnAt = performance.now();

  constructor(ctx: JobContext, paceMs: number) {
    this.signal = ctx.signal;
    this.#ctx = ctx;
    this.#paceMs = paceMs;
  }

  /** A new stage begins. */
  async stage(phase: string, message: string): Promise<void> {
    this.signal.throwIfAborted();
    await this.#ctx.status(phase, message);
    this.#progressAt = Number.NEGATIVE_INFINITY;
    await this.pause();
  }

  /** `current` units of the stage are done. Emits the first, the last, and as many in between as a person can read. */
  async progress(current: number, progress: Progress): Promise<void> {
    await this.breathe();
    const now = performance.now();
    if (now - this.#progressAt >= PROGRESS_INTERVAL_MS || current === progress.total) {
      this.#progressAt = now;
      await this.#ctx.progress(current, progress);
    }
  }

  /** Between two small pieces of work: stops if asked to, and every few milliseconds lets the event loop turn. */
  async breathe(): Promise<void> {
    this.signal.throwIfAborted();
    if (performance.now() - this.#turnAt < TURN_MS) return;
    await nextTurn();
    this.#turnAt = performance.now();
    this.signal.throwIfAborted();
  }

  async count(name: string, value: number, unit: string): Promise<void> {
    await this.#ctx.metric({ name, value, unit });
  }

  async finding(message: string, attributes: Record<string, unknown> = {}): Promise<void> {
    await this.#ctx.log("info", message, attributes);
  }

  async warning(message: string, attributes: Record<string, unknown> = {}): Promise<void> {
    await this.#ctx.log("warn", message, attributes);
  }

  /** Waits for as long as the demonstration asks for; ends early, with the signal's reason, when that fires. */
  async pause(): Promise<void> {
    if (this.#paceMs === 0) return;
    await delay(this.#paceMs, undefined, { signal: this.signal }).catch(() => this.signal.throwIfAborted());
  }
}
