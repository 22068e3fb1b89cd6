/** What a response says it took, in the words of each API. */

/** Tokens of each price. `input` counts those that were neither read from a cache nor written to one. */
export interface TokenUsage {
  readonly input: number;
  readonly cachedInput: number;
  readonly cacheWrite: number;
  readonly cacheWriteLong: number;
  readonly output: number;
}

/** The same for whoever reads events. */
export const shownUsage = (usage: TokenUsage): Readonly<Record<string, number>> => ({
  input_tokens: usage.input,
  output_tokens: usage.output,
  ...(usage.cachedInput > 0 && { cached_input_tokens: usage.cachedInput }),
  ...(usage.cacheWrite + usage.cacheWriteLong > 0 && { cache_write_tokens: usage.cacheWrite + usage.cacheWriteLong }),
});

export type UsageDialect = "openai" | "responses" | "anthropic";

type Members = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Reads the usage of one response, whole or as a stream. */
export class UsageMeter {
  readonly #dialect: UsageDialect;
  #reported: Members = {};
  #isFinal = false;

  constructor(dialect: UsageDialect) {
    this.#dialect = dialect;
  }

  /** The usage of the whole response; undefined before it was said, and for one that cannot be true. */
  get final(): TokenUsage | undefined {
    return this.#isFinal ? usageOf(this.#dialect, this.#reported) : undefined;
  }

  /** What is known of it so far: of a message that has begun, its input. */
  get partial(): TokenUsage | undefined {
    return usageOf(this.#dialect, this.#reported);
  }

  /** A response that is not streamed. */
  body(body: unknown): void {
    if (isObject(body)) this.#take(body["usage"], true);
  }

  /** The stream has come to its end: what was reported last was reported of all. */
  end(): void {
    if (this.#dialect === "openai") this.#isFinal = true;
  }

  /** One event of a stream. Returns whether it is nothing but the usage. */
  event(data: unknown): boolean {
    if (!isObject(data)) return false;
    if (this.#dialect === "anthropic") {
      if (data["type"] === "message_start" && isObject(data["message"])) this.#take(data["message"]["usage"], false);
      if (data["type"] === "message_delta") this.#take(data["usage"], true);
      return false;
    }
    if (this.#dialect === "responses") {
      if (isObject(data["response"])) this.#take(data["response"]["usage"], true);
      return false;
    }
    // Some upstreams count while they speak; the count beside no choice is the last one.
    const isAlone = Array.isArray(data["choices"]) && data["choices"].length === 0 && isObject(data["usage"]);
    this.#take(data["usage"], isAlone);
    return isAlone;
  }

  /** Later reports are of the whole, and none takes anything back. */
  #take(usage: unknown, isFinal: boolean): void {
    if (!isObject(usage)) return;
    this.#reported = merged(this.#reported, usage);
    this.#isFinal ||= isFinal;
  }
}

function merged(before: Members, after: Members): Members {
  const result: Record<string, unknown> = { ...before };
  for (const [name, value] of Object.entries(after)) {
    const old = result[name];
    if (typeof value === "number") result[name] = typeof old === "number" ? Math.max(old, value) : value;
    else if (isObject(value)) result[name] = isObject(old) ? merged(old, value) : value;
  }
  return result;
}

function usageOf(dialect: UsageDialect, usage: Members): TokenUsage | undefined {
  const counted = dialect === "anthropic" ? anthropicUsage(usage) : openaiUsage(usage);
  const counts = Object.values(counted);
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0)) return undefined;
  // No request is without input: an upstream that says so has not counted.
  return counted.input + counted.cachedInput + counted.cacheWrite + counted.cacheWriteLong > 0 ? counted : undefined;
}

function openaiUsage(usage: Members): TokenUsage {
  const input = count(usage["prompt_tokens"] ?? usage["input_tokens"]);
  const cachedInput = Math.min(
    count(memberOf(usage["prompt_tokens_details"] ?? usage["input_tokens_details"], "cached_tokens")),
    input,
  );
  // Some upstreams leave reasoning out of the output, but not out of the total.
  const output = Math.max(
    count(usage["completion_tokens"] ?? usage["output_tokens"]),
    count(usage["total_tokens"]) - input,
  );
  return { input: input - cachedInput, cachedInput, cacheWrite: 0, cacheWriteLong: 0, output };
}

function anthropicUsage(usage: Members): TokenUsage {
  const written = count(usage["cache_creation_input_tokens"]);
  const cacheWriteLong = Math.min(count(memberOf(usage["cache_creation"], "ephemeral_1h_input_tokens")), written);
  return {
    input: count(usage["input_tokens"]),
    cachedInput: count(usage["cache_read_input_tokens"]),
    cacheWrite: written - cacheWriteLong,
    cacheWriteLong,
    output: count(usage["output_tokens"]),
  };
}

const memberOf = (value: unknown, name: string): unknown => (isObject(value) ? value[name] : undefined);

/** Zero for a count that is missing; what is no number at all makes the usage one that cannot be true. */
const count = (value: unknown): number =>
  value === undefined || value === null ? 0 : typeof value === "number" ? value : Number.NaN;
