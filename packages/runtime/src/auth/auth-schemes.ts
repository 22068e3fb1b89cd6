/** The schemes that a runtime supports (RFC §8.2), behind one gate. */
import { type Clock, type Identity, rootLogger, systemClock, type TrustLevel } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { AuthGate } from "./auth-gate.ts";
import { Challenge } from "./challenge.ts";
import { type AuthRequest, expired, type SchemeVerifier } from "./scheme.ts";

/** Whoever was verified, and how far it is trusted. */
export interface VerifiedIdentity extends Identity {
  readonly trustLevel: TrustLevel;
}

/** What became of the credentials of `session.open` (RFC §8.1). */
export type AuthOutcome =
  | { readonly outcome: "verified"; readonly identity: VerifiedIdentity }
  | { readonly outcome: "challenged"; readonly challenge: PendingChallenge };

/** What the client has to answer. It belongs to one connection. */
export interface PendingChallenge extends Pick<Challenge, "type" | "params" | "expiresAt"> {
  /**
   * Who has answered: `response` is that of `session.authenticate`. Any answer but the first is refused.
   *
   * @throws like {@link AuthSchemes.verify}.
   */
  answer(response: unknown, signal?: AbortSignal): Promise<VerifiedIdentity>;
}

export interface AuthSchemesOptions {
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** To be shared with whatever else verifies credentials of the same addresses. Default: one of its own. */
  readonly gate?: AuthGate;
}

export class AuthSchemes {
  readonly #verifiers: ReadonlyMap<string, SchemeVerifier>;
  readonly #clock: Clock;
  readonly #gate: AuthGate;

  /** @throws TypeError for two verifiers of one scheme, and one of `none`, which nobody verifies. */
  constructor(verifiers: readonly SchemeVerifier[], { clock = systemClock, gate }: AuthSchemesOptions = {}) {
    this.#verifiers = new Map(verifiers.map((verifier) => [verifier.scheme, verifier]));
    this.#clock = clock;
    this.#gate = gate ?? new AuthGate({ clock, logger: rootLogger });
    if (this.#verifiers.size < verifiers.length) throw new TypeError("each scheme has one verifier");
    if (this.#verifiers.has("none")) throw new TypeError("the scheme none has no verifier");
  }

  /** The names of the schemes, in the order of their verifiers. */
  get schemes(): string[] {
    return [...this.#verifiers.keys()];
  }

  /**
   * Who the credentials speak for, or what has to be answered first.
   *
   * @throws CanonicalError UNIMPLEMENTED for a scheme that there is no verifier for; UnauthenticatedError,
   * InvalidRequestError and AttemptsExhaustedError as {@link AuthGate.pass} does.
   */
  async verify(request: AuthRequest, signal?: AbortSignal): Promise<AuthOutcome> {
    const { scheme, peer } = request;
    const verifier = this.#verifiers.get(scheme);
    if (verifier === undefined) {
      const details = { scheme, supported: this.schemes };
      throw new CanonicalError("UNIMPLEMENTED", "the authentication scheme is not supported", { details });
    }
    const answer = await this.#gate.pass(peer, (stop) => verifier.verify(request, stop), signal);
    if (!(answer instanceof Challenge)) return { outcome: "verified", identity: this.#verified(answer) };
    const { type, params, expiresAt } = answer;
    const challenge: PendingChallenge = {
      ...{ type, params, expiresAt },
      answer: async (response, signal) =>
        this.#verified(await this.#gate.pass(peer, (stop) => answer.answer(response, stop), signal)),
    };
    return { outcome: "challenged", challenge };
  }

  #verified(identity: Identity): VerifiedIdentity {
    const { expiresAt, trustLevel = "trusted" } = identity;
    if (expiresAt !== undefined && expiresAt <= this.#clock.now()) throw expired();
    return { ...identity, trustLevel };
  }
}

/** Somebody who has shown nothing (RFC §8.2 `none`): let in where both sides agreed to that, and trusted with nothing. */
export const anonymousIdentity = (principal: string): VerifiedIdentity => ({ principal, trustLevel: "untrusted" });
