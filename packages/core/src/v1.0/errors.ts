/**
 * The errors of wire 1.0 (RFC §18): its codes, and the one table by which they become the classes of `@arcp/core` and
 * back. What the other side has no word for keeps its own code in `details.code`, and is restored from there.
 */
import { z } from "zod";
import {
  ARCPError,
  type ARCPErrorOptions,
  ERROR_FACTS,
  type ErrorCode,
  errorFromWire,
  isErrorCode,
} from "../errors.ts";
import { absentOr, jsonObject } from "../messages/envelope.ts";
import { isNamespaced } from "./names.ts";

interface CodeFacts10 {
  /** What `retryable` is when a payload does not say (RFC §18.3). */
  readonly retryable: boolean;
  /** The code of wire 1.1 that says the same, or comes nearest. */
  readonly nearest: ErrorCode;
}

const facts = (nearest: ErrorCode, retryable = false): CodeFacts10 => ({ nearest, retryable });

/** The codes that wire 1.0 sends, in the order of RFC §18.2. `OK` is reserved and never sent. */
const FACTS = {
  CANCELLED: facts("CANCELLED"),
  UNKNOWN: facts("INTERNAL_ERROR"),
  INVALID_ARGUMENT: facts("INVALID_REQUEST"),
  DEADLINE_EXCEEDED: facts("TIMEOUT", true),
  NOT_FOUND: facts("JOB_NOT_FOUND"),
  ALREADY_EXISTS: facts("DUPLICATE_KEY"),
  PERMISSION_DENIED: facts("PERMISSION_DENIED"),
  // A quota or a rate is there again later, a budget is not: the class for budgets is never retryable.
  RESOURCE_EXHAUSTED: facts("INTERNAL_ERROR", true),
  FAILED_PRECONDITION: facts("INVALID_REQUEST"),
  ABORTED: facts("INTERNAL_ERROR", true),
  OUT_OF_RANGE: facts("INVALID_REQUEST"),
  UNIMPLEMENTED: facts("INVALID_REQUEST"),
  INTERNAL: facts("INTERNAL_ERROR", true),
  UNAVAILABLE: facts("INTERNAL_ERROR", true),
  DATA_LOSS: facts("RESUME_WINDOW_EXPIRED"),
  UNAUTHENTICATED: facts("UNAUTHENTICATED"),
  HEARTBEAT_LOST: facts("HEARTBEAT_LOST"),
  LEASE_EXPIRED: facts("LEASE_EXPIRED"),
  LEASE_REVOKED: facts("PERMISSION_DENIED"),
  BACKPRESSURE_OVERFLOW: facts("INTERNAL_ERROR"),
} as const satisfies Record<string, CodeFacts10>;

/** A canonical error code of wire 1.0 (RFC §18.2). */
export type ErrorCode10 = keyof typeof FACTS;

/** The twenty canonical codes that can be sent, in the order of RFC §18.2. */
export const ERROR_CODES_10 = Object.keys(FACTS) as readonly ErrorCode10[];

/** Is it one of {@link ERROR_CODES_10}? */
export const isErrorCode10 = (code: string): code is ErrorCode10 => Object.hasOwn(FACTS, code);

/** What wire 1.0 calls each code of wire 1.1. */
const SPELLED: { readonly [Code in ErrorCode]: ErrorCode10 } = {
  PERMISSION_DENIED: "PERMISSION_DENIED",
  LEASE_SUBSET_VIOLATION: "PERMISSION_DENIED",
  JOB_NOT_FOUND: "NOT_FOUND",
  DUPLICATE_KEY: "ALREADY_EXISTS",
  AGENT_NOT_AVAILABLE: "NOT_FOUND",
  AGENT_VERSION_NOT_AVAILABLE: "NOT_FOUND",
  CANCELLED: "CANCELLED",
  TIMEOUT: "DEADLINE_EXCEEDED",
  RESUME_WINDOW_EXPIRED: "DATA_LOSS",
  HEARTBEAT_LOST: "HEARTBEAT_LOST",
  LEASE_EXPIRED: "LEASE_EXPIRED",
  BUDGET_EXHAUSTED: "RESOURCE_EXHAUSTED",
  INVALID_REQUEST: "INVALID_ARGUMENT",
  UNAUTHENTICATED: "UNAUTHENTICATED",
  INTERNAL_ERROR: "INTERNAL",
};

/** Do the two codes stand for each other, so that neither has to be kept beside the other? */
const isPair = (code: ErrorCode, code10: ErrorCode10): boolean =>
  SPELLED[code] === code10 && FACTS[code10].nearest === code;

/** `code` as RFC §18.2 spells it: `RATE_LIMITED` is `RESOURCE_EXHAUSTED`. */
const canonical = (code: string): string => (code === "RATE_LIMITED" ? "RESOURCE_EXHAUSTED" : code);

/** What `retryable` is for an error that does not say (RFC §18.3): a code outside the table is not retryable. */
export const isRetryableByDefault10 = (code: string): boolean => {
  const known = canonical(code);
  if (isErrorCode10(known)) return FACTS[known].retryable;
  return isErrorCode(known) && ERROR_FACTS[known].retryable;
};

/** Says beside a code that is always retryable on wire 1.1 that this error is not. */
const NO_RETRY = { retry: "never" };

/**
 * A failure with a code of wire 1.0 that no class of `@arcp/core` stands for: `UNAVAILABLE`, `FAILED_PRECONDITION`, … Its
 * `code` is the nearest one of wire 1.1; `details.code` keeps the one that it was made with, which wire 1.0 sends.
 */
export class CanonicalError extends ARCPError {
  /** The code of wire 1.0 (RFC §18.2). */
  readonly canonicalCode: ErrorCode10;

  constructor(code: ErrorCode10, message: string, options: ARCPErrorOptions = {}) {
    const { nearest } = FACTS[code];
    const retryable = options.retryable ?? FACTS[code].retryable;
    const kept = isPair(nearest, code) ? {} : { code };
    const isOverruled = !retryable && ERROR_FACTS[nearest].retryable && ERROR_FACTS[nearest].fixed;
    const details = { ...options.details, ...kept, ...(isOverruled ? NO_RETRY : {}) };
    super(nearest, message, { ...options, retryable, ...(Object.keys(details).length > 0 && { details }) });
    this.canonicalCode = code;
    Object.defineProperty(this, "retryable", { value: retryable });
  }
}

/** The error of a `nack`, `tool.error`, `job.failed`, … as it is sent (RFC §18.1). */
export interface ErrorPayload10 {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: ErrorCause10 | undefined;
  readonly trace_id?: string | undefined;
}

/** An error that led to another. */
export interface ErrorCause10 {
  readonly code: string;
  readonly message: string;
  readonly cause?: ErrorCause10 | undefined;
}

/** How many causes below an error are sent and read. */
const MAX_CAUSES = 4;

interface Spelling {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>> | undefined;
}

/** `details` without the members named, or `undefined` if nothing is left. */
function without(details: Readonly<Record<string, unknown>>, ...names: readonly string[]): Spelling["details"] {
  const rest = Object.entries(details).filter(([name]) => !names.includes(name));
  return rest.length === 0 ? undefined : Object.fromEntries(rest);
}

/** The code of wire 1.0 for an error of this project, and its details without the code kept for that, or with one. */
function spell({ code, details }: Pick<ARCPError, "code" | "details">): Spelling {
  const kept = details?.["code"];
  if (isErrorCode(code)) {
    if (typeof kept === "string" && details !== undefined && isErrorCode10(kept) && FACTS[kept].nearest === code) {
      return { code: kept, details: without(details, "code", "retry") };
    }
    const spelled = SPELLED[code];
    return { code: spelled, details: isPair(code, spelled) ? details : { ...details, code } };
  }
  const known = canonical(code);
  if (isErrorCode10(known) || isNamespaced(known)) return { code: known, details };
  return { code: "UNKNOWN", details: { ...details, code } };
}

/** The code that wire 1.0 has for `error` (RFC §18.2). */
export const codeOf10 = (error: ARCPError): string => spell(error).code;

/** What is sent of the causes of an error: codes and messages of the protocol's own errors, nothing of others. */
function causeOf(error: Error, depth = 1): ErrorCause10 | undefined {
  const { cause } = error;
  if (cause === undefined || depth > MAX_CAUSES) return undefined;
  const own =
    cause instanceof ARCPError
      ? { code: spell(cause).code, message: cause.message }
      : { code: "INTERNAL", message: "internal error" };
  const next = cause instanceof Error ? causeOf(cause, depth + 1) : undefined;
  return next === undefined ? own : { ...own, cause: next };
}

/**
 * The payload of wire 1.0 for anything thrown (RFC §18.1): its code of wire 1.0, message, `retryable`, details and causes,
 * never a stack. What is not an {@link ARCPError} becomes `INTERNAL` with a message that gives nothing away.
 */
export function errorToV10(thrown: unknown, traceId?: string): ErrorPayload10 {
  const error = ARCPError.from(thrown);
  const { code, details } = spell(error);
  const cause = causeOf(error);
  return {
    code,
    message: error.message,
    // The codes of wire 1.1 that are always retryable say so beside them.
    retryable: error.retryable && error.details?.["retry"] !== NO_RETRY.retry,
    ...(details === undefined ? {} : { details }),
    ...(cause === undefined ? {} : { cause }),
    ...(traceId === undefined ? {} : { trace_id: traceId }),
  };
}

/** A cause as a peer sends it. */
interface ReceivedCause {
  readonly code: string;
  readonly message: string;
  readonly cause?: unknown;
}

/** The members of an error as peers send them: `reason` is another SDK's name for `message`. */
export const errorShape10 = {
  code: z.string().min(1).max(256).transform(canonical),
  message: absentOr(z.string()),
  reason: absentOr(z.string()).catch(undefined),
  retryable: absentOr(z.boolean()),
  details: absentOr(jsonObject).catch(undefined),
  cause: z.unknown().optional(),
  trace_id: absentOr(z.string()).catch(undefined),
};

/** What {@link errorShape10} read, with one name for the message and `retryable` by default (RFC §18.3). */
export const errorMembers = (read: z.infer<z.ZodObject<typeof errorShape10>>) => ({
  code: read.code,
  message: read.message ?? read.reason ?? "",
  retryable: read.retryable ?? isRetryableByDefault10(read.code),
  details: read.details,
  cause: read.cause ?? undefined,
  trace_id: read.trace_id,
});

/** An error payload as it is read, with what the sender left out filled in. */
export type ReceivedError10 = ReturnType<typeof errorMembers>;

export const errorPayload10 = z.object(errorShape10).transform(errorMembers);

function receivedCause(value: unknown): ReceivedCause | undefined {
  const read = z.object({ code: z.string(), message: z.string(), cause: z.unknown().optional() }).safeParse(value);
  return read.success ? read.data : undefined;
}

/** What {@link errorFromV10} needs of a payload. */
export interface ErrorPayloadLike10 {
  readonly code: string;
  readonly message?: string | undefined;
  readonly retryable?: boolean | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  readonly cause?: unknown;
}

/**
 * The typed error for a payload of wire 1.0: the class that stands for its code; {@link CanonicalError} when none does; a
 * plain {@link ARCPError} for a code that is not canonical. `retryable` is the sender's word (RFC §18.3 if it gave none).
 */
export function errorFromV10(payload: ErrorPayloadLike10): ARCPError {
  return errorAt(payload, 0);
}

function errorAt(payload: ErrorPayloadLike10, depth: number): ARCPError {
  const below = depth < MAX_CAUSES ? receivedCause(payload.cause) : undefined;
  const error = withoutCause(payload);
  if (below !== undefined) Object.defineProperty(error, "cause", { value: errorAt(below, depth + 1), writable: true });
  return error;
}

function withoutCause({ code: sent, message = "", details, retryable: said }: ErrorPayloadLike10): ARCPError {
  const code = canonical(sent);
  const retryable = said ?? isRetryableByDefault10(code);
  const kept = details?.["code"];
  if (details !== undefined && typeof kept === "string") {
    const isOurs = isErrorCode(kept) ? SPELLED[kept] === code : code === "UNKNOWN" && !isErrorCode10(kept);
    if (isOurs) return errorFromWire({ code: kept, message, retryable, details: without(details, "code") });
  }
  if (!isErrorCode10(code)) return errorFromWire({ code, message, retryable, details });
  const { nearest } = FACTS[code];
  if (isPair(nearest, code)) return errorFromWire({ code: nearest, message, retryable, details });
  return new CanonicalError(code, message, { retryable, ...(details && { details }) });
}
