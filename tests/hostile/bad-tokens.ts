/** Tokens that nobody may be let in by: JWTs that are forged or not meant for the runtime, and answers of an issuer. */
import { createHmac } from "node:crypto";
import type { RequestListener } from "node:http";
import type { JSONWebKeySet } from "jose";
import { json } from "../auth/issuer-server.ts";
import { AUDIENCE, base64url, claimsAt, ISSUER, SigningKey, without } from "../auth/tokens.ts";

/** Whoever makes them: with the issuer's key, one that it has not published, and one of the same name. */
export class Forger {
  readonly key: SigningKey;
  readonly unpublished: SigningKey;
  readonly stranger: SigningKey;
  readonly #now: () => number;

  private constructor(keys: readonly [SigningKey, SigningKey, SigningKey], now: () => number) {
    [this.key, this.unpublished, this.stranger] = keys;
    this.#now = now;
  }

  /** @param now In milliseconds. Default: the machine's time. */
  static async create(now: () => number = Date.now): Promise<Forger> {
    const keys = [
      await SigningKey.generate("ES256", "one"),
      await SigningKey.generate("ES256", "two"),
      await SigningKey.generate("ES256", "one"),
    ] as const;
    return new Forger(keys, now);
  }

  claims(overrides: object = {}): Record<string, unknown> {
    return claimsAt(this.#now(), overrides);
  }

  seconds(): number {
    return Math.floor(this.#now() / 1000);
  }

  /** What the issuer publishes. */
  async published(): Promise<JSONWebKeySet> {
    return { keys: [await this.key.jwk()] };
  }

  unsigned(header: object, signature = ""): string {
    return `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(this.claims()))}.${signature}`;
  }

  /** HMAC with the public key for a secret. */
  async confused(): Promise<string> {
    const text = this.unsigned({ alg: "HS256", kid: "one" }).replace(/\.$/, "");
    const mac = createHmac("sha256", await this.key.pem());
    return `${text}.${mac.update(text).digest("base64url")}`;
  }
}

const INVALID = "the token is not valid";
const signed = (claims: (forger: Forger) => object | string, header: object = {}) => {
  return (forger: Forger): Promise<string> => forger.key.sign(claims(forger), header);
};

/** Each with what its client is told. */
export const BAD_JWTS: readonly (readonly [
  what: string,
  token: (forger: Forger) => string | Promise<string>,
  message: string,
])[] = [
  ["with alg none", (forger) => forger.unsigned({ alg: "none", typ: "JWT" }), INVALID],
  ["with alg nOnE", (forger) => forger.unsigned({ alg: "nOnE", typ: "JWT" }), INVALID],
  ["without a signature", (forger) => forger.unsigned({ alg: "ES256", kid: "one" }), INVALID],
  [
    "with a signature of 64 zeros",
    (forger) => forger.unsigned({ alg: "ES256", kid: "one" }, Buffer.alloc(64).toString("base64url")),
    INVALID,
  ],
  ["signed with the public key for a secret", (forger) => forger.confused(), INVALID],
  ["for somebody else", signed((forger) => forger.claims({ aud: "https://other.example.com" })), INVALID],
  ["for who is called like the runtime", signed((forger) => forger.claims({ aud: `${AUDIENCE}.evil.test` })), INVALID],
  ["for nobody", signed((forger) => without("aud", forger.claims())), INVALID],
  ["of another issuer", signed((forger) => forger.claims({ iss: "https://evil.example.com" })), INVALID],
  ["of nobody", signed((forger) => without("iss", forger.claims())), INVALID],
  ["that has expired", signed((forger) => forger.claims({ exp: forger.seconds() - 1 })), "the token has expired"],
  ["that never ends", signed((forger) => without("exp", forger.claims())), INVALID],
  ["that ends at a text", signed((forger) => forger.claims({ exp: "9999999999" })), INVALID],
  [
    "that ends at infinity",
    signed((forger) => JSON.stringify(forger.claims({ exp: 0 })).replace('"exp":0', '"exp":1e400')),
    INVALID,
  ],
  ["that is not valid yet", signed((forger) => forger.claims({ nbf: forger.seconds() + 3600 })), INVALID],
  ["from the future", signed((forger) => forger.claims({ iat: forger.seconds() + 3600 })), INVALID],
  ["signed with a key nobody knows", (forger) => forger.unpublished.sign(forger.claims()), INVALID],
  ["signed with another key of that name", (forger) => forger.stranger.sign(forger.claims()), INVALID],
  [
    "that brings its key along",
    async (forger) => forger.unpublished.sign(forger.claims(), { jwk: await forger.unpublished.jwk() }),
    INVALID,
  ],
  ["whose key is a path", signed((forger) => forger.claims(), { kid: "../../../../dev/null" }), INVALID],
  ["whose key is a query", signed((forger) => forger.claims(), { kid: "k' UNION SELECT 's' --" }), INVALID],
  ["of ten thousand parts", () => "a.".repeat(5_000), INVALID],
  ["that is encrypted", () => `${base64url('{"alg":"dir","enc":"A256GCM","zip":"DEF"}')}.a.b.c.d`, INVALID],
  ["that is none", () => "a.b.c", INVALID],
  ["that is too long", () => "a".repeat(16_000), INVALID],
];

/** What an issuer may answer that was asked about a token (RFC 7662), and nobody is let in by. */
export const BAD_INTROSPECTIONS: readonly (readonly [what: string, answer: RequestListener])[] = [
  ["says that it is not active", json({ active: false })],
  ["says nothing", json({})],
  ["says yes in another word", json({ active: "true", sub: "alice", iss: ISSUER, aud: AUDIENCE })],
  ["means somebody else", json({ active: true, sub: "alice", aud: "other" })],
  ["names nobody", json({ active: true, aud: AUDIENCE })],
  ["fails", json({ active: true, sub: "alice", aud: AUDIENCE }, 500)],
  ["answers with a list", json([{ active: true, sub: "alice", aud: AUDIENCE }])],
];
