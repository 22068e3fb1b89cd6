/** Signed JWTs, whose audience is this runtime (RFC §8.2 `signed_jwt`). */
import { createSecretKey, type KeyObject } from "node:crypto";
import {
  type BearerVerifier,
  type Clock,
  type Identity,
  type JsonObject,
  type Logger,
  rootLogger,
  systemClock,
} from "@arcp/core";
import {
  type CryptoKey,
  createLocalJWKSet,
  errors,
  type JSONWebKeySet,
  type JWTHeaderParameters,
  jwtVerify,
} from "jose";
import { claimOf, type IdentityClaims, identityIn, validityIn } from "./claims.ts";
import { ISSUER_TIMEOUT_MS, IssuerError } from "./issuer.ts";
import { RemoteKeySet } from "./key-set.ts";
import { assertTokenForm, expired, notValid, TokenScheme, type TrustOption, trustOf } from "./scheme.ts";

/** Which JSON Web Tokens are believed (RFC 7519): whose, for whom, signed with what. */
export interface JwtOptions extends IdentityClaims {
  /** The identity of this runtime: a token is for it alone, or names it among others. */
  readonly audience: string | readonly string[];
  /**
   * Who may have issued a token. Of several, each has subjects and tenants of its own: they are then named
   * `<issuer>#<name>`. Default: whoever has the keys.
   */
  readonly issuer?: string | readonly string[];
  /** Where the issuer publishes its public keys (`https:`), those keys, or a secret of at least 32 bytes for HMAC. */
  readonly jwks: URL | JSONWebKeySet | { readonly secret: string | Uint8Array };
  /** How tokens may be signed. Default: RS, PS and ES with 256, 384 and 512 bits, EdDSA and Ed25519; with a secret, HS256. */
  readonly algorithms?: readonly string[];
  /** How far the issuer's clock may be ahead of this one's. When a token ends is exact. Default: 5. */
  readonly clockToleranceSeconds?: number;
  /** How far who shows one is trusted (RFC §15.6). Default: `trusted`. */
  readonly trustLevel?: TrustOption;
  /** How long published keys are used before they are asked for again. Default: 10 minutes. */
  readonly keysMaxAgeMs?: number;
  /** Between two questions for keys, whatever tokens name. Default: 30,000. */
  readonly keysCoolDownMs?: number;
  /** How long the issuer may take. Default: 4000. */
  readonly timeoutMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
  readonly logger?: Logger;
}

const PUBLIC_KEY_ALGORITHMS = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
const SECRET_ALGORITHMS = ["HS256", "HS384", "HS512"];
const MIN_SECRET_BYTES = 32;
/** What access tokens and plain JWTs call themselves (RFC 9068). Other kinds, such as logout tokens, say what they are. */
const TYPES: ReadonlySet<string> = new Set(["jwt", "at+jwt", "application/jwt", "application/at+jwt"]);
/** Claims of OpenID Connect's ID tokens, which tell a client who has signed in, and give it no rights. */
const ID_TOKEN_CLAIMS = ["nonce", "at_hash", "c_hash"];

/**
 * The scheme `signed_jwt`. The algorithm is chosen by the key and never by the token; `aud` and `exp` are required.
 *
 * @throws TypeError for options that cannot be right.
 */
export const jwtVerifier = (options: JwtOptions): TokenScheme =>
  new TokenScheme("signed_jwt", new JwtVerifier(options));

type Key = CryptoKey | KeyObject;

class JwtVerifier implements BearerVerifier {
  readonly #audience: string[];
  readonly #issuer: string[] | undefined;
  readonly #algorithms: string[];
  readonly #names: IdentityClaims;
  readonly #toleranceMs: number;
  readonly #trustLevel: TrustOption | undefined;
  readonly #clock: Clock;
  readonly #keyFor: (header: JWTHeaderParameters, signal: AbortSignal | undefined) => Promise<Key>;

  constructor(options: JwtOptions) {
    const { audience, issuer, jwks, clockToleranceSeconds = 5, clock = systemClock } = options;
    this.#audience = namesIn(audience, "audience");
    this.#issuer = issuer === undefined ? undefined : namesIn(issuer, "issuer");
    this.#names = options;
    if (!(clockToleranceSeconds >= 0 && clockToleranceSeconds <= 300))
      throw new TypeError("clockToleranceSeconds is from 0 to 300");
    this.#toleranceMs = clockToleranceSeconds * 1000;
    this.#trustLevel = options.trustLevel;
    this.#clock = clock;
    const fit = "secret" in jwks ? SECRET_ALGORITHMS : PUBLIC_KEY_ALGORITHMS;
    this.#algorithms = [...(options.algorithms ?? ("secret" in jwks ? ["HS256"] : fit))];
    if (this.#algorithms.length === 0 || !this.#algorithms.every((name) => fit.includes(name)))
      throw new TypeError(`algorithms for these keys are ${fit.join(", ")}`);
    this.#keyFor = keySource(options);
  }

  async verify(token: string, signal?: AbortSignal): Promise<Identity> {
    assertTokenForm(token);
    const claims = await this.#claimsOf(token, signal);
    const now = this.#clock.now();
    const expiresAt = validityIn(claims, { now, toleranceMs: this.#toleranceMs });
    if (expiresAt === undefined) throw notValid("the token does not say when it ends");
    if (expiresAt <= now) throw expired();
    return { ...this.#identityIn(claims), expiresAt, ...trustOf(this.#trustLevel, claims) };
  }

  #identityIn(claims: JsonObject): ReturnType<typeof identityIn> {
    const identity = identityIn(claims, this.#names);
    if ((this.#issuer?.length ?? 0) <= 1) return identity;
    // The same subject of another issuer is somebody else.
    const named = (name: string): string => `${String(claims["iss"])}#${name}`;
    const { principal, tenant } = identity;
    return { ...identity, principal: named(principal), ...(tenant !== undefined && { tenant: named(tenant) }) };
  }

  /** Of a token that was signed, and meant for this runtime. */
  async #claimsOf(token: string, signal: AbortSignal | undefined): Promise<JsonObject> {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, (header) => this.#keyFor(header, signal), {
        algorithms: this.#algorithms,
        audience: this.#audience,
        ...(this.#issuer && { issuer: this.#issuer }),
        currentDate: new Date(this.#clock.now()),
        clockTolerance: this.#toleranceMs / 1000,
      });
      assertAccessToken(protectedHeader.typ, payload);
      return payload;
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw expired();
      // That is not the token's fault.
      if (error instanceof IssuerError || signal?.aborted) throw error;
      throw notValid(error);
    }
  }
}

function assertAccessToken(type: unknown, claims: JsonObject): void {
  const name = type === undefined ? "jwt" : String(type).toLowerCase();
  if (!TYPES.has(name)) throw new Error("the token is of another type");
  if (name.endsWith("at+jwt")) return;
  if (ID_TOKEN_CLAIMS.some((claim) => claimOf(claims, claim) !== undefined))
    throw new Error("the token is an ID token");
}

function keySource(
  options: JwtOptions,
): (header: JWTHeaderParameters, signal: AbortSignal | undefined) => Promise<Key> {
  const { jwks, clock = systemClock, logger = rootLogger } = options;
  if (jwks instanceof URL) {
    const remote = new RemoteKeySet({
      ...{ url: jwks, clock, logger },
      timeoutMs: options.timeoutMs ?? ISSUER_TIMEOUT_MS,
      maxAgeMs: options.keysMaxAgeMs ?? 600_000,
      coolDownMs: options.keysCoolDownMs ?? 30_000,
    });
    return (header, signal) => remote.select(header, signal);
  }
  if ("secret" in jwks) {
    const bytes = typeof jwks.secret === "string" ? Buffer.from(jwks.secret) : jwks.secret;
    if (bytes.length < MIN_SECRET_BYTES) throw new TypeError("a secret for HMAC has at least 32 bytes");
    const key = createSecretKey(bytes);
    return async () => key;
  }
  if (jwks.keys.some((key) => key.kty === "oct" || "d" in key)) throw new TypeError("the keys are public ones");
  const select = createLocalJWKSet(jwks);
  return (header) => select(header);
}

function namesIn(option: string | readonly string[], what: string): string[] {
  const names = typeof option === "string" ? [option] : [...option];
  if (names.length === 0 || names.includes("")) throw new TypeError(`${what}: expected a name`);
  return names;
}
