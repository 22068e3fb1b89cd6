import type { Logger } from "@arcp/core";

/** Resolves at the first SIGINT or SIGTERM. The second one ends the process at once. */
export function stopSignal(logger: Logger): Promise<void> {
  return new Promise((stop) => {
    let isStopping = false;
    const onSignal = (signal: NodeJS.Signals, number: number): void => {
      if (isStopping) process.exit(128 + number);
      isStopping = true;
      logger.info({ signal }, "shutting down; once more to stop at once");
      stop();
    };
    process.on("SIGINT", () => onSignal("SIGINT", 2));
    process.on("SIGTERM", () => onSignal("SIGTERM", 15));
  });
}
