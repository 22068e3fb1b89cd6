/** Ctrl-C while a job is watched: on a terminal a question, elsewhere the end of watching. Never the end of the job. */
import { isCancel, select } from "@clack/prompts";
import type { Terminal } from "./terminal.ts";

export type Choice = "continue" | "detach" | "cancel";

/** Asks what to do. Ctrl-C in answer to the question detaches. When `signal` aborts, the question is withdrawn. */
export async function askWhatToDo(signal: AbortSignal): Promise<Choice> {
  const choice = await select<Choice>({
    message: "The job is still running. What now?",
    options: [
      { value: "continue", label: "Continue", hint: "watch on" },
      { value: "detach", label: "Detach", hint: "the job goes on without you" },
      { value: "cancel", label: "Cancel", hint: "ask the agent to stop" },
    ],
    signal,
  });
  if (isCancel(choice)) return signal.aborted ? "continue" : "detach";
  return choice;
}

export interface InterruptionOptions {
  /** Where a question can be asked; `undefined`: nowhere. */
  readonly terminal: Terminal | undefined;
  readonly ask: (signal: AbortSignal) => Promise<Choice>;
  readonly onCancel: () => Promise<void>;
}

/** Listens for SIGINT and SIGTERM until it is stopped. */
export class Interruption {
  readonly #options: InterruptionOptions;
  readonly #detach = new AbortController();
  readonly #onInterrupt = (): void => this.interrupt();
  readonly #onTerminate = (): void => this.detach();
  #question: Promise<void> | undefined;
  /** Takes back the question that is on the screen; `undefined` once it is answered: a prompt reacts even then. */
  #withdraw: (() => void) | undefined;

  constructor(options: InterruptionOptions) {
    this.#options = options;
    process.on("SIGINT", this.#onInterrupt);
    process.on("SIGTERM", this.#onTerminate);
  }

  /** Aborts when the user no longer wants to watch. */
  get detached(): AbortSignal {
    return this.#detach.signal;
  }

  /** The user no longer wants to watch. */
  detach(): void {
    this.#detach.abort();
  }

  /** What Ctrl-C does. */
  interrupt(): void {
    void this.#interrupt();
  }

  /** Withdraws a question that is still open, and leaves signals to others. */
  async stop(): Promise<void> {
    this.#withdraw?.();
    await this.#question;
    process.off("SIGINT", this.#onInterrupt);
    process.off("SIGTERM", this.#onTerminate);
  }

  async #interrupt(): Promise<void> {
    if (this.#options.terminal === undefined || this.#question !== undefined) {
      this.#detach.abort();
      return;
    }
    this.#question = this.#askOn(this.#options.terminal);
    await this.#question;
    this.#question = undefined;
  }

  async #askOn(terminal: Terminal): Promise<void> {
    const withdraw = new AbortController();
    this.#withdraw = () => withdraw.abort();
    terminal.hold();
    const choice = await this.#options.ask(withdraw.signal);
    terminal.release();
    this.#withdraw = undefined;
    if (choice === "detach") this.#detach.abort();
    if (choice === "cancel") await this.#options.onCancel();
  }
}
