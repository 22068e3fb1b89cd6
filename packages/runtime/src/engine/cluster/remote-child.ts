/**
 * A delegated job that another node runs, as its parent's node sees it: by its journal. What it was given of its parent's budget
 * stays taken until it ends; what it has not spent goes back then.
 */
import { type Clock, errorFromWire, type JobId, type JsonObject, type Lease, type LeaseConstraints } from "@arcp/core";
import type { JobHead, SharedStore } from "../../store/shared.ts";
import { type Entry, isTerminal } from "../../store/store.ts";
import type { AuditFacts } from "../audit/catalogue.ts";
import type { Outcome } from "../job-facts.ts";
import type { Budget } from "../lease/budget.ts";
import type { Elsewhere } from "./elsewhere.ts";
import type { RemoteJobs } from "./remote-jobs.ts";

export interface RemoteChildOptions {
  readonly id: JobId;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | undefined;
  readonly hasCredentials: boolean;
  /** What was taken for it from its parent's budget. */
  readonly budget: Budget | undefined;
  readonly store: Pick<SharedStore, "findJob" | "readJournal">;
  readonly remote: RemoteJobs;
  readonly elsewhere: Elsewhere;
  readonly clock: Clock;
  /** Records that its parent has cancelled it. */
  readonly audit: (facts: AuditFacts["job.cancelled"]) => void;
}

/** What another node is asked for. */
export interface ChildCancel {
  readonly jobId: JobId;
  readonly reason?: string | undefined;
  readonly graceMs: number;
}

/** The method of {@link ChildCancel}. */
export const CANCEL_CHILD = "child.cancel";
/** Between two attempts to reach the node that runs it. */
const RETRY_MS = 1_000;

export class RemoteChild {
  readonly id: JobId;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints | undefined;
  readonly hasCredentials: boolean;
  readonly #options: RemoteChildOptions;
  readonly #stopWatching: () => void;
  readonly #endTasks: (() => void)[] = [];
  #lastN = 0;
  #outcome: Outcome | undefined;
  #isCancelling = false;
  #isLeft = false;
  #isReading = false;
  #written = Promise.withResolvers<void>();

  constructor(options: RemoteChildOptions) {
    this.#options = options;
    this.id = options.id;
    this.lease = options.lease;
    this.leaseConstraints = options.leaseConstraints;
    this.hasCredentials = options.hasCredentials;
    this.#stopWatching = options.remote.watch(this.id, (head) => {
      this.#look(head).catch(() => {
        // The store does not answer: it is looked at again soon.
      });
    });
  }

  get lastN(): number {
    return this.#lastN;
  }

  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  get isTerminal(): boolean {
    return this.#outcome !== undefined;
  }

  get isCancelling(): boolean {
    return this.#isCancelling;
  }

  whenEnded(task: () => void): void {
    if (this.isTerminal) task();
    else this.#endTasks.push(task);
  }

  async writtenAfter(n: number): Promise<void> {
    while (this.#lastN <= n && !this.isTerminal && !this.#isLeft) await this.#written.promise;
  }

  readonly audit = (_action: "job.cancelled", facts: AuditFacts["job.cancelled"]): void => this.#options.audit(facts);

  /** Tells the node that runs it, until that has heard of it, or the job has ended. */
  cancel(reason: string | undefined, graceMs: number): boolean {
    if (this.isTerminal || this.#isCancelling) return !this.isTerminal;
    this.#isCancelling = true;
    void this.#tell({ jobId: this.id, reason, graceMs });
    return true;
  }

  /** Its parent is another node's from now on. */
  leave(): void {
    this.#isLeft = true;
    this.#stopWatching();
    this.#written.resolve();
  }

  async #tell(request: ChildCancel): Promise<void> {
    const { elsewhere, clock } = this.#options;
    while (!this.isTerminal && !this.#isLeft) {
      try {
        await elsewhere.call(this.id, CANCEL_CHILD, request);
        return;
      } catch {
        // Its node is gone, or does not answer: whoever has it next is told.
        await new Promise<void>((resolve) => clock.setTimer(resolve, RETRY_MS));
      }
    }
  }

  async #look({ lastN, isEnded }: JobHead): Promise<void> {
    if (this.#isReading || this.isTerminal || this.#isLeft) return;
    if (lastN <= this.#lastN && !isEnded) return;
    this.#isReading = true;
    try {
      if (isEnded) await this.#end();
      else this.#lastN = lastN;
    } finally {
      this.#isReading = false;
    }
    const written = this.#written;
    this.#written = Promise.withResolvers();
    written.resolve();
  }

  async #end(): Promise<void> {
    const { store, budget } = this.#options;
    const record = await store.findJob(this.id);
    if (record === undefined || record.endedAt === null) return;
    const [end] = await store.readJournal(this.id, record.lastN, record.lastN);
    if (end === undefined || !isTerminal(end.code) || this.#isLeft) return;
    this.#stopWatching();
    this.#lastN = record.lastN;
    this.#outcome = outcomeOf(end);
    // What was counted there is counted here, in the turn in which the parent hears of the end.
    for (const [currency, left] of Object.entries(record.budget ?? {})) {
      budget?.spend(currency, Math.max((budget.remainingOf(currency) ?? 0) - left, 0));
    }
    budget?.close();
    for (const task of this.#endTasks.splice(0)) task();
  }
}

/** How a job has ended, by the last entry of its journal. */
export function outcomeOf({ payload }: Entry): Outcome {
  const { job_id: _id, final_status: status, ...members } = JSON.parse(payload) as JsonObject;
  return status === "success"
    ? { status, members: JSON.stringify(members).slice(1, -1) }
    : { status: status as "error", error: errorFromWire(members as unknown as Parameters<typeof errorFromWire>[0]) };
}
