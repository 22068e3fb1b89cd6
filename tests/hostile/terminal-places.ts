/** Where a terminal, or a log, shows what an agent, a client or a runtime says. */
import type { JobEvent, JobSummary, Question, ToolQuestion } from "@arcp/client";
import { type Report, textReport } from "@arcp/conformance";
import { ARCPError, type JobId, type JsonObject } from "@arcp/core";
import { eventLine } from "../../packages/sdk/src/cli/event-line.ts";
import { frameLine } from "../../packages/sdk/src/cli/frame-line.ts";
import { plainText } from "../../packages/sdk/src/cli/full-screen.ts";
import type { WatchedJob } from "../../packages/sdk/src/cli/job-view.ts";
import { JsonView } from "../../packages/sdk/src/cli/json-view.ts";
import { askPerson, type Prompter } from "../../packages/sdk/src/cli/question-prompt.ts";
import { questionText } from "../../packages/sdk/src/cli/question-view.ts";
import { createServeLog } from "../../packages/sdk/src/cli/serve-log.ts";
import { Terminal, type TerminalStream } from "../../packages/sdk/src/cli/terminal.ts";
import { TerminalView } from "../../packages/sdk/src/cli/terminal-view.ts";
import type { BoardJob } from "../../packages/sdk/src/cli/top/board.ts";
import { frame } from "../../packages/sdk/src/cli/top/frame.ts";
import { select } from "../../packages/sdk/src/cli/top/selection.ts";

export interface TerminalPlace {
  readonly name: string;
  /** Everything that is written when others say `text` wherever they can. */
  readonly written: (text: string) => string | Promise<string>;
  /** JSON for programs: it parses to what was said. Default: text for people. */
  readonly isJson?: true;
}

const plain = { style: (_style: unknown, text: string): string => text };
const never = new AbortController().signal;
const NOW = Date.parse("2026-01-01T00:00:00Z");

/** Keeps what is written. */
class Written implements TerminalStream {
  text = "";
  readonly columns = 10_000;
  readonly isTTY: boolean;

  constructor(isTTY: boolean) {
    this.isTTY = isTTY;
  }

  write(text: string): boolean {
    this.text += text;
    return true;
  }

  once(): void {}
}

const eventsWith = (text: string): readonly JobEvent[] => {
  const error = { code: text, message: text, retryable: false, details: { capability: text, needed: text } };
  const bodies: readonly (readonly [kind: string, body: object])[] = [
    ["log", { level: text, message: text, attributes: { [text]: text } }],
    ["thought", { text }],
    ["status", { phase: text, message: text }],
    ["progress", { current: 1, total: 2, units: text, message: text }],
    ["metric", { name: text, value: 1, unit: text }],
    ["tool_call", { tool: text, args: { [text]: text }, call_id: text }],
    ["tool_result", { call_id: text, result: { [text]: text } }],
    ["tool_result", { call_id: "other", error }],
    ["artifact_ref", { uri: text, content_type: text, byte_size: 1 }],
    ["delegate", { agent: text, input: { [text]: text } }],
    ["vendor", { [text]: text }],
  ];
  return bodies.map(
    ([kind, body], at) =>
      ({ kind, body, name: text, jobId: "job_1" as JobId, seq: at + 1, ts: undefined }) as unknown as JobEvent,
  );
};

const questionsWith = (text: string): readonly ToolQuestion[] => {
  const facts = { id: text, jobId: text, sessionId: undefined, refusal: undefined, expiresAt: undefined };
  const asked = { ...facts, destinations: [], prompt: text } as unknown as ToolQuestion<"input">;
  const schema = { type: "object", required: [text], properties: { [text]: { enum: [text], title: text } } };
  return [
    { ...asked, kind: "input", responseSchema: schema, default: text, expiresAt: "2999-01-01T00:00:00Z" },
    { ...asked, kind: "choice", options: [{ id: text, label: text }], default: undefined },
    {
      ...{ ...asked, kind: "permission", permission: text, resource: text, operation: text, reason: text },
      requestedLeaseSeconds: 1,
    },
  ] as unknown as readonly ToolQuestion[];
};

const jobWith = (text: string): WatchedJob => ({
  ...{ jobId: text, agent: text, lease: { [text]: [text] }, expiresAt: text, budget: { [text]: 1 } },
  ...{ traceId: text, relation: "submitted" },
});

async function watched(text: string): Promise<string> {
  const stream = new Written(false);
  const view = new TerminalView(new Terminal(stream, { TERM: "dumb" }), { now: () => 0 });
  await view.onJob(jobWith(text));
  for (const event of eventsWith(text)) await view.onEvent(event);
  await view.onDetach(text);
  await view.onEnd({
    status: "success",
    result: { finalStatus: "success", result: text, summary: text },
    savedTo: text,
  });
  await view.onEnd({ status: "error", error: new ARCPError("INTERNAL_ERROR", text, { details: { [text]: text } }) });
  view.close();
  return stream.text;
}

async function watchedAsJson(text: string): Promise<string> {
  const stream = new Written(false);
  const view = new JsonView(stream);
  await view.onJob(jobWith(text));
  for (const event of eventsWith(text)) await view.onEvent(event);
  await view.onEnd({ status: "error", error: new ARCPError("INTERNAL_ERROR", text) });
  return stream.text;
}

function board(text: string): string {
  const summary = { jobId: text, agent: text, owner: { principal: text, tenant: text }, lease: {}, status: text };
  const job: BoardJob = {
    ...{ summary: summary as unknown as JobSummary, createdAt: NOW, status: text, phase: text },
    progress: { current: 1, total: 2, message: text },
    budget: new Map([[text, { cap: 2, left: 1 }]]),
  };
  const question = { kind: "input", id: text, jobId: text, prompt: text, responseSchema: {} } as unknown as Question;
  const filter = { status: [], agent: "", text: "" };
  const facts = {
    ...{ columns: 400, rows: 14, now: NOW, url: "ws://here/arcp", runtime: text, problem: text, terminal: plain },
    ...{ connection: { phase: "connected" as const, sessionId: "s", isResumed: false }, learntAt: NOW },
    ...{ selection: select([job], [question], filter), total: 1, rates: { events: 1, ends: 1 }, filter },
    ...{ offset: 0, chosen: undefined, pausedAt: undefined, prompt: undefined, message: text, showsHelp: false },
  };
  const without = frame({ ...facts, problem: undefined, message: undefined });
  return [...frame(facts), ...without].map(plainText).join("\n");
}

async function asked(text: string): Promise<string> {
  const said: string[] = [];
  const person: Prompter = {
    text: async ({ message }) => void said.push(message),
    choose: async ({ message, options }) => void said.push(message, ...options.map(({ label }) => label)),
  };
  for (const question of questionsWith(text)) await askPerson(question, person, never);
  return said.join("\n");
}

const message10 = (type: string, payload: object): JsonObject => ({
  ...{ arcp: "1.0", id: "msg_1", type, job_id: "job_1", payload },
});

const framesWith = (text: string): readonly JsonObject[] => [
  message10("log", { level: text, message: text, attributes: { [text]: text } }),
  message10("job.progress", { percent: 1, message: text }),
  message10("tool.result", { value: text }),
  message10("tool.error", { code: text, message: text }),
  message10("human.input.request", { prompt: text }),
  message10("nack", { code: text, message: text, details: { capability: text, needed: text } }),
  message10(text, { [text]: text }),
];

async function report(text: string): Promise<string> {
  const facts = {
    wire: "1.1",
    title: "a title",
    requirements: ["V11-6.2-02"],
    judged: [],
    ms: 5,
    level: "MUST",
  } as const;
  const frames = [{ at: "0", direction: "received", connection: 1, text }];
  const judged = {
    ...{ role: "server", wire: "1.1", target: text, startedAt: "2026-01-01T00:00:00.000Z", ms: 1, unseen: [] },
    counts: { passed: 0, failed: 1, skipped: 1, failedBy: { MUST: 1, SHOULD: 0, MAY: 0 } },
    verdicts: [
      { ...facts, case: "a/failed", outcome: "failed", violated: "V11-6.2-02", expected: text, seen: text, frames },
      { ...facts, case: "a/skipped", outcome: "skipped", reason: text, frames: [] },
    ],
  };
  return textReport(judged as unknown as Report);
}

function logged(text: string, isTTY: boolean): string {
  const stream = new Written(isTTY);
  const { logger } = createServeLog(Object.assign(stream, { hasColors: () => false }), "info");
  const error = new Error(text);
  logger.child({ jobId: text }).error({ [text]: text, err: error }, text);
  return stream.text;
}

export const TERMINAL_PLACES: readonly TerminalPlace[] = [
  { name: "`arcp watch`, `arcp submit`", written: watched },
  { name: "`arcp watch --json`", written: watchedAsJson, isJson: true },
  {
    name: "`arcp tail`, `arcp replay`",
    written: (text) =>
      eventsWith(text)
        .map((it) => eventLine(it, plain))
        .join("\n"),
  },
  {
    name: "`arcp send`, `arcp tail`, wire 1.0",
    written: (text) =>
      framesWith(text)
        .map((it) => frameLine(it, plain))
        .join("\n"),
  },
  { name: "`arcp top`", written: board },
  {
    name: "`arcp respond`, the list",
    written: (text) =>
      questionsWith(text)
        .map((it) => questionText(it, plain, true))
        .join("\n"),
  },
  { name: "`arcp respond`, the prompts", written: asked },
  { name: "`arcp conformance`", written: report },
  { name: "the log of `arcp serve`, for people", written: (text) => logged(text, true) },
  { name: "the log of `arcp serve`, for machines", written: (text) => logged(text, false), isJson: true },
];
