/**
 * Credentials of nodes that are no more which nobody revokes: no living node has their provisioner. Every node looks for them, so that
 * each can be asked for their number; the oldest one tells.
 */
import type { Logger } from "@arcp/core";
import type { SharedStore } from "../../store/shared.ts";

export interface OrphansOptions {
  readonly store: Pick<SharedStore, "orphanedCredentials">;
  readonly logger: Logger;
  /** Is it this node that tells? */
  readonly mustTell: () => boolean;
}

/** Whoever has the provisioner takes them within a sign of life: what is still there at the next look is told of. */
const LOOKS_BEFORE_ALARM = 2;
const LOOKS_PER_ALARM = 60;
/** Aliases that one alarm names. */
const MAX_NAMED = 20;

export class Orphans {
  readonly #options: OrphansOptions;
  /** By provisioner: for how many looks there were some. */
  #looks = new Map<string, number>();
  #count = 0;

  constructor(options: OrphansOptions) {
    this.#options = options;
  }

  /** As of the last look. */
  get count(): number {
    return this.#count;
  }

  /** To be called once a minute. Rejects when the store does. */
  async look(): Promise<void> {
    const { store, logger, mustTell } = this.#options;
    const orphans = await store.orphanedCredentials();
    this.#count = orphans.length;
    const before = this.#looks;
    this.#looks = new Map();
    for (const [provisioner, records] of Map.groupBy(orphans, (record) => record.provisioner)) {
      const looks = (before.get(provisioner) ?? 0) + 1;
      this.#looks.set(provisioner, looks);
      if (!mustTell() || (looks - LOOKS_BEFORE_ALARM) % LOOKS_PER_ALARM !== 0) continue;
      const aliases = records.slice(0, MAX_NAMED).map(({ alias }) => alias);
      const facts = { provisioner, count: records.length, aliases, since: records[0]?.createdAt };
      logger.error(
        facts,
        "credentials cannot be revoked: no living node has their provisioner; start one, or revoke them there",
      );
    }
  }
}
