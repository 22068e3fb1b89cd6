/** Questions of jobs as `respond` lists them. */
import { escapeLine, escapeText } from "./escape.ts";
import { duration } from "./gauge.ts";
import type { Asked } from "./question-prompt.ts";
import type { Terminal } from "./terminal.ts";

const MAX_PROMPT = 4_000;
const MAX_DEFAULT = 80;
const MAX_LINE = 400;

/** As one line of JSON. */
export function questionFacts(question: Asked): object {
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

/** How long there is, and what happens then. Not escaped. */
export function deadlineText(question: Asked, now: number): string {
  const left = Date.parse(question.expiresAt ?? "") - now;
  if (Number.isNaN(left)) return question.kind === "permission" ? "denied when nobody answers" : "no deadline";
  return `${duration(left)} left, then ${fateOf(question)}`;
}

function fateOf(question: Asked): string {
  if (question.kind === "permission") return "it is denied";
  if (question.default === undefined) return "nobody has answered";
  const text = JSON.stringify(question.default);
  return `the answer is ${text.length > MAX_DEFAULT ? `${text.slice(0, MAX_DEFAULT)}…` : text}`;
}

/** In one line. Not escaped. */
export const askedIn = (question: Asked): string =>
  question.kind === "permission"
    ? `may it ${question.operation} ${question.resource}?`
    : (question.prompt.split("\n")[0] ?? "").slice(0, MAX_LINE);

/** For people: what is asked, by which job and how long there is; with `howElse`, how it is answered by a command. */
export function questionText(question: Asked, terminal: Pick<Terminal, "style">, howElse: boolean): string {
  const { id, jobId } = question;
  const time = ` · ${deadlineText(question, Date.now())}`;
  const head = `${terminal.style("yellow", "?")} ${terminal.style("bold", escapeLine(id))}`;
  const facts = terminal.style("gray", escapeLine(`${question.kind}, ${jobId ?? "no job"}${time}`));
  const how = howElse ? [terminal.style("gray", howTo(question))] : [];
  const lines = [...saidBy(question), ...how].map((line) => `  ${line}`);
  return [`${head} ${facts}`, ...lines].join("\n");
}

function saidBy(question: Asked): readonly string[] {
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

const HOW: Readonly<Record<Asked["kind"], string>> = {
  input: "--value '…'",
  choice: "--choice …",
  permission: "--grant, or --deny",
};

/** An id that could mean something to a shell is not one to paste. */
const howTo = ({ id, kind }: Asked): string => `arcp respond ${/^[\w-]{1,64}$/.test(id) ? id : "<id>"} ${HOW[kind]}`;
