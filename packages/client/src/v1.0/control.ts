/** Steering what runs (RFC §10.4, §10.5). */
import type { JsonObject } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";

export interface CancelOptions10 {
  /** Why; the runtime passes it on. */
  readonly reason?: string;
  /** How long the target may take to stop by itself before it is stopped. The runtime has a bound of its own. */
  readonly deadlineMs?: number;
  /** Ends the wait. What was sent is not taken back. */
  readonly signal?: AbortSignal;
}

export interface InterruptOptions {
  /** What the person is to be asked. */
  readonly prompt?: string;
  /** Cancels the work where interrupts were not negotiated (RFC §10.5). Default: false. */
  readonly orCancel?: boolean;
  readonly signal?: AbortSignal;
}

/** The runtime does not cancel what it was asked to (RFC §10.4). */
export class CancelRefusedError extends CanonicalError {
  /** `not_cancellable`, `already_terminal`, `not_found`, or the runtime's own word. */
  readonly reason: string;

  constructor(reason: string) {
    super("FAILED_PRECONDITION", `the runtime refused to cancel: ${reason}`, { details: { reason } });
    this.reason = reason;
  }
}

/** The payload of `cancel`. */
export const cancelPayload = (
  target: "job" | "stream" | "session",
  targetId: string,
  { reason, deadlineMs }: CancelOptions10,
): JsonObject => ({
  target,
  target_id: targetId,
  ...(reason !== undefined && { reason }),
  ...(deadlineMs !== undefined && { deadline_ms: deadlineMs }),
});
