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

/** A logger that writes one JSON object per line through `write`. */
export function createLogger(
  write: (line: string) => void,
  level: Level | "silent" = "info",
  base: object = {},
): Logger {
  const at = (name: Level) => (fields: object, message?: string) => {
    if (RANK[name] < RANK[level]) return;
    write(JSON.stringify({ level: name, time: new Date().toISOString(), ...base, ...plain(fields), msg: message }));
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => createLogger(write, level, { ...base, ...fields }),
  };
}

function plain(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      value instanceof Error ? { name: value.name, message: value.message, stack: value.stack } : value,
    ]),
  );
}

/** A logger that writes nothing. */
export const silentLogger: Logger = createLogger(() => {}, "silent");

/** The logger used where none is given: warnings and errors, as JSON lines on the standard error stream. */
export const rootLogger: Logger = createLogger((line) => console.error(line), "warn");
