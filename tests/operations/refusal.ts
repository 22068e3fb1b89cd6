import { ARCPError } from "@arcp/core";

/** The code that `promise` is rejected with, or `allowed`. What is no protocol error is thrown on. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return "allowed";
  } catch (error) {
    if (error instanceof ARCPError) return error.code;
    throw error;
  }
}
