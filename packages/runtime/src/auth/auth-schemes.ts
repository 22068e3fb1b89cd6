/** The schemes that a runtime supports (RFC §8.2), behind one gate. */
import { type Clock, type Identity, rootLogger, systemClock, type TrustLevel, UnauthenticatedError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { tenantScoped } from "../engine/access.ts";
import { AuthGate } from "./auth-gate.ts";
import { Challenge } from "./challenge.ts";
import { MTLS } from "./mtls.ts";
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

/** What the verifiers of {@link AuthSchemes} have in common. */
export interface AuthSchemesOptions {
  /** Default: the machine's. */
  readonly clock?: Clock;
  /** To be shared with whatever else verifies credentials of the same addresses. Default: one of its own. */
  readonly gate?: AuthGate;
  /**
   * A token counts only on a connection whose certificate speaks for the same principal: the scheme `mtls` has to have a
   * verifier. Default: false.
   */
  readonly bindsTokens?: boolean;
}

/** Verifies the credentials of both wires, by one verifier for each scheme (RFC §8.2). */
export class AuthSchemes {
  readonly #verifiers: ReadonlyMap<string, SchemeVerifier>;
  readonly #clock: Clock;
  readonly #gate: AuthGate;
  /** Who says whose certificate a connection was made with, if tokens are bound to that. */
  readonly #binding: SchemeVerifier | undefined;

  /**
   * @throws TypeError for two verifiers of one scheme, one of `none`, which nobody verifies, and tokens that are bound to
   * certificates without a verifier of those.
   */
  constructor(
    verifiers: readonly SchemeVerifier[],
    { clock = systemClock, gate, bindsTokens = false }: AuthSchemesOptions = {},
  ) {
    this.#verifiers = new Map(verifiers.map((verifier) => [verifier.scheme, verifier]));
    this.#clock = clock;
    this.#gate = gate ?? new AuthGate({ clock, logger: rootLogger });
    if (this.#verifiers.size < verifiers.length) throw new TypeError("each scheme has one verifier");
    if (this.#verifiers.has("none")) throw new TypeError("the scheme none has no verifier");
    this.#binding = bindsTokens ? this.#verifiers.get(MTLS) : undefined;
    if (bindsTokens && this.#binding === undefined) throw new TypeError("tokens are bound to certificates: add mtls");
  }

  has(scheme: string): boolean {
    return this.#verifiers.has(scheme);
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
    const answer = await this.#gate.pass(
      peer,
      async (stop) => {
        const shown = await verifier.verify(request, stop);
        return shown instanceof Challenge ? shown : this.#bound(shown, request, stop);
      },
      signal,
    );
    if (!(answer instanceof Challenge)) return { outcome: "verified", identity: this.#verified(answer) };
    const { type, params, expiresAt } = answer;
    const challenge: PendingChallenge = {
      ...{ type, params, expiresAt },
      answer: async (response, signal) =>
        this.#verified(
          await this.#gate.pass(
            peer,
            async (stop) => this.#bound(await answer.answer(response, stop), request, stop),
            signal,
          ),
        ),
    };
    return { outcome: "challenged", challenge };
  }

  /** The identity as the runtime knows it, if the connection's certificate is its own where it has to be. */
  async #bound(shown: Identity, { scheme, peer, params }: AuthRequest, signal: AbortSignal): Promise<Identity> {
    const identity = tenantScoped(shown);
    if (this.#binding === undefined || scheme === MTLS) return identity;
    const fingerprint = peer.certificateFingerprint;
    if (fingerprint === undefined) throw new UnauthenticatedError("a token needs a certificate here");
    const certified = await this.#binding.verify({ scheme: MTLS, fingerprint, peer, params }, signal);
    if (!(certified instanceof Challenge) && tenantScoped(certified).principal === identity.principal) return identity;
    throw new UnauthenticatedError("the token is not that of the certificate");
  }

  #verified(identity: Identity): VerifiedIdentity {
    const { expiresAt, trustLevel = "trusted" } = identity;
    if (expiresAt !== undefined && expiresAt <= this.#clock.now()) throw expired();
    return { ...identity, trustLevel };
  }
}

/** Somebody who has shown nothing (RFC §8.2 `none`): let in where both sides agreed to that, and trusted with nothing. */
export const anonymousIdentity = (principal: string): VerifiedIdentity => ({ principal, trustLevel: "untrusted" });
