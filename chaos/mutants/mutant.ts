/** Seeded bugs: each is a wrapper around a part of the real runtime, or an option of it. */
import type { Clock, Transport } from "@arcp/core";
import type { AgentHandler, ARCPServerOptions, BlobStore, CredentialProvisioner, Store } from "@arcp/runtime";
import type { Invariant } from "../checker/violation.ts";
import type { Fault } from "../plan.ts";
import type { RuntimeSettings } from "../runtime-settings.ts";

export interface Mutant {
  readonly store?: (store: Store) => Store;
  readonly transport?: (transport: Transport) => Transport;
  readonly provisioner?: (provisioner: CredentialProvisioner) => CredentialProvisioner;
  readonly blobs?: (blobs: BlobStore) => BlobStore;
  readonly handler?: (handler: AgentHandler) => AgentHandler;
  readonly clock?: (clock: Clock) => Clock;
  readonly options?: Partial<ARCPServerOptions>;
}

export interface SeededBug {
  readonly is: string;
  /** Any of them is what must not be so. A violation of others alone does not count. */
  readonly caughtBy: readonly Invariant[];
  /** What the bug is waiting for: put among the other faults of its episodes. */
  readonly faults?: readonly Fault[];
  /** Do its episodes have to wait for the last revocation? */
  readonly needsRevocation?: boolean;
  /** In each process of a runtime under test. Default: nothing. */
  readonly make?: (settings: RuntimeSettings) => Mutant;
  /** In the schema that several runtimes share, once it has been made: what a function says there, and what it says instead. */
  readonly inDatabase?: readonly Rewriting[];
}

/** Every place where `said` stands in the definition of the function has to be there. */
export interface Rewriting {
  readonly name: string;
  readonly said: string;
  readonly instead: string;
}

export const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
