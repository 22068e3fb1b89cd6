import { type ARCPClient, ARCPToolClient, type ToolQuestion } from "@arcp/client";
import { newMessageId } from "@arcp/core";
import type { Command } from "commander";
import { Conversation, type Said as Message } from "../../conversation.ts";
import { clackPrompter } from "../clack-prompter.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { parseSeconds } from "../instant.ts";
import { interruptible } from "../interruptible.ts";
import { Interview } from "../interview.ts";
import { parseJson } from "../json-text.ts";
import { printJson } from "../json-view.ts";
import type { Said } from "../question-prompt.ts";
import { questionFacts, questionText } from "../question-view.ts";
import { connectTo, credentialsFor, RECONNECT, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { Terminal } from "../terminal.ts";

interface Options extends RuntimeAddress {
  readonly value?: string;
  readonly choice?: string;
  readonly grant?: boolean;
  readonly seconds?: number;
  readonly deny?: boolean;
  readonly reason?: string;
  readonly watch?: boolean;
  readonly link?: boolean;
  readonly expires?: number;
  readonly dashboard?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp respond                                     pick what to answer of what your jobs ask; elsewhere: list it
  arcp respond --watch                             and what they ask from now on
  arcp respond msg_01J… --value '{"name":"main"}'
  arcp respond msg_01J… --choice retry
  arcp respond msg_01J… --grant --seconds 60
  arcp respond msg_01J… --deny --reason "not on a Friday"
  arcp respond msg_01J… --link --expires 600       a link for a phone: answers this question, once, and nothing else
  arcp respond job_01J… --link                     the same for the question that the job waits for
  arcp respond --json | jq -r 'select(.kind == "permission").id'

Exit codes: 0 answered, or listed, 1 the answer was refused or came too late, 64 wrong arguments, 130 Ctrl-C.`;

export function addRespond(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("respond")
    .description("Answer what jobs ask people: for input, a choice, or a permission")
    .argument("[question]", "its id, or with --link that of its job (default: all that are open)")
    .option("--value <json>", "what was asked for, as JSON")
    .option("--choice <id>", "one of the options")
    .option("--grant", "the permission is given")
    .option("--seconds <n>", "with --grant: for how long at most", parseSeconds)
    .option("--deny", "the permission is not given")
    .option("--reason <text>", "with --deny: why")
    .option("--link", "print a link by which somebody else can answer it once, in your name")
    .option("--expires <seconds>", "with --link: for how long at most (default: 3600)", parseSeconds)
    .option("--dashboard <url>", "with --link: where the dashboard is (default: / of the runtime)")
    .option("--watch", "go on with what is asked later, until Ctrl-C")
    .option("--json", "list as lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "list as text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((question: string | undefined, options: Options) =>
    run(() => respond(question, options)),
  );
}

async function respond(question: string | undefined, options: Options): Promise<ExitCode> {
  const said = answerIn(options);
  if (question === undefined && said !== undefined) throw new UsageError("an answer needs the id of its question");
  if (question !== undefined && options.watch === true) throw new UsageError("--watch is for every question");
  if (options.link === true) {
    if (question === undefined) throw new UsageError("--link needs the id of a question, or of its job");
    if (said !== undefined) throw new UsageError("--link is for somebody else to answer");
    return interruptible((signal) => printLink(question, options, signal));
  }
  if (options.expires !== undefined || options.dashboard !== undefined)
    throw new UsageError("--expires and --dashboard are for --link");
  return interruptible((signal) =>
    question !== undefined && said !== undefined
      ? answer(idOf(question), said, options, signal)
      : interviewOrList(question && idOf(question), options, signal),
  );
}

/** Sends one answer, and waits for what the runtime says of it. */
async function answer(id: string, said: Said, options: Options, signal: AbortSignal): Promise<ExitCode> {
  await using conversation = await Conversation.open(options.url, { ...(await credentialsFor(options)), signal });
  const question = await find(conversation.client, id);
  const ack = await conversation.ask(messageOf(question, said), signal, { maySayNothing: true });
  const status = (ack?.frame["payload"] as { readonly status?: unknown } | undefined)?.status;
  return report(id, typeof status === "string" ? status : "applied", options);
}

async function report(id: string, status: string, { json }: Options): Promise<ExitCode> {
  if (json ?? !process.stdout.isTTY) await printJson(process.stdout, { type: "answer", id, status });
  else await new Terminal(process.stdout).print(STATUS_TEXT[status] ?? "answered");
  return status === "ignored" ? EXIT.failure : EXIT.success;
}

const STATUS_TEXT: Readonly<Record<string, string>> = {
  counted: "counted: more people have to say the same",
  ignored: "too late: somebody else has answered",
};

/** The open question of that id. What was asked before this session began comes right after it. */
async function find(client: ARCPToolClient, id: string): Promise<ToolQuestion> {
  await client.ping();
  const found = client.questions.find((question) => question.id === id);
  if (found === undefined) throw new Error(`there is no open question ${id}; \`arcp respond\` lists them`);
  return found;
}

function messageOf(question: ToolQuestion, said: Said): Message {
  const about = { id: newMessageId(), correlation_id: question.id, ...(question.jobId && { job_id: question.jobId }) };
  const mismatch = (): UsageError =>
    new UsageError(`the question is one of ${question.kind}: ${FITTING[question.kind]} answers it`);
  if ("value" in said) {
    if (question.kind !== "input") throw mismatch();
    return { ...about, type: "human.input.response", payload: { value: said.value } };
  }
  if ("choiceId" in said) {
    if (question.kind !== "choice") throw mismatch();
    return { ...about, type: "human.choice.response", payload: { choice_id: said.choiceId } };
  }
  if (question.kind !== "permission") throw mismatch();
  const { permission, resource, operation } = question;
  const scope = { permission, resource, operation };
  if (!said.granted) return { ...about, type: "permission.deny", payload: { ...scope, reason: said.reason } };
  return { ...about, type: "permission.grant", payload: { ...scope, lease_seconds: said.leaseSeconds } };
}

const FITTING: Readonly<Record<ToolQuestion["kind"], string>> = {
  input: "--value",
  choice: "--choice",
  permission: "--grant or --deny",
};

/** Over wire 1.1, as the page that the link leads to. */
async function printLink(text: string, options: Options, signal: AbortSignal): Promise<ExitCode> {
  const home = dashboardUrl(options);
  const client = await connectTo(options, signal);
  try {
    const expiresInSeconds = options.expires;
    const { token, expiresAt } = await client.createAnswerLink(await questionIdIn(text, client), {
      ...{ signal, ...(expiresInSeconds !== undefined && { expiresInSeconds }) },
    });
    const url = `${home}#/answer?link=${token}`;
    if (options.json ?? !process.stdout.isTTY) await printJson(process.stdout, { type: "link", url, expiresAt });
    else
      await new Terminal(process.stdout).print(
        `${escapeLine(url)}\nanswers this question once, until ${escapeLine(expiresAt)}`,
      );
    return EXIT.success;
  } finally {
    await client.close();
  }
}

/** What is open comes with the first events of a session. */
async function questionIdIn(text: string, client: ARCPClient): Promise<string> {
  if (!text.startsWith("job_")) return text.replace(/^msg_/, "q_");
  await client.listJobs({}, { limit: 1 });
  const open = client.questions.filter(({ jobId }) => jobId === text);
  const [question] = open;
  if (open.length === 1 && question !== undefined) return question.id;
  const found = open.length === 0 ? "no open question" : `${open.length} open questions: name one`;
  throw new Error(`${text} has ${found}; \`arcp respond\` lists them`);
}

/** Where the page is that a link opens. */
function dashboardUrl({ dashboard, url }: Options): string {
  const text = dashboard ?? url.replace(/^ws/, "http");
  const home = URL.canParse(text) ? new URL(dashboard === undefined ? "/" : "./", text) : undefined;
  if (home?.protocol === "https:" || home?.protocol === "http:") return home.href;
  throw new UsageError("a link leads to the dashboard: say where it is with --dashboard https://…/");
}

async function interviewOrList(id: string | undefined, options: Options, signal: AbortSignal): Promise<ExitCode> {
  const { initialDelayMs, maxDelayMs } = RECONNECT;
  await using client = await ARCPToolClient.open(options.url, {
    ...(await credentialsFor(options)),
    ...{ reconnect: { initialDelayMs, maxDelayMs }, signal },
  });
  const isForPeople = !(options.json ?? !process.stdout.isTTY);
  const interview = new Interview({
    ...{ client, signal, isWatching: options.watch === true },
    ...(id === undefined ? {} : { only: id }),
  });
  if (id !== undefined) await find(client, id);
  else await client.ping();
  const terminal = new Terminal(process.stdout);
  if (isForPeople && process.stdin.isTTY) return await interview.hold(clackPrompter, terminal);
  const print = async (question: ToolQuestion): Promise<void> =>
    isForPeople
      ? terminal.print(questionText(question, terminal, true))
      : printJson(process.stdout, questionFacts(question));
  const count = await interview.list(print);
  if (count === 0 && isForPeople) await terminal.print("no open questions");
  return EXIT.success;
}

/** At most one of the ways to answer. */
function answerIn({ value, choice, grant, seconds, deny, reason }: Options): Said | undefined {
  const given: Said[] = [
    ...(value === undefined ? [] : [{ value: parseJson(value, "--value") }]),
    ...(choice === undefined ? [] : [{ choiceId: choice }]),
    ...(grant === true
      ? [{ granted: true as const, ...(seconds === undefined ? {} : { leaseSeconds: seconds }) }]
      : []),
    ...(deny === true ? [{ granted: false as const, ...(reason === undefined ? {} : { reason }) }] : []),
  ];
  if (given.length > 1) throw new UsageError("--value, --choice, --grant and --deny exclude each other");
  if (seconds !== undefined && grant !== true) throw new UsageError("--seconds is for --grant");
  if (reason !== undefined && deny !== true) throw new UsageError("--reason is for --deny");
  return given[0];
}

/** A question is also known by the id that wire 1.1 has for it. */
const idOf = (text: string): string => text.replace(/^q_(?=[0-9A-HJKMNP-TV-Z]{26}$)/, "msg_");
