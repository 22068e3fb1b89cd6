import { redactedJson } from "./redaction.ts";

/** A structured logger, shaped like pino's: fields first, then a message. */
export interface Logger {
  debug(fields: object, message?: string): void;
  info(fields: object, message?: string): void;
  warn(fields: object, message?: string): void;
  error(fields: object, message?: string): void;
  child(fields: object): Logger;
}

type Level = "debug" | "info" | "warn" | "error";
const RANK: Readonly<Record<Level | "silent", number>> = { debug: 10, info: 20, warn: 30, error: 40, silent: 100 };

/** A logger that writes one JSON object per line through `write`. Secrets that it recognises are not written. */
export function createLogger(
  write: (line: string) => void,
  level: Level | "silent" = "info",
  base: object = {},
): Logger {
  const at = (name: Level) => (fields: object, message?: string) => {
    if (RANK[name] < RANK[level]) return;
    write(redactedJson({ level: name, time: new Date().toISOString(), ...base, ...fields, msg: message }));
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => createLogger(write, level, { ...base, ...fields }),
  };
}

/** A logger that writes nothing. */
export const silentLogger: Logger = createLogger(() => {}, "silent");

/** The logger used where none is given: warnings and errors, as JSON lines on the standard error stream. */
export const rootLogger: Logger = createLogger((line) => console.error(line), "warn");
