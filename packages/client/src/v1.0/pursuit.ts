/** Asking for work until it is accepted, refused or given up (RFC §6.3, §6.4, §18.3). */
import { ARCPError, type Clock, type JsonObject, newMessageId, TimeoutError, ulid } from "@arcp/core";
import type { MessageOf10 } from "@arcp/core/v1.0";
import { withRetry } from "../retry.ts";
import { onAbort } from "../waiting.ts";
import { type InvokeOptions, traceOf } from "./invoking.ts";
import type { AskOptions, Command } from "./requests.ts";
import type { Work } from "./work.ts";
import type { KnownWork, WorkBook } from "./work-book.ts";

export interface PursuitOwner {
  readonly works: WorkBook;
  readonly clock: Clock;
  readonly random: () => number;
  readonly ask: (command: Command, options: AskOptions) => Promise<unknown>;
  readonly cancelJob: (jobId: string, reason: string) => Promise<void>;
  readonly onProblem: (error: ARCPError) => void;
}

/** How work was asked for. */
interface Asked {
  readonly options: InvokeOptions;
  readonly message: Omit<Command, "id">;
}

/** Commands that nobody waits for any more, and whose acceptance is still expected. Beyond it the oldest is forgotten. */
const MAX_UNWANTED = 256;

export class Pursuit {
  readonly #owner: PursuitOwner;
  /** How each piece of work was asked for, so that it can be asked for again. */
  readonly #asked = new WeakMap<Work, Asked>();
  readonly #unwanted = new Set<string>();

  constructor(owner: PursuitOwner) {
    this.#owner = owner;
  }

  /** Asks for work with a command of that type. */
  start(type: string, payload: JsonObject, options: InvokeOptions): KnownWork {
    const known = this.#owner.works.begin();
    const { idempotencyKey = ulid(), priority } = options;
    const asked: Asked = {
      options,
      message: { type, payload, idempotency_key: idempotencyKey, priority, ...traceOf(options) },
    };
    const { work } = known;
    this.#asked.set(work, asked);
    const release = onAbort(options.signal, () => this.#callOff(work));
    void work.done.then(release, release);
    void this.#pursue(known, asked);
    return known;
  }

  /**
   * The session is gone that told of the work. Asks for it once more, under its key: a runtime that still knows the work
   * tells of it in the session of now (RFC §6.4). Returns whether that can be done.
   */
  again(known: KnownWork): boolean {
    const asked = this.#asked.get(known.work);
    if (asked === undefined) return false;
    known.work.leaveHome();
    void this.#pursue(known, asked);
    return true;
  }

  /** Nothing more is learnt of the work. */
  giveUp(known: KnownWork, error: Error): void {
    known.work.lose(error);
    this.#owner.works.retire(known);
  }

  /** Work was accepted. If nobody waits for it any more, and no key of the caller's leads back to it, it is cancelled. */
  onAccepted({ correlation_id, job_id }: MessageOf10<"job.accepted">): void {
    if (correlation_id !== undefined && this.#unwanted.delete(correlation_id))
      this.#cancel(job_id, "nobody waits for it");
  }

  /** Each time is a message of its own, under the one key. */
  async #pursue(known: KnownWork, { options, message }: Asked): Promise<void> {
    const { works, clock, random, ask } = this.#owner;
    const attempt = async (): Promise<void> => {
      const id = newMessageId();
      works.bind(known, id);
      // Nobody promises that a schedule which is asked for twice is made once.
      const isRepeatable = message.type !== "job.schedule";
      await ask({ ...message, id }, { signal: options.signal, endsWithError: false, isRepeatable });
    };
    try {
      if (options.retry) await withRetry(attempt, options.retry, clock, random, options.signal);
      else await attempt();
    } catch (thrown) {
      // It has been told of, if not in so many words.
      if (thrown instanceof TimeoutError && known.work.home !== undefined) return;
      if (options.idempotencyKey === undefined) for (const id of known.commandIds) this.#disown(id);
      this.giveUp(known, thrown instanceof Error ? thrown : ARCPError.from(thrown));
    }
  }

  #disown(commandId: string): void {
    this.#unwanted.add(commandId);
    if (this.#unwanted.size > MAX_UNWANTED) this.#unwanted.delete(this.#unwanted.values().next().value as string);
  }

  /** The caller's signal has aborted. Work that is not accepted yet is given up where it is waited for. */
  #callOff({ isAsked, isOver, jobId }: Work): void {
    if (!isAsked && !isOver && jobId !== undefined) this.#cancel(jobId, "called off");
  }

  #cancel(jobId: string, reason: string): void {
    this.#owner.cancelJob(jobId, reason).catch((thrown: unknown) => this.#owner.onProblem(ARCPError.from(thrown)));
  }
}
