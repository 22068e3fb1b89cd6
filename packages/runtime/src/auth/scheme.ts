/** What a verifier of wire 1.0's credentials is (RFC §8.2). */
import {
  type BearerVerifier,
  type Identity,
  type JsonObject,
  type TransportPeer,
  type TrustLevel,
  UnauthenticatedError,
} from "@arcp/core";
import type { Challenge } from "./challenge.ts";

/** The credentials that a client shows, and what is known of its connection. All but `peer` is the client's word. */
export interface AuthRequest {
  readonly scheme: string;
  readonly token?: string | undefined;
  /** What `client.fingerprint` says. */
  readonly fingerprint?: string | undefined;
  readonly peer: TransportPeer;
  /** The `auth` block as it was sent, for schemes of one's own. */
  readonly params: JsonObject;
}

/** Verifies the credentials of one scheme. */
export interface SchemeVerifier {
  /** What `auth.scheme` says: `bearer`, `signed_jwt`, `oauth2`, `mtls`, or a name of one's own. */
  readonly scheme: string;
  /**
   * Who the credentials speak for, or what has to be answered first. The principal comes from what was verified, never
   * from what the client says of itself.
   *
   * @throws UnauthenticatedError for credentials that are not valid, without a hint at what is wrong with them;
   * InvalidRequestError for a request that is none. Anything else is a fault of the verifier.
   */
  verify(request: AuthRequest, signal: AbortSignal): Promise<Identity | Challenge>;
}

/** A scheme whose credential is its token alone. */
export class TokenScheme implements SchemeVerifier {
  readonly scheme: string;
  /** The same verifier where there is but one scheme: the option `bearer`, wire 1.1. */
  readonly bearer: BearerVerifier;

  constructor(scheme: string, bearer: BearerVerifier) {
    this.scheme = scheme;
    this.bearer = bearer;
  }

  async verify(request: AuthRequest, signal: AbortSignal): Promise<Identity> {
    return this.bearer.verify(tokenIn(request), signal);
  }
}

/** @throws UnauthenticatedError if there is none. */
export function tokenIn({ token }: AuthRequest): string {
  if (token === undefined || token === "") throw new UnauthenticatedError("a token is required");
  return token;
}

/** The scheme `bearer`: opaque tokens, looked up by `verifier` (RFC §8.2). */
export const bearerVerifier = (verifier: BearerVerifier): TokenScheme => new TokenScheme("bearer", verifier);

/** A level for all, or one that what was verified decides. */
export type TrustOption = TrustLevel | ((claims: JsonObject) => TrustLevel);

export const trustOf = (option: TrustOption | undefined, claims: JsonObject): { readonly trustLevel?: TrustLevel } => {
  const trustLevel = typeof option === "function" ? option(claims) : option;
  return trustLevel === undefined ? {} : { trustLevel };
};

/** Longer than any token in use: nothing of a longer one is looked at. */
const MAX_TOKEN_CHARS = 16_384;

/** What RFC 6750 lets a token consist of. */
const TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;

/** @throws UnauthenticatedError for what cannot be a token. */
export function assertTokenForm(token: string): void {
  if (token.length > MAX_TOKEN_CHARS || !TOKEN.test(token)) throw notValid("it is no token");
}

/** The one answer to credentials that are wrong. `reason` is for the log. */
export const notValid = (reason: unknown): UnauthenticatedError =>
  new UnauthenticatedError("the token is not valid", {
    cause: reason instanceof Error ? reason : new Error(String(reason)),
  });

/** The answer to credentials that were right. */
export const expired = (): UnauthenticatedError => new UnauthenticatedError("the token has expired");
