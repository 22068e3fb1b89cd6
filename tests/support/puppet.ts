/** An agent that does what a test tells it to. */
import type { AgentHandler, JobContext } from "@arcp/runtime";

/** One run of a {@link Puppet}: the test emits through `context` and decides how it ends. */
export interface Run {
  readonly input: unknown;
  readonly context: JobContext;
  finish(result?: unknown): void;
  fail(error: Error): void;
}

export class Puppet {
  readonly runs: Run[] = [];
  #taken = 0;
  #wake: (() => void)[] = [];

  /** Register this. */
  readonly agent: AgentHandler = (input, context) =>
    new Promise((resolve, reject) => {
      context.signal.addEventListener("abort", () => reject(context.signal.reason), { once: true });
      this.runs.push({ input, context, finish: resolve, fail: reject });
      for (const wake of this.#wake.splice(0)) wake();
    });

  /** The next run, in the order in which they were started. */
  async started(): Promise<Run> {
    while (this.runs.length <= this.#taken) await new Promise<void>((resolve) => this.#wake.push(resolve));
    this.#taken += 1;
    return this.runs[this.#taken - 1] as Run;
  }
}

/** Emits `count` log events, `first`, `first + 1`, …, and resolves when they are on disk. */
export async function emitLogs({ context }: Run, count: number, first = 1): Promise<void> {
  for (let n = first; n < first + count; n += 1) await context.log("info", String(n));
  await context.flush();
}
