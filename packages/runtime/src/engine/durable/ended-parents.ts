/**
 * Budgets over a restart: a job that goes on may spend from the budget of a parent that has ended, and what that did not spend
 * goes back to whoever it was taken from. Counters that several jobs share are shared again.
 */
import type { JobId } from "@arcp/core";
import type { JobRecord, Store } from "../../store/store.ts";
import { Budget } from "../lease/budget.ts";

export interface EndedParentsOptions {
  readonly store: Pick<Store, "findJob">;
  /** The budget of a job that goes on; `undefined` if it has none, `null` for a job that does not go on. */
  readonly liveBudget: (id: JobId) => Budget | undefined | null;
  /** Every job that was taken over. */
  readonly taken: readonly JobRecord[];
}

export class EndedParents {
  readonly #options: EndedParentsOptions;
  readonly #ended = new Map<JobId, Budget | undefined>();

  constructor(options: EndedParentsOptions) {
    this.#options = options;
  }

  /** What the budget of `record` was reserved from; `undefined` for nothing. Its parents are asked about before it. */
  async budgetAbove({ parentJobId }: JobRecord): Promise<Budget | undefined> {
    if (parentJobId === null) return undefined;
    const live = this.#options.liveBudget(parentJobId);
    if (live !== null) return live;
    if (!this.#ended.has(parentJobId)) this.#ended.set(parentJobId, await this.#revive(parentJobId));
    return this.#ended.get(parentJobId);
  }

  /** All jobs have their budgets: what the parents have left, and nobody can spend any more, goes back. */
  close(): void {
    for (const budget of this.#ended.values()) budget?.close();
  }

  async #revive(id: JobId): Promise<Budget | undefined> {
    const record = await this.#options.store.findJob(id);
    if (record === undefined || record.budget === null || record.status !== "success") return undefined;
    const left = { ...record.budget };
    // Its children have spent from it since its end: it has what the one that knows of the least knows of.
    for (const child of this.#options.taken) {
      if (child.parentJobId !== id) continue;
      const own = Budget.fromLease(child.lease)?.remaining();
      for (const [currency, amount] of Object.entries(child.budget ?? {})) {
        if (own?.has(currency) !== true) left[currency] = Math.min(left[currency] ?? amount, amount);
      }
    }
    return Budget.takenOver(left, record.lease, await this.budgetAbove(record));
  }
}
