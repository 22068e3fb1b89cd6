/** Steering what runs: `cancel` and `interrupt` (RFC §10.4, §10.5). */
import type { JsonObject } from "@arcp/core";
import { type CancelTarget, CanonicalError, type RuntimeMessage10 } from "@arcp/core/v1.0";
import type { AskOptions, Requests, Unsent } from "./requests.ts";

/** How the end of work is asked for on wire 1.0 (RFC §10.4). */
export interface CancelOptions10 {
  /** Why; the runtime passes it on. */
  readonly reason?: string;
  /** How long the target may take to stop by itself before it is stopped. The runtime has a bound of its own. */
  readonly deadlineMs?: number;
  /** Ends the wait. What was sent is not taken back. */
  readonly signal?: AbortSignal;
}

/** How work is interrupted for a person (RFC §10.5). */
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

export interface ControlOwner {
  readonly requests: Requests;
  readonly ask: (message: Unsent, options: AskOptions) => Promise<RuntimeMessage10 | undefined>;
  /** The job that the command of that id started. */
  readonly jobOfCommand: (commandId: string | undefined) => string | undefined;
  readonly canInterrupt: () => boolean;
  readonly isFSharp: boolean;
}

export class Control {
  readonly #owner: ControlOwner;

  constructor(owner: ControlOwner) {
    this.#owner = owner;
  }

  /** Resolves when the runtime has agreed, or the target is over. Rejects with {@link CancelRefusedError}. */
  async cancel(target: CancelTarget, targetId: string, options: CancelOptions10): Promise<void> {
    const payload = cancelPayload(target, targetId, options);
    const answer = await this.#owner.ask({ type: "cancel", payload }, { signal: options.signal });
    if (answer?.type === "cancel.refused") throw new CancelRefusedError(answer.payload.reason);
  }

  /** Resolves when the runtime has agreed to ask a person. */
  async interrupt(jobId: string, { prompt, orCancel = false, signal }: InterruptOptions): Promise<void> {
    const { canInterrupt, isFSharp, ask } = this.#owner;
    if (!canInterrupt() && orCancel) {
      await this.cancel("job", jobId, { ...(prompt !== undefined && { reason: prompt }), ...(signal && { signal }) });
      return;
    }
    const aim = isFSharp ? { job_id: jobId, reason: prompt } : { target: "job", target_id: jobId, prompt };
    await ask({ type: "interrupt", payload: aim }, { signal, isRepeatable: false });
  }

  /**
   * Takes what answers a `cancel` or an `interrupt` without naming it: other SDKs name the job, the command that started
   * it, or nothing; and some answer an interrupt with the question that it leads to.
   */
  receive(message: RuntimeMessage10): boolean {
    const { requests, jobOfCommand } = this.#owner;
    if (message.type === "human.input.request") {
      return requests.answerOf("interrupt", ({ id }) => id === message.causation_id, message);
    }
    if (message.type !== "cancel.accepted" && message.type !== "cancel.refused") return false;
    const targetId = message.payload.target_id ?? message.job_id ?? jobOfCommand(message.correlation_id);
    const isNamed = requests.answerOf("cancel", ({ payload }) => targetOf(payload) === targetId, message);
    return isNamed || requests.answerOf("cancel", () => true, message);
  }

  /** A job or a stream is over: who asked for its end has it. */
  onOver(targetId: string | undefined): void {
    const { requests } = this.#owner;
    for (const { id, payload } of requests.waiting("cancel")) {
      if (targetOf(payload) === targetId) requests.resolve(id, undefined);
    }
  }
}

/** The payload of `cancel`. */
export const cancelPayload = (
  target: CancelTarget,
  targetId: string,
  { reason, deadlineMs }: Pick<CancelOptions10, "reason" | "deadlineMs">,
): JsonObject => ({
  target,
  target_id: targetId,
  ...(reason !== undefined && { reason }),
  ...(deadlineMs !== undefined && { deadline_ms: deadlineMs }),
});

const targetOf = (payload: object): unknown => (payload as JsonObject)["target_id"];
