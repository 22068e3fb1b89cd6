import { type ARCPError, errorFromWire } from "@arcp/core";

interface DecodedError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** The typed error for what a decoded `session.error` or `job.error` says (§12). */
export const readError = ({ code, message, retryable, details }: DecodedError): ARCPError =>
  errorFromWire(details === undefined ? { code, message, retryable } : { code, message, retryable, details });

/** The ending of a job of which only the status is known. */
export function errorOfStatus(status: string): ARCPError {
  const code = status === "cancelled" ? "CANCELLED" : status === "timed_out" ? "TIMEOUT" : "INTERNAL_ERROR";
  return errorFromWire({ code, message: `the job ended as ${status}`, retryable: false });
}
