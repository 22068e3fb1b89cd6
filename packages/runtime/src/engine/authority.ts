/** What one job may do, now: its lease, how long that lasts, and what is left of its budget (§9). */
import {
  type ARCPError,
  BudgetExhaustedError,
  type Clock,
  type Lease,
  type LeaseConstraints,
  LeaseExpiredError,
  PermissionDeniedError,
} from "@arcp/core";
import type { Budget, Hold } from "./lease/budget.ts";
import { parseInstant } from "./lease/constraints.ts";
import { coveredTarget } from "./lease/operation.ts";
import { type Pattern, patternOf } from "./lease/pattern.ts";
import { canonicalizeTarget } from "./lease/target.ts";
import type { Amounts } from "./operation.ts";

export interface AuthorityOptions {
  readonly lease: Lease;
  readonly constraints: LeaseConstraints | null;
  readonly budget: Budget | undefined;
  readonly clock: Clock;
  /** How long after `expires_at` operations still pass, for clocks that differ. */
  readonly graceMs: number;
  /** The models of a job whose lease does not speak of models; `undefined`: none (§9.7). */
  readonly openModels: readonly string[] | undefined;
}

/** What people granted the job beside its lease, for a time (RFC §15.5). */
export interface AdmittedGrant {
  /** Is this canonical target within it? */
  covers(capability: string, target: string): boolean;
  /** Why it gives nothing any more; `undefined` while it does. */
  readonly lapse: ARCPError | undefined;
}

/** Grants of one job that are remembered, so that a lapsed one can say that it has lapsed. */
const MAX_GRANTS = 256;

export class Authority {
  readonly lease: Lease;
  readonly constraints: LeaseConstraints | null;
  readonly budget: Budget | undefined;
  readonly openModels: readonly string[] | undefined;
  readonly #expiry: Expiry | undefined;
  readonly #patterns = new Map<string, readonly Pattern[]>();
  #grants: readonly AdmittedGrant[] = [];

  constructor({ lease, constraints, budget, clock, graceMs, openModels }: AuthorityOptions) {
    this.lease = lease;
    this.constraints = constraints;
    this.budget = budget;
    this.openModels = Object.hasOwn(lease, "model.use") ? undefined : openModels;
    const at = constraints?.expires_at === undefined ? undefined : parseInstant(constraints.expires_at);
    this.#expiry = at === undefined ? undefined : new Expiry(clock, at + graceMs);
  }

  /** Milliseconds until the lease expires, zero or less afterwards; `undefined` if it does not. */
  get expiresInMs(): number | undefined {
    return this.#expiry?.inMs;
  }

  /** @throws LeaseExpiredError at and after `expires_at`. */
  assertNotExpired(): void {
    if (this.#expiry?.hasPassed !== true) return;
    throw new LeaseExpiredError("the lease has expired", { details: { expires_at: this.constraints?.expires_at } });
  }

  /** From now on `grant` covers what the lease does not. It counts as long as it has not lapsed. */
  admit(grant: AdmittedGrant): void {
    const kept =
      this.#grants.length < MAX_GRANTS ? this.#grants : this.#grants.filter(({ lapse }) => lapse === undefined);
    this.#grants = [...kept, grant];
  }

  /**
   * Returns the canonical target if the lease or a grant covers it and the lease lasts, and the budget is not used up and
   * has room for `estimate`.
   *
   * @throws LeaseExpiredError, BudgetExhaustedError, PermissionDeniedError in this order; instead of the last one, what a
   *   grant that covers it has lapsed with.
   * @throws InvalidRequestError for a target that is not of the capability's kind.
   */
  authorize(capability: string, target: unknown, estimate: Amounts = {}): string {
    this.assertNotExpired();
    this.#assertAffordable(estimate);
    return this.#covered(capability, target);
  }

  /** The same for an operation that was authorized and has waited: does what may have changed still hold? */
  assertStill(capability: string, target: string): void {
    this.assertNotExpired();
    if (this.#grants.length > 0) this.#covered(capability, target);
  }

  /** Sets `estimate` aside for an operation that was authorized. */
  hold(estimate: Amounts): Hold | undefined {
    return this.budget?.hold(estimate);
  }

  #assertAffordable(estimate: Amounts): void {
    const exhausted = this.budget?.firstExhausted();
    const short = exhausted ?? this.budget?.firstShort(estimate);
    if (this.budget === undefined || short === undefined) return;
    const remaining = this.budget.available().get(short);
    throw exhausted === undefined
      ? new BudgetExhaustedError(`the operation may cost more ${short} than is left`, {
          details: { currency: short, remaining, estimate: estimate[short] },
        })
      : new BudgetExhaustedError(`the budget in ${short} is used up`, { details: { currency: short, remaining } });
  }

  #covered(capability: string, target: unknown): string {
    try {
      return coveredTarget(capability, target, this.#granted(capability), this.#patternsOf(capability));
    } catch (error) {
      if (!(error instanceof PermissionDeniedError) || this.#grants.length === 0) throw error;
      return this.#grantedTarget(capability, target, error);
    }
  }

  #grantedTarget(capability: string, target: unknown, refusal: PermissionDeniedError): string {
    let canonical: string;
    try {
      canonical = canonicalizeTarget(capability, target);
    } catch {
      throw refusal;
    }
    const covering = this.#grants.filter((grant) => grant.covers(capability, canonical));
    if (covering.some(({ lapse }) => lapse === undefined)) return canonical;
    throw covering.at(-1)?.lapse ?? refusal;
  }

  #granted(capability: string): readonly string[] {
    if (Object.hasOwn(this.lease, capability)) return this.lease[capability] ?? [];
    return capability === "model.use" ? (this.openModels ?? []) : [];
  }

  /** Compiled once per job. */
  #patternsOf(capability: string): readonly Pattern[] {
    let patterns = this.#patterns.get(capability);
    if (patterns === undefined) {
      patterns = this.#granted(capability).flatMap((text) => patternOf(capability, text) ?? []);
      this.#patterns.set(capability, patterns);
    }
    return patterns;
  }
}

/** An instant on both clocks: it has passed when either says so, and then for good (§14). */
export class Expiry {
  readonly #clock: Clock;
  readonly #wall: number;
  readonly #monotonic: number;
  #hasPassed = false;

  constructor(clock: Clock, at: number) {
    this.#clock = clock;
    this.#wall = at;
    this.#monotonic = clock.monotonic() + (at - clock.now());
  }

  get inMs(): number {
    const left = Math.min(this.#wall - this.#clock.now(), this.#monotonic - this.#clock.monotonic());
    if (left <= 0) this.#hasPassed = true;
    return this.#hasPassed ? Math.min(left, 0) : left;
  }

  get hasPassed(): boolean {
    return this.#hasPassed || this.inMs <= 0;
  }
}
