import { type ARCPError, createLogger, type Identity, StaticBearerVerifier, UnauthenticatedError } from "@arcp/core";
import { errorToV10 } from "@arcp/core/v1.0";
import {
  AttemptsExhaustedError,
  AuthGate,
  AuthSchemes,
  anonymousIdentity,
  bearerVerifier,
  hmacVerifier,
  type SchemeVerifier,
} from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";
import { shown } from "./requests.ts";

const tokens = new StaticBearerVerifier(
  new Map<string, Identity>([
    ["token-alice", { principal: "alice" }],
    ["token-admin", { principal: "admin", trustLevel: "privileged" }],
    ["token-old", { principal: "alice", expiresAt: Date.UTC(2026, 0, 1) }],
  ]),
);

function setting(...verifiers: SchemeVerifier[]) {
  const clock = new ManualClock();
  const logs: string[] = [];
  const gate = new AuthGate({ clock, logger: createLogger((line) => logs.push(line), "error") });
  return { clock, logs, schemes: new AuthSchemes([bearerVerifier(tokens), ...verifiers], { clock, gate }) };
}

const failing: SchemeVerifier = {
  scheme: "oauth2",
  verify: async () => {
    throw new Error("the identity provider at 10.0.0.7 is down");
  },
};

describe("a bearer token", () => {
  test("speaks for whom the trust store says, whatever the client says of itself", async () => {
    covers("V10-8.2-01", "V10-8.2-08");
    const { schemes } = setting();
    const params = { scheme: "bearer", token: "token-alice", principal: "admin" };
    expect(await schemes.verify(shown("bearer", { token: "token-alice", params }))).toEqual({
      outcome: "verified",
      identity: { principal: "alice", trustLevel: "trusted" },
    });
  });

  test("may stand for more or less trust than others", async () => {
    const { schemes } = setting();
    expect(await schemes.verify(shown("bearer", { token: "token-admin" }))).toMatchObject({
      identity: { principal: "admin", trustLevel: "privileged" },
    });
    expect(anonymousIdentity("guest")).toEqual({ principal: "guest", trustLevel: "untrusted" });
  });

  test.each([
    ["is missing", undefined, "a token is required"],
    ["is empty", "", "a token is required"],
    ["is wrong", "token-mallory", "the bearer token is not valid"],
    ["has expired", "token-old", "the token has expired"],
  ])("that %s is refused", async (_what, token, message) => {
    covers("V10-8.2-01");
    const failure = await failureOf(setting().schemes.verify(shown("bearer", { token })));
    expect(failure).toBeInstanceOf(UnauthenticatedError);
    expect(failure.message).toBe(message);
  });
});

describe("a scheme", () => {
  test.each(["none", "basic", "Bearer", "mtls", "", "constructor"])(
    "%s that nobody verifies is not implemented",
    async (scheme) => {
      covers("V10-8.2-07");
      const failure = await failureOf(setting(failing).schemes.verify(shown(scheme, { token: "token-alice" })));
      expect(errorToV10(failure)).toEqual({
        code: "UNIMPLEMENTED",
        message: "the authentication scheme is not supported",
        retryable: false,
        details: { scheme, supported: ["bearer", "oauth2"] },
      });
      expect((failure as ARCPError).code).toBe("INVALID_REQUEST");
    },
  );

  test("has one verifier, and none has none", () => {
    expect(setting(failing).schemes.schemes).toEqual(["bearer", "oauth2"]);
    expect(() => setting(failing, failing)).toThrow(TypeError);
    expect(() => setting({ ...failing, scheme: "none" })).toThrow(TypeError);
  });

  test("whose verifier fails lets nobody in, and gives nothing away", async () => {
    const { schemes, logs } = setting(failing);
    const failure = await failureOf(schemes.verify(shown("oauth2", { token: "token" })));
    expect(failure).toBeInstanceOf(UnauthenticatedError);
    expect(errorToV10(failure)).toEqual({
      code: "UNAUTHENTICATED",
      message: "the credential could not be verified",
      retryable: true,
    });
    expect(logs).toHaveLength(1);
    expect(logs[0]).toContain("10.0.0.7");
  });
});

test("a wrong answer to a challenge counts like a wrong token, and so do both together", async () => {
  const { schemes, clock } = setting(
    hmacVerifier({
      scheme: "x-vendor.acme.hmac",
      secrets: new Map([["key", { secret: "a secret that nobody can guess, ever", identity: { principal: "alice" } }]]),
      clock: new ManualClock(),
    }),
  );
  const challenged = () => schemes.verify(shown("x-vendor.acme.hmac", { token: "key" }));
  for (let n = 0; n < 19; n += 1) {
    const verdict = await challenged();
    if (verdict.outcome !== "challenged") throw new Error("there was no challenge");
    expect(await failureOf(verdict.challenge.answer("0".repeat(64)))).toBeInstanceOf(UnauthenticatedError);
  }
  const last = await challenged();
  if (last.outcome !== "challenged") throw new Error("there was no challenge");
  expect(await failureOf(schemes.verify(shown("bearer", { token: "guess" })))).toBeInstanceOf(UnauthenticatedError);
  expect(await failureOf(last.challenge.answer("0".repeat(64)))).toBeInstanceOf(AttemptsExhaustedError);
  expect(await failureOf(challenged())).toBeInstanceOf(AttemptsExhaustedError);
  clock.advance(1_000);
  expect(await challenged()).toMatchObject({ outcome: "challenged" });
});
