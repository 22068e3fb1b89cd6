/** The opening of a session on wire 1.0 (RFC §7, §8): who the client is, and what both sides can do. */
import { type ARCPError, InternalError, type JsonObject, type Logger, UnauthenticatedError } from "@arcp/core";
import { type Capabilities10, type MessageOf10, negotiate10 } from "@arcp/core/v1.0";
import type { Session } from "../../engine/session.ts";
import type { SessionRegistry } from "../../engine/session-registry.ts";
import { profileFeature } from "./outbox.ts";
import type { Profile10 } from "./profiles.ts";

/** Who a client has proven to be. */
export interface Admitted10 {
  readonly principal: string;
  readonly trustLevel: string;
  /** In milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
}

/** What a client must answer before it is let in (RFC §8.1). */
export interface Challenge10 {
  readonly type: string;
  readonly params: JsonObject;
}

/** Looks at credentials. Throws the typed refusal. */
export interface Doorkeeper {
  /** `isAnonymousAgreed`: both sides have said that nobody need be known (RFC §8.2). */
  admit(
    auth: JsonObject,
    client: JsonObject,
    options: { readonly isAnonymousAgreed: boolean; readonly signal: AbortSignal },
  ): Promise<Admitted10 | { readonly challenge: Challenge10; answer(response: JsonObject): Promise<Admitted10> }>;
}

export interface HandshakeSettings10 {
  readonly runtime: { readonly kind: string; readonly version: string; readonly fingerprint: string | undefined };
  /** As it is now: agents come and go. */
  readonly offered: () => Capabilities10;
  /** How long an admission lasts before it has to be renewed, in seconds; `undefined`: as long as the credentials. */
  readonly sessionLeaseSeconds: number | undefined;
}

export interface Handshake10Options {
  readonly settings: HandshakeSettings10;
  readonly sessions: SessionRegistry;
  readonly door: Doorkeeper;
  /** Resolves when the runtime may admit clients. */
  readonly ready: Promise<void>;
  readonly logger: Logger;
}

const VERIFY_TIMEOUT_MS = 5_000;
const MAX_WRONG_ANSWERS = 3;

export interface Opened {
  readonly session: Session;
  readonly resumeToken: string;
  readonly identity: Admitted10;
  readonly capabilities: Capabilities10;
}

type Phase =
  | { readonly phase: "open" }
  | {
      readonly phase: "challenged";
      readonly answer: (response: JsonObject) => Promise<Admitted10>;
      readonly open: OpenMessage;
    }
  | { readonly phase: "done" };

type OpenMessage = MessageOf10<"session.open">;

export class Handshake10 {
  readonly #options: Handshake10Options;
  #phase: Phase = { phase: "open" };
  #wrongAnswers = 0;

  constructor(options: Handshake10Options) {
    this.#options = options;
  }

  /** Opens a session, or says what the client must answer first. Throws the typed refusal. */
  async open(message: OpenMessage, profile: Profile10): Promise<Opened | Challenge10> {
    if (this.#phase.phase !== "open") throw new UnauthenticatedError("the session was opened already");
    const { auth, client } = message.payload;
    const capabilities = this.#negotiate(message);
    const isAnonymousAgreed = capabilities.anonymous === true;
    const signal = AbortSignal.timeout(VERIFY_TIMEOUT_MS);
    const outcome = await this.#verify(() =>
      this.#options.door.admit(auth ?? {}, client, { isAnonymousAgreed, signal }),
    );
    if ("challenge" in outcome) {
      this.#phase = { phase: "challenged", answer: (response) => outcome.answer(response), open: message };
      return outcome.challenge;
    }
    return this.#admit(message, outcome, profile);
  }

  /**
   * The answer to the challenge. `undefined`: it was wrong, and may be given again. Throws the typed refusal.
   */
  async authenticate(message: MessageOf10<"session.authenticate">, profile: Profile10): Promise<Opened | undefined> {
    const state = this.#phase;
    if (state.phase !== "challenged") throw new UnauthenticatedError("nothing was asked");
    try {
      const identity = await this.#verify(() => state.answer(message.payload));
      return await this.#admit(state.open, identity, profile);
    } catch (error) {
      this.#wrongAnswers += 1;
      if (!(error instanceof UnauthenticatedError) || this.#wrongAnswers >= MAX_WRONG_ANSWERS) throw error;
      return undefined;
    }
  }

  /** Fresh credentials in mid-session (RFC §8.4). Throws the typed refusal. */
  async renew({ payload }: MessageOf10<"session.authenticate">): Promise<Admitted10> {
    const signal = AbortSignal.timeout(VERIFY_TIMEOUT_MS);
    const options = { isAnonymousAgreed: false, signal };
    const outcome = await this.#verify(() => this.#options.door.admit(payload.auth ?? {}, {}, options));
    if ("challenge" in outcome) throw new UnauthenticatedError("the credentials must be complete");
    return outcome;
  }

  /** The payload of `session.accepted`. */
  accepted({ session, resumeToken, identity, capabilities }: Opened, now: number): object {
    const { runtime, sessionLeaseSeconds } = this.#options.settings;
    const leaseEnd = sessionLeaseSeconds === undefined ? undefined : now + sessionLeaseSeconds * 1000;
    const expiresAt = Math.min(identity.expiresAt ?? Number.POSITIVE_INFINITY, leaseEnd ?? Number.POSITIVE_INFINITY);
    return {
      session_id: session.id,
      runtime: {
        ...{ kind: runtime.kind, version: runtime.version, trust_level: identity.trustLevel },
        ...(runtime.fingerprint !== undefined && { fingerprint: runtime.fingerprint }),
      },
      capabilities,
      ...(Number.isFinite(expiresAt) && { lease: { expires_at: new Date(expiresAt).toISOString() } }),
      resume_token: resumeToken,
    };
  }

  #negotiate(message: OpenMessage): Capabilities10 {
    return negotiate10(this.#options.settings.offered(), message.payload.capabilities);
  }

  async #admit(message: OpenMessage, identity: Admitted10, profile: Profile10): Promise<Opened> {
    const capabilities = this.#negotiate(message);
    await this.#options.ready;
    const on = Object.entries(capabilities).flatMap(([name, value]) => (value === true ? [name] : []));
    const features = [...on, profileFeature(profile), `trust:${identity.trustLevel}`];
    const { session, resumeToken } = this.#options.sessions.open(identity.principal, "1.0", features);
    this.#phase = { phase: "done" };
    return { session, resumeToken, identity, capabilities };
  }

  /** What a verifier throws is a refusal; what it should not have thrown is nobody's business but the operator's. */
  async #verify<Outcome>(verify: () => Promise<Outcome>): Promise<Outcome> {
    try {
      return await verify();
    } catch (cause) {
      if (isRefusal(cause)) throw cause;
      this.#options.logger.error({ err: cause }, "credentials could not be verified");
      throw new UnauthenticatedError("the credentials could not be verified");
    }
  }
}

const isRefusal = (error: unknown): error is ARCPError =>
  error instanceof Error && "code" in error && "retryable" in error && !(error instanceof InternalError);
