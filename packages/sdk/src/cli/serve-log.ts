/** The log of `arcp serve`: JSON lines for machines, one readable line each for people. */
import { createLogger, type Logger } from "@arcp/core";
import { escapeLine, escapeText, toSafeJson } from "./escape.ts";
import { Terminal, type TerminalStream } from "./terminal.ts";

type Level = NonNullable<Parameters<typeof createLogger>[1]>;

export interface ServeLog {
  readonly logger: Logger;
  /** Hands each line to `write` too, from now on, as it is after secrets were taken out of it. */
  tee(write: (line: string) => void): void;
}

export function createServeLog(stream: TerminalStream, level: Level): ServeLog {
  const terminal = stream.isTTY === true ? new Terminal(stream) : undefined;
  let other: (line: string) => void = () => {};
  const write = (line: string): void => {
    const record = JSON.parse(line);
    stream.write(`${terminal === undefined ? toSafeJson(record) : readable(record, terminal)}\n`);
    other(line);
  };
  const tee = (also: typeof other): void => {
    other = also;
  };
  return { logger: createLogger(write, level), tee };
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
  const details = Object.entries(fields).map(
    ([key, value]) => ` ${escapeLine(key)}=${escapeLine(JSON.stringify(value) ?? "")}`,
  );
  return `${terminal.style("gray", at)} ${label} ${escapeLine(String(msg ?? ""))}${terminal.style("gray", details.join(""))}${errorText(err)}`;
}

function errorText(err: unknown): string {
  if (err === undefined) return "";
  const { message, stack } = err as { readonly message?: string; readonly stack?: string };
  return `\n      ${escapeText(stack ?? message ?? JSON.stringify(err)).replaceAll("\n", "\n      ")}`;
}
