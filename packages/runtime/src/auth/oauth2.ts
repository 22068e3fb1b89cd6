/** OAuth 2.0 access tokens, which their issuer is asked about (RFC §8.2 `oauth2`, RFC 7662). */
import { createHash } from "node:crypto";
import { type BearerVerifier, type Clock, type Identity, type JsonObject, systemClock } from "@arcp/core";
import { Secret } from "../engine/credentials/secret.ts";
import { abortable } from "./abortable.ts";
import { claimOf, hasOneOf, type IdentityClaims, identityIn, validityIn } from "./claims.ts";
import { ISSUER_TIMEOUT_MS, Issuer } from "./issuer.ts";
import { assertTokenForm, expired, notValid, TokenScheme, type TrustOption, trustOf } from "./scheme.ts";

/** Who says whether an access token is active (RFC 7662), and whom it stands for. */
export interface OAuth2Options extends IdentityClaims {
  /** `https:`, or `http:` within this machine. */
  readonly introspectionEndpoint: URL | string;
  /** By which the issuer knows this runtime. */
  readonly clientId: string;
  /** It goes to the introspection endpoint and nowhere else. */
  readonly clientSecret: string;
  /** The identity of this runtime. A token that says whom it is for has to name it. Default: any that is active. */
  readonly audience?: string | readonly string[];
  /** Who may have issued a token. Default: whoever the endpoint vouches for. */
  readonly issuer?: string | readonly string[];
  /** Scopes that a token must have, all of them. Default: none. */
  readonly scopes?: readonly string[];
  /** How long an answer is used again, if the token lives that long. Default: 30. */
  readonly cacheSeconds?: number;
  /** How long a refusal is used again, at most 10: the issuer is not asked about the same wrong token all the time. Default: 2. */
  readonly refusalSeconds?: number;
  /** Answers that are kept; what was asked longest ago goes first. Default: 10,000. */
  readonly maxCached?: number;
  /** How often the issuer is asked whether a token in use was withdrawn. Default: 60. */
  readonly revalidateSeconds?: number;
  /** How far who shows one is trusted (RFC §15.6). Default: `trusted`. */
  readonly trustLevel?: TrustOption;
  /** How long the issuer may take. Default: 4000. */
  readonly timeoutMs?: number;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

/** Clocks of issuers may be ahead by so much. */
const TOLERANCE_MS = 5_000;

/**
 * The scheme `oauth2`. The issuer's word counts: what is not `"active": true` is not valid, and neither is anything while
 * the issuer cannot be asked.
 *
 * @throws TypeError for options that cannot be right.
 */
export const oauth2Verifier = (options: OAuth2Options): TokenScheme =>
  new TokenScheme("oauth2", new OAuth2Verifier(options));

interface Cached {
  /** `undefined`: the token is not active. */
  readonly identity: Identity | undefined;
  /** On the monotonic clock. */
  readonly until: number;
}

class OAuth2Verifier implements BearerVerifier {
  readonly #options: OAuth2Options;
  readonly #clock: Clock;
  readonly #issuer: Issuer;
  readonly #authorization: Secret;
  readonly #cacheMs: number;
  readonly #refusalMs: number;
  readonly #maxCached: number;
  /** By digests: a dump of this memory shows no tokens. In the order of the answers. */
  readonly #cache = new Map<string, Cached>();
  /** Many connections with one token ask once. */
  readonly #asking = new Map<string, Promise<Identity>>();

  constructor(options: OAuth2Options) {
    const { clientId, clientSecret, clock = systemClock, cacheSeconds = 30, maxCached = 10_000 } = options;
    if (clientId === "" || clientSecret === "") throw new TypeError("clientId and clientSecret are required");
    if (!(cacheSeconds >= 0 && cacheSeconds <= 300)) throw new TypeError("cacheSeconds is from 0 to 300");
    const { refusalSeconds = 2 } = options;
    if (!(refusalSeconds >= 0 && refusalSeconds <= 10)) throw new TypeError("refusalSeconds is from 0 to 10");
    if (!((options.revalidateSeconds ?? 60) >= 1)) throw new TypeError("revalidateSeconds is at least 1");
    this.#options = options;
    this.#clock = clock;
    const timeoutMs = options.timeoutMs ?? ISSUER_TIMEOUT_MS;
    this.#issuer = new Issuer({ url: options.introspectionEndpoint, clock, timeoutMs });
    this.#authorization = new Secret(basicAuthorization(clientId, clientSecret));
    this.#cacheMs = cacheSeconds * 1000;
    this.#refusalMs = refusalSeconds * 1000;
    this.#maxCached = maxCached;
  }

  async verify(token: string, signal?: AbortSignal): Promise<Identity> {
    assertTokenForm(token);
    const digest = createHash("sha256").update(token).digest("base64");
    const cached = this.#cache.get(digest);
    if (cached !== undefined && cached.until > this.#clock.monotonic()) return cached.identity ?? throwInactive();
    this.#cache.delete(digest);
    let asking = this.#asking.get(digest);
    if (asking === undefined) {
      // Without the signal of the first: others wait for the same answer, which has a time-out of its own.
      asking = this.#identityOf(new Secret(token), digest).finally(() => this.#asking.delete(digest));
      this.#asking.set(digest, asking);
    }
    return abortable(asking, signal);
  }

  async #identityOf(token: Secret, digest: string): Promise<Identity> {
    const claims = await this.#introspect(token);
    if (claims === undefined) {
      this.#keep(digest, undefined, this.#refusalMs);
      throwInactive();
    }
    const { audience, issuer, scopes = [], revalidateSeconds = 60, trustLevel } = this.#options;
    const now = this.#clock.now();
    const expiresAt = validityIn(claims, { now, toleranceMs: TOLERANCE_MS });
    if (expiresAt !== undefined && expiresAt <= now) throw expired();
    if (audience !== undefined && !hasOneOf(claimOf(claims, "aud"), [audience].flat()))
      throw notValid("the token is for somebody else");
    if (issuer !== undefined && !hasOneOf(claimOf(claims, "iss"), [issuer].flat()))
      throw notValid("the token is of another issuer");
    assertScopes(claimOf(claims, "scope"), scopes);
    const identity: Identity = {
      ...identityIn(claims, this.#options),
      ...(expiresAt !== undefined && { expiresAt }),
      ...trustOf(trustLevel, claims),
      revalidateAfterMs: revalidateSeconds * 1000,
      isRevoked: async (signal) => {
        if ((await this.#introspect(token, signal)) !== undefined) return false;
        this.#cache.delete(digest);
        return true;
      },
    };
    const leftMs = (identity.expiresAt ?? Number.POSITIVE_INFINITY) - now;
    this.#keep(digest, identity, Math.min(this.#cacheMs, leftMs));
    return identity;
  }

  /** What the issuer says of an active token; `undefined` if it is not. */
  async #introspect(token: Secret, signal?: AbortSignal): Promise<JsonObject | undefined> {
    const body = new URLSearchParams({ token: token.reveal(), token_type_hint: "access_token" }).toString();
    const headers = {
      authorization: this.#authorization.reveal(),
      "content-type": "application/x-www-form-urlencoded",
    };
    const answer = await this.#issuer.ask({ method: "POST", headers, body }, signal);
    return claimOf(answer, "active") === true ? answer : undefined;
  }

  #keep(digest: string, identity: Identity | undefined, keepMs: number): void {
    if (keepMs <= 0 || this.#maxCached < 1) return;
    if (this.#cache.size >= this.#maxCached) {
      const [oldest] = this.#cache.keys();
      if (oldest !== undefined) this.#cache.delete(oldest);
    }
    this.#cache.set(digest, { identity, until: this.#clock.monotonic() + keepMs });
  }
}

function throwInactive(): never {
  throw notValid("the issuer says that the token is not active");
}

function assertScopes(granted: unknown, required: readonly string[]): void {
  // RFC 7662 has no lists: a list is of somebody who means something else.
  const scopes = typeof granted === "string" ? granted.split(" ") : [];
  if (!required.every((scope) => scopes.includes(scope))) throw notValid("the token lacks a scope");
}

/** RFC 6749 §2.3.1: both parts are form-encoded first. */
function basicAuthorization(clientId: string, clientSecret: string): string {
  const encoded = [clientId, clientSecret].map((part) => new URLSearchParams({ "": part }).toString().slice(1));
  return `Basic ${Buffer.from(encoded.join(":")).toString("base64")}`;
}
