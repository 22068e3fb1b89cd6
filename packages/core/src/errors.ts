/**
 * The error taxonomy (§12): one table of per-code facts, one class per code, one payload shape.
 *
 * Expected failures travel as {@link ErrorPayload}; {@link ARCPError.toWire} and {@link errorFromWire} are the only
 * places where one becomes the other. Causes stay inside the process.
 */

interface CodeFacts {
  /** What `retryable` says unless the thrower knows better. */
  readonly retryable: boolean;
  /** May the wire carry the other value? §12 fixes three codes. */
  readonly fixed: boolean;
  /** The WebSocket close code used when this error ends a connection. */
  readonly closeCode: number;
  /** The HTTP status with the same meaning. */
  readonly httpStatus: number;
}

const facts = (retryable: boolean, closeCode: number, httpStatus: number, fixed = false): CodeFacts => ({
  retryable,
  fixed,
  closeCode,
  httpStatus,
});

/** The fifteen canonical codes and what is true of each. */
export const ERROR_FACTS = {
  PERMISSION_DENIED: facts(false, 4403, 403),
  LEASE_SUBSET_VIOLATION: facts(false, 4403, 403),
  JOB_NOT_FOUND: facts(false, 4404, 404),
  DUPLICATE_KEY: facts(false, 4409, 409),
  AGENT_NOT_AVAILABLE: facts(false, 4404, 404),
  AGENT_VERSION_NOT_AVAILABLE: facts(false, 4404, 404),
  CANCELLED: facts(false, 4499, 499),
  TIMEOUT: facts(true, 4408, 408),
  RESUME_WINDOW_EXPIRED: facts(false, 4410, 410),
  HEARTBEAT_LOST: facts(true, 4408, 408),
  LEASE_EXPIRED: facts(false, 4403, 403, true),
  BUDGET_EXHAUSTED: facts(false, 4402, 402, true),
  INVALID_REQUEST: facts(false, 4400, 400),
  UNAUTHENTICATED: facts(false, 4401, 401),
  INTERNAL_ERROR: facts(true, 4500, 500, true),
} as const satisfies Record<string, CodeFacts>;

/** A canonical error code (§12). */
export type ErrorCode = keyof typeof ERROR_FACTS;

/** The canonical codes, in the order of the specification's table. */
export const ERROR_CODES = Object.keys(ERROR_FACTS) as readonly ErrorCode[];

/** Is it a canonical code (§12)? */
export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_FACTS, code);

/** The body of `session.error`, of `job.error` (with `final_status`) and of a `tool_result`'s `error`. */
export interface ErrorPayload {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** What an error has beside its code and its message. */
export interface ARCPErrorOptions {
  readonly retryable?: boolean;
  /** Facts for the caller. Sent to the peer: no secrets, no stack. */
  readonly details?: Readonly<Record<string, unknown>>;
  /** Kept in this process, logged, never sent. */
  readonly cause?: unknown;
}

/**
 * The base of every typed failure. `code` is one of {@link ERROR_CODES} for the protocol's own errors; an agent may
 * fail with a code of its own (§12), which passes through unchanged.
 */
export class ARCPError extends Error {
  readonly code: string;
  /** May the same request succeed later? */
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: string, message: string, options: ARCPErrorOptions = {}) {
    super(message === "" ? code : message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    const known = isErrorCode(code) ? ERROR_FACTS[code] : undefined;
    const asked = options.retryable ?? known?.retryable ?? false;
    this.retryable = known?.fixed ? known.retryable : asked;
    this.details = options.details;
  }

  /**
   * The payload to send: code, message, retryable and details. Never a cause or a stack. Where §12 fixes `retryable`, it
   * is the code's, also if the peer that this error came from said otherwise.
   */
  toWire(): ErrorPayload {
    const known = isErrorCode(this.code) ? ERROR_FACTS[this.code] : undefined;
    const retryable = known?.fixed ? known.retryable : this.retryable;
    const payload = { code: this.code, message: this.message, retryable };
    return this.details === undefined ? payload : { ...payload, details: this.details };
  }

  /**
   * Any thrown value as an ARCPError: itself if it is one, otherwise {@link InternalError} with the value as its
   * cause and a message that gives nothing away.
   */
  static from(thrown: unknown): ARCPError {
    if (thrown instanceof ARCPError) return thrown;
    return new InternalError("the operation failed", { cause: thrown });
  }
}

const named = <Code extends ErrorCode>(code: Code) =>
  class extends ARCPError {
    declare readonly code: Code;
    constructor(message: string, options?: ARCPErrorOptions) {
      super(code, message, options);
    }
  };

/** An operation that the lease, or the policy of the runtime, does not cover (§9.3, §7.6). */
export class PermissionDeniedError extends named("PERMISSION_DENIED") {}
/** A delegated lease that is not within its parent's (§9.4). */
export class LeaseSubsetViolationError extends named("LEASE_SUBSET_VIOLATION") {}
/** A job id that does not exist, or that the caller may not know of (§12). */
export class JobNotFoundError extends named("JOB_NOT_FOUND") {}
/** An idempotency key that already stands for other parameters (§7.2). */
export class DuplicateKeyError extends named("DUPLICATE_KEY") {}
/** No agent of that name (§7.5). */
export class AgentNotAvailableError extends named("AGENT_NOT_AVAILABLE") {}
/** The agent exists, that version of it does not (§7.5). */
export class AgentVersionNotAvailableError extends named("AGENT_VERSION_NOT_AVAILABLE") {}
/** The job ended because it was cancelled (§7.4). */
export class CancelledError extends named("CANCELLED") {}
/** The job ran longer than `max_runtime_sec` (§7.3), or a request longer than its deadline. */
export class TimeoutError extends named("TIMEOUT") {}
/** The session, or the range of events asked for, is no longer held (§6.3). */
export class ResumeWindowExpiredError extends named("RESUME_WINDOW_EXPIRED") {}
/** Two heartbeat intervals passed in silence (§6.4). */
export class HeartbeatLostError extends named("HEARTBEAT_LOST") {}
/** The lease's `expires_at` has passed (§9.5). Never retryable. */
export class LeaseExpiredError extends named("LEASE_EXPIRED") {}
/** A budget counter is used up (§9.6). Never retryable. */
export class BudgetExhaustedError extends named("BUDGET_EXHAUSTED") {}
/** A malformed message, or one that is not allowed here (§12). */
export class InvalidRequestError extends named("INVALID_REQUEST") {}
/** Missing or wrong credentials (§6.1). */
export class UnauthenticatedError extends named("UNAUTHENTICATED") {}
/** A fault of the runtime; always retryable on the wire (§12). `details.retry: "never"` says when a retry is useless. */
export class InternalError extends named("INTERNAL_ERROR") {}

const CLASSES: { readonly [Code in ErrorCode]: new (message: string, options?: ARCPErrorOptions) => ARCPError } = {
  PERMISSION_DENIED: PermissionDeniedError,
  LEASE_SUBSET_VIOLATION: LeaseSubsetViolationError,
  JOB_NOT_FOUND: JobNotFoundError,
  DUPLICATE_KEY: DuplicateKeyError,
  AGENT_NOT_AVAILABLE: AgentNotAvailableError,
  AGENT_VERSION_NOT_AVAILABLE: AgentVersionNotAvailableError,
  CANCELLED: CancelledError,
  TIMEOUT: TimeoutError,
  RESUME_WINDOW_EXPIRED: ResumeWindowExpiredError,
  HEARTBEAT_LOST: HeartbeatLostError,
  LEASE_EXPIRED: LeaseExpiredError,
  BUDGET_EXHAUSTED: BudgetExhaustedError,
  INVALID_REQUEST: InvalidRequestError,
  UNAUTHENTICATED: UnauthenticatedError,
  INTERNAL_ERROR: InternalError,
};

/**
 * The typed error for a payload that a peer sent. Unknown codes give a plain {@link ARCPError} with that code.
 * `retryable` is the peer's word; `details.retry: "never"` overrides it, whatever the code.
 */
export function errorFromWire(payload: ErrorPayload): ARCPError {
  const retryable = payload.retryable && payload.details?.["retry"] !== "never";
  const options: ARCPErrorOptions =
    payload.details === undefined ? { retryable } : { retryable, details: payload.details };
  const error = isErrorCode(payload.code)
    ? new CLASSES[payload.code](payload.message, options)
    : new ARCPError(payload.code, payload.message, options);
  if (error.retryable !== retryable) Object.defineProperty(error, "retryable", { value: retryable });
  return error;
}

/** The close code that a connection ended by `error` carries. */
export const closeCodeOf = (error: ARCPError): number =>
  isErrorCode(error.code) ? ERROR_FACTS[error.code].closeCode : 4500;
