/** An agent that does what a test tells it to, one run at a time. */
import type { AgentHandler, JobContext } from "@arcp/runtime";

export interface Run {
  readonly input: unknown;
  readonly context: JobContext;
  /** Makes the agent return. */
  readonly finish: (value?: unknown) => void;
  /** Makes the agent throw. */
  readonly fail: (thrown: unknown) => void;
}

export class Puppet {
  /** Every run so far, in the order in which they began. */
  readonly runs: Run[] = [];
  #read = 0;
  #wake: (() => void)[] = [];

  readonly handler: AgentHandler = (input, context) => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.runs.push({ input, context, finish: resolve, fail: reject });
    for (const wake of this.#wake.splice(0)) wake();
    return promise;
  };

  /** The next run that was not asked for before, now or later. */
  async next(): Promise<Run> {
    for (;;) {
      const run = this.runs[this.#read];
      if (run) {
        this.#read += 1;
        return run;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

/** Lets everything that is under way in this process go as far as it can. */
export async function settle(turns = 12): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Emits `count` logs, the numbers from `first` on as their text, and resolves when they are on disk. */
export async function emitLogs({ context }: Run, count: number, first = 1): Promise<void> {
  for (let n = first; n < first + count; n += 1) await context.log("info", String(n));
  await context.flush();
}
