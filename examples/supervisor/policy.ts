/** What the supervisor goes by: a few rules, a model where no rule says anything, and people where a mistake would be one. */
import type { Question } from "@arcp/sdk";
import OpenAI from "openai";
import { z } from "zod";
import type { Policy, Verdict, Watched } from "./supervisor.ts";

const SILENT_MINUTES = 5;

export const policy: Omit<Policy, "escalate"> = {
  lookEveryMs: 10_000,

  whenHeard({ spent, done }) {
    if (spent <= 0.5 || spent <= 2 * done) return undefined;
    return `${percent(spent)} of its budget for ${percent(done)} of the work`;
  },

  whenSilent(_job, silentMs) {
    return silentMs < SILENT_MINUTES * 60_000 ? undefined : `nothing was heard of it for ${SILENT_MINUTES} minutes`;
  },

  decide(question, job) {
    if (question.kind === "permission") return { because: "what may be done is for people to say" };
    if (question.kind === "input") return { because: "people know" };
    if (question.options.some(({ id }) => id === "retry")) {
      return { answer: { choiceId: "retry", respondedBy: "supervisor" }, because: "nothing is lost by it" };
    }
    return judge(question, job);
  },
};

const percent = (part: number): string => `${Math.round(part * 100)} %`;

const Judgement = z.object({ choice: z.string(), because: z.string() });

/** What the model would choose. What it has not been offered is not done. */
async function judge(question: Extract<Question, { kind: "choice" }>, job: Watched): Promise<Verdict> {
  const { choices } = await new OpenAI().chat.completions.create({
    model: process.env["OPENAI_MODEL"] ?? "gpt-5-mini",
    messages: [
      {
        role: "system",
        content: `You supervise jobs. One asks something. Answer with JSON alone: {"choice": the id of an option, "because": why, in
a few words}. Choose "person" if a mistake could not be undone, or if you do not know.`,
      },
      {
        role: "user",
        content: JSON.stringify({ job: job.agent, input: job.input, asks: question.prompt, options: question.options }),
      },
    ],
  });
  const { data } = Judgement.safeParse(jsonIn(choices[0]?.message.content ?? ""));
  if (data === undefined) return { because: "the model has said nothing that could be read" };
  const { choice: choiceId, because } = data;
  if (!question.options.some(({ id }) => id === choiceId)) return { because };
  return { answer: { choiceId, respondedBy: "supervisor" }, because };
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
