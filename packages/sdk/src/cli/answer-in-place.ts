/** Answering a question where one sees it (RFC §12, §15.4). */
import type { ARCPClient, Question } from "@arcp/client";
import { ARCPError } from "@arcp/core";
import { escapeLine } from "./escape.ts";
import { askPerson, type Prompter } from "./question-prompt.ts";
import { questionText } from "./question-view.ts";
import type { Terminal } from "./terminal.ts";

const STATUS_TEXT = {
  applied: "answered",
  counted: "counted: more people have to say the same",
  ignored: "too late: somebody else has answered",
} as const;

export interface Answering {
  readonly client: ARCPClient;
  readonly question: Question;
  readonly prompter: Prompter;
  readonly terminal: Pick<Terminal, "style">;
  readonly print: (text: string) => void;
  /** Nobody is to be asked any more. */
  readonly signal: AbortSignal;
}

/**
 * Asks until the runtime takes the answer, the question ends, or the person leaves it open. Resolves with what became of it,
 * in one line.
 */
export async function answerInPlace({
  client,
  question,
  prompter,
  terminal,
  print,
  signal,
}: Answering): Promise<string> {
  const over = new AbortController();
  let outcome: string | undefined;
  const stopListening = client.on("questionEnd", (end) => {
    if (end.id !== question.id) return;
    outcome = end.respondedBy === undefined ? end.outcome : `${end.outcome} by ${end.respondedBy}`;
    over.abort();
  });
  try {
    if (!client.questions.some(({ id }) => id === question.id)) return "the question is no longer open";
    print(questionText(question, terminal, false));
    for (;;) {
      const said = await askPerson(question, prompter, AbortSignal.any([signal, over.signal]));
      if (outcome !== undefined) return `over: ${escapeLine(outcome)}`;
      if (said === undefined) return "left open";
      try {
        return STATUS_TEXT[await client.respond(question.id, said, { signal })];
      } catch (thrown) {
        const { message } = ARCPError.from(thrown);
        if (outcome !== undefined || signal.aborted) return `not answered: ${escapeLine(message)}`;
        print(terminal.style("red", `  ${escapeLine(message)}`));
      }
    }
  } finally {
    stopListening();
  }
}
