/** The bounds of one `fetch` (§14), and what exceeding them throws. */
import { InvalidRequestError, TimeoutError } from "@arcp/core";

/** How much an agent's request, and its answer, may be, and how long they may take. */
export interface FetchLimits {
  /** Bytes of a request's header names and values. */
  readonly maxRequestHeaderBytes: number;
  /** Bytes of a request's body. */
  readonly maxRequestBytes: number;
  /** Bytes of a response's head. */
  readonly maxResponseHeaderBytes: number;
  /** Bytes of a response's body, before, between and after its decodings. */
  readonly maxResponseBytes: number;
  /** Until one of the addresses has answered, and TLS is established. */
  readonly connectTimeoutMs: number;
  /** From the look-up of the name to the end of the response's head; anew after each redirect. */
  readonly headTimeoutMs: number;
  /** How long a reader waits for the next piece of the body. */
  readonly bodyIdleTimeoutMs: number;
  /** From the call to the end of the body, redirects included. */
  readonly totalTimeoutMs: number;
}

/** The limits of agents' requests where none are given. */
export const DEFAULT_FETCH_LIMITS: FetchLimits = {
  maxRequestHeaderBytes: 32 * 1024,
  maxRequestBytes: 32 * 1024 * 1024,
  maxResponseHeaderBytes: 32 * 1024,
  maxResponseBytes: 32 * 1024 * 1024,
  connectTimeoutMs: 10_000,
  headTimeoutMs: 120_000,
  bodyIdleTimeoutMs: 60_000,
  totalTimeoutMs: 600_000,
};

export const MAX_REDIRECTS = 5;

export const tooLarge = (limit: keyof FetchLimits, max: number): InvalidRequestError =>
  new InvalidRequestError(`net.fetch: ${limit} (${max}) is exceeded`, { details: { reason: "too_large", limit, max } });

export const tooSlow = (limit: keyof FetchLimits, max: number): TimeoutError =>
  new TimeoutError(`net.fetch: ${limit} (${max}) is exceeded`, { details: { reason: "too_slow", limit, max } });
