/** The questions of a client: listed, or put to a person, who picks which one to answer (RFC §12). */
import type { ARCPToolClient, ToolQuestion } from "@arcp/client";
import { escapeLine } from "./escape.ts";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { askPerson, type ChoicePrompt, type Prompter, type Said } from "./question-prompt.ts";
import { askedIn, deadlineText, questionText } from "./question-view.ts";
import type { Terminal } from "./terminal.ts";

export interface InterviewOptions {
  readonly client: ARCPToolClient;
  readonly signal: AbortSignal;
  /** Go on with what is asked later? */
  readonly isWatching: boolean;
  /** The id of the only question that matters. */
  readonly only?: string;
}

/** A question that waits for its turn. */
interface Put {
  readonly question: ToolQuestion;
  /** Aborts when it is no longer open. */
  readonly signal: AbortSignal;
  readonly give: (said: Said | undefined) => void;
}

const MAX_LISTED = 100;
const MAX_LABEL = 100;
/** Questions without a deadline come last. */
const NEVER = 8.64e15;

const deadlineOf = ({ question }: Put): number => Date.parse(question.expiresAt ?? "") || NEVER;

function optionOf({ question }: Put): ChoicePrompt["options"][number] {
  const asked = escapeLine(askedIn(question));
  const shown = asked.length > MAX_LABEL ? `${asked.slice(0, MAX_LABEL)}…` : asked;
  return {
    value: question.id,
    label: `${shown} · ${escapeLine(deadlineText(question, Date.now()))}`,
    hint: escapeLine(question.jobId ?? "no job"),
  };
}

export class Interview {
  readonly #options: InterviewOptions;
  readonly #waiting: Put[] = [];
  #wake = (): void => {};

  /** Make it before the questions come. */
  constructor(options: InterviewOptions) {
    this.#options = options;
    const { client } = options;
    client.onHumanInput((question, signal) => this.#put(question, signal));
    client.onHumanChoice((question, signal) => this.#put(question, signal));
    client.onPermission((question, signal) => this.#put(question, signal));
    options.signal.addEventListener("abort", () => this.#wake());
    client.closed.then(
      () => this.#wake(),
      () => this.#wake(),
    );
  }

  /** Shows every question, and leaves it to others. Resolves with how many there were. */
  async list(show: (question: ToolQuestion) => Promise<void>): Promise<number> {
    let count = 0;
    for await (const { question, give } of this.#questions()) {
      count += 1;
      await show(question);
      give(undefined);
    }
    return count;
  }

  /** Has a person answer them, in the order they like. Ctrl-C at a prompt ends it; what was not answered stays open. */
  async hold(prompter: Prompter, terminal: Terminal): Promise<ExitCode> {
    let count = 0;
    for await (const next of this.#questions()) {
      const put = await this.#pick(next, prompter);
      if (put === "none") return EXIT.interrupted;
      if (put === "changed") continue;
      count += 1;
      const { question, signal } = put;
      await terminal.print(questionText(question, terminal, false));
      const { refusal } = question;
      if (refusal !== undefined) await terminal.print(terminal.style("red", `  ${escapeLine(refusal.message)}`));
      const said = await askPerson(question, prompter, signal);
      put.give(said);
      if (signal.aborted) await terminal.print(`  ${escapeLine(String((signal.reason as Error).message))}`);
      else if (said === undefined) return EXIT.interrupted;
      else await this.#settled(put);
    }
    if (count === 0) await terminal.print("no open questions");
    return this.#options.signal.aborted ? EXIT.interrupted : EXIT.success;
  }

  /** Of several that wait, the one that the person wants to answer now. `changed`: one of them has ended meanwhile. */
  async #pick(next: Put, prompter: Prompter): Promise<Put | "none" | "changed"> {
    const open = this.#waiting.filter(({ signal }) => !signal.aborted);
    // An answer that was refused is given again at once.
    if (open.length === 0 || next.question.refusal !== undefined) return next;
    const listed = [next, ...open].sort((a, b) => deadlineOf(a) - deadlineOf(b));
    this.#waiting.splice(0, this.#waiting.length, next, ...open);
    const over = AbortSignal.any(listed.map(({ signal }) => signal));
    const message = `${listed.length} open questions. Which one?`;
    const picked = await prompter.choose({ message, options: listed.slice(0, MAX_LISTED).map(optionOf) }, over);
    if (over.aborted) return "changed";
    const put = listed.find(({ question }) => question.id === picked);
    if (put === undefined) return "none";
    this.#waiting.splice(this.#waiting.indexOf(put), 1);
    return put;
  }

  /** Those that wait, and with `isWatching` those that come, in order. Throws what ended the client. */
  async *#questions(): AsyncGenerator<Put, void> {
    const { signal, isWatching, client } = this.#options;
    while (!signal.aborted) {
      const next = this.#waiting.shift();
      if (next !== undefined) {
        if (!next.signal.aborted) yield next;
      } else if (!isWatching) return;
      else if (client.state.phase === "closed") return await client.closed;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** What a person is asked about a question is of its kind, and so is what they say. */
  #put<Answer extends Said>(question: ToolQuestion, signal: AbortSignal): Promise<Answer | undefined> {
    const { only } = this.#options;
    if (only !== undefined && question.id !== only) return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const put = { question, signal, give: (said: Said | undefined) => resolve(said as Answer | undefined) };
    // An answer that was refused is given again at once.
    if (question.refusal === undefined) this.#waiting.push(put);
    else this.#waiting.unshift(put);
    this.#wake();
    return promise;
  }

  /** Until the runtime has taken the answer, or wants another one. */
  async #settled({ question, signal }: Put): Promise<void> {
    const isBack = (): boolean => this.#waiting[0]?.question.id === question.id;
    while (!signal.aborted && !isBack() && !this.#options.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }
}
