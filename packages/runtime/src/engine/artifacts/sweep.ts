/**
 * What removes artifacts that nobody can ask for any more (RFC §16.3): those whose time is over, a slice at a time, and
 * blobs that no record names, which a crash has left behind.
 */
import type { Clock, Logger } from "@arcp/core";
import type { BlobStore } from "../../store/blobs.ts";
import type { Store, StoredRecord } from "../../store/store.ts";
import { ARTIFACT_KIND, artifactOf } from "./artifact.ts";

/** Content is gone from the disk within a minute of its end, with time to spare. */
const SWEEP_EVERY_MS = 30_000;
/** In a process that lives on, a blob is left behind only if it could not be removed. */
const COLLECT_EVERY_SWEEPS = 120;
const SLICE = 64;

export interface SweepTools {
  readonly store: Pick<Store, "findRecord" | "listRecords">;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Is somebody changing what this record is about? */
  readonly isClaimed: (recordId: string) => boolean;
  /** Removes those of the artifacts that nobody else is about to change. Returns how many. */
  readonly remove: (records: readonly StoredRecord[]) => Promise<number>;
}

export class ArtifactSweep {
  readonly #tools: SweepTools;
  #stopTimer: () => void = () => {};
  #isStopped = false;
  #count = 0;
  #running: Promise<void> = Promise.resolve();

  constructor(tools: SweepTools) {
    this.#tools = tools;
  }

  /** Collects what a dead process has left, and sweeps from then on. */
  start(): void {
    this.#running = this.#sweep().finally(() => this.#later());
  }

  /** Resolves when nothing is being swept any more. Idempotent. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stopTimer();
    await this.#running;
  }

  /** Removes every artifact whose time is over. */
  async removeExpired(): Promise<void> {
    const { store, clock, remove } = this.#tools;
    for (;;) {
      const due = await store.listRecords({ kind: ARTIFACT_KIND, dueBefore: clock.now() + 1, limit: SLICE });
      if (due.length === 0 || this.#isStopped) return;
      // What somebody else is about to remove is theirs.
      if ((await remove(due)) === 0) return;
    }
  }

  /** Removes every blob that no record names. */
  async collectOrphans(): Promise<void> {
    const { store, blobs, isClaimed } = this.#tools;
    for await (const { id, name } of blobs.list()) {
      if (this.#isStopped) return;
      // In this order: a put lets go of its claim when its record is there.
      if (isClaimed(name)) continue;
      const record = await store.findRecord(ARTIFACT_KIND, name);
      if (record === undefined || artifactOf(record).blob.id !== id) await blobs.remove(id);
    }
  }

  #later(): void {
    if (this.#isStopped) return;
    this.#stopTimer = this.#tools.clock.setTimer(() => this.start(), SWEEP_EVERY_MS);
  }

  async #sweep(): Promise<void> {
    const isTurn = this.#count % COLLECT_EVERY_SWEEPS === 0;
    this.#count += 1;
    try {
      await this.removeExpired();
      if (isTurn) await this.collectOrphans();
    } catch (error) {
      if (!this.#isStopped) this.#tools.logger.error({ err: error }, "the sweep of artifacts failed");
    }
  }
}
