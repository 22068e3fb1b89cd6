import { ARCPError } from "@arcp/core";

/** The code that `run` is refused with, or `allowed`. What is no protocol error is thrown on. */
export function outcomeOf(run: () => unknown): string {
  try {
    run();
    return "allowed";
  } catch (error) {
    if (error instanceof ARCPError) return error.code;
    throw error;
  }
}
