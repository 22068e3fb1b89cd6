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

type Amounts = Readonly<Record<string, number>>;

export class EndedParents {
  readonly #options: EndedParentsOptions;
  readonly #budgets = new Map<JobId, Budget | undefined>();
  /** What is left of the counters of each parent that others still spend from. */
  #left: ReadonlyMap<JobId, Amounts> | undefined;

  constructor(options: EndedParentsOptions) {
    this.#options = options;
  }

  /** What the budget of `record` was reserved from; `undefined` for nothing. Its parents are asked about before it. */
  async budgetAbove({ parentJobId }: JobRecord): Promise<Budget | undefined> {
    if (parentJobId === null) return undefined;
    const live = this.#options.liveBudget(parentJobId);
    if (live !== null) return live;
    if (!this.#budgets.has(parentJobId)) this.#budgets.set(parentJobId, await this.#revive(parentJobId));
    return this.#budgets.get(parentJobId);
  }

  /** All jobs have their budgets: what nobody can spend any more goes back. */
  close(): void {
    for (const budget of this.#budgets.values()) budget?.close();
  }

  async #revive(id: JobId): Promise<Budget | undefined> {
    const record = await this.#ended(id);
    if (record === undefined || record.budget === null) return undefined;
    this.#left ??= await this.#shared();
    const left = this.#left.get(id) ?? {};
    // What nobody spends from went back when the parent ended.
    const amounts = [...ownOf(record)].map((currency): [string, number] => [currency, left[currency] ?? 0]);
    return Budget.takenOver(Object.fromEntries(amounts), record.lease, await this.budgetAbove(record));
  }

  /** Of what its own lease does not name a job spends what the nearest job above it has whose lease does. */
  async #shared(): Promise<ReadonlyMap<JobId, Amounts>> {
    const left = new Map<JobId, Amounts>();
    for (const record of this.#options.taken) {
      let open = Object.entries(record.budget ?? {}).filter(([currency]) => !ownOf(record).has(currency));
      for (let above = await this.#above(record); above !== undefined && open.length > 0; ) {
        const own = ownOf(above);
        const known = left.get(above.id) ?? {};
        // Each job knows of its own spending: whoever knows of the least that is left knows best.
        const amounts = open
          .filter(([currency]) => own.has(currency))
          .map(([currency, amount]) => [currency, Math.min(known[currency] ?? amount, amount)]);
        left.set(above.id, { ...known, ...Object.fromEntries(amounts) });
        open = open.filter(([currency]) => !own.has(currency));
        above = await this.#above(above);
      }
    }
    return left;
  }

  /** The parent, if that goes on, or has ended well. */
  async #above({ parentJobId }: JobRecord): Promise<JobRecord | undefined> {
    return this.#options.taken.find(({ id }) => id === parentJobId) ?? (await this.#ended(parentJobId));
  }

  /** A job that has ended well, whose children go on. */
  async #ended(id: JobId | null): Promise<JobRecord | undefined> {
    if (id === null || this.#options.taken.some((record) => record.id === id)) return undefined;
    const record = await this.#options.store.findJob(id);
    return record?.status === "success" ? record : undefined;
  }
}

/** The currencies that a job has counters of its own for. */
const ownOf = ({ lease }: JobRecord): ReadonlySet<string> => new Set(Budget.fromLease(lease)?.remaining().keys());
