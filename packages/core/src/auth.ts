import { UnauthenticatedError } from "./errors.ts";

/** How far somebody is trusted (RFC §15.3), from the least to the most. */
export const TRUST_LEVELS = ["untrusted", "constrained", "trusted", "privileged"] as const;
/** How far a principal is trusted (RFC §15.6), lowest first in {@link TRUST_LEVELS}. */
export type TrustLevel = (typeof TRUST_LEVELS)[number];

/**
 * What a credential may permit its holder: to submit jobs and to control its own; to look at its own jobs; to look at those of
 * everybody in its tenant; to answer questions; and everything, others' jobs of its tenant included.
 */
export const PERMISSIONS = ["submit", "observe:own", "observe:all", "answer", "admin"] as const;
/** What a credential may permit its holder: one of {@link PERMISSIONS}. */
export type Permission = (typeof PERMISSIONS)[number];

/** The one question that a link is about, as it was when the link was made. */
export interface OnlyQuestion {
  readonly questionId: string;
  /** SHA-256 of the question as it was asked, in hexadecimal. */
  readonly digest: string;
  readonly linkId: string;
}

/** Who a verified credential speaks for. */
export interface Identity {
  /** The stable name that owns jobs, keys and sessions. Two credentials with one principal are one user. */
  readonly principal: string;
  /**
   * Whose customer the principal is: 1 to 64 letters, digits, `.`, `_` and `-`. Tenants never see each other, whatever policies
   * and permissions say. The runtime knows `alice` of the tenant `acme` as `@acme/alice`. Default: none.
   */
  readonly tenant?: string;
  /** What the credential permits. Default: everything that concerns the principal's own jobs. */
  readonly permissions?: readonly Permission[];
  /** The credential is a link: it permits to be asked this question and to answer it, once, and nothing else. */
  readonly onlyQuestion?: OnlyQuestion;
  /** When the credential stops being valid, in milliseconds since the epoch. */
  readonly expiresAt?: number;
  /** How far the principal is trusted (RFC §15.3). Default: `trusted`, since its credential was verified. */
  readonly trustLevel?: TrustLevel;
  /**
   * Milliseconds after which, again and again, it is worth asking whether the credential still stands: with
   * {@link isRevoked}, or without it with a demand for fresh credentials (RFC §8.4). Default: not before it expires.
   */
  readonly revalidateAfterMs?: number;
  /** Has whoever issued the credential withdrawn it? Rejects if that cannot be found out. */
  readonly isRevoked?: (signal: AbortSignal) => Promise<boolean>;
}

/** Turns a bearer token into an identity (§6.1). Implementations throw {@link UnauthenticatedError} for a bad token. */
export interface BearerVerifier {
  verify(token: string, signal?: AbortSignal): Promise<Identity>;
}

/**
 * A fixed table of tokens. Tokens are compared by their SHA-256 digests, so that the time a look-up takes says
 * nothing about how much of a token was right.
 */
export class StaticBearerVerifier implements BearerVerifier {
  readonly #byDigest: Promise<ReadonlyMap<string, Identity>>;

  constructor(tokens: ReadonlyMap<string, Identity>) {
    this.#byDigest = Promise.all(
      [...tokens].map(async ([token, identity]) => [await sha256Hex(token), identity] as const),
    ).then((entries) => new Map(entries));
  }

  /** Returns the identity of `token`. Throws {@link UnauthenticatedError} if the table has no such token. */
  async verify(token: string): Promise<Identity> {
    const identity = (await this.#byDigest).get(await sha256Hex(token));
    if (identity === undefined) throw new UnauthenticatedError("the bearer token is not valid");
    return identity;
  }
}

/** The SHA-256 digest of `text` in UTF-8, as lowercase hexadecimal. */
export async function sha256Hex(text: string): Promise<string> {
  return hexOf(await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/**
 * The HMAC-SHA256 of `text` with `secret`, both in UTF-8, as lowercase hexadecimal: the answer to a challenge of type
 * `hmac-sha256`, where `text` is its nonce (RFC §8.1).
 */
export async function hmacSha256Hex(secret: string, text: string): Promise<string> {
  const { subtle } = globalThis.crypto;
  const encoder = new TextEncoder();
  const key = await subtle.importKey("raw", encoder.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return hexOf(await subtle.sign("HMAC", key, encoder.encode(text)));
}

const hexOf = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
