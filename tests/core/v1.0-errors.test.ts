import {
  ARCPError,
  BudgetExhaustedError,
  ERROR_CODES,
  type ErrorCode,
  errorFromWire,
  InternalError,
  InvalidRequestError,
  JobNotFoundError,
  PermissionDeniedError,
  ResumeWindowExpiredError,
  TimeoutError,
} from "@arcp/core";
import {
  CanonicalError,
  codeOf10,
  decodeRuntimeMessage10,
  ERROR_CODES_10,
  type ErrorCode10,
  errorFromV10,
  errorToV10,
  isErrorCode10,
  isRetryableByDefault10,
} from "@arcp/core/v1.0";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";

/** RFC §18.2, without OK. */
const CODES = [
  ...["CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"],
  ...["PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED"],
  ...["INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED", "HEARTBEAT_LOST", "LEASE_EXPIRED", "LEASE_REVOKED"],
  "BACKPRESSURE_OVERFLOW",
];

/** What each code of wire 1.1 is on wire 1.0. */
const SPELLED: Readonly<Record<ErrorCode, ErrorCode10>> = {
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

const RETRYABLE = ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED"];

/** What a caller can tell an error by. */
const facts = ({ code, message, retryable, details }: ARCPError) => ({ code, message, retryable, details });

/** Details of an agent's own: `code` and `retry` have a meaning of ours. */
/** As JSON makes it: what it has no sign for is gone. */
const sentValue = fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value)));
const details = fc.option(
  fc.dictionary(
    fc.stringMatching(/^[a-z_]{1,12}$/).filter((name) => name !== "code" && name !== "retry"),
    sentValue,
    { minKeys: 1, maxKeys: 4, noNullPrototype: true },
  ),
  { nil: undefined },
);
const message = fc.string({ minLength: 1 });

describe("the codes of wire 1.0", () => {
  test("are the canonical ones, in their order", () => {
    covers("V10-18.2-01");
    expect(ERROR_CODES_10).toEqual(CODES);
    expect(CODES.every(isErrorCode10)).toBe(true);
    expect(["OK", "RATE_LIMITED", "toString", "arcpx.acme.QUOTA_EXCEEDED"].some(isErrorCode10)).toBe(false);
  });

  test("are retryable or not when nobody says", () => {
    covers("V10-18.3-02", "V10-18.3-03");
    expect(CODES.filter(isRetryableByDefault10).sort()).toEqual([...RETRYABLE].sort());
    for (const code of CODES) {
      expect(new CanonicalError(code as ErrorCode10, "m").retryable, code).toBe(RETRYABLE.includes(code));
      expect(errorFromV10({ code, message: "m" }).retryable, code).toBe(RETRYABLE.includes(code));
    }
  });
});

describe("an error on its way to wire 1.0", () => {
  test.each(Object.entries(SPELLED))("%s is %s", (code, spelled) => {
    const error = errorFromWire({ code, message: "m", retryable: false });
    expect(errorToV10(error)).toMatchObject({ code: spelled, message: "m", retryable: false });
    expect(codeOf10(error)).toBe(spelled);
  });

  test("has code, message and retryable, and whatever else there is to say", () => {
    covers("V10-18.1-01");
    const error = new CanonicalError("UNAVAILABLE", "later", { details: { retry_after_seconds: 30 } });
    expect(errorToV10(error, "trace_1")).toEqual({
      code: "UNAVAILABLE",
      message: "later",
      retryable: true,
      details: { retry_after_seconds: 30 },
      trace_id: "trace_1",
    });
    expect(Object.keys(errorToV10(new TimeoutError("late"))).sort()).toEqual(["code", "message", "retryable"]);
  });

  test("keeps a code of a deployment, and never sends another that is not canonical", () => {
    covers("V10-18.2-02", "V10-18.2-04");
    expect(errorToV10(new ARCPError("arcpx.acme.QUOTA_EXCEEDED", "m")).code).toBe("arcpx.acme.QUOTA_EXCEEDED");
    expect(errorToV10(new ARCPError("RATE_LIMITED", "m")).code).toBe("RESOURCE_EXHAUSTED");
    for (const code of ["OK", "ACME_QUOTA", "acme.QUOTA", "x-vendor.acme.QUOTA"]) {
      expect(errorToV10(new ARCPError(code, "m"))).toMatchObject({ code: "UNKNOWN", details: { code } });
    }
  });

  test("says whether a budget or a quota is used up", () => {
    covers("V10-18.3-01");
    expect(errorToV10(new BudgetExhaustedError("m"))).toEqual({
      code: "RESOURCE_EXHAUSTED",
      message: "m",
      retryable: false,
      details: { code: "BUDGET_EXHAUSTED" },
    });
    expect(errorToV10(new CanonicalError("RESOURCE_EXHAUSTED", "m"))).toEqual({
      code: "RESOURCE_EXHAUSTED",
      message: "m",
      retryable: true,
    });
  });

  test("gives nothing away of what is not the protocol's", () => {
    const secret = "canary-4f1d";
    const foreign = new TypeError(`cannot read ${secret}`);
    for (const thrown of [foreign, secret, undefined, new InternalError("failed", { cause: foreign })]) {
      const payload = errorToV10(thrown);
      expect(JSON.stringify(payload)).not.toContain(secret);
      expect(payload.code).toBe("INTERNAL");
    }
    expect(errorToV10(foreign).cause).toEqual({ code: "INTERNAL", message: "internal error" });
  });

  test("brings at most four causes, by code and message", () => {
    covers("V10-18.1-01");
    const chain = (depth: number): ARCPError =>
      new JobNotFoundError(`level ${depth}`, { details: { depth }, ...(depth > 0 && { cause: chain(depth - 1) }) });
    const named = (level: number) => ({ code: "NOT_FOUND", message: `level ${level}` });
    expect(errorToV10(chain(9)).cause).toEqual({
      ...named(8),
      cause: { ...named(7), cause: { ...named(6), cause: named(5) } },
    });
    const loop = new TimeoutError("round");
    Object.defineProperty(loop, "cause", { value: loop });
    expect(JSON.stringify(errorToV10(loop)).match(/DEADLINE_EXCEEDED/g)).toHaveLength(5);
  });
});

describe("an error from wire 1.0", () => {
  test.each([
    ["INVALID_ARGUMENT", InvalidRequestError],
    ["NOT_FOUND", JobNotFoundError],
    ["DEADLINE_EXCEEDED", TimeoutError],
    ["DATA_LOSS", ResumeWindowExpiredError],
    ["INTERNAL", InternalError],
    ["PERMISSION_DENIED", PermissionDeniedError],
    ["UNAVAILABLE", CanonicalError],
    ["UNIMPLEMENTED", CanonicalError],
    ["LEASE_REVOKED", CanonicalError],
    ["RESOURCE_EXHAUSTED", CanonicalError],
  ])("%s is a %o", (code, type) => {
    const error = errorFromV10({ code, message: "m" });
    expect(error).toBeInstanceOf(type);
    expect(codeOf10(error)).toBe(code);
  });

  test("may be an alias, or a code of wire 1.1", () => {
    covers("V10-18.2-03");
    expect(codeOf10(errorFromV10({ code: "RATE_LIMITED" }))).toBe("RESOURCE_EXHAUSTED");
    expect(errorFromV10({ code: "RATE_LIMITED" }).retryable).toBe(true);
    for (const code of ERROR_CODES) {
      const error = errorFromV10({ code, message: "m" });
      expect(codeOf10(error), code).toBe(isErrorCode10(code) ? code : SPELLED[code]);
    }
    expect(errorFromV10({ code: "BUDGET_EXHAUSTED" })).toBeInstanceOf(BudgetExhaustedError);
  });

  test("brings its causes", () => {
    const payload = {
      code: "ABORTED",
      message: "m",
      cause: { code: "NOT_FOUND", message: "below", cause: { code: "arcpx.acme.GONE", message: "deep" } },
    };
    const error = errorFromV10(payload);
    expect(error.cause).toBeInstanceOf(JobNotFoundError);
    expect(errorToV10(error)).toEqual({ ...payload, retryable: true });
    for (const cause of [null, "text", { code: 3 }, { message: "m" }]) {
      expect(errorFromV10({ code: "ABORTED", cause }).cause).toBeUndefined();
    }
    const endless = (depth: number): object => ({
      code: "ABORTED",
      message: "m",
      ...(depth > 0 && { cause: endless(depth - 1) }),
    });
    const depthOf = (cause: unknown): number => (cause instanceof Error ? 1 + depthOf(cause.cause) : 0);
    expect(depthOf(errorFromV10({ code: "ABORTED", cause: endless(5_000) }).cause)).toBe(4);
  });

  test("is what the payload of any message gives", () => {
    const message = decodeRuntimeMessage10({
      arcp: "1.0",
      id: "msg_1",
      type: "nack",
      timestamp: "2026-05-09T14:00:00Z",
      payload: { code: "RATE_LIMITED", message: "m", details: { retry_after_seconds: 30 }, cause: null },
    });
    if (message.type !== "nack") throw new Error("not a nack");
    expect(facts(errorFromV10(message.payload))).toEqual({
      code: "INTERNAL_ERROR",
      message: "m",
      retryable: true,
      details: { retry_after_seconds: 30, code: "RESOURCE_EXHAUSTED" },
    });
  });
});

describe("nothing is lost", () => {
  test("of an error of wire 1.1 that goes over wire 1.0", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...ERROR_CODES), fc.stringMatching(/^[A-Z][A-Z_]{2,20}$/)),
        message,
        fc.boolean(),
        details,
        (code, message, retryable, details) => {
          fc.pre(!isErrorCode10(code) || (ERROR_CODES as readonly string[]).includes(code));
          fc.pre(code !== "RATE_LIMITED");
          const error = errorFromWire({ code, message, retryable, details });
          const sent = JSON.parse(JSON.stringify(errorToV10(error)));
          expect(isErrorCode10(sent.code)).toBe(true);
          const back = errorFromV10(sent);
          expect(facts(back)).toEqual(facts(error));
          expect(back.constructor).toBe(error.constructor);
        },
      ),
    );
  });

  test("of an error of wire 1.0 that goes through the engine and its store", () => {
    covers("V10-18.2-01", "V10-18.3-01");
    fc.assert(
      fc.property(
        fc.oneof(fc.constantFrom(...ERROR_CODES_10), fc.constant("arcpx.acme.QUOTA_EXCEEDED")),
        message,
        fc.boolean(),
        details,
        (code, message, retryable, details) => {
          // INTERNAL is always retryable on wire 1.1, which `details.retry` overrules.
          fc.pre(code !== "INTERNAL" || retryable);
          fc.pre(code !== "LEASE_EXPIRED" || !retryable);
          const payload = { code, message, retryable, ...(details && { details }) };
          const stored = JSON.parse(JSON.stringify(errorFromV10(payload).toWire()));
          expect(errorToV10(errorFromWire(stored))).toEqual(payload);
          expect(errorToV10(errorFromV10(payload))).toEqual(payload);
        },
      ),
    );
  });
});
