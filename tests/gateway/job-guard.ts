/** A job as the gateway sees one: its guard, with an exact counter, and a journal of what went through it. */
import {
  ARCPError,
  BudgetExhaustedError,
  CancelledError,
  type JobId,
  type Lease,
  type MetricPayload,
  newJobId,
} from "@arcp/core";
import {
  type CredentialProvisioner,
  type CredentialRequest,
  type Guard,
  type IssuedCredential,
  initialBudgetFromLease,
  type Operation,
  type OperationOptions,
  validateLeaseOp,
} from "@arcp/runtime";
import type { ManualClock } from "../support/manual-clock.ts";

const SCALE = 1e9;
const units = (value: number): number => Math.round(value * SCALE);

/** What a journal would hold of one operation. */
export interface JournalEntry {
  readonly args: unknown;
  result?: unknown;
  error?: string;
}

export class TestJob implements Guard {
  readonly lease: Lease;
  readonly metrics: MetricPayload[] = [];
  readonly journal: JournalEntry[] = [];
  /** What a report waits for, as for a disk. */
  beforeReport: () => Promise<void> = async () => {};
  /** In units of 10^-9, as whole numbers. */
  readonly #limits: ReadonlyMap<string, number>;
  readonly #spent = new Map<string, number>();
  readonly #held = new Map<string, number>();
  readonly #clock: ManualClock;
  readonly #expiresAt: string | undefined;
  readonly #stop = new AbortController();
  #keys = 0;
  readonly id: JobId = newJobId();

  constructor(lease: Lease, clock: ManualClock, expiresAt?: string) {
    this.lease = lease;
    this.#clock = clock;
    this.#expiresAt = expiresAt;
    this.#limits = new Map([...initialBudgetFromLease(lease)].map(([currency, value]) => [currency, units(value)]));
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  cancel(): void {
    this.#stop.abort(new CancelledError("cancelled by the test"));
  }

  /** What was reported, exactly. */
  spent(currency = "USD"): number {
    return (this.#spent.get(currency) ?? 0) / SCALE;
  }

  held(currency = "USD"): number {
    return (this.#held.get(currency) ?? 0) / SCALE;
  }

  /** A credential for this job. */
  issue(provisioner: CredentialProvisioner, budget?: ReadonlyMap<string, number>): Promise<IssuedCredential> {
    return provisioner.issue(this.request(budget), new AbortController().signal);
  }

  get alias(): string {
    return `${this.id}-${this.#keys}`;
  }

  request(budget: ReadonlyMap<string, number> = initialBudgetFromLease(this.lease)): CredentialRequest {
    this.#keys += 1;
    return {
      credentialId: "cred_1",
      alias: this.alias,
      jobId: this.id,
      agent: "agent@1.0.0",
      principal: "alice",
      lease: this.lease,
      leaseConstraints: this.#expiresAt === undefined ? {} : { expires_at: this.#expiresAt },
      budget,
      expiresAt: this.#expiresAt === undefined ? undefined : Date.parse(this.#expiresAt),
      guard: () => this,
    };
  }

  async operation<Result>(
    capability: string,
    target: string,
    act: (operation: Operation) => Result | Promise<Result>,
    { args, cost = {}, describe }: OperationOptions<Result> = {},
  ): Promise<Result> {
    // As in a runtime, others may come between a call and its checks.
    await Promise.resolve();
    const entry: JournalEntry = { args };
    this.journal.push(entry);
    const held = new Map<string, number>();
    try {
      if (this.signal.aborted) throw this.signal.reason;
      const remaining = [...this.#limits].map(([name, limit]): [string, number] => [
        name,
        (limit - (this.#spent.get(name) ?? 0)) / SCALE,
      ]);
      const canonical = validateLeaseOp(this.lease, capability, target, {
        now: this.#clock.now(),
        constraints: this.#expiresAt === undefined ? {} : { expires_at: this.#expiresAt },
        budget: new Map(remaining),
      });
      for (const [currency, estimate] of Object.entries(cost === "unknown" ? {} : cost)) {
        this.#hold(currency, estimate, held);
      }
      const result = await act({
        target: canonical,
        callId: "call_1",
        signal: this.signal,
        authorize: (another) => another,
        report: async (metric) => {
          await this.beforeReport();
          this.#report(metric, held);
        },
      });
      entry.result = describe?.(result);
      return result;
    } catch (error) {
      entry.error = ARCPError.from(error).code;
      throw error;
    } finally {
      for (const [currency, value] of held) this.#add(this.#held, currency, -value);
    }
  }

  #hold(currency: string, estimate: number, held: Map<string, number>): void {
    const limit = this.#limits.get(currency);
    if (limit === undefined) return;
    const available = limit - (this.#spent.get(currency) ?? 0) - (this.#held.get(currency) ?? 0);
    if (units(estimate) > available) {
      throw new BudgetExhaustedError("more than is left", {
        details: { currency, remaining: available / SCALE, estimate },
      });
    }
    held.set(currency, units(estimate));
    this.#add(this.#held, currency, units(estimate));
  }

  #report(metric: MetricPayload, held: Map<string, number>): void {
    const { value, unit = "" } = metric;
    this.metrics.push(metric);
    const covered = Math.min(units(value), held.get(unit) ?? 0);
    this.#add(held, unit, -covered);
    this.#add(this.#held, unit, -covered);
    this.#add(this.#spent, unit, units(value));
  }

  #add(amounts: Map<string, number>, currency: string, value: number): void {
    amounts.set(currency, (amounts.get(currency) ?? 0) + value);
  }
}
