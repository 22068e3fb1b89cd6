/** Questions of jobs as `respond` lists them. */
import type { ToolQuestion } from "@arcp/client";
import { escapeLine, escapeText } from "./escape.ts";
import { duration } from "./gauge.ts";
import type { Terminal } from "./terminal.ts";

const MAX_PROMPT = 4_000;

/** As one line of JSON. */
export function questionFacts(question: ToolQuestion): object {
  const facts = { type: "question", id: question.id, kind: question.kind, job_id: question.jobId };
  const expiry = { expires_at: question.expiresAt };
  switch (question.kind) {
    case "input": {
      const { prompt, responseSchema, default: fallback } = question;
      return { ...facts, prompt, response_schema: responseSchema, default: fallback, ...expiry };
    }
    case "choice": {
      const { prompt, options, default: fallback } = question;
      return { ...facts, prompt, options, default: fallback, ...expiry };
    }
    case "permission": {
      const { permission, resource, operation, reason, requestedLeaseSeconds } = question;
      const asked = { permission, resource, operation, reason, requested_lease_seconds: requestedLeaseSeconds };
      return { ...facts, ...asked, ...expiry };
    }
  }
}

/** For people: what is asked, by which job, how long there is, and how to answer. */
export function questionText(question: ToolQuestion, terminal: Pick<Terminal, "style">): string {
  const { id, jobId, expiresAt } = question;
  const left = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt) - Date.now();
  const time = Number.isNaN(left) ? "" : ` · ${duration(left)} left`;
  const head = `${terminal.style("yellow", "?")} ${terminal.style("bold", escapeLine(id))}`;
  const facts = terminal.style("gray", escapeLine(`${question.kind}, ${jobId ?? "no job"}${time}`));
  const lines = [...saidBy(question), terminal.style("gray", howTo(question))].map((line) => `  ${line}`);
  return [`${head} ${facts}`, ...lines].join("\n");
}

function saidBy(question: ToolQuestion): readonly string[] {
  if (question.kind === "permission") {
    const { permission, resource, operation, reason } = question;
    return [
      escapeLine(`${operation} ${resource} (${permission})`),
      ...(reason === undefined ? [] : [escapeLine(reason)]),
    ];
  }
  const prompt = escapeText(question.prompt).slice(0, MAX_PROMPT).split("\n");
  if (question.kind === "input") return prompt;
  return [...prompt, ...question.options.map(({ id, label }) => escapeLine(`  ${id}: ${label}`))];
}

const HOW: Readonly<Record<ToolQuestion["kind"], string>> = {
  input: "--value '…'",
  choice: "--choice …",
  permission: "--grant, or --deny",
};

/** An id that could mean something to a shell is not one to paste. */
const howTo = ({ id, kind }: ToolQuestion): string =>
  `arcp respond ${/^[\w-]{1,64}$/.test(id) ? id : "<id>"} ${HOW[kind]}`;
