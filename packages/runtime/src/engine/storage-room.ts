/**
 * Whether the store has room for more, and who waits while it has not.
 *
 *   open    -> scarce   the room that was set aside is in use: what ends is still stored, nothing new is begun
 *   open    -> stalled  a commit was put back whole: it waits, and everything after it
 *   scarce  -> stalled  the same
 *   stalled -> scarce   the commit went through when it was tried again
 *   stalled -> open     the same, and nothing that was set aside is in use
 *   scarce  -> open     room could be set aside again
 */
import { type Clock, InternalError, type Logger } from "@arcp/core";
import type { Store } from "../store/store.ts";
import type { StoreError, StoreFailure } from "../store/store-error.ts";

type Phase =
  | { readonly name: "open" }
  | { readonly name: "scarce"; readonly gate: PromiseWithResolvers<void> }
  | {
      readonly name: "stalled";
      readonly gate: PromiseWithResolvers<void>;
      readonly error: StoreError;
      readonly tryAgain: () => void;
    };

export interface StorageRoomOptions {
  readonly store: Pick<Store, "isScarce" | "keepRoom">;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when new work begins to be refused, with why, and when it is taken again. */
  readonly onChange: (reason: StorageReason | undefined) => void;
}

/** How often a store without room is asked whether it has some again. */
const RETRY_MS = 1_000;

export class StorageRoom {
  readonly #options: StorageRoomOptions;
  #phase: Phase = { name: "open" };
  #stopTimer: () => void = () => {};
  #isClosed = false;

  constructor(options: StorageRoomOptions) {
    this.#options = options;
  }

  /** What emitters wait for; `undefined` while there is room. Never rejects. */
  get gate(): Promise<void> | undefined {
    return this.#phase.name === "open" ? undefined : this.#phase.gate.promise;
  }

  /** Why what was put back waits; `undefined` while nothing does. */
  get stall(): StorageReason | undefined {
    return this.#phase.name === "stalled" ? reasonOf(this.#phase.error) : undefined;
  }

  /** Throws {@link InternalError}, to be tried again later, while no new work can be taken. */
  assertForWork(): void {
    if (this.#phase.name !== "open") throw refusal(this.#phase);
  }

  /** The same for what needs little: a session, from which jobs can be watched and cancelled while room is scarce. */
  assertForSession(): void {
    if (this.#phase.name === "stalled") throw refusal(this.#phase);
  }

  /** Sets room aside for what must be stored when there is none. Rejects with what the store rejects with. */
  async start(): Promise<void> {
    await this.#options.store.keepRoom();
    this.committed();
  }

  /** A commit went through. */
  committed(): void {
    if (this.#phase.name === "open" && !this.#options.store.isScarce) return;
    if (this.#options.store.isScarce) this.#become("scarce");
    else this.#become("open");
  }

  /** A commit was put back. Resolves when it should be tried again. */
  stalled(error: StoreError): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#phase;
    const gate = before.name === "open" ? Promise.withResolvers<void>() : before.gate;
    this.#phase = { name: "stalled", gate, error, tryAgain: resolve };
    if (before.name === "open") this.#tell(false, error);
    this.#later();
    return promise;
  }

  /** Has what waits tried again at once. */
  hurry(): void {
    if (this.#phase.name === "stalled") this.#phase.tryAgain();
  }

  /** Nobody is to wait any more. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#stopTimer();
    if (this.#phase.name !== "open") this.#phase.gate.resolve();
    this.hurry();
  }

  #become(name: "open" | "scarce"): void {
    const before = this.#phase;
    if (before.name === name) return;
    if (name === "scarce") {
      const gate = before.name === "open" ? Promise.withResolvers<void>() : before.gate;
      this.#phase = { name, gate };
      if (before.name === "open") this.#tell(false);
      this.#later();
      return;
    }
    this.#stopTimer();
    this.#phase = { name };
    if (before.name === "open") return;
    this.#tell(true);
    before.gate.resolve();
  }

  #tell(isOpen: boolean, error?: StoreError): void {
    const { logger, onChange } = this.#options;
    const reason = isOpen ? undefined : reasonOf(error);
    if (reason === undefined) logger.warn({}, "the store takes what is given to it again: new work is taken");
    else logger.error({ err: error }, `${SENTENCES[reason]}: new work is refused, and what runs waits`);
    onChange(reason);
  }

  #later(): void {
    this.#stopTimer();
    if (this.#isClosed) return;
    this.#stopTimer = this.#options.clock.setTimer(() => void this.#look(), RETRY_MS);
  }

  async #look(): Promise<void> {
    if (this.#phase.name === "stalled") {
      this.#phase.tryAgain();
      return;
    }
    try {
      await this.#options.store.keepRoom();
    } catch (error) {
      this.#options.logger.error({ err: error }, "no room can be set aside in the store");
    }
    if (this.#phase.name !== "scarce" || this.#isClosed) return;
    if (this.#options.store.isScarce) this.#later();
    else this.#become("open");
  }
}

/** Why nothing can be stored, as it is told to clients and agents. */
export type StorageReason = "storage_full" | "storage_busy" | "storage_unreachable";

const REASONS: Partial<Record<StoreFailure, StorageReason>> = {
  busy: "storage_busy",
  unreachable: "storage_unreachable",
};

const SENTENCES: Readonly<Record<StorageReason, string>> = {
  storage_full: "the runtime has no space left to store anything",
  storage_busy: "the runtime cannot write to its database now",
  storage_unreachable: "the runtime cannot reach its database now",
};

/** The sentence that tells it. */
export const storageSentence = (reason: StorageReason): string => SENTENCES[reason];

const reasonOf = (error: StoreError | undefined): StorageReason => REASONS[error?.reason ?? "full"] ?? "storage_full";

function refusal(phase: Phase): InternalError {
  const reason = reasonOf(phase.name === "stalled" ? phase.error : undefined);
  return new InternalError(SENTENCES[reason], { details: { reason, retry: "after_capacity" } });
}
