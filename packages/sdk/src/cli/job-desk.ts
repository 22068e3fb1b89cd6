/** What somebody who watches a job at a terminal can do: keys, and the questions of the job and those it delegated to. */
import type { ARCPClient, Question } from "@arcp/client";
import { answerInPlace } from "./answer-in-place.ts";
import { escapeLine } from "./escape.ts";
import { Keyboard, type KeyboardInput, type KeyName } from "./keyboard.ts";
import type { Prompter } from "./question-prompt.ts";
import { askedIn, deadlineText } from "./question-view.ts";
import type { Terminal } from "./terminal.ts";
import type { TerminalView } from "./terminal-view.ts";

export interface JobDeskOptions {
  readonly client: ARCPClient;
  readonly jobId: string;
  readonly terminal: Terminal;
  readonly view: TerminalView;
  readonly input: KeyboardInput;
  readonly prompter: Prompter;
  readonly onLeave: () => void;
  /** Asks what to do: to watch on, to leave, or to cancel the job. */
  readonly onInterrupt: () => void;
}

const SHOWN_QUESTIONS = 3;

export class JobDesk {
  readonly #options: JobDeskOptions;
  readonly #stop = new AbortController();
  #answering: Promise<void> | undefined;

  /** Listens until {@link close}. */
  constructor(options: JobDeskOptions) {
    this.#options = options;
    const { terminal, view, input } = options;
    view.showBelow(() => this.#lines());
    terminal.listen(new Keyboard(input, (name) => this.#onKey(name)));
  }

  /** Withdraws what is asked. Resolves when the terminal is free. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#answering;
  }

  /** The most urgent first. */
  get #questions(): readonly Question[] {
    const { client, jobId, view } = this.#options;
    const urgency = ({ expiresAt }: Question): number => Date.parse(expiresAt ?? "") || Number.POSITIVE_INFINITY;
    return client.questions
      .filter((question) => question.jobId === jobId || view.isDelegated(question.jobId))
      .sort((a, b) => (urgency(a) < urgency(b) ? -1 : urgency(a) > urgency(b) ? 1 : 0));
  }

  #lines(): readonly string[] {
    const { terminal, client } = this.#options;
    const questions = this.#questions;
    const lines = questions.slice(0, SHOWN_QUESTIONS).map((question) => {
      const time = terminal.style("gray", escapeLine(deadlineText(question, Date.now())));
      return `${terminal.style(["yellow", "bold"], `? ${escapeLine(askedIn(question))}`)} ${time}`;
    });
    if (questions.length > lines.length) lines.push(`  and ${questions.length - lines.length} more questions`);
    const answer = questions.length > 0 ? "a answers · " : "";
    const isOffline = client.state.phase !== "connected";
    const keys = `${answer}${isOffline ? "" : "c cancels · "}r shows reasoning · q leaves, the job goes on`;
    return [...lines, terminal.style("gray", `  ${keys}`)];
  }

  #onKey(name: KeyName): void {
    const { onLeave, onInterrupt, view } = this.#options;
    if (name === "q") onLeave();
    else if (name === "c" || name === "ctrl-c") onInterrupt();
    else if (name === "r") void view.toggleThoughts();
    else if (name === "a" && this.#answering === undefined) this.#answering = this.#answer();
  }

  async #answer(): Promise<void> {
    const { client, terminal, prompter } = this.#options;
    const [question] = this.#questions;
    if (question !== undefined) {
      terminal.hold();
      const print = (text: string): void => void process.stdout.write(`${text}\n`);
      const { signal } = this.#stop;
      try {
        print(`  ${await answerInPlace({ client, question, prompter, terminal, print, signal })}`);
      } finally {
        terminal.release();
      }
    }
    this.#answering = undefined;
  }
}
