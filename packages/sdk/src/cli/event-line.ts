/** One line, or a few, for each event of a job: the readable form that `submit`, `tail` and `replay` share. */
import type { JobEvent, JobEventOf } from "@arcp/client";
import { remedyFor } from "./denial.ts";
import { escapeLine, escapeText } from "./escape.ts";
import { duration } from "./gauge.ts";
import type { Terminal } from "./terminal.ts";

/** Characters of one event that are shown. */
const MAX_TEXT = 4_000;
const MAX_DETAILS = 160;
const MAX_FOLDED = 100;
const LABEL_COLUMNS = 8;

type Style = Parameters<Terminal["style"]>[0];
export type Styler = Pick<Terminal, "style">;

export const LEVEL_STYLES: Readonly<Record<string, Style>> = {
  debug: "gray",
  info: "cyan",
  warn: "yellow",
  error: "red",
  critical: "red",
  trace: "gray",
};

/** What an event says, before it is laid out. */
export interface Line {
  readonly label: string;
  readonly style: Style;
  readonly text: string;
  readonly details?: unknown;
}

export const eventLine = (event: JobEvent, terminal: Styler): string => layOut(event.ts, lineOf(event), terminal);

/** Time, label, text, and what follows a line break indented below the text. Everything in it is escaped. */
export function layOut(ts: string | undefined, { label, style, text, details }: Line, terminal: Styler): string {
  const shown = cut(escapeText(text), MAX_TEXT).replaceAll("\n", `\n${" ".repeat(LABEL_COLUMNS + 13)}`);
  const extra = details === undefined ? "" : ` ${terminal.style("gray", cut(compact(details), MAX_DETAILS))}`;
  const labelled = escapeLine(label).padEnd(LABEL_COLUMNS);
  return `  ${terminal.style("gray", timeOf(ts))} ${terminal.style(style, labelled)} ${shown}${extra}`;
}

/** A call of a tool and what came of it, in one. */
export function callLine(call: JobEventOf<"tool_call">, result: JobEventOf<"tool_result">, terminal: Styler): string {
  const { label, style, text } = resultLine(result);
  const ms = Date.parse(result.ts ?? "") - Date.parse(call.ts ?? "");
  const time = Number.isNaN(ms) ? "" : ` · ${elapsed(ms)}`;
  const [first = "", ...rest] = text.split("\n");
  const { result: value, error } = result.body;
  const came = error === undefined ? `→ ${cut(compact(value ?? null), MAX_DETAILS)}` : first;
  const line = [`${calledWith(call)} ${came}${time}`, ...rest].join("\n");
  return layOut(result.ts, { label, style, text: line }, terminal);
}

/** `search {"q":"x"}`. Escaped. */
export function calledWith({ body: { tool, args } }: JobEventOf<"tool_call">): string {
  return `${escapeLine(tool)}${args === undefined ? "" : ` ${cut(compact(args), MAX_DETAILS)}`}`;
}

/** How long something took: `12 ms`, `3.4 s`, `1:05`. */
function elapsed(ms: number): string {
  if (ms < 1_000) return `${Math.max(Math.round(ms), 0)} ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(1)} s` : duration(ms);
}

/** Reasoning of several events, folded into a line. */
export function thoughtsLine(thoughts: readonly JobEventOf<"thought">[], terminal: Styler): string {
  const characters = thoughts.reduce((sum, { body }) => sum + body.text.length, 0);
  const first = thoughts[0]?.body.text.trim().split("\n")[0] ?? "";
  const text = `${first.length > MAX_FOLDED ? `${first.slice(0, MAX_FOLDED)}…` : first}`;
  const more = `(${amount(thoughts.length)} thoughts, ${amount(characters)} characters)`;
  return layOut(thoughts[0]?.ts, { label: "thought", style: ["magenta", "italic"], text, details: more }, terminal);
}

function resultLine({ body: { call_id: callId, error } }: JobEventOf<"tool_result">): Line {
  if (error === undefined) return { label: "tool", style: "yellow", text: `← ${callId}` };
  const { code, message, details } = error;
  const remedy = remedyFor({ code, details });
  const text = `✖ ${code}: ${message}`;
  if (remedy === undefined) return { label: "tool", style: "red", text };
  return { label: "denied", style: "red", text: `${text}\n${escapeLine(remedy)}` };
}

function lineOf(event: JobEvent): Line {
  switch (event.kind) {
    case "log": {
      const { level, message, attributes } = event.body;
      const isEmpty = attributes === undefined || Object.keys(attributes).length === 0;
      const line = { label: level, style: LEVEL_STYLES[level] ?? "white", text: message };
      return isEmpty ? line : { ...line, details: attributes };
    }
    case "thought":
      return { label: "thought", style: ["magenta", "italic"], text: event.body.text };
    case "status": {
      const { phase, message } = event.body;
      return { label: "status", style: "blue", text: message === undefined ? phase : `${phase}: ${message}` };
    }
    case "metric":
      return { label: "metric", style: "green", text: metricText(event.body) };
    case "progress":
      return { label: "progress", style: "green", text: progressText(event.body) };
    case "tool_call":
      return { label: "tool", style: "yellow", text: `→ ${event.body.tool}`, details: event.body.args };
    case "tool_result": {
      const { call_id: callId, error, result } = event.body;
      const line = resultLine(event);
      if (error === undefined) return { ...line, details: result };
      return { ...line, text: line.text.replace("✖", () => `← ${callId}`) };
    }
    case "artifact_ref": {
      const { uri, content_type: type, byte_size: size } = event.body;
      return { label: "artifact", style: "blue", text: `${uri} ${type}${size === undefined ? "" : ` ${bytes(size)}`}` };
    }
    case "delegate":
      return { label: "delegate", style: "blue", text: event.body.agent, details: event.body.input };
    case "result_chunk": {
      const { chunk_seq: number, data, more } = event.body;
      return {
        label: "result",
        style: "green",
        text: `chunk ${number}, ${bytes(data.length)}${more ? "" : ", the last"}`,
      };
    }
    case "vendor":
      return (
        ownLine(event.name, event.body) ?? { label: "event", style: "gray", text: event.name, details: event.body }
      );
  }
}

const OWN = "x-vendor.arcp.";

/** What jobs tell beyond wire 1.1; `undefined` for other vendors' events. */
function ownLine(name: string, body: unknown): Line | undefined {
  if (!name.startsWith(OWN) || typeof body !== "object" || body === null) return undefined;
  const facts = body as Readonly<Record<string, unknown>>;
  const text = (...members: readonly string[]): string =>
    members.flatMap((member) => textOf(facts[member]) ?? []).join(" ");
  switch (name.slice(OWN.length)) {
    case "accepted":
      return { label: "accepted", style: "cyan", text: text("command", "agent") };
    case "started":
      return { label: "started", style: "cyan", text: "" };
    case "question":
      return { label: "asks", style: "yellow", text: questionText(facts, text) };
    case "answer":
      return { label: "answer", style: "yellow", text: text("outcome", "responded_by", "message") };
    case "stream.open":
      return { label: "stream", style: "blue", text: `${text("stream_id")} opens: ${text("content_type", "kind")}` };
    case "stream.chunk":
      return { label: "stream", style: "blue", text: `${text("stream_id")}: ${text("data", "content")}` };
    case "stream.close":
      return { label: "stream", style: "blue", text: `${text("stream_id")} ends` };
    case "lease":
      return { label: text("event") || "lease", style: "green", text: text("permission", "operation", "resource") };
    case "checkpoint":
      return { label: "saved", style: "blue", text: text("checkpoint_id", "label") };
    case "span":
      return { label: "span", style: "gray", text: text("name", "status") };
    case "state":
      return { label: "state", style: "gray", text: text("state", "reason") };
    default:
      return undefined;
  }
}

const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : JSON.stringify(value));

function questionText(facts: Readonly<Record<string, unknown>>, text: (...members: string[]) => string): string {
  const asked =
    facts["question"] === "permission" ? text("permission", "operation", "resource", "reason") : text("prompt");
  const options = Array.isArray(facts["options"]) ? facts["options"] : [];
  const shown = options.map((option) => `  ${(option as { readonly id?: unknown } | null)?.id}`);
  return [asked, ...shown, answerWith(text("id"))].join("\n");
}

/** How a question is answered. An id that could mean something to a shell is not one to paste. */
export const answerWith = (id: string): string => (/^[\w-]{1,64}$/.test(id) ? `answer with: arcp respond ${id}` : "");

export function metricText({ name, value, unit }: { name: string; value: number; unit?: string | undefined }): string {
  return `${name} ${amount(value)}${unit === undefined ? "" : ` ${unit}`}`;
}

export function progressText(body: {
  current: number;
  total?: number | undefined;
  units?: string | undefined;
  message?: string | undefined;
}): string {
  const { current, total, units, message } = body;
  const share = total === undefined || total === 0 ? "" : `${Math.floor((current / total) * 100)}% `;
  const done = `${share}${amount(current)}${total === undefined ? "" : `/${amount(total)}`}`;
  return `${done}${units === undefined ? "" : ` ${units}`}${message === undefined ? "" : ` · ${message}`}`;
}

/** A number for people: grouped thousands, at most six decimals. */
export const amount = (value: number): string => value.toLocaleString("en-US", { maximumFractionDigits: 6 });

export function bytes(count: number): string {
  if (count < 1_000) return `${count} B`;
  const power = Math.min(Math.floor(Math.log10(count) / 3), 3);
  return `${(count / 1_000 ** power).toFixed(1)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** `12:34:56` of this machine's day, from RFC 3339. */
function timeOf(ts: string | undefined): string {
  const time = ts === undefined ? Number.NaN : Date.parse(ts);
  return Number.isNaN(time) ? "        " : new Date(time).toLocaleTimeString("en-GB", { hour12: false });
}

function compact(value: unknown): string {
  return escapeLine(typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
}

const cut = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length)}… (${amount(text.length - length)} more characters)`;
