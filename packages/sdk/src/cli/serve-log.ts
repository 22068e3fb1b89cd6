/** The log of `arcp serve`: JSON lines for machines, one readable line each for people. */
import { createLogger, type Logger } from "@arcp/core";
import { escapeLine, escapeText, toSafeJson } from "./escape.ts";
import { Terminal, type TerminalStream } from "./terminal.ts";

type Level = NonNullable<Parameters<typeof createLogger>[1]>;

export function createServeLog(stream: TerminalStream, level: Level): Logger {
  if (stream.isTTY !== true) return createLogger((line) => stream.write(`${toSafeJson(JSON.parse(line))}\n`), level);
  const terminal = new Terminal(stream);
  return createLogger((line) => stream.write(`${readable(JSON.parse(line), terminal)}\n`), level);
}

const STYLES: Readonly<Record<string, Parameters<Terminal["style"]>[0]>> = {
  debug: "gray",
  info: "cyan",
  warn: "yellow",
  error: "red",
};

function readable(record: Readonly<Record<string, unknown>>, terminal: Terminal): string {
  const { level, time, msg, err, ...fields } = record;
  const at = new Date(String(time)).toLocaleTimeString("en-GB", { hour12: false });
  const label = terminal.style(STYLES[String(level)] ?? "white", String(level).padEnd(5));
  const details = Object.entries(fields).map(([key, value]) => ` ${key}=${escapeLine(JSON.stringify(value) ?? "")}`);
  return `${terminal.style("gray", at)} ${label} ${escapeLine(String(msg ?? ""))}${terminal.style("gray", details.join(""))}${errorText(err)}`;
}

function errorText(err: unknown): string {
  if (err === undefined) return "";
  const { message, stack } = err as { readonly message?: string; readonly stack?: string };
  return `\n      ${escapeText(stack ?? message ?? JSON.stringify(err)).replaceAll("\n", "\n      ")}`;
}
