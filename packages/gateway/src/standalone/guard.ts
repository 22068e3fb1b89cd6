/** The guard of a key that no job stands behind: what the proxy needs of one, and nothing else. */
import { type Clock, InvalidRequestError, type Lease, newCallId } from "@arcp/core";
import { type Operation, type OperationOptions, validateLeaseOp } from "@arcp/runtime";
import type { ModelGuard } from "../keyring.ts";
import type { Ledger } from "./ledger.ts";

export interface StandaloneGuardOptions {
  readonly lease: Lease;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
  readonly ledger: Ledger;
  readonly clock: Clock;
}

export class StandaloneGuard implements ModelGuard {
  readonly lease: Lease;
  /** Never aborts: a key is stopped by whoever holds it. */
  readonly signal: AbortSignal = new AbortController().signal;
  readonly #options: StandaloneGuardOptions;
  /** On the clock that nobody can set back. */
  readonly #deadline: number;

  constructor(options: StandaloneGuardOptions) {
    const { lease, expiresAt, clock } = options;
    this.lease = lease;
    this.#options = options;
    this.#deadline = clock.monotonic() + ((expiresAt ?? Number.POSITIVE_INFINITY) - clock.now());
  }

  async operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    { cost = {} }: OperationOptions<Result> = {},
  ): Promise<Result> {
    if (cost === "unknown") throw new InvalidRequestError("this key takes no operations of unknown cost");
    const { ledger } = this.#options;
    const canonical = this.#authorize(capability, target);
    const hold = ledger.hold(cost);
    try {
      return await act({
        target: canonical,
        callId: newCallId(),
        signal: this.signal,
        authorize: (another) => this.#authorize(capability, another),
        report: async ({ name, value, unit }) => {
          if (name.startsWith("cost.") && unit !== undefined) hold.spend(unit, value);
        },
      });
    } finally {
      hold.release();
    }
  }

  #authorize(capability: string, target: string): string {
    const { expiresAt, clock, ledger } = this.#options;
    const hasPassed = clock.monotonic() >= this.#deadline;
    const now = hasPassed && expiresAt !== undefined ? Math.max(clock.now(), expiresAt) : clock.now();
    return validateLeaseOp(this.lease, capability, target, {
      now,
      constraints: expiresAt === undefined ? {} : { expires_at: new Date(expiresAt).toISOString() },
      budget: ledger.remaining(),
    });
  }
}
