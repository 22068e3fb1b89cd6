import type { JobId } from "@arcp/core";
import { toJobId } from "@arcp/core";
import { UsageError } from "./exit-code.ts";

/** A job's id as it was typed. Throws {@link UsageError} for what cannot be one. */
export function readJobId(text: string): JobId {
  try {
    return toJobId(text);
  } catch {
    throw new UsageError(`not a job id: "${text}"; \`arcp jobs\` lists them`);
  }
}
