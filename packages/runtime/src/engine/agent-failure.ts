/** How an agent's failure becomes its job's error, and that error JSON: bounded, and whatever was thrown (§12). */
import { ARCPError, InternalError } from "@arcp/core";
import { isLonger, jsonOf } from "./entry-text.ts";

/** The first line of an Error's message is the agent's word to its user; stacks and causes stay here. */
const MAX_MESSAGE = 1024;
const MAX_CODE = 128;

/** What an agent threw, as the job's error: its own code and words if it has any, otherwise nothing is given away. */
export function agentError(thrown: unknown): ARCPError {
  if (thrown instanceof ARCPError && isCode(thrown.code)) return thrown;
  const message: unknown = thrown instanceof Error ? thrown.message : undefined;
  const words = typeof message === "string" ? message.split("\n", 1)[0]?.slice(0, MAX_MESSAGE) : "";
  return new InternalError(words || "the agent failed", { cause: thrown });
}

const isCode = (code: unknown): boolean => typeof code === "string" && code !== "" && code.length <= MAX_CODE;

/** `error` as JSON members: its code and words alone if its details cannot be written, or take more than `maxBytes`. */
export function errorMembers(error: ARCPError, maxBytes: number): string {
  const { code, message, retryable } = error;
  let text: string | undefined;
  try {
    text = jsonOf(error.toWire());
  } catch {
    // What an agent put into its error is its own affair; that it failed is told below.
  }
  if (text === undefined || isLonger(text, maxBytes)) {
    text = jsonOf({ code, message: String(message).slice(0, MAX_MESSAGE), retryable });
  }
  return text.slice(1, -1);
}
