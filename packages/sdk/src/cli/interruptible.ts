import { ARCPError } from "@arcp/core";
import { EXIT, type ExitCode } from "./exit-code.ts";
import { Refusal10 } from "./failure.ts";

/** Does work over wire 1.0 that Ctrl-C, or the end of the process, aborts: then nothing of it is an error. */
export async function interruptible(work: (signal: AbortSignal) => Promise<ExitCode>): Promise<ExitCode> {
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort(new Error("interrupted"));
  process.once("SIGINT", onInterrupt);
  process.once("SIGTERM", onInterrupt);
  try {
    const code = await work(stop.signal);
    return stop.signal.aborted ? EXIT.interrupted : code;
  } catch (thrown) {
    if (stop.signal.aborted) return EXIT.interrupted;
    throw thrown instanceof ARCPError ? new Refusal10(thrown) : thrown;
  } finally {
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}
