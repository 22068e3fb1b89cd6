/**
 * The opening of a session on wire 1.0 (RFC §7, §8): who the client is, and what both sides can do.
 *
 *   waiting    -> challenged   the credentials do not suffice
 *   challenged -> challenged   the answer was wrong, and another challenge is out
 *   any        -> done         the session is open
 */
import { ResumeWindowExpiredError, UnauthenticatedError } from "@arcp/core";
import {
  CanonicalError,
  type Capabilities10,
  capabilitiesOf,
  type MessageOf10,
  negotiate10,
  TRUST_LEVELS,
} from "@arcp/core/v1.0";
import type { PendingChallenge, VerifiedIdentity } from "../../auth/auth-schemes.ts";
import type { Session } from "../../engine/session.ts";
import type { SessionRegistry } from "../../engine/session-registry.ts";
import type { Door } from "./door.ts";
import { MessageIds, type Position } from "./message-ids.ts";
import { profileFeature } from "./outbox.ts";
import type { Profile10 } from "./profiles.ts";

export interface HandshakeSettings10 {
  /** A token alone resumes no session. */
  readonly requireAuthOnResume: boolean;
  readonly runtime: { readonly kind: string; readonly version: string; readonly fingerprint: string | undefined };
  /** As it is now: agents come and go. */
  readonly offered: () => Capabilities10;
}

export interface Handshake10Options {
  readonly settings: HandshakeSettings10;
  readonly sessions: SessionRegistry;
  readonly door: Door;
  /** Where the client is. */
  readonly remoteAddress: string | undefined;
  /** Resolves when the runtime may admit clients. */
  readonly ready: Promise<void>;
  /** Is the client still waiting to be let in? */
  readonly isAwaited: () => boolean;
}

/** A client that was let in. The session is in the open batch: it is accepted once that is durable. */
export interface Opened {
  readonly outcome: "opened";
  readonly session: Session;
  readonly resumeToken: string;
  readonly identity: VerifiedIdentity;
  readonly capabilities: Capabilities10;
  /** The client has everything up to here. */
  readonly afterSeq: number;
  /** The same, to the message, if it named one. */
  readonly after: Position | undefined;
  readonly isResumed: boolean;
}

export type HandshakeOutcome =
  | Opened
  /** `isAgain`: the answer before was wrong. */
  | { readonly outcome: "challenged"; readonly challenge: PendingChallenge; readonly isAgain: boolean };

type OpenMessage = MessageOf10<"session.open">;

type Phase =
  | { readonly phase: "waiting" }
  | {
      readonly phase: "challenged";
      readonly challenge: PendingChallenge;
      readonly open: OpenMessage;
      readonly wrong: number;
    }
  | { readonly phase: "done" };

const MAX_WRONG_ANSWERS = 3;

export class Handshake10 {
  readonly #options: Handshake10Options;
  #phase: Phase = { phase: "waiting" };
  /** What the client said of its certificate when it opened the session. */
  #fingerprint: string | undefined;

  constructor(options: Handshake10Options) {
    this.#options = options;
  }

  /** Opens a session, or says what the client must answer first. Throws the typed refusal. */
  open(message: OpenMessage, profile: Profile10): Promise<HandshakeOutcome> {
    return this.#attempt(message, profile, 0);
  }

  /** Gives a session back to whoever has its token, as wire 1.1 does: one SDK resumes so. Throws the typed refusal. */
  async resume({ payload, session_id }: MessageOf10<"session.resume">): Promise<Opened> {
    const { auth, resume_token = "", last_event_seq = 0, after_message_id: messageId } = payload;
    const { door, settings } = this.#options;
    const mustAuthenticate = auth !== undefined || door.hasBearerToken || settings.requireAuthOnResume;
    const answer = mustAuthenticate
      ? await door.admit(auth, { fingerprint: undefined, isAnonymousAgreed: false })
      : undefined;
    if (answer !== undefined && !("principal" in answer))
      throw new UnauthenticatedError("the credentials must be complete");
    await this.#options.ready;
    const seq = messageId === undefined ? last_event_seq : MessageIds.seqOf(messageId);
    if (seq === undefined) throw neverSent();
    // The entry of that message may have made others after it.
    const afterSeq = messageId === undefined ? seq : Math.max(0, seq - 1);
    const { session, resumeToken } = await this.#options.sessions.claim({
      ...{ sessionId: session_id, token: resume_token, lastEventSeq: afterSeq, identity: answer },
      remoteAddress: this.#options.remoteAddress,
      isAwaited: this.#options.isAwaited,
    });
    const after = messageId === undefined ? undefined : new MessageIds(session.salt).positionOf(messageId);
    if (messageId !== undefined && after === undefined) throw neverSent();
    this.#phase = { phase: "done" };
    const flags = Object.fromEntries([...session.features].map((name) => [name, true]));
    const capabilities = negotiate10(this.#options.settings.offered(), capabilitiesOf(flags));
    const identity = answer ?? { principal: session.principal, trustLevel: trustLevelOf(session) };
    return { outcome: "opened", session, resumeToken, identity, capabilities, afterSeq, after, isResumed: true };
  }

  /** Takes the answer to the challenge. Throws the typed refusal; after some wrong answers there is no other challenge. */
  async authenticate(message: MessageOf10<"session.authenticate">, profile: Profile10): Promise<HandshakeOutcome> {
    const state = this.#phase;
    if (state.phase !== "challenged") throw new CanonicalError("FAILED_PRECONDITION", "nothing was asked");
    const { challenge, open, wrong } = state;
    let identity: VerifiedIdentity;
    try {
      identity = await challenge.answer(message.payload.response);
    } catch (error) {
      if (!(error instanceof UnauthenticatedError) || wrong + 1 >= MAX_WRONG_ANSWERS) throw error;
      return this.#attempt(open, profile, wrong + 1);
    }
    return this.#admit(open, identity, profile);
  }

  /** Fresh credentials in mid-session (RFC §8.4), which must be whole. Throws the typed refusal. */
  async renew({ payload }: MessageOf10<"session.authenticate">): Promise<VerifiedIdentity> {
    const answer = await this.#options.door.admit(payload.auth, {
      fingerprint: this.#fingerprint,
      isAnonymousAgreed: false,
    });
    if ("principal" in answer) return answer;
    throw new UnauthenticatedError("the credentials must be complete");
  }

  /** The payload of `session.accepted`. */
  accepted({ session, resumeToken, identity, capabilities }: Opened): object {
    const { kind, version, fingerprint } = this.#options.settings.runtime;
    const { expiresAt, trustLevel } = identity;
    return {
      session_id: session.id,
      runtime: { kind, version, trust_level: "trusted", ...(fingerprint !== undefined && { fingerprint }) },
      trust_level: trustLevel,
      capabilities,
      ...(expiresAt !== undefined && { lease: { expires_at: new Date(expiresAt).toISOString() } }),
      resume_token: resumeToken,
    };
  }

  async #attempt(message: OpenMessage, profile: Profile10, wrong: number): Promise<HandshakeOutcome> {
    const { auth, client } = message.payload;
    this.#fingerprint = client.fingerprint;
    const isAnonymousAgreed = this.#negotiate(message).anonymous;
    const answer = await this.#options.door.admit(auth, { fingerprint: client.fingerprint, isAnonymousAgreed });
    if ("principal" in answer) return this.#admit(message, answer, profile);
    this.#phase = { phase: "challenged", challenge: answer, open: message, wrong };
    return { outcome: "challenged", challenge: answer, isAgain: wrong > 0 };
  }

  #negotiate(message: OpenMessage): Capabilities10 {
    return negotiate10(this.#options.settings.offered(), message.payload.capabilities);
  }

  async #admit(message: OpenMessage, identity: VerifiedIdentity, profile: Profile10): Promise<Opened> {
    const capabilities = this.#negotiate(message);
    await this.#options.ready;
    const on = Object.entries(capabilities).flatMap(([name, value]) => (value === true ? [name] : []));
    const features = [...on, ...capabilities.extensions, profileFeature(profile), `${TRUST}${identity.trustLevel}`];
    const { sessions, remoteAddress } = this.#options;
    await sessions.assertRoom(identity);
    const { session, resumeToken } = sessions.open(identity, "1.0", features, remoteAddress);
    this.#phase = { phase: "done" };
    return {
      outcome: "opened",
      session,
      resumeToken,
      identity,
      capabilities,
      afterSeq: 0,
      after: undefined,
      isResumed: false,
    };
  }
}

const neverSent = (): ResumeWindowExpiredError =>
  new ResumeWindowExpiredError("the session never sent a message of that id");

const TRUST = "trust:";

const trustLevelOf = ({ features }: Session): VerifiedIdentity["trustLevel"] => {
  const level = [...features].find((name) => name.startsWith(TRUST))?.slice(TRUST.length);
  return TRUST_LEVELS.find((known) => known === level) ?? "untrusted";
};
