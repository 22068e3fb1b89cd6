import { hmacSha256Hex, silentLogger, UnauthenticatedError } from "@arcp/core";
import { AuthGate, AuthSchemes, Challenge, type HmacOptions, hmacVerifier, type PendingChallenge } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";
import { shown } from "./requests.ts";

const SECRET = "alice's secret, which is never sent";
const secrets = new Map([["key-alice", { secret: SECRET, identity: { principal: "alice" } }]]);

function setting(options: Partial<HmacOptions> = {}) {
  const clock = new ManualClock();
  const verifier = hmacVerifier({ secrets, clock, ...options });
  const schemes = new AuthSchemes([verifier], { clock, gate: new AuthGate({ clock, logger: silentLogger }) });
  return { clock, schemes };
}

async function challenged(schemes: AuthSchemes, token: string | undefined = "key-alice"): Promise<PendingChallenge> {
  const verdict = await schemes.verify(shown("bearer", { token }));
  if (verdict.outcome !== "challenged") throw new Error("there was no challenge");
  return verdict.challenge;
}

const nonceOf = ({ params }: PendingChallenge): string => String(params["nonce"]);

describe("a client that has a secret", () => {
  test("proves it without sending it", async () => {
    covers("V10-8.2-08");
    const { schemes, clock } = setting();
    const challenge = await challenged(schemes);
    expect(challenge).toMatchObject({ type: "hmac-sha256", expiresAt: clock.now() + 30_000 });
    expect(challenge.params).toEqual({ nonce: expect.stringMatching(/^[\w-]{43}$/) });
    const answer = await hmacSha256Hex(SECRET, nonceOf(challenge));
    expect(await challenge.answer(answer)).toEqual({ principal: "alice", trustLevel: "trusted" });
  });

  test("may write its answer in upper case", async () => {
    const challenge = await challenged(setting().schemes);
    const answer = (await hmacSha256Hex(SECRET, nonceOf(challenge))).toUpperCase();
    expect(await challenge.answer(answer)).toMatchObject({ principal: "alice" });
  });

  test("is found by a function", async () => {
    const { schemes } = setting({ secrets: async (token) => secrets.get(token) });
    const challenge = await challenged(schemes);
    expect(await challenge.answer(await hmacSha256Hex(SECRET, nonceOf(challenge)))).toMatchObject({
      principal: "alice",
    });
  });
});

test("the HMAC is that of RFC 4231", async () => {
  expect(await hmacSha256Hex("Jefe", "what do ya want for nothing?")).toBe(
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  );
});

describe("refused is", () => {
  const good = async (challenge: PendingChallenge): Promise<string> => hmacSha256Hex(SECRET, nonceOf(challenge));

  test.each<[string, (challenge: PendingChallenge) => Promise<unknown>]>([
    ["another secret's answer", (challenge) => hmacSha256Hex(`${SECRET}.`, nonceOf(challenge))],
    ["the answer to another nonce", async () => hmacSha256Hex(SECRET, "nonce")],
    ["the secret itself", async () => SECRET],
    ["half of the answer", async (challenge) => (await good(challenge)).slice(0, 32)],
    ["the answer and more", async (challenge) => `${await good(challenge)}00`],
    ["the answer with a line break", async (challenge) => `${await good(challenge)}\n`],
    ["no answer", async () => undefined],
    ["the answer in a list", async (challenge) => [await good(challenge)]],
    ["an object", async (challenge) => ({ response: await good(challenge) })],
  ])("%s", async (_what, answerOf) => {
    const challenge = await challenged(setting().schemes);
    const failure = await failureOf(challenge.answer(await answerOf(challenge)));
    expect(failure).toBeInstanceOf(UnauthenticatedError);
    expect(failure.message).toBe("the token is not valid");
  });

  test("a second answer, be it right", async () => {
    const challenge = await challenged(setting().schemes);
    await failureOf(challenge.answer("0".repeat(64)));
    expect(await failureOf(challenge.answer(await good(challenge)))).toBeInstanceOf(UnauthenticatedError);
  });

  test("the same answer again", async () => {
    const challenge = await challenged(setting().schemes);
    const answers = [challenge.answer(await good(challenge)), challenge.answer(await good(challenge))];
    const outcomes = (await Promise.allSettled(answers)).map(({ status }) => status);
    expect(outcomes).toEqual(["fulfilled", "rejected"]);
  });

  test("the answer to another connection's challenge", async () => {
    const { schemes } = setting();
    const [first, second] = [await challenged(schemes), await challenged(schemes)];
    expect(nonceOf(first)).not.toBe(nonceOf(second));
    expect(await failureOf(second.answer(await good(first)))).toBeInstanceOf(UnauthenticatedError);
  });

  test("an answer that comes too late", async () => {
    const { schemes, clock } = setting({ lifetimeMs: 10_000 });
    const [inTime, late] = [await challenged(schemes), await challenged(schemes)];
    clock.advance(9_999);
    expect(await inTime.answer(await good(inTime))).toMatchObject({ principal: "alice" });
    clock.advance(1);
    expect((await failureOf(late.answer(await good(late)))).message).toBe("the challenge has expired");
  });

  test("a request without a token", async () => {
    expect(await failureOf(challenged(setting().schemes, ""))).toBeInstanceOf(UnauthenticatedError);
  });
});

test("a name that nobody has is challenged like any other, and refused in the same words", async () => {
  const { schemes } = setting();
  const challenge = await challenged(schemes, "key-nobody");
  expect(challenge).toMatchObject({ type: "hmac-sha256", params: { nonce: expect.stringMatching(/^[\w-]{43}$/) } });
  const failure = await failureOf(challenge.answer(await hmacSha256Hex(SECRET, nonceOf(challenge))));
  expect(failure.message).toBe("the token is not valid");
});

test("secrets that can be guessed are refused at once, or when they are found", async () => {
  const short = { secret: "short", identity: { principal: "alice" } };
  expect(() => hmacVerifier({ secrets: new Map([["key", short]]) })).toThrow(TypeError);
  const { schemes } = setting({ secrets: async () => short });
  expect((await failureOf(challenged(schemes))).message).toBe("the credential could not be verified");
});

test("a verifier of one's own may ask what it likes", async () => {
  const clock = new ManualClock();
  const schemes = new AuthSchemes(
    [
      {
        scheme: "x-vendor.acme.riddle",
        verify: async ({ params }) =>
          new Challenge({
            ...{ type: "riddle", params: { question: params["subject"] }, clock },
            check: async (response) => {
              if (response !== 42) throw new UnauthenticatedError("no");
              return { principal: "deep", trustLevel: "constrained" };
            },
          }),
      },
    ],
    { clock, gate: new AuthGate({ clock, logger: silentLogger }) },
  );
  const request = shown("x-vendor.acme.riddle", { params: { scheme: "x-vendor.acme.riddle", subject: "everything" } });
  const verdict = await schemes.verify(request);
  if (verdict.outcome !== "challenged") throw new Error("there was no challenge");
  expect(verdict.challenge.params).toEqual({ question: "everything" });
  expect(await verdict.challenge.answer(42)).toEqual({ principal: "deep", trustLevel: "constrained" });
});
