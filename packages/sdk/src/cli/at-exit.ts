/** What must be as it was when this process is gone: a cursor, a screen, the way a terminal reads keys. */

/**
 * Runs `restore` when the process ends, by `process.exit` or by an error that nobody catches, then before the error is
 * printed. A signal that nobody listens to ends the process without it. Returns how to forget it.
 */
export function atExit(restore: () => void): () => void {
  process.on("exit", restore);
  process.on("uncaughtExceptionMonitor", restore);
  return () => {
    process.off("exit", restore);
    process.off("uncaughtExceptionMonitor", restore);
  };
}
