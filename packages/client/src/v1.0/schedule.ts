import type { EventTape } from "../event-tape.ts";
import type { CancelOptions10 } from "./control.ts";
import type { Invocation } from "./invocation.ts";
import type { ReadOptions } from "./streams.ts";
import type { AcceptedWork } from "./work.ts";

/** Work that was scheduled (RFC §10.6). Each time that it runs is work of its own, in {@link runs}. */
export class Schedule implements AsyncIterable<Invocation, undefined> {
  readonly #job: Invocation;
  readonly #runs: EventTape<Invocation>;

  /** @internal */
  constructor(job: Invocation, runs: EventTape<Invocation>) {
    this.#job = job;
    this.#runs = runs;
    job.done.then(
      () => runs.finish(),
      (error: unknown) => runs.finish(error),
    );
  }

  /** Resolves when the runtime has accepted the schedule; rejects with its refusal. */
  get accepted(): Promise<AcceptedWork> {
    return this.#job.accepted;
  }

  /** The job that is the schedule; `undefined` until it was accepted. */
  get jobId(): string | undefined {
    return this.#job.jobId;
  }

  /** The schedule itself, with its state. */
  get job(): Invocation {
    return this.#job;
  }

  /** The runs, as they begin. Ends with the schedule; throws what ended it, if that was no completion. */
  runs(options: ReadOptions = {}): AsyncIterableIterator<Invocation, undefined> {
    return this.#runs.read(options.signal);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Invocation, undefined> {
    return this.runs();
  }

  /** Ends the schedule: what runs goes on, nothing more begins. As {@link Invocation.cancel}. */
  cancel(reason?: string | CancelOptions10): Promise<void> {
    return this.#job.cancel(reason);
  }
}
