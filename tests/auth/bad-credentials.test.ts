/** What is shown in place of good credentials, over real WebSockets, on both wires: one answer, one close code, and no hint. */
import { UnauthenticatedError } from "@arcp/core";
import { bearerVerifier, jwtVerifier, oauth2Verifier } from "@arcp/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BAD_JWTS, Forger } from "../hostile/bad-tokens.ts";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { huge, IssuerServer, json, redirectTo, silent, stalled } from "./issuer-server.ts";
import { AUDIENCE, ISSUER } from "./tokens.ts";

const clock = new ManualClock();
let forger: Forger;
let keys: IssuerServer;
let issuer: IssuerServer;

const claims = (overrides: object = {}): Record<string, unknown> => forger.claims(overrides);

beforeAll(async () => {
  forger = await Forger.create(() => clock.now());
  keys = await IssuerServer.start();
  issuer = await IssuerServer.start();
});

afterAll(async () => {
  await keys[Symbol.asyncDispose]();
  await issuer[Symbol.asyncDispose]();
});

/** A runtime that has never asked anybody. */
async function start(): Promise<Harness> {
  keys.answer = json(await forger.published());
  issuer.answer = json({ active: true, sub: "alice", exp: forger.seconds() + 60 });
  const jwt = jwtVerifier({ audience: AUDIENCE, issuer: ISSUER, jwks: keys.url, clock });
  const oauth2 = oauth2Verifier({
    ...{ introspectionEndpoint: issuer.url, clientId: "runtime", clientSecret: "secret", audience: AUDIENCE, clock },
  });
  return startHarness({
    carrier: "websocket",
    server: { clock, bearer: jwt.bearer, authSchemes: [jwt, oauth2], authAttempts: "unlimited" },
  });
}

interface Refusal {
  readonly code: unknown;
  readonly retryable: unknown;
  readonly message: unknown;
  readonly closed: number;
}

/** Shows a token on a wire. `undefined`: it was let in. */
async function shown(harness: Harness, wire: Wire, scheme: string, token: string): Promise<Refusal | undefined> {
  const auth = { scheme, token };
  const client = wire === "1.1" ? await harness.raw() : await harness.raw10();
  if (wire === "1.1") client.send("session.hello", { client: { name: "raw", version: "1" }, auth });
  else client.send("session.open", { client: { kind: "raw", version: "1" }, auth, capabilities: {} });
  const answer = await client.next("session.welcome", "session.accepted", "session.error", "session.rejected");
  if (answer.type === "session.welcome" || answer.type === "session.accepted") {
    client.transport.abort();
    return undefined;
  }
  const { code, message, retryable } = answer.payload;
  return { code, message, retryable, closed: (await client.transport.closed).code };
}

const refuse = () => Promise.reject(new UnauthenticatedError("the bearer token is not valid"));

const WIRES = ["1.1", "1.0"] as const;
type Wire = (typeof WIRES)[number];

describe.each(WIRES)("on wire %s", (wire) => {
  test("a good token of either kind lets its principal in", async () => {
    await using harness = await start();
    expect(await shown(harness, wire, "signed_jwt", await forger.key.sign(claims()))).toBeUndefined();
    issuer.answer = json({ active: true, sub: "alice", aud: AUDIENCE });
    expect(await shown(harness, wire, "oauth2", "good")).toBeUndefined();
  });

  test.each(BAD_JWTS)("a JWT %s is refused, and the connection ends with 4401", async (_what, make, message) => {
    covers("V10-8.2-05");
    await using harness = await start();
    expect(await shown(harness, wire, "signed_jwt", await make(forger))).toEqual({
      ...{ code: "UNAUTHENTICATED", retryable: false, message, closed: 4401 },
    });
  });

  test("a key that the issuer has begun to use is fetched, after a while", async () => {
    await using harness = await start();
    expect(await shown(harness, wire, "signed_jwt", await forger.key.sign(claims()))).toBeUndefined();
    keys.answer = json({ keys: [await forger.unpublished.jwk()] });
    expect((await shown(harness, wire, "signed_jwt", await forger.unpublished.sign(claims())))?.closed).toBe(4401);
    clock.advance(30_000);
    expect(await shown(harness, wire, "signed_jwt", await forger.unpublished.sign(claims()))).toBeUndefined();
    expect((await shown(harness, wire, "signed_jwt", await forger.key.sign(claims())))?.closed).toBe(4401);
  });

  const NOT_ACTIVE = { code: "UNAUTHENTICATED", retryable: false, message: "the token is not valid", closed: 4401 };
  const UNKNOWN = {
    ...{ code: "UNAUTHENTICATED", retryable: true, message: "the credential could not be verified", closed: 4401 },
  };

  test.each([
    ["says that the token is not active", json({ active: false }), NOT_ACTIVE],
    ["says yes in another word", json({ active: "true", sub: "alice", aud: AUDIENCE }), NOT_ACTIVE],
    ["means somebody else", json({ active: true, sub: "alice", aud: "other" }), NOT_ACTIVE],
    ["names nobody", json({ active: true, aud: AUDIENCE }), NOT_ACTIVE],
    ["fails", json({ active: true, sub: "alice", aud: AUDIENCE }, 500), UNKNOWN],
    ["says 401", json({ active: true, sub: "alice", aud: AUDIENCE }, 401), UNKNOWN],
    ["answers with a list", json([{ active: true, sub: "alice", aud: AUDIENCE }]), UNKNOWN],
    ["sends the runtime elsewhere", redirectTo(new URL("http://127.0.0.1:9/")), UNKNOWN],
    ["never stops", huge(1_000_000, { active: true, sub: "alice", aud: AUDIENCE }), UNKNOWN],
  ])("an introspection endpoint that %s lets nobody in", async (_what, answer, refusal) => {
    covers("V10-8.2-04");
    await using harness = await start();
    issuer.answer = answer;
    expect(await shown(harness, wire, "oauth2", "token")).toEqual(refusal);
  });

  test.each([
    ["does not answer", silent],
    ["stops in the middle of its answer", stalled],
  ])("an issuer that %s lets nobody in, and holds nobody up for longer than its time", async (_what, answer) => {
    await using harness = await start();
    for (const [server, scheme, token] of [
      [keys, "signed_jwt", await forger.key.sign(claims())],
      [issuer, "oauth2", "token"],
    ] as const) {
      server.answer = answer;
      const arrival = server.arrival();
      const refused = shown(harness, wire, scheme, token);
      await arrival;
      clock.advance(4_000);
      expect(await refused).toEqual(UNKNOWN);
    }
  });

  test("a scheme that nobody verifies is refused", async () => {
    covers("V10-8.2-07");
    await using harness = await start();
    const refused = await shown(harness, wire, "kerberos", "token");
    expect(refused?.code).toBe(wire === "1.1" ? "UNAUTHENTICATED" : "UNIMPLEMENTED");
    expect(refused?.closed).toBe(wire === "1.1" ? 4401 : 4400);
  });

  test("an address that was wrong too often is told when to come back, and the connection ends with 4500", async () => {
    await using harness = startHarness({
      carrier: "websocket",
      server: { clock, bearer: bearerVerifier({ verify: refuse }).bearer, authAttempts: { perMinute: 1, burst: 2 } },
    });
    expect((await shown(harness, wire, "bearer", "guess-1"))?.closed).toBe(4401);
    expect((await shown(harness, wire, "bearer", "guess-2"))?.closed).toBe(4401);
    const refused = await shown(harness, wire, "bearer", "guess-3");
    expect(refused).toMatchObject({ retryable: true, closed: 4500 });
    expect(refused?.code).toBe(wire === "1.1" ? "INTERNAL_ERROR" : "RESOURCE_EXHAUSTED");
  });
});

test("what a verifier of one's own throws is told to nobody", async () => {
  const mine = bearerVerifier({ verify: () => Promise.reject(new Error("connection to ldap://10.0.0.1 failed")) });
  await using harness = startHarness({ carrier: "websocket", server: { bearer: mine.bearer } });
  for (const wire of WIRES) {
    const refused = await shown(harness, wire, "bearer", "token");
    expect(refused).toMatchObject({ code: "UNAUTHENTICATED", retryable: true, closed: 4401 });
    expect(JSON.stringify(refused)).not.toContain("ldap");
  }
});
