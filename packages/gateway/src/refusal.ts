/** How errors look in each API: one table from the gateway's errors to statuses and words. */
import {
  type ARCPError,
  type ARCPErrorOptions,
  InternalError,
  InvalidRequestError,
  PermissionDeniedError,
  TimeoutError,
  UnauthenticatedError,
} from "@arcp/core";
import type { Api } from "./routes.ts";

interface Words {
  readonly status: number;
  readonly code: string;
  readonly openai: string;
  readonly anthropic: string;
}

const words = (status: number, code: string, anthropic: string, openai: string = anthropic): Words => ({
  status,
  code,
  openai,
  anthropic,
});

/**
 * By ARCP code. A client library tries again after 408, 409, 429 and 5xx, so what is final has none of these: a budget
 * is 402, "payment required".
 */
const BY_CODE: Readonly<Record<string, Words>> = {
  UNAUTHENTICATED: words(401, "invalid_api_key", "authentication_error"),
  BUDGET_EXHAUSTED: words(402, "BUDGET_EXHAUSTED", "billing_error", "insufficient_quota"),
  LEASE_EXPIRED: words(403, "LEASE_EXPIRED", "permission_error"),
  PERMISSION_DENIED: words(403, "model_not_permitted", "permission_error"),
  CANCELLED: words(499, "CANCELLED", "invalid_request_error"),
  INVALID_REQUEST: words(400, "INVALID_REQUEST", "invalid_request_error"),
  TIMEOUT: words(408, "TIMEOUT", "timeout_error"),
  INTERNAL_ERROR: words(500, "INTERNAL_ERROR", "api_error", "server_error"),
};

/** By what `details.reason` says, which is more exact. */
const BY_REASON = {
  no_such_endpoint: words(404, "not_found", "not_found_error", "invalid_request_error"),
  unknown_model: words(404, "model_not_found", "not_found_error", "invalid_request_error"),
  unknown_key: words(404, "key_not_found", "not_found_error"),
  body_too_large: words(413, "request_too_large", "request_too_large", "invalid_request_error"),
  body_too_slow: words(408, "request_timeout", "timeout_error"),
  too_many_requests: words(429, "rate_limit_exceeded", "rate_limit_error"),
  feature_not_permitted: words(403, "feature_not_permitted", "permission_error"),
  no_price: words(403, "model_not_permitted", "permission_error"),
  cost_unbounded: words(403, "cost_unbounded", "permission_error"),
  upstream_unavailable: words(502, "upstream_unavailable", "api_error", "server_error"),
  upstream_refused_gateway: words(502, "upstream_refused_gateway", "api_error", "server_error"),
  shutting_down: words(503, "shutting_down", "overloaded_error", "server_error"),
} as const satisfies Record<string, Words>;

export type Reason = keyof typeof BY_REASON;

type Facts = Readonly<Record<string, unknown>>;

const because = (reason: Reason, facts: Facts = {}): ARCPErrorOptions => ({ details: { reason, ...facts } });

export const refusedRequest = (reason: Reason, message: string, facts?: Facts): InvalidRequestError =>
  new InvalidRequestError(message, because(reason, facts));

export const refusedPermission = (reason: Reason, message: string, facts?: Facts): PermissionDeniedError =>
  new PermissionDeniedError(message, because(reason, facts));

export const malformed = (message: string): InvalidRequestError => new InvalidRequestError(message);

export const invalidKey = (): UnauthenticatedError => new UnauthenticatedError("the API key is not valid");

/** Why a request ends whose key has been revoked. */
export const revoked = (): UnauthenticatedError => new UnauthenticatedError("the API key was revoked");

export const tooSlow = (): TimeoutError =>
  new TimeoutError("the request took too long to arrive", because("body_too_slow"));

export const tooManyRequests = (max: number): InternalError =>
  new InternalError(`this key has ${max} requests under way`, because("too_many_requests"));

/** Something between the gateway and the upstream. The cause is logged and not sent. */
export const upstreamFault = (reason: Reason, message: string, cause?: unknown): InternalError =>
  new InternalError(message, { ...because(reason), cause });

export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * `error` as `api` says it. `error.arcp` in the body is the error as ARCP says it (§12), for whoever can read that;
 * `error.code` is its code where no client library has a word of its own.
 */
export function refusalOf(error: ARCPError, api: Api): Refusal {
  const { status, code, ...type } = wordsOf(error);
  const { message } = error;
  const arcp = error.toWire();
  const body =
    api === "openai"
      ? { error: { message, type: type.openai, param: null, code, arcp } }
      : { type: "error", error: { type: type.anthropic, message, code, arcp } };
  const mayRetry = status === 408 || status === 429 || status >= 500;
  return {
    status,
    headers: { "content-type": "application/json", "x-should-retry": String(mayRetry) },
    body: JSON.stringify(body),
  };
}

function wordsOf(error: ARCPError): Words {
  const reason = error.details?.["reason"];
  if (typeof reason === "string" && Object.hasOwn(BY_REASON, reason)) return BY_REASON[reason as Reason];
  return (Object.hasOwn(BY_CODE, error.code) ? BY_CODE[error.code] : undefined) ?? words(500, error.code, "api_error");
}
