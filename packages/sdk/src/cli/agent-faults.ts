/** Errors that agents leave unhandled: a promise that nobody awaits, a timer that throws. */
import type { Logger } from "@arcp/core";

/**
 * Logs such errors instead of letting them end the process: whose they are cannot be told, and everybody else's jobs run
 * here too. Returns what goes back to the platform's way.
 */
export function containAgentFaults(logger: Logger): () => void {
  const contain = (error: unknown): void => {
    logger.error({ err: error }, "an error was left unhandled, by an agent most likely; the runtime goes on");
  };
  process.on("uncaughtException", contain);
  process.on("unhandledRejection", contain);
  return () => {
    process.off("uncaughtException", contain);
    process.off("unhandledRejection", contain);
  };
}
