/** The leases that permissions have become, as far as this client has heard of them (RFC §15.5). */
import { type Clock, InvalidRequestError } from "@arcp/core";
import type { RuntimeMessage10 } from "@arcp/core/v1.0";
import type { AskOptions, Unsent } from "./requests.ts";
import type { ReadOptions } from "./streams.ts";

/** A lease that the session holds, as the runtime told of it last (RFC §15.5). */
export interface ToolLease {
  readonly leaseId: string;
  readonly permission: string | undefined;
  readonly resource: string | undefined;
  readonly operation: string | undefined;
  /** RFC 3339. */
  readonly expiresAt: string | undefined;
  readonly jobId: string | undefined;
  /** Why it was taken back; `undefined` while it was not. */
  readonly revokedBecause: string | undefined;
}

/** What has happened to a lease. */
export interface LeaseChange {
  readonly change: "granted" | "extended" | "revoked";
  readonly lease: ToolLease;
}

export interface LeasesOwner {
  readonly clock: Clock;
  readonly ask: (message: Unsent, options: AskOptions) => Promise<RuntimeMessage10 | undefined>;
  /** A `lease.refresh` for that lease is answered, by a message that may not name it. */
  readonly onExtended: (leaseId: string, message: RuntimeMessage10) => void;
  readonly onChange: (change: LeaseChange) => void;
}

/** Leases that are remembered. Beyond it the oldest is forgotten. */
const MAX_LEASES = 1024;

/** The leases of a session as the runtime tells of them: granted, extended, revoked (RFC §15.5). */
export class Leases {
  readonly #owner: LeasesOwner;
  readonly #leases = new Map<string, ToolLease>();

  /** @internal */
  constructor(owner: LeasesOwner) {
    this.#owner = owner;
  }

  /** The leases that hold at this moment: granted, not revoked, not expired. */
  get active(): readonly ToolLease[] {
    return [...this.#leases.values()].filter((lease) => this.isActive(lease));
  }

  /** A lease that this client has heard of, active or not. */
  get(leaseId: string): ToolLease | undefined {
    return this.#leases.get(leaseId);
  }

  isActive({ leaseId }: Pick<ToolLease, "leaseId">): boolean {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined || lease.revokedBecause !== undefined) return false;
    const expiresAt = Date.parse(lease.expiresAt ?? "");
    return Number.isNaN(expiresAt) || expiresAt > this.#owner.clock.now();
  }

  /**
   * Asks for more time (RFC §15.5). Resolves with the lease as extended; rejects with the runtime's refusal.
   *
   * @param seconds From now on. Default: as many as the runtime thinks fit.
   */
  async refresh(leaseId: string, seconds?: number, options: ReadOptions = {}): Promise<ToolLease> {
    const wanted = seconds === undefined ? {} : { requested_seconds: seconds };
    await this.#owner.ask({ type: "lease.refresh", payload: { lease_id: leaseId, ...wanted } }, options);
    const lease = this.#leases.get(leaseId);
    if (lease === undefined) throw new InvalidRequestError("the runtime has not said how the lease was extended");
    return lease;
  }

  /** Takes back a lease that this client has granted. Resolves when the runtime knows. */
  async revoke(leaseId: string, reason?: string, options: ReadOptions = {}): Promise<void> {
    const because = reason === undefined ? {} : { reason };
    await this.#owner.ask({ type: "lease.revoked", payload: { lease_id: leaseId, ...because } }, options);
    const lease = this.#leases.get(leaseId);
    if (lease && lease.revokedBecause === undefined)
      this.#change("revoked", { ...lease, revokedBecause: reason ?? "revoked" });
  }

  /** @internal Takes a message about a lease. Returns whether it is one. */
  receive(message: RuntimeMessage10): boolean {
    switch (message.type) {
      case "lease.granted": {
        const { lease_id, permission, resource, operation, expires_at } = message.payload;
        this.#change("granted", {
          ...{ leaseId: lease_id, permission, resource, operation, expiresAt: expires_at },
          ...{ jobId: message.job_id, revokedBecause: undefined },
        });
        return true;
      }
      case "lease.extended": {
        const { lease_id, expires_at } = message.payload;
        this.#change("extended", { ...this.#known(lease_id, message), expiresAt: expires_at });
        this.#owner.onExtended(lease_id, message);
        return true;
      }
      case "lease.revoked": {
        const { lease_id, reason } = message.payload;
        // As it was taken back here, and known already.
        if (this.#leases.get(lease_id)?.revokedBecause !== undefined) return true;
        this.#change("revoked", { ...this.#known(lease_id, message), revokedBecause: reason ?? "revoked" });
        return true;
      }
      default:
        return false;
    }
  }

  #known(leaseId: string, { job_id }: RuntimeMessage10): ToolLease {
    const nothing = { permission: undefined, resource: undefined, operation: undefined, expiresAt: undefined };
    return this.#leases.get(leaseId) ?? { leaseId, ...nothing, jobId: job_id, revokedBecause: undefined };
  }

  #change(change: LeaseChange["change"], lease: ToolLease): void {
    this.#leases.delete(lease.leaseId);
    this.#leases.set(lease.leaseId, lease);
    if (this.#leases.size > MAX_LEASES) this.#leases.delete(this.#leases.keys().next().value as string);
    this.#owner.onChange({ change, lease });
  }
}
