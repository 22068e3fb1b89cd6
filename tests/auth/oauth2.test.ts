import { UnauthenticatedError } from "@arcp/core";
import { type OAuth2Options, oauth2Verifier, type TokenScheme } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";
import { huge, IssuerServer, json, redirectTo, silent, stalled } from "./issuer-server.ts";

interface Setting extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly issuer: IssuerServer;
  readonly scheme: TokenScheme;
  verify(token: string): ReturnType<TokenScheme["bearer"]["verify"]>;
}

const seconds = (clock: ManualClock): number => clock.now() / 1000;
const NOW = seconds(new ManualClock());

async function setting(answer: unknown = { active: true, sub: "alice" }, options: Partial<OAuth2Options> = {}) {
  const clock = new ManualClock();
  const issuer = await IssuerServer.start(json(answer));
  const scheme = oauth2Verifier({
    introspectionEndpoint: issuer.url,
    clientId: "runtime:1",
    clientSecret: "s&cret ü",
    clock,
    ...options,
  });
  return {
    ...{ clock, issuer, scheme },
    verify: (token: string) => scheme.bearer.verify(token),
    [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose](),
  } satisfies Setting;
}

test("the issuer is asked who a token speaks for, by a runtime that says who it is", async () => {
  covers("V10-8.2-04", "V10-8.2-08");
  await using it = await setting({ active: true, sub: "alice", exp: NOW + 600, iat: NOW, nbf: NOW });
  expect(await it.verify("tok-1/a+b==")).toMatchObject({ principal: "alice", expiresAt: it.clock.now() + 600_000 });
  const [request] = it.issuer.requests;
  expect(request).toMatchObject({ method: "POST", url: "/issuer" });
  expect(request?.headers).toMatchObject({
    // RFC 6749 §2.3.1: each part form-encoded.
    authorization: `Basic ${btoa("runtime%3A1:s%26cret+%C3%BC")}`,
    "content-type": "application/x-www-form-urlencoded",
    accept: "application/json",
  });
  expect(Object.fromEntries(new URLSearchParams(request?.body))).toEqual({
    token: "tok-1/a+b==",
    token_type_hint: "access_token",
  });
});

test("the principal and its level are what the issuer says", async () => {
  await using it = await setting(
    { active: true, sub: "7", username: "alice", scope: "a admin" },
    { principalClaim: "username", trustLevel: ({ scope }) => (scope === "a admin" ? "privileged" : "constrained") },
  );
  expect(await it.verify("token")).toMatchObject({ principal: "alice", trustLevel: "privileged" });
});

const STRICT: Partial<OAuth2Options> = {
  audience: ["runtime", "https://runtime.example.com"],
  issuer: "https://issuer.example.com",
  scopes: ["arcp", "jobs:write"],
};
const GOOD = {
  active: true,
  sub: "alice",
  aud: ["other", "runtime"],
  iss: "https://issuer.example.com",
  scope: "openid arcp jobs:write",
};

test("audience, issuer and scopes are those that are asked for", async () => {
  await using it = await setting(GOOD, STRICT);
  expect(await it.verify("token")).toMatchObject({ principal: "alice" });
});

const REFUSED: readonly (readonly [what: string, reason: string, answer: unknown])[] = [
  ["nothing", "not active", {}],
  ["that it is not active", "not active", { ...GOOD, active: false }],
  ["that it is active, as text", "not active", { ...GOOD, active: "true" }],
  ["that it is active, as a number", "not active", { ...GOOD, active: 1 }],
  ["no subject", "no principal", { ...GOOD, sub: undefined }],
  ["a subject that is a number", "no principal", { ...GOOD, sub: 7 }],
  ["an end that is text", "exp is no time", { ...GOOD, exp: "9999999999" }],
  ["a beginning in the future", "nbf is in the future", { ...GOOD, nbf: NOW + 6 }],
  ["an issue in the future", "iat is in the future", { ...GOOD, iat: NOW + 6 }],
  ["another audience", "somebody else", { ...GOOD, aud: "runtime.evil.test" }],
  ["no audience", "somebody else", { ...GOOD, aud: undefined }],
  ["another issuer", "another issuer", { ...GOOD, iss: "https://issuer.example.org" }],
  ["too few scopes", "lacks a scope", { ...GOOD, scope: "arcp jobs:writer" }],
  ["no scopes", "lacks a scope", { ...GOOD, scope: undefined }],
  ["scopes that are a list", "lacks a scope", { ...GOOD, scope: ["arcp", "jobs:write"] }],
  ["that it is bound to a key", "bound to a key", { ...GOOD, cnf: { "x5t#S256": "AA" } }],
];

describe("a token is not valid of which the issuer says", () => {
  test.each(REFUSED)("%s, and is asked about every time", async (_what, reason, answer) => {
    await using it = await setting(answer, { ...STRICT, refusalSeconds: 0 });
    for (const asked of [1, 2]) {
      const failure = await failureOf(it.verify("token"));
      expect(failure).toBeInstanceOf(UnauthenticatedError);
      expect(failure.message).toBe("the token is not valid");
      expect((failure.cause as Error).message).toContain(reason);
      expect(it.issuer.requests).toHaveLength(asked);
    }
  });

  test("that it has ended", async () => {
    await using it = await setting({ ...GOOD, exp: NOW });
    expect((await failureOf(it.verify("token"))).message).toBe("the token has expired");
  });
});

describe("an issuer is of no help that", () => {
  test.each([
    ["has failed", json({ active: true, sub: "alice" }, 503)],
    ["does not know the runtime", json({ active: true, sub: "alice" }, 401)],
    ["answers with a list", json([{ active: true, sub: "alice" }])],
    ["answers with nothing", (_: unknown, response: { end(): void }) => response.end()],
    ["answers with 10 MB", huge(10_000_000, { active: true, sub: "alice" })],
  ])("%s", async (_what, answer) => {
    await using it = await setting();
    it.issuer.answer = answer;
    expect(await failureOf(it.verify("token"))).not.toBeInstanceOf(UnauthenticatedError);
    it.issuer.answer = json({ active: true, sub: "alice" });
    expect(await it.verify("token")).toMatchObject({ principal: "alice" });
  });

  test("sends the runtime elsewhere, which hears neither of the token nor of the secret", async () => {
    await using elsewhere = await IssuerServer.start(json({ active: true, sub: "mallory" }));
    await using it = await setting();
    it.issuer.answer = redirectTo(elsewhere.url);
    expect(await failureOf(it.verify("token"))).not.toBeInstanceOf(UnauthenticatedError);
    expect(elsewhere.requests).toEqual([]);
  });

  test.each([
    ["says nothing", silent],
    ["says no more than the beginning", stalled],
  ])("%s for four seconds", async (_what, answer) => {
    await using it = await setting();
    it.issuer.answer = answer;
    const arrival = it.issuer.arrival();
    const failure = failureOf(it.verify("token"));
    await arrival;
    it.clock.advance(4_000);
    expect((await failure).name).toBe("TimeoutError");
    expect(it.clock.pending).toBe(0);
  });
});

test("what is no token is not asked about", async () => {
  await using it = await setting();
  for (const token of ["", "two words", "line\nbreak", "ü", "a".repeat(1024 * 1024)]) {
    expect(await failureOf(it.verify(token))).toBeInstanceOf(UnauthenticatedError);
  }
  expect(it.issuer.requests).toEqual([]);
});

describe("an answer is used again", () => {
  test("for half a minute, by everybody who shows the token", async () => {
    await using it = await setting();
    await Promise.all(Array.from({ length: 20 }, () => it.verify("token")));
    it.clock.advance(29_999);
    await it.verify("token");
    expect(it.issuer.requests).toHaveLength(1);
    it.clock.advance(1);
    await it.verify("token");
    await it.verify("another");
    expect(it.issuer.requests).toHaveLength(3);
  });

  test("never after the token's end", async () => {
    await using it = await setting({ active: true, sub: "alice", exp: NOW + 10 });
    await it.verify("token");
    it.clock.advance(9_999);
    await it.verify("token");
    expect(it.issuer.requests).toHaveLength(1);
    it.clock.advance(1);
    expect((await failureOf(it.verify("token"))).message).toBe("the token has expired");
    expect(it.issuer.requests).toHaveLength(2);
  });

  test("for a bounded number of tokens: the one asked about longest ago goes first", async () => {
    await using it = await setting(undefined, { maxCached: 2 });
    for (const token of ["one", "two", "three", "two", "three"]) await it.verify(token);
    expect(it.issuer.requests).toHaveLength(3);
    await it.verify("one");
    expect(it.issuer.requests).toHaveLength(4);
  });

  test("never, if so configured", async () => {
    await using it = await setting(undefined, { cacheSeconds: 0 });
    await it.verify("token");
    await it.verify("token");
    expect(it.issuer.requests).toHaveLength(2);
  });
});

test("a token that was withdrawn is found out by asking again, and not used from memory any more", async () => {
  await using it = await setting();
  const identity = await it.verify("token");
  expect(identity.revalidateAfterMs).toBe(60_000);
  const { signal } = new AbortController();
  expect(await identity.isRevoked?.(signal)).toBe(false);
  it.issuer.answer = json({ error: "down" }, 503);
  await expect(identity.isRevoked?.(signal)).rejects.toThrow("HTTP 503");
  it.issuer.answer = json({ active: false });
  expect(await identity.isRevoked?.(signal)).toBe(true);
  expect(await failureOf(it.verify("token"))).toBeInstanceOf(UnauthenticatedError);
});

test("a connection of wire 1.1 ends within a minute of the withdrawal, and not because the issuer is down", async () => {
  await using it = await setting();
  const { clock } = it;
  await using harness = startHarness({ server: { clock, bearer: it.scheme.bearer } });
  const client = await harness.rawSession([]);
  const timers = clock.pending;
  it.issuer.answer = json({}, 503);
  const asked = it.issuer.arrival();
  clock.advance(60_000);
  await asked;
  // The answer has come when nobody waits for it any more: the next question is asked a minute later.
  await expect.poll(() => clock.pending).toBe(timers);
  expect(client.transport.isClosed).toBe(false);
  it.issuer.answer = json({ active: false });
  const refusal = client.next("session.error");
  clock.advance(59_999);
  expect(it.issuer.requests).toHaveLength(2);
  clock.advance(1);
  expect((await refusal).payload).toMatchObject({ code: "UNAUTHENTICATED", message: "the credential was withdrawn" });
  await client.transport.closed;
  expect(it.issuer.requests).toHaveLength(3);
});

test("options that cannot be right are refused at once", () => {
  const options = { introspectionEndpoint: "https://issuer.example.com/introspect", clientId: "a", clientSecret: "b" };
  expect(() => oauth2Verifier(options)).not.toThrow();
  const wrong: Partial<OAuth2Options>[] = [
    { introspectionEndpoint: "http://issuer.example.com/introspect" },
    { introspectionEndpoint: "https://user@issuer.example.com/introspect" },
    { introspectionEndpoint: "issuer" },
    { clientId: "" },
    { clientSecret: "" },
    { cacheSeconds: -1 },
    { cacheSeconds: 3600 },
    { revalidateSeconds: 0 },
  ];
  for (const one of wrong) {
    expect(() => oauth2Verifier({ ...options, ...one }), JSON.stringify(one)).toThrow(TypeError);
  }
});

test("a refusal is used again for two seconds, and a failure never", async () => {
  await using it = await setting({ active: false });
  await failureOf(it.verify("token"));
  await failureOf(it.verify("token"));
  expect(it.issuer.requests).toHaveLength(1);
  await failureOf(it.verify("another"));
  expect(it.issuer.requests).toHaveLength(2);
  it.clock.advance(2_000);
  it.issuer.answer = json({ active: true, sub: "alice" }, 503);
  await failureOf(it.verify("token"));
  it.issuer.answer = json({ active: true, sub: "alice" });
  expect(await it.verify("token")).toMatchObject({ principal: "alice" });
});

test.each([-1, 11, Number.NaN])("refusals are not used again for %s seconds", async (refusalSeconds) => {
  await expect(setting({}, { refusalSeconds })).rejects.toThrow("refusalSeconds");
});
