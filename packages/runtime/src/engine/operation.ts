/** Guarded operations: the way in which an agent acts, and the only one that its lease binds (§9.1, §9.3). */
import type { Lease, MetricPayload } from "@arcp/core";

/** Amounts per currency, e.g. `{ USD: 0.02 }`. */
export type Amounts = Readonly<Record<string, number>>;

/**
 * What an operation may cost: at most so much, which is held back until it has ended, or something that nobody knows
 * before. Of operations of unknown cost, one at a time is under way in a job that has a budget.
 */
export type OperationCost = Amounts | "unknown";

/** What an operation may cost, and what watchers are shown of it. */
export interface OperationOptions<Result> {
  /** The operation's name in `tool_call`. Default: the capability. */
  readonly tool?: string;
  /** The arguments in `tool_call`; whoever watches the job sees them. Default: the canonical target. */
  readonly args?: unknown;
  /** Default: nothing. */
  readonly cost?: OperationCost;
  /** What `tool_result` shows of what the operation returned. Default: nothing, `null`. */
  readonly describe?: (result: Result) => unknown;
}

/** An operation that is under way: it was authorized and announced. */
export interface Operation {
  /** The canonical target. What was checked is what has to be used. */
  readonly target: string;
  /** Of its `tool_call` and `tool_result`. */
  readonly callId: string;
  /** Aborts when the job is cancelled or ends. */
  readonly signal: AbortSignal;
  /**
   * Authorizes one more target of the same capability, such as where a redirect leads. Returns it canonically.
   *
   * @throws the same errors as an operation of its own.
   */
  authorize(target: string): string;
  /** Reports a cost (§9.6). It is taken from what is held for this operation as far as that goes. */
  report(metric: MetricPayload): Promise<void>;
}

/** What stands between a job's agent and everything outside. */
export interface Guard {
  /** The effective lease. */
  readonly lease: Lease;
  /** Aborts when the job is cancelled or ends. Its reason is the error. */
  readonly signal: AbortSignal;
  /**
   * Checks that the job is not cancelled, that its lease has not expired, that its budget is not used up and that a
   * pattern covers `target`, in this order; writes `tool_call`, waits until that is durable, calls `act`, and writes
   * `tool_result`. Returns what `act` returned and throws what it threw. A refusal is written as a `tool_result` with
   * the error, and `act` is not called.
   *
   * @throws CancelledError, LeaseExpiredError, BudgetExhaustedError, PermissionDeniedError in the order of the checks.
   * @throws InvalidRequestError for a target that is not of the capability's kind.
   */
  operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    options?: OperationOptions<Result>,
  ): Promise<Result>;
}
