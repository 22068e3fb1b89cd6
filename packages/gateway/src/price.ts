/** What models cost: a table, and exact sums over it. */
import { matchGlob } from "@arcp/runtime";
import { divideUp, parseDecimal } from "./amount.ts";
import type { TokenUsage } from "./usage.ts";

/** Of one model. Amounts are decimals per million tokens, as text: `"2.50"`. */
export interface ModelPrice {
  /** Of what the model reads, where nothing else is said. */
  readonly input: string;
  /** Reasoning counts as output. */
  readonly output: string;
  /** Input that the upstream read from its cache. Default: `input`. */
  readonly cachedInput?: string;
  /** Input that the upstream wrote to its cache. Default: twice `input`. */
  readonly cacheWrite?: string;
  /** Input that it wrote there for an hour. Default: twice `input`. */
  readonly cacheWriteLong?: string;
  /** The currency of the budget that it is taken from. Default: `USD`. */
  readonly currency?: string;
  /** The output tokens that a request of a job with a budget is limited to if it names no limit. Default: 4096. */
  readonly maxOutputTokens?: number;
  /** The most input tokens that the upstream accepts for this model: its context window. */
  readonly maxInputTokens?: number;
  /** The most input tokens that one image counts as. Without it and `maxInputTokens`, a budget pays for no images. */
  readonly imageTokens?: number;
}

const PER = 1_000_000n;
const DEFAULT_CURRENCY = "USD";
const DEFAULT_MAX_OUTPUT_TOKENS = 4096;
const CURRENCY = /^[A-Za-z][A-Za-z0-9_-]{0,31}$/;

export class Price {
  readonly currency: string;
  readonly maxOutputTokens: number;
  readonly maxInputTokens: number | undefined;
  readonly imageTokens: number | undefined;
  readonly #rates: { readonly [Kind in keyof TokenUsage]: bigint };

  /** @throws TypeError for an entry that is not well-formed. */
  constructor(name: string, entry: ModelPrice) {
    const rate = (member: keyof ModelPrice): bigint | undefined => {
      const text = entry[member];
      if (text === undefined) return undefined;
      const units = typeof text === "string" ? parseDecimal(text) : undefined;
      if (units === undefined) throw new TypeError(`the price of ${name}: ${member} is a decimal as text, like "2.50"`);
      return units;
    };
    const count = (member: keyof ModelPrice): number | undefined => {
      const value = entry[member];
      if (value === undefined || (Number.isSafeInteger(value) && Number(value) >= 1))
        return value as number | undefined;
      throw new TypeError(`the price of ${name}: ${member} is a whole number of tokens`);
    };
    const input = rate("input");
    const output = rate("output");
    if (input === undefined || output === undefined) throw new TypeError(`the price of ${name} has input and output`);
    this.currency = entry.currency ?? DEFAULT_CURRENCY;
    if (!CURRENCY.test(this.currency)) throw new TypeError(`the price of ${name}: ${this.currency} is no currency`);
    this.maxOutputTokens = count("maxOutputTokens") ?? DEFAULT_MAX_OUTPUT_TOKENS;
    this.maxInputTokens = count("maxInputTokens");
    this.imageTokens = count("imageTokens");
    this.#rates = {
      input,
      output,
      cachedInput: rate("cachedInput") ?? input,
      cacheWrite: rate("cacheWrite") ?? 2n * input,
      cacheWriteLong: rate("cacheWriteLong") ?? 2n * input,
    };
  }

  /** In units of 10^-9, rounded up once. */
  costOf(usage: TokenUsage): bigint {
    return divideUp(this.#sum(usage), PER);
  }

  /** The most that so many tokens cost. Input that may be written to a cache costs the most that input can. */
  bound(inputTokens: number, outputTokens: number, mayWriteCache: boolean): bigint {
    return divideUp(BigInt(inputTokens) * this.#dearestInput(mayWriteCache) + this.#output(outputTokens), PER);
  }

  /** How many output tokens `units` pay for beside that input; may be below zero. */
  affordable(units: bigint, inputTokens: number, mayWriteCache: boolean): number {
    const rest = units * PER - BigInt(inputTokens) * this.#dearestInput(mayWriteCache);
    if (rest < 0n) return -1;
    return this.#rates.output === 0n ? Number.MAX_SAFE_INTEGER : Number(rest / this.#rates.output);
  }

  #dearestInput(mayWriteCache: boolean): bigint {
    const { input, cachedInput, cacheWrite, cacheWriteLong } = this.#rates;
    const rates = mayWriteCache ? [input, cachedInput, cacheWrite, cacheWriteLong] : [input, cachedInput];
    return rates.reduce((dearest, rate) => (rate > dearest ? rate : dearest));
  }

  #output(tokens: number): bigint {
    return BigInt(tokens) * this.#rates.output;
  }

  #sum(usage: TokenUsage): bigint {
    const kinds = Object.keys(this.#rates) as (keyof TokenUsage)[];
    return kinds.reduce((sum, kind) => sum + BigInt(usage[kind]) * this.#rates[kind], 0n);
  }
}

/** Prices by public model name. A name stands before a pattern, and patterns count in their order. */
export class PriceTable {
  readonly #byName = new Map<string, Price>();
  readonly #byPattern: { readonly pattern: string; readonly price: Price }[] = [];

  /** @throws TypeError for an entry that is not well-formed. */
  constructor(prices: Readonly<Record<string, ModelPrice>>) {
    for (const [name, entry] of Object.entries(prices)) {
      const price = new Price(name, entry);
      if (name.includes("*")) this.#byPattern.push({ pattern: name, price });
      else this.#byName.set(name, price);
    }
  }

  /** The names that are no patterns. */
  get names(): Iterable<string> {
    return this.#byName.keys();
  }

  priceOf(model: string): Price | undefined {
    return this.#byName.get(model) ?? this.#byPattern.find(({ pattern }) => matchGlob(pattern, model))?.price;
  }
}
