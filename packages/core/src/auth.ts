import { UnauthenticatedError } from "./errors.ts";

/** Who a verified credential speaks for. */
export interface Identity {
  /** The stable name that owns jobs, keys and sessions. Two credentials with one principal are one user. */
  readonly principal: string;
  /** When the credential stops being valid, in milliseconds since the epoch. */
  readonly expiresAt?: number;
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
  const digest = await globalThis.crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
