/**
 * What principals use, over all nodes: how often they have done things, and how much of theirs works and waits. Each node says
 * what has changed of its own, at most twice a second and in one round trip, and hears the same of the others: nobody waits for that,
 * and what was let in meanwhile elsewhere is the error.
 */
import type { NodeId, NodeUse, SharedStore, Use } from "../../store/shared.ts";

/** Something that is let in, and counted from the beginning. */
export interface SharedRates {
  readonly isLimited: boolean;
  /** What has changed since this was asked last. */
  news(): readonly Use[];
  /** From now on it is counted from nothing. */
  recount(): void;
  /** Others have let in so much more. */
  charge(name: string, principal: string, count: number): void;
}

/** Something that is held, and given back. */
export interface SharedHolds {
  readonly isLimited: boolean;
  /** Everything that is held here. */
  uses(): readonly Use[];
  /** `heldElsewhere` says how much of it the others hold, from now on. */
  look(heldElsewhere: (name: string, principal: string) => number): void;
}

export interface SharedUseOptions {
  readonly store: Pick<SharedStore, "exchangeUse">;
  readonly rates: readonly SharedRates[];
  readonly holds: readonly SharedHolds[];
  /** The other nodes that are up. */
  readonly peers: () => readonly { readonly id: NodeId }[];
}

/** How often others are heard: what they let in meanwhile is not counted yet. */
export const EXCHANGE_MS = 500;
/** Of what is held everything is said again so often: the store forgets what is not. */
const TURNS_PER_ROLL_CALL = 240;

const keyOf = ({ name, principal }: Pick<Use, "name" | "principal">): string => `${name} ${principal}`;

export class SharedUse {
  readonly #options: SharedUseOptions;
  /** What was said last of what is held. */
  #said = new Map<string, Use>();
  /** What could not be said. */
  #unsaid: readonly Use[] = [];
  readonly #others = new Map<NodeId, Map<string, number>>();
  /** Does what comes next tell of what was let in before this process knew of any? */
  #isNew = true;
  #turns = 0;

  constructor(options: SharedUseOptions) {
    this.#options = options;
  }

  /** This process is another node from now on: nothing that it has said counts. */
  forget(): void {
    this.#said.clear();
    this.#unsaid = [];
    this.#others.clear();
    this.#isNew = true;
    for (const one of this.#options.rates) one.recount();
  }

  /** Says what has changed, and hears of the others. Rejects when the store does; what was to be said is said the next time. */
  async exchange(): Promise<void> {
    const { store, rates, holds, peers } = this.#options;
    if (![...rates, ...holds].some(({ isLimited }) => isLimited)) return;
    const counted = [...this.#unsaid, ...rates.flatMap((one) => one.news())];
    this.#unsaid = counted;
    const held = this.#held();
    const news = [...new Map([...counted, ...held].map((use) => [keyOf(use), use])).values()];
    const others = await store.exchangeUse(news);
    this.#unsaid = [];
    for (const use of held) {
      if (use.value === 0) this.#said.delete(keyOf(use));
      else this.#said.set(keyOf(use), use);
    }
    for (const use of others) this.#heard(use);
    this.#isNew = false;
    const ids = new Set(peers().map(({ id }) => id));
    // One that has just come may be heard before it is known.
    const heard = new Set(others.map(({ node }) => node));
    for (const id of this.#others.keys()) if (!ids.has(id) && !heard.has(id)) this.#others.delete(id);
    for (const one of holds) one.look((name, principal) => this.#valueOf(keyOf({ name, principal })));
  }

  /** What is held and was not said so, and what is held no more. */
  #held(): readonly Use[] {
    this.#turns += 1;
    if (this.#turns % TURNS_PER_ROLL_CALL === 0) this.#said.clear();
    const now = new Map(this.#options.holds.flatMap((one) => one.uses()).map((use) => [keyOf(use), use]));
    const gone = [...this.#said.values()].filter((use) => !now.has(keyOf(use))).map((use) => ({ ...use, value: 0 }));
    return [...gone, ...[...now.values()].filter((use) => this.#said.get(keyOf(use))?.value !== use.value)];
  }

  #heard({ node, name, principal, value }: NodeUse): void {
    const known = this.#others.get(node) ?? new Map<string, number>();
    this.#others.set(node, known);
    const key = keyOf({ name, principal });
    const before = known.get(key) ?? (this.#isNew ? value : 0);
    if (value === 0) known.delete(key);
    else known.set(key, value);
    // Less than before: it was counted from nothing again.
    const more = value >= before ? value - before : value;
    if (more > 0) for (const one of this.#options.rates) one.charge(name, principal, more);
  }

  #valueOf(key: string): number {
    let sum = 0;
    for (const known of this.#others.values()) sum += known.get(key) ?? 0;
    return sum;
  }
}
