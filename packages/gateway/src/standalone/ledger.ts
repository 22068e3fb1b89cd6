/** What a key of a gateway without a runtime may spend, has spent, and has set aside: exactly, per currency. */
import { BudgetExhaustedError } from "@arcp/core";
import type { Amounts } from "@arcp/runtime";
import { numberOf, unitsOf } from "../amount.ts";

export type Units = ReadonlyMap<string, bigint>;

/** What happens to a ledger, for whoever writes it down. */
export interface LedgerRecorder {
  /** Before the request goes out. What it throws keeps the request from going out. */
  held(id: number, units: Units): void;
  spent(id: number, units: Units): void;
  released(id: number): void;
}

/** Set aside for one request. */
export interface LedgerHold {
  /** Takes a cost from what is held, and what goes beyond it from what is left. */
  spend(currency: string, value: number): void;
  /** Gives back what was not spent. Idempotent. */
  release(): void;
}

export class Ledger {
  readonly #limits: Units;
  readonly #recorder: LedgerRecorder;
  readonly #spent: Map<string, bigint>;
  readonly #held = new Map<string, bigint>();
  #lastId = 0;

  constructor(limits: Units, spent: Units, recorder: LedgerRecorder) {
    this.#limits = limits;
    this.#spent = new Map(spent);
    this.#recorder = recorder;
  }

  spent(currency: string): bigint {
    return this.#spent.get(currency) ?? 0n;
  }

  /** What has not been spent, per currency of the budget. */
  remaining(): ReadonlyMap<string, number> {
    return new Map([...this.#limits].map(([currency, limit]) => [currency, numberOf(limit - this.spent(currency))]));
  }

  /**
   * Sets `amounts` aside.
   *
   * @throws BudgetExhaustedError if one of them is more than is left and not set aside; its details say how much that is.
   */
  hold(amounts: Amounts): LedgerHold {
    const held = new Map(Object.entries(amounts).map(([currency, value]) => [currency, unitsOf(value)]));
    for (const [currency, units] of held) this.#assertAvailable(currency, units);
    this.#lastId += 1;
    const id = this.#lastId;
    this.#recorder.held(id, held);
    for (const [currency, units] of held) add(this.#held, currency, units);
    return {
      spend: (currency, value) => {
        const cost = unitsOf(value);
        const covered = min(cost, held.get(currency) ?? 0n);
        add(held, currency, -covered);
        add(this.#held, currency, -covered);
        add(this.#spent, currency, cost);
        this.#recorder.spent(id, new Map([[currency, cost]]));
      },
      release: () => {
        for (const [currency, units] of held) add(this.#held, currency, -units);
        held.clear();
        this.#recorder.released(id);
      },
    };
  }

  #assertAvailable(currency: string, units: bigint): void {
    const limit = this.#limits.get(currency);
    if (limit === undefined) return;
    const available = limit - this.spent(currency) - (this.#held.get(currency) ?? 0n);
    if (units <= available) return;
    throw new BudgetExhaustedError(`the request may cost more ${currency} than is left`, {
      details: { currency, remaining: numberOf(available), estimate: numberOf(units) },
    });
  }
}

const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

function add(amounts: Map<string, bigint>, currency: string, units: bigint): void {
  amounts.set(currency, (amounts.get(currency) ?? 0n) + units);
}
