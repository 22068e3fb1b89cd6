/** Who is let in over wire 1.0 (RFC §8.2): bearer tokens, and nobody in particular where both sides agreed to that. */
import { type BearerVerifier, type JsonObject, type TransportPeer, UnauthenticatedError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import type { Admitted10, Doorkeeper } from "./handshake.ts";

export interface DoorOptions {
  readonly bearer: BearerVerifier | undefined;
  /** The principal of clients without credentials, on connections inside this machine. `undefined`: none are let in. */
  readonly anonymousPrincipal: string | undefined;
  readonly peer: TransportPeer;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class Door implements Doorkeeper {
  readonly #options: DoorOptions;

  constructor(options: DoorOptions) {
    this.#options = options;
  }

  async admit(
    auth: JsonObject,
    _client: JsonObject,
    { isAnonymousAgreed, signal }: { readonly isAnonymousAgreed: boolean; readonly signal: AbortSignal },
  ): Promise<Admitted10> {
    const { bearer, anonymousPrincipal, peer, now } = this.#options;
    const { scheme, token } = auth;
    if (scheme === "none") {
      if (!isAnonymousAgreed || anonymousPrincipal === undefined || !peer.isConfidential) {
        throw new UnauthenticatedError("anonymous sessions were not agreed on");
      }
      return { principal: anonymousPrincipal, trustLevel: "untrusted", expiresAt: undefined };
    }
    if (scheme !== "bearer") {
      const details = { scheme, supported: ["bearer"] };
      throw new CanonicalError("UNIMPLEMENTED", "the scheme is not supported here", { details });
    }
    if (bearer === undefined || typeof token !== "string" || token === "") {
      throw new UnauthenticatedError("a bearer token is required");
    }
    const { principal, expiresAt } = await bearer.verify(token, signal);
    if (expiresAt !== undefined && expiresAt <= now()) throw new UnauthenticatedError("the bearer token has expired");
    return { principal, trustLevel: "trusted", expiresAt };
  }
}
