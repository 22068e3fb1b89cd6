/**
 * A permission that was granted, for a time (RFC §15.5).
 *
 *   active -> lapsed    its end is reached, on either clock
 *   active -> revoked   whoever granted it, or the operator, takes it back
 */
import type { Clock, JobId, SessionId } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { Expiry } from "../authority.ts";
import { timestamp } from "../entry-text.ts";
import type { Guard, Operation, OperationOptions } from "../operation.ts";
import type { PermissionScope } from "./scope.ts";

/** What was asked for, and by whom it was granted. */
export interface GrantFacts {
  /** `lease_<ULID>`. */
  readonly leaseId: string;
  readonly jobId: JobId;
  readonly principal: string;
  readonly permission: string;
  readonly resource: string;
  readonly operation: string;
  readonly scope: PermissionScope;
  readonly grantedBy: string;
  /** The session that granted it. */
  readonly grantedIn: SessionId;
  /** How long it lasts each time, in seconds, if nobody says. */
  readonly seconds: number;
}

/** A lease on one permission. */
export class PermissionLease {
  readonly facts: GrantFacts;
  readonly #clock: Clock;
  #expiry: Expiry;
  #expiresAt: number;
  #latestEnd: number;
  #revokedFor: string | undefined;

  /** It ends at `expiresAt`, and its holder may have it extended up to `latestEnd`; milliseconds since the epoch. */
  constructor(facts: GrantFacts, clock: Clock, ends: { readonly expiresAt: number; readonly latestEnd: number }) {
    this.facts = facts;
    this.#clock = clock;
    this.#expiresAt = ends.expiresAt;
    this.#latestEnd = ends.latestEnd;
    this.#expiry = new Expiry(clock, ends.expiresAt);
  }

  get leaseId(): string {
    return this.facts.leaseId;
  }

  /** Milliseconds since the epoch. */
  get expiresAt(): number {
    return this.#expiresAt;
  }

  /** Up to when its holder may have it extended. */
  get latestEnd(): number {
    return this.#latestEnd;
  }

  get isActive(): boolean {
    return this.lapse === undefined;
  }

  /** Why it gives nothing any more; `undefined` while it does. */
  get lapse(): CanonicalError | undefined {
    const { leaseId: lease_id, permission } = this.facts;
    const details = { lease_id, permission, canonical_parent: "PERMISSION_DENIED" };
    if (this.#revokedFor !== undefined) {
      const more = { ...details, reason: this.#revokedFor };
      return new CanonicalError("LEASE_REVOKED", "the permission was taken back", { details: more });
    }
    if (!this.#expiry.hasPassed) return undefined;
    const more = { ...details, expires_at: timestamp(this.#expiresAt) };
    return new CanonicalError("LEASE_EXPIRED", "the permission has expired", { details: more });
  }

  /** Is the operation on this canonical target what was granted? */
  covers(capability: string, target: string): boolean {
    const { scope } = this.facts;
    return scope.kind === "capability" && scope.capability === capability && scope.covers(target);
  }

  /** A new end. It is active: what has lapsed stays so. `latestEnd`: up to when its holder may go on from there. */
  extend(expiresAt: number, latestEnd: number): void {
    this.#expiresAt = expiresAt;
    this.#latestEnd = latestEnd;
    this.#expiry = new Expiry(this.#clock, expiresAt);
  }

  revoke(reason: string): void {
    this.#revokedFor = reason;
  }
}

/** A permission as the agent that asked for it holds it. */
export interface Grant {
  readonly leaseId: string;
  readonly permission: string;
  readonly resource: string;
  readonly operation: string;
  /** The capability and the target of the operations that it allows; `undefined` for a level of trust. */
  readonly capability: string | undefined;
  readonly target: string | undefined;
  /** RFC 3339. It moves when the grant is extended. */
  readonly expiresAt: string;
  readonly isActive: boolean;
  /** Throws {@link CanonicalError} `LEASE_EXPIRED` or `LEASE_REVOKED` unless the grant is active. */
  assertActive(): void;
  /**
   * Has it extended to so many seconds from now, by default as many as it was granted for (RFC §15.5), as far as whoever
   * granted it allows.
   *
   * @throws CanonicalError `LEASE_EXPIRED`, `LEASE_REVOKED` when it is not active, `PERMISSION_DENIED` when it cannot last
   *   any longer.
   */
  refresh(seconds?: number): void;
  /**
   * Does what was granted: an operation of the context with {@link capability} and {@link target} (§9.3). Throws its errors,
   * and {@link CanonicalError} `FAILED_PRECONDITION` for a level of trust and for a pattern, which name no one operation.
   */
  perform<Result>(
    act: (operation: Operation) => Result | Promise<Result>,
    options?: OperationOptions<Result>,
  ): Promise<Result>;
}

/** What {@link Grant} promises. */
export class HeldGrant implements Grant {
  readonly #lease: PermissionLease;
  readonly #guard: Guard;
  readonly #extend: (seconds: number | undefined) => void;

  constructor(lease: PermissionLease, guard: Guard, extend: (seconds: number | undefined) => void) {
    this.#lease = lease;
    this.#guard = guard;
    this.#extend = extend;
  }

  get leaseId(): string {
    return this.#lease.leaseId;
  }

  get permission(): string {
    return this.#lease.facts.permission;
  }

  get resource(): string {
    return this.#lease.facts.resource;
  }

  get operation(): string {
    return this.#lease.facts.operation;
  }

  get capability(): string | undefined {
    const { scope } = this.#lease.facts;
    return scope.kind === "capability" ? scope.capability : undefined;
  }

  get target(): string | undefined {
    const { scope } = this.#lease.facts;
    return scope.kind === "capability" ? scope.target : undefined;
  }

  get expiresAt(): string {
    return timestamp(this.#lease.expiresAt);
  }

  get isActive(): boolean {
    return this.#lease.isActive;
  }

  assertActive(): void {
    const { lapse } = this.#lease;
    if (lapse !== undefined) throw lapse;
  }

  refresh(seconds?: number): void {
    this.#extend(seconds);
  }

  async perform<Result>(
    act: (operation: Operation) => Result | Promise<Result>,
    options?: OperationOptions<Result>,
  ): Promise<Result> {
    const { capability, target } = this;
    const { scope } = this.#lease.facts;
    if (capability === undefined || target === undefined || (scope.kind === "capability" && scope.isPattern)) {
      throw new CanonicalError("FAILED_PRECONDITION", "the grant does not name one operation");
    }
    return this.#guard.operation(capability, target, act, { tool: this.permission, ...options });
  }
}
