/** Who issues credentials for upstream services on behalf of jobs (§9.8). */
import type { ARCPError, JobId, JsonObject, Lease, LeaseConstraints } from "@arcp/core";
import type { Guard } from "../operation.ts";

/** What a credential is asked for. */
export interface CredentialRequest {
  /** Stable within the job, also when the credential is rotated. */
  readonly credentialId: string;
  /**
   * The credential's name at the upstream, unique for ever. It was written down before the upstream is asked, so that a
   * credential whose issue was never heard of can be found and revoked.
   */
  readonly alias: string;
  readonly jobId: JobId;
  /** `name@version`. */
  readonly agent: string;
  readonly principal: string;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints;
  /** What the job has left, per currency; empty without a budget. */
  readonly budget: ReadonlyMap<string, number>;
  /** When the lease expires, in milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
  /** What the job's operations go through; `undefined` before the job is accepted and after it has ended. */
  readonly guard: () => Guard | undefined;
}

/** What the upstream gave. */
export interface IssuedCredential {
  /** Default: `bearer`. */
  readonly scheme?: string;
  /** The secret. It is kept in memory while the job lives, and never written anywhere. */
  readonly value: string;
  /** The base URL at which it is valid. */
  readonly endpoint: string;
  /** A hint at the API spoken there: `openai`, `anthropic`, `generic`, … */
  readonly profile?: string;
  /** What the upstream enforces of the lease, under the lease's names (§9.8.3). */
  readonly constraints?: JsonObject;
  /** What the upstream calls it, if it is revoked by something other than its alias. It is written down: no secret. */
  readonly upstreamId?: string;
}

/** Enough to revoke a credential, also after a restart. */
export interface CredentialReference {
  readonly credentialId: string;
  readonly alias: string;
  readonly upstreamId: string | undefined;
  readonly jobId: JobId;
}

/** Issues credentials to jobs at some upstream, and takes them back (§9.8). */
export interface CredentialProvisioner {
  /** Stands in the ledger, and finds the provisioner again after a restart: keep it. */
  readonly name: string;
  /** Does a job with such a lease get a credential from here? */
  issuesFor(request: Pick<CredentialRequest, "lease" | "agent" | "principal">): boolean;
  /**
   * Issues one credential. Any failure is taken for "perhaps issued": the alias is revoked. An {@link ARCPError} other
   * than an internal one refuses the submission in its own words, so nothing of the upstream's text belongs into it.
   * Settles when `signal` aborts: while it does not, a credential may still come of it, and the alias is not given up.
   */
  issue(request: CredentialRequest, signal: AbortSignal): Promise<IssuedCredential>;
  /**
   * Resolves when the credential is dead, also if there is none of that alias. Idempotent; retried until it succeeds. An
   * error's `status`, `code` or name is written down, its `retryAfterMs` is waited for; its message goes nowhere.
   */
  revoke(reference: CredentialReference, signal: AbortSignal): Promise<void>;
  /** A refusal of the upstream in the terms of §12 (§9.6, §9.7); `undefined` for what is none of its refusals. */
  explain?(error: unknown): ARCPError | undefined;
}
