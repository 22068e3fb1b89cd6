import { createHmac } from "node:crypto";
import { UnauthenticatedError } from "@arcp/core";
import { type JwtOptions, jwtVerifier } from "@arcp/runtime";
import { FlattenedSign, SignJWT } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { failureOf } from "./failure.ts";
import { AUDIENCE, base64url, claimsAt, ISSUER, SigningKey, without } from "./tokens.ts";

const ALGORITHMS = ["RS256", "PS384", "ES256", "ES512", "EdDSA"];
const SECRET = "a secret that has thirty-two bytes, at least";
const NOW = Date.UTC(2026, 0, 1);
const SECONDS = NOW / 1000;

let keys: Map<string, SigningKey>;
let rsa: SigningKey;
let ec: SigningKey;
let stranger: SigningKey;

beforeAll(async () => {
  keys = new Map(await Promise.all(ALGORITHMS.map(async (alg) => [alg, await SigningKey.generate(alg)] as const)));
  rsa = keys.get("RS256") as SigningKey;
  ec = keys.get("ES256") as SigningKey;
  stranger = await SigningKey.generate("RS256");
});

async function publicKeys() {
  return { keys: await Promise.all([...keys.values()].map((key) => key.jwk())) };
}

async function verifierOf(options: Partial<JwtOptions> = {}, clock = new ManualClock(NOW)) {
  return jwtVerifier({ audience: AUDIENCE, issuer: ISSUER, jwks: await publicKeys(), clock, ...options }).bearer;
}

describe("a token that the issuer signed", () => {
  test.each(ALGORITHMS)("with %s speaks for its subject until it expires", async (alg) => {
    covers("V10-8.2-05", "V10-8.2-08");
    const token = await keys.get(alg)?.sign(claimsAt(NOW));
    const identity = await (await verifierOf()).verify(token ?? "");
    expect(identity).toEqual({ principal: "alice", expiresAt: NOW + 600_000 });
  });

  test("with a shared secret speaks for its subject", async () => {
    covers("V10-8.2-05");
    const token = await new SignJWT(claimsAt(NOW)).setProtectedHeader({ alg: "HS256" }).sign(Buffer.from(SECRET));
    const verifier = await verifierOf({ jwks: { secret: SECRET } });
    expect(await verifier.verify(token)).toMatchObject({ principal: "alice" });
    const other = await verifierOf({ jwks: { secret: `${SECRET}!` } });
    expect(await failureOf(other.verify(token))).toBeInstanceOf(UnauthenticatedError);
  });

  test("is of somebody else where another issuer that is trusted, too, calls them by the same name", async () => {
    const other = "https://other.example";
    const verifier = await verifierOf({ issuer: [ISSUER, other], tenantClaim: "org" });
    const identities = await Promise.all(
      [ISSUER, other].map(async (iss) => verifier.verify(await ec.sign(claimsAt(NOW, { iss, org: "acme" })))),
    );
    expect(identities).toEqual([
      { principal: `${ISSUER}#alice`, tenant: `${ISSUER}#acme`, expiresAt: NOW + 600_000 },
      { principal: `${other}#alice`, tenant: `${other}#acme`, expiresAt: NOW + 600_000 },
    ]);
  });

  test("may be for several audiences", async () => {
    const verifier = await verifierOf({ audience: ["other name", AUDIENCE] });
    expect(await verifier.verify(await ec.sign(claimsAt(NOW, { aud: ["x", AUDIENCE] })))).toMatchObject({
      principal: "alice",
    });
  });

  test("may be an access token by its type, which may have a nonce", async () => {
    const verifier = await verifierOf();
    for (const typ of ["at+jwt", "application/at+jwt", "AT+JWT"]) {
      const token = await ec.sign(claimsAt(NOW, { nonce: "n" }), { typ });
      expect(await verifier.verify(token)).toMatchObject({ principal: "alice" });
    }
  });

  test("names its principal by another claim, and the level that it is trusted with", async () => {
    const verifier = await verifierOf({
      principalClaim: "email",
      trustLevel: (claims) => (claims["admin"] === true ? "privileged" : "constrained"),
    });
    const token = await ec.sign(claimsAt(NOW, { email: "alice@example.com", admin: true }));
    expect(await verifier.verify(token)).toMatchObject({ principal: "alice@example.com", trustLevel: "privileged" });
    const other = await ec.sign(claimsAt(NOW, { email: "bob@example.com" }));
    expect(await verifier.verify(other)).toMatchObject({ trustLevel: "constrained" });
  });

  test("may come from a clock that is a little ahead", async () => {
    const ahead = await ec.sign(claimsAt(NOW, { iat: SECONDS + 5, nbf: SECONDS + 5 }));
    expect(await (await verifierOf()).verify(ahead)).toMatchObject({ principal: "alice" });
    const exact = await verifierOf({ clockToleranceSeconds: 0 });
    expect((await failureOf(exact.verify(ahead))).message).toBe("the token is not valid");
  });
});

describe("a token that has expired", () => {
  test.each([0, 5])("is told apart, at that very instant, with a tolerance of %i s", async (clockToleranceSeconds) => {
    const clock = new ManualClock(NOW);
    const verifier = await verifierOf({ clockToleranceSeconds }, clock);
    const token = await ec.sign(claimsAt(NOW));
    clock.advance(599_999);
    expect(await verifier.verify(token)).toMatchObject({ principal: "alice" });
    clock.advance(1);
    const failure = await failureOf(verifier.verify(token));
    expect(failure).toBeInstanceOf(UnauthenticatedError);
    expect(failure.message).toBe("the token has expired");
  });

  test("and is not the issuer's is told nothing", async () => {
    const token = await stranger.sign(claimsAt(NOW - 3_600_000), { kid: rsa.kid });
    expect((await failureOf((await verifierOf()).verify(token))).message).toBe("the token is not valid");
  });
});

/** The parts of a token that is good. */
const parts = async (): Promise<[string, string, string]> =>
  (await ec.sign(claimsAt(NOW))).split(".") as [string, string, string];
const unsigned = (header: object): string =>
  `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claimsAt(NOW)))}`;
const hmac = (text: string, key: string): string => createHmac("sha256", key).update(text).digest("base64url");

/** Why a token is refused: for the log, not for the client. */
const NO_TOKEN = "it is no token";
const ALGORITHM = "Header Parameter value not allowed";
const SIGNATURE = "signature verification failed";
const NO_KEY = "no applicable key found";
const NO_PRINCIPAL = "no principal";

const FORGED: readonly (readonly [what: string, reason: string, token: () => string | Promise<string>])[] = [
  ["nothing", NO_TOKEN, () => ""],
  ["no token", "Invalid Compact JWS", () => "alice"],
  ["two dots and nothing else", "Header is invalid", () => ".."],
  ["text that no token consists of", NO_TOKEN, async () => `${(await parts()).join(".")}\n`],
  ["8,000 parts", "Invalid Compact JWS", () => "a.".repeat(8_000)],
  ["1 MiB of letters", NO_TOKEN, () => "a".repeat(1024 * 1024)],
  ["1 MiB of claims, well signed", NO_TOKEN, () => ec.sign(claimsAt(NOW, { padding: "a".repeat(1024 * 1024) }))],
  ["a key id of 1 MiB", NO_TOKEN, () => ec.sign(claimsAt(NOW), { kid: "k".repeat(1024 * 1024) })],
  ["the algorithm none, without a signature", ALGORITHM, () => `${unsigned({ alg: "none" })}.`],
  ["the algorithm None", ALGORITHM, () => `${unsigned({ alg: "None", kid: "ES256" })}.`],
  ["the algorithm nOnE and a signature", ALGORITHM, async () => `${unsigned({ alg: "nOnE" })}.${(await parts())[2]}`],
  [
    "the algorithm none in a well-signed shape",
    ALGORITHM,
    async () => `${unsigned({ alg: "none", kid: "ES256" })}.${(await parts())[2]}`,
  ],
  ["no algorithm", "missing or invalid", async () => `${unsigned({ kid: "ES256" })}.${(await parts())[2]}`],
  ["an empty signature", SIGNATURE, async () => `${(await parts()).slice(0, 2).join(".")}.`],
  [
    "a signature of 64 zero bytes",
    SIGNATURE,
    async () => [...(await parts()).slice(0, 2), Buffer.alloc(64).toString("base64url")].join("."),
  ],
  [
    "other claims under the same signature",
    SIGNATURE,
    async () => {
      const [header, , signature] = await parts();
      return [header, base64url(JSON.stringify(claimsAt(NOW, { sub: "admin" }))), signature].join(".");
    },
  ],
  [
    "HMAC with the RSA public key as PEM",
    ALGORITHM,
    async () => {
      const text = unsigned({ alg: "HS256", kid: "RS256" });
      return `${text}.${hmac(text, await rsa.pem())}`;
    },
  ],
  [
    "HMAC with the RSA public key as JWK, without a key id",
    ALGORITHM,
    async () => {
      const text = unsigned({ alg: "HS256" });
      return `${text}.${hmac(text, JSON.stringify(await rsa.jwk()))}`;
    },
  ],
  [
    "HMAC with nothing",
    ALGORITHM,
    async () => {
      const text = unsigned({ alg: "HS256", kid: "ES256" });
      return `${text}.${hmac(text, "")}`;
    },
  ],
  [
    "an RSA algorithm that the key is not for",
    NO_KEY,
    () =>
      rsa.sign(claimsAt(NOW), { alg: "RS512" }).catch(async () => {
        const text = unsigned({ alg: "RS512", kid: "RS256" });
        return `${text}.${(await rsa.sign(claimsAt(NOW))).split(".")[2]}`;
      }),
  ],
  ["the key id of another algorithm's key", NO_KEY, () => ec.sign(claimsAt(NOW), { kid: "RS256" })],
  ["a key id from another set", NO_KEY, () => stranger.sign(claimsAt(NOW), { kid: "elsewhere" })],
  ["another's key under the key id of the issuer's", SIGNATURE, () => stranger.sign(claimsAt(NOW), { kid: "RS256" })],
  ["a key id that is a path", NO_KEY, () => ec.sign(claimsAt(NOW), { kid: "../../../../dev/null" })],
  ["a key id that is SQL", NO_KEY, () => ec.sign(claimsAt(NOW), { kid: "k' UNION SELECT 's' --" })],
  [
    "a key id that is a number",
    NO_KEY,
    async () => {
      const [, payload, signature] = await parts();
      return [base64url(JSON.stringify({ alg: "ES256", kid: 1 })), payload, signature].join(".");
    },
  ],
  ["its own key in the header", SIGNATURE, async () => stranger.sign(claimsAt(NOW), { jwk: await stranger.jwk() })],
  ["the address of its own key", SIGNATURE, () => stranger.sign(claimsAt(NOW), { jku: "https://evil.example/keys" })],
  [
    "an extension that nobody knows",
    "not recognized",
    async () => {
      const [, payload, signature] = await parts();
      const header = { alg: "ES256", kid: "ES256", crit: ["exp2"], exp2: 1 };
      return [base64url(JSON.stringify(header)), payload, signature].join(".");
    },
  ],
  [
    "a payload that is not encoded",
    "unencoded payload",
    async () => {
      const signer = new FlattenedSign(Buffer.from("claims"));
      const header = { alg: "ES256", kid: "ES256", b64: false, crit: ["b64"] };
      const jws = await signer.setProtectedHeader(header).sign(ec.pair.privateKey);
      return [jws.protected, "claims", jws.signature].join(".");
    },
  ],
  ["five parts, as of an encrypted token", "Invalid Compact JWS", async () => `${(await parts()).join(".")}.AA.AA`],
  ["claims that are a list", "JSON object", () => ec.sign("[]")],
  ["claims that are no JSON", "JSON object", () => ec.sign("{")],
  ["no audience", '"aud"', () => ec.sign(without("aud", claimsAt(NOW)))],
  ["another audience", '"aud"', () => ec.sign(claimsAt(NOW, { aud: ["other"] }))],
  ["an audience that begins like this one", '"aud"', () => ec.sign(claimsAt(NOW, { aud: `${AUDIENCE}.evil.test` }))],
  ["an audience that is an object", '"aud"', () => ec.sign(claimsAt(NOW, { aud: { "0": AUDIENCE } }))],
  ["no issuer", '"iss"', () => ec.sign(without("iss", claimsAt(NOW)))],
  ["another issuer", '"iss"', () => ec.sign(claimsAt(NOW, { iss: "https://issuer.example.org" }))],
  ["no end", "does not say when it ends", () => ec.sign(without("exp", claimsAt(NOW)))],
  ["an end in letters", '"exp"', () => ec.sign(claimsAt(NOW, { exp: "9999999999" }))],
  [
    "an end that is infinite",
    "exp is no time",
    () => ec.sign(JSON.stringify(claimsAt(NOW)).replace(/"exp":\d+/, '"exp":1e400')),
  ],
  ["an end that no date has", "exp is no time", () => ec.sign(claimsAt(NOW, { exp: 1e300 }))],
  ["a beginning in the future", '"nbf"', () => ec.sign(claimsAt(NOW, { nbf: SECONDS + 3600 }))],
  ["a beginning that is null", '"nbf"', () => ec.sign(claimsAt(NOW, { nbf: null }))],
  ["an issue in the future", "iat is in the future", () => ec.sign(claimsAt(NOW, { iat: SECONDS + 3600 }))],
  ["no subject", NO_PRINCIPAL, () => ec.sign(without("sub", claimsAt(NOW)))],
  ["a subject of nothing", NO_PRINCIPAL, () => ec.sign(claimsAt(NOW, { sub: " " }))],
  ["a subject that is a number", NO_PRINCIPAL, () => ec.sign(claimsAt(NOW, { sub: 7 }))],
  ["a subject with a line break", NO_PRINCIPAL, () => ec.sign(claimsAt(NOW, { sub: "alice\nadmin" }))],
  ["a subject of 1000 letters", NO_PRINCIPAL, () => ec.sign(claimsAt(NOW, { sub: "a".repeat(1000) }))],
  [
    "half a character in its subject",
    NO_PRINCIPAL,
    () => ec.sign(`{"sub":"\\ud800",${JSON.stringify(without("sub", claimsAt(NOW))).slice(1)}`),
  ],
  ["the type of a logout token", "another type", () => ec.sign(claimsAt(NOW), { typ: "logout+jwt" })],
  ["the claims of an ID token", "ID token", () => ec.sign(claimsAt(NOW, { nonce: "n" }), { typ: "JWT" })],
  ["a key that its sender has to have", "bound to a key", () => ec.sign(claimsAt(NOW, { cnf: { jkt: "x" } }))],
];

describe("refused with one and the same word is", () => {
  test.each(FORGED)("%s", async (_what, reason, make) => {
    covers("V10-8.2-05");
    const token = await make();
    const failure = await failureOf((await verifierOf()).verify(token));
    expect((failure.cause as Error).message).toContain(reason);
    expect((failure as UnauthenticatedError).toWire()).toEqual({
      code: "UNAUTHENTICATED",
      message: "the token is not valid",
      retryable: false,
    });
  });

  test("a token of an algorithm that is not configured", async () => {
    const verifier = await verifierOf({ algorithms: ["ES256"] });
    expect(await verifier.verify(await ec.sign(claimsAt(NOW)))).toMatchObject({ principal: "alice" });
    expect(await failureOf(verifier.verify(await rsa.sign(claimsAt(NOW))))).toBeInstanceOf(UnauthenticatedError);
  });

  test("a public-key token where there is a shared secret, and HMAC with that secret's like where there are keys", async () => {
    const secret = await verifierOf({ jwks: { secret: SECRET } });
    expect(await failureOf(secret.verify(await rsa.sign(claimsAt(NOW))))).toBeInstanceOf(UnauthenticatedError);
    const hs512 = await new SignJWT(claimsAt(NOW)).setProtectedHeader({ alg: "HS512" }).sign(Buffer.from(SECRET));
    expect(await failureOf(secret.verify(hs512))).toBeInstanceOf(UnauthenticatedError);
  });

  test("a token without a key id, if more than one key could be meant", async () => {
    const [one, two] = [await SigningKey.generate("ES256", "one"), await SigningKey.generate("ES256", "two")];
    const token = await one.sign(claimsAt(NOW), { kid: undefined });
    const verifier = await verifierOf({ jwks: { keys: [await one.jwk()] } });
    expect(await verifier.verify(token)).toMatchObject({ principal: "alice" });
    const unsure = await verifierOf({ jwks: { keys: [await one.jwk(), await two.jwk()] } });
    expect(await failureOf(unsure.verify(token))).toBeInstanceOf(UnauthenticatedError);
  });

  test("a claim that every object has by birth", async () => {
    const verifier = await verifierOf({ principalClaim: "constructor" });
    expect(await failureOf(verifier.verify(await ec.sign(claimsAt(NOW))))).toBeInstanceOf(UnauthenticatedError);
  });
});

test("options that cannot be right are refused at once", async () => {
  const jwks = await publicKeys();
  const { privateKey } = rsa.pair;
  const secretKey = { ...(await rsa.jwk()), d: "AA" };
  expect(privateKey.type).toBe("private");
  const wrong: Partial<JwtOptions>[] = [
    { audience: "" },
    { audience: [] },
    { issuer: [] },
    { algorithms: [] },
    { algorithms: ["none"] },
    { algorithms: ["RS256", "HS256"] },
    { jwks: { secret: "short" } },
    { jwks: { secret: SECRET }, algorithms: ["RS256"] },
    { jwks: { keys: [secretKey] } },
    { jwks: { keys: [{ kty: "oct", k: "AA" }] } },
    { jwks: new URL("http://issuer.example.com/keys") },
    { jwks: new URL("https://user:password@issuer.example.com/keys") },
    { jwks: new URL("file:///etc/keys") },
    { clockToleranceSeconds: -1 },
    { clockToleranceSeconds: Number.NaN },
  ];
  for (const options of wrong) {
    expect(() => jwtVerifier({ audience: AUDIENCE, jwks, ...options }), JSON.stringify(options)).toThrow(TypeError);
  }
});

test("wire 1.1 takes signed tokens as bearer tokens, and ends a connection with its token", async () => {
  const clock = new ManualClock(NOW);
  await using harness = startHarness({ server: { clock, bearer: await verifierOf({}, clock) } });
  const client = await harness.raw();
  expect((await client.hello([], await ec.sign(claimsAt(NOW)))).type).toBe("session.welcome");
  const forged = await harness.raw();
  expect((await forged.hello([], await stranger.sign(claimsAt(NOW)))).payload.code).toBe("UNAUTHENTICATED");
  clock.advance(600_000);
  expect((await client.next("session.error")).payload.code).toBe("UNAUTHENTICATED");
  await client.transport.closed;
});
