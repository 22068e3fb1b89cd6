/** Seeded bugs. */
import type { Transport } from "@arcp/core";
import type { AgentHandler, ARCPServerOptions, BlobStore, CredentialProvisioner, Store } from "@arcp/runtime";

export interface Mutant {
  readonly store?: (store: Store) => Store;
  readonly transport?: (transport: Transport) => Transport;
  readonly provisioner?: (provisioner: CredentialProvisioner) => CredentialProvisioner;
  readonly blobs?: (blobs: BlobStore) => BlobStore;
  readonly handler?: (handler: AgentHandler) => AgentHandler;
  readonly options?: Partial<ARCPServerOptions>;
}

export interface SeededBug {
  readonly is: string;
  readonly make: () => Mutant;
}

export const MUTANTS: Readonly<Record<string, SeededBug>> = {};
