/** A guard that has a lease and remembers what passed through it. */
import { ARCPError, type Lease } from "@arcp/core";
import { validateLeaseOp } from "@arcp/runtime";
import type { Guard, Operation, OperationOptions } from "../../packages/runtime/src/engine/operation.ts";

export interface GuardedCall {
  readonly capability: string;
  readonly args: unknown;
  readonly cost: unknown;
  /** What `tool_result` shows, or the code of its error. */
  outcome: unknown;
}

export class LeaseGuard implements Guard {
  readonly lease: Lease;
  readonly calls: GuardedCall[] = [];
  readonly #controller = new AbortController();

  constructor(lease: Lease) {
    this.lease = lease;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the job. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  async operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    { args, cost, describe }: OperationOptions<Result> = {},
  ): Promise<Result> {
    this.signal.throwIfAborted();
    const call: GuardedCall = { capability, args, cost, outcome: undefined };
    this.calls.push(call);
    try {
      const authorize = (another: string): string => validateLeaseOp(this.lease, capability, another);
      const canonical = authorize(target);
      const { signal } = this;
      const result = await act({ target: canonical, callId: "call", signal, authorize, report: async () => {} });
      call.outcome = describe?.(result) ?? null;
      return result;
    } catch (error) {
      call.outcome = error instanceof ARCPError ? error.code : String(error);
      throw error;
    }
  }
}
