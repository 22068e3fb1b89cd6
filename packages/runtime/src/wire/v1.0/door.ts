/** Who is let in over wire 1.0 (RFC §8.2): whoever a verifier knows, and nobody in particular where both sides agreed. */
import { type JsonObject, type TransportPeer, UnauthenticatedError } from "@arcp/core";
import {
  type AuthSchemes,
  anonymousIdentity,
  type PendingChallenge,
  type VerifiedIdentity,
} from "../../auth/auth-schemes.ts";

export interface DoorOptions {
  readonly schemes: AuthSchemes;
  /** The principal of clients without credentials, on connections inside this machine. `undefined`: none are let in. */
  readonly anonymousPrincipal: string | undefined;
  readonly peer: TransportPeer;
}

export class Door {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  /** Were credentials shown before the first message? */
  get hasBearerToken(): boolean {
    return this.#options.peer.bearerToken !== undefined;
  }

  /**
   * Who shows these credentials, or what has to be answered first. `isAnonymousAgreed`: both sides have said that nobody
   * need be known.
   *
   * @throws UnauthenticatedError and as {@link AuthSchemes.verify}.
   */
  async admit(
    auth: Credentials | undefined,
    {
      fingerprint,
      isAnonymousAgreed,
    }: { readonly fingerprint: string | undefined; readonly isAnonymousAgreed: boolean },
  ): Promise<VerifiedIdentity | PendingChallenge> {
    const { schemes, anonymousPrincipal, peer } = this.#options;
    const shown = shownCredentials(auth, peer);
    const { scheme, token } = shown;
    if (scheme === "none") {
      if (!isAnonymousAgreed || anonymousPrincipal === undefined || !peer.isConfidential) {
        throw new UnauthenticatedError("anonymous sessions were not agreed on");
      }
      return anonymousIdentity(anonymousPrincipal);
    }
    const params = { ...shown } as JsonObject;
    const answer = await schemes.verify({ scheme, token, fingerprint, peer, params });
    return answer.outcome === "verified" ? answer.identity : answer.challenge;
  }
}

interface Credentials {
  readonly scheme: string;
  readonly token?: string | undefined;
}

/** Those of the message; if it has none, those of the request that made the connection. */
function shownCredentials(auth: Credentials | undefined, { bearerToken }: TransportPeer): Credentials {
  if (auth !== undefined && auth.scheme !== "none") return auth;
  return bearerToken === undefined ? { scheme: "none" } : { scheme: "bearer", token: bearerToken };
}
