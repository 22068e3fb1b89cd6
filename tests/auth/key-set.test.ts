import { createLogger, UnauthenticatedError } from "@arcp/core";
import { jwtVerifier } from "@arcp/runtime";
import { beforeAll, expect, test } from "vitest";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";
import { huge, IssuerServer, json, redirectTo, silent, stalled } from "./issuer-server.ts";
import { AUDIENCE, claimsAt, SigningKey } from "./tokens.ts";

const MINUTE_MS = 60_000;

let old: SigningKey;
let next: SigningKey;

beforeAll(async () => {
  [old, next] = await Promise.all([SigningKey.generate("ES256", "old"), SigningKey.generate("ES256", "next")]);
});

const setOf = async (...keys: SigningKey[]) => json({ keys: await Promise.all(keys.map((key) => key.jwk())) });

interface Setting extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly issuer: IssuerServer;
  readonly warnings: string[];
  verify(key: SigningKey): Promise<unknown>;
}

async function setting(answer = setOf(old)): Promise<Setting> {
  const clock = new ManualClock();
  const issuer = await IssuerServer.start(await answer);
  const warnings: string[] = [];
  const logger = createLogger((line) => warnings.push(line), "warn");
  const { bearer } = jwtVerifier({ audience: AUDIENCE, jwks: issuer.url, clock, logger });
  return {
    ...{ clock, issuer, warnings },
    verify: async (key) => bearer.verify(await key.sign(claimsAt(clock.now()))),
    [Symbol.asyncDispose]: () => issuer[Symbol.asyncDispose](),
  };
}

test("keys are asked for once, by however many tokens, and again when they are ten minutes old", async () => {
  await using it = await setting();
  await Promise.all(Array.from({ length: 50 }, () => it.verify(old)));
  it.clock.advance(10 * MINUTE_MS - 1);
  await it.verify(old);
  expect(it.issuer.requests).toHaveLength(1);
  expect(it.issuer.requests[0]).toMatchObject({ method: "GET", url: "/issuer" });
  it.clock.advance(1);
  await it.verify(old);
  expect(it.issuer.requests).toHaveLength(2);
});

test("a key that is not there is asked for once per cool-down", async () => {
  await using it = await setting();
  await it.verify(old);
  it.clock.advance(30_000);
  for (let n = 0; n < 10; n += 1) expect(await failureOf(it.verify(next))).toBeInstanceOf(UnauthenticatedError);
  expect(it.issuer.requests).toHaveLength(2);
  await it.verify(old);

  it.issuer.answer = await setOf(old, next);
  it.clock.advance(29_999);
  expect((await failureOf(it.verify(next))).message).toBe("the token is not valid");
  it.clock.advance(1);
  expect(await it.verify(next)).toMatchObject({ principal: "alice" });
  await it.verify(old);
  expect(it.issuer.requests).toHaveLength(3);
});

test("a key that the issuer has taken back is not good any more", async () => {
  await using it = await setting(setOf(old, next));
  await it.verify(old);
  it.issuer.answer = await setOf(next);
  it.clock.advance(10 * MINUTE_MS);
  expect(await failureOf(it.verify(old))).toBeInstanceOf(UnauthenticatedError);
  await it.verify(next);
});

test.each([
  ["an error", json({ keys: [] }, 503)],
  ["something that is no JSON", (_: unknown, response: { end(text: string): void }) => response.end("<html>")],
  ["a list", json([])],
  ["keys that are none", json({ keys: "none" })],
  ["10 MB", huge(10_000_000, { keys: [] })],
  ["1,000 keys", json({ keys: Array.from({ length: 1000 }, (_, n) => ({ kty: "oct", kid: `${n}` })) })],
])("while the issuer answers with %s, its last keys do for an hour", async (_what, answer) => {
  await using it = await setting();
  await it.verify(old);
  it.issuer.answer = answer;
  it.clock.advance(10 * MINUTE_MS);
  expect(await it.verify(old)).toMatchObject({ principal: "alice" });
  expect(it.issuer.requests).toHaveLength(2);
  expect(it.warnings).toHaveLength(1);
  it.clock.advance(50 * MINUTE_MS - 1);
  await it.verify(old);
  it.clock.advance(1);
  expect(await failureOf(it.verify(old))).not.toBeInstanceOf(UnauthenticatedError);
  it.issuer.answer = await setOf(old);
  it.clock.advance(30_000);
  expect(await it.verify(old)).toMatchObject({ principal: "alice" });
});

test("a redirect is not followed", async () => {
  await using elsewhere = await IssuerServer.start(await setOf(next));
  await using it = await setting(Promise.resolve(redirectTo(elsewhere.url)));
  const failure = await failureOf(it.verify(next));
  expect(failure).not.toBeInstanceOf(UnauthenticatedError);
  expect((failure.cause as Error).message).toContain("HTTP 302");
  expect(elsewhere.requests).toEqual([]);
});

test("10 MB are not read to their end", async () => {
  let sent = 0;
  await using it = await setting(
    Promise.resolve((_request, response) => {
      response.writeHead(200);
      const piece = Buffer.alloc(64 * 1024, 0x20);
      const write = (): void => {
        while (sent < 10_000_000 && !response.destroyed) {
          sent += piece.length;
          if (!response.write(piece)) {
            response.once("drain", write);
            return;
          }
        }
        response.end();
      };
      write();
    }),
  );
  const failure = await failureOf(it.verify(old));
  expect((failure.cause as Error).message).toContain("too long");
  expect(sent).toBeLessThan(10_000_000);
});

test.each([
  ["says nothing", silent],
  ["begins to answer and says no more", stalled],
])("an issuer that %s is given up after four seconds, and asked again a second later", async (_what, answer) => {
  await using it = await setting(Promise.resolve(answer));
  const arrival = it.issuer.arrival();
  const first = failureOf(it.verify(old));
  await arrival;
  it.clock.advance(3_999);
  const second = failureOf(it.verify(old));
  await new Promise((resolve) => setImmediate(resolve));
  it.clock.advance(1);
  expect(await first).not.toBeInstanceOf(UnauthenticatedError);
  expect(await second).not.toBeInstanceOf(UnauthenticatedError);
  expect(it.issuer.requests).toHaveLength(1);

  it.issuer.answer = await setOf(old);
  it.clock.advance(999);
  await failureOf(it.verify(old));
  expect(it.issuer.requests).toHaveLength(1);
  it.clock.advance(1);
  expect(await it.verify(old)).toMatchObject({ principal: "alice" });
  expect(it.clock.pending).toBe(0);
});

test("an issuer that is not there is no token's fault", async () => {
  const issuer = await IssuerServer.start();
  const { url } = issuer;
  await issuer[Symbol.asyncDispose]();
  const { bearer } = jwtVerifier({ audience: AUDIENCE, jwks: url, clock: new ManualClock() });
  expect(await failureOf(bearer.verify(await old.sign(claimsAt(Date.UTC(2026, 0, 1)))))).not.toBeInstanceOf(
    UnauthenticatedError,
  );
});

test("who is not waited for any more does not keep the others from the keys", async () => {
  await using it = await setting(Promise.resolve(silent));
  const arrival = it.issuer.arrival();
  const stop = new AbortController();
  const { bearer } = jwtVerifier({ audience: AUDIENCE, jwks: it.issuer.url, clock: it.clock });
  const token = await old.sign(claimsAt(it.clock.now()));
  let respond = (): void => {};
  const keys = await setOf(old);
  it.issuer.answer = (request, response) => {
    respond = () => keys(request, response);
  };
  const first = failureOf(bearer.verify(token, stop.signal));
  const second = bearer.verify(token);
  await arrival;
  stop.abort(new Error("gone"));
  expect((await first).message).toBe("gone");
  respond();
  expect(await second).toMatchObject({ principal: "alice" });
});
