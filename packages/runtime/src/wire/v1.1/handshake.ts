/** From `session.hello` or `session.resume` to a session that the client owns (§6.1 to §6.3). */
import {
  type AgentInventoryEntry,
  DESCRIBE_FEATURE,
  type Identity,
  InvalidRequestError,
  type JsonObject,
  type MessageOf,
  negotiateCapabilities,
  PERMISSIONS_MEMBER,
  type TransportPeer,
  UnauthenticatedError,
} from "@arcp/core";
import type { AuthSchemes } from "../../auth/auth-schemes.ts";
import { MTLS } from "../../auth/mtls.ts";
import { isGrant, onlyQuestionOf, permissionsIn } from "../../engine/access.ts";
import type { Session } from "../../engine/session.ts";
import type { SessionRegistry } from "../../engine/session-registry.ts";

export type OpeningMessage = MessageOf<"session.hello" | "session.resume">;

export interface HandshakeSettings {
  readonly runtime: { readonly name: string; readonly version: string };
  readonly schemes: AuthSchemes;
  /** The principal of clients without credentials, on connections inside this machine. `undefined`: none are let in. */
  readonly anonymousPrincipal: string | undefined;
  readonly features: readonly string[];
  readonly extensions: readonly string[] | undefined;
  readonly heartbeatIntervalSeconds: number;
  readonly resumeWindowSeconds: number;
  readonly requireAuthOnResume: boolean;
}

export interface HandshakeOptions {
  readonly settings: HandshakeSettings;
  readonly sessions: SessionRegistry;
  readonly inventory: () => readonly AgentInventoryEntry[];
  /** Resolves when the runtime may admit clients. */
  readonly ready: Promise<void>;
  readonly peer: TransportPeer;
  /** Is the client still waiting for its welcome? */
  readonly isAwaited: () => boolean;
}

/** A client that was let in. The session is in the open batch: it is welcomed once that is durable. */
export interface Admission {
  readonly session: Session;
  readonly resumeToken: string;
  /** The client has everything up to here. */
  readonly afterSeq: number;
  /** Was the session made just now? Then nobody else has its token. */
  readonly isNew: boolean;
  /** Whose credentials were shown; `undefined` if a token of a session was enough. */
  readonly identity: Identity | undefined;
}

export const CREDENTIALS_FEATURE = "provisioned_credentials";

export class Handshake {
  readonly #options: HandshakeOptions;

  constructor(options: HandshakeOptions) {
    this.#options = options;
  }

  /**
   * Opens a session, or gives one back. `namedSession` is the session id on the envelope, if it means something. Throws
   * the typed refusal, and then nothing has changed.
   */
  admit(message: OpeningMessage, namedSession: string | undefined): Promise<Admission> {
    const isNew = message.type === "session.hello" && message.payload.resume === undefined;
    return isNew ? this.#open(message) : this.#resume(message, namedSession);
  }

  /** The payload of `session.welcome`. */
  welcome(message: OpeningMessage, { session, resumeToken }: Admission): object {
    const { runtime, heartbeatIntervalSeconds, resumeWindowSeconds, extensions } = this.#options.settings;
    // Who came by a link has been shown a question, and nothing of what else there is.
    const agents = onlyQuestionOf(session.features) === undefined ? this.#options.inventory() : [];
    // A client that says nothing of features knows the base draft's list of names alone.
    const isPlain = message.type === "session.hello" && message.payload.capabilities?.features === undefined;
    return {
      runtime,
      resume_token: resumeToken,
      resume_window_sec: resumeWindowSeconds,
      ...(session.features.has("heartbeat") && { heartbeat_interval_sec: heartbeatIntervalSeconds }),
      capabilities: {
        encodings: ["json"],
        features: [...session.features].filter((name) => !isGrant(name)),
        agents: isPlain ? agents.map(({ name }) => name) : agents,
        ...(extensions && { extensions }),
        ...(session.features.has(DESCRIBE_FEATURE) && { [PERMISSIONS_MEMBER]: permissionsIn(session.features) }),
      },
    };
  }

  async #open(message: MessageOf<"session.hello">): Promise<Admission> {
    const identity = await this.#authenticate(message.payload.auth);
    await this.#options.ready;
    const features = this.#effectiveFeatures(message, identity.isAuthenticated);
    await this.#options.sessions.assertRoom(identity);
    const opened = this.#options.sessions.open(identity, "1.1", features, this.#options.peer.remoteAddress);
    return { ...opened, afterSeq: 0, isNew: true, identity };
  }

  async #resume(message: OpeningMessage, namedSession: string | undefined): Promise<Admission> {
    const resume = message.type === "session.resume" ? message.payload : message.payload.resume;
    if (resume === undefined) throw new InvalidRequestError("payload.resume: expected an object");
    const { auth } = message.payload;
    const { requireAuthOnResume } = this.#options.settings;
    const hasCredentials = auth !== undefined || this.#options.peer.bearerToken !== undefined;
    const mustAuthenticate = hasCredentials || message.type === "session.hello" || requireAuthOnResume;
    const identity = mustAuthenticate ? await this.#authenticate(auth) : undefined;
    await this.#options.ready;
    const claimed = await this.#options.sessions.claim({
      sessionId: resume.session_id ?? namedSession,
      token: resume.resume_token,
      lastEventSeq: resume.last_event_seq,
      identity,
      remoteAddress: this.#options.peer.remoteAddress,
      isAwaited: this.#options.isAwaited,
    });
    if (message.type === "session.hello")
      claimed.session.renegotiate(this.#effectiveFeatures(message, identity?.isAuthenticated ?? false));
    return { ...claimed, afterSeq: resume.last_event_seq, isNew: false, identity };
  }

  /** Secrets travel to clients that are known, over connections that nobody else can read (§14). */
  #effectiveFeatures(hello: MessageOf<"session.hello">, isAuthenticated: boolean): readonly string[] {
    const isFit = isAuthenticated && this.#options.peer.isConfidential;
    const offered = this.#options.settings.features.filter((name) => name !== CREDENTIALS_FEATURE || isFit);
    return negotiateCapabilities(offered, hello.payload.capabilities?.features);
  }

  async #authenticate(
    auth: OpeningMessage["payload"]["auth"],
  ): Promise<Identity & { readonly isAuthenticated: boolean }> {
    const { schemes, anonymousPrincipal } = this.#options.settings;
    const { peer } = this.#options;
    const { scheme: named, token } = shownCredentials(auth, peer);
    const fingerprint = peer.certificateFingerprint;
    // The certificate of a connection speaks for who shows nothing else.
    const scheme = named === "none" && fingerprint !== undefined && schemes.has(MTLS) ? MTLS : named;
    if (scheme === "none" && anonymousPrincipal !== undefined && peer.isConfidential) {
      return { principal: anonymousPrincipal, isAuthenticated: false };
    }
    if (!schemes.has(scheme) || (scheme !== MTLS && !token))
      throw new UnauthenticatedError("a bearer token is required");
    const request = { scheme, token, fingerprint, peer, params: { ...auth } as JsonObject };
    const answer = await schemes.verify(request);
    if (answer.outcome === "verified") return { ...answer.identity, isAuthenticated: true };
    throw new UnauthenticatedError("these credentials are for another wire");
  }
}

/** Those of the message; if it has none, those of the request that made the connection. */
function shownCredentials(
  auth: OpeningMessage["payload"]["auth"],
  { bearerToken }: TransportPeer,
): { readonly scheme: string; readonly token: string | undefined } {
  const scheme = auth?.scheme ?? (auth?.token === undefined ? "none" : "bearer");
  const isSilent = scheme === "none" && bearerToken !== undefined;
  return isSilent ? { scheme: "bearer", token: bearerToken } : { scheme, token: auth?.token };
}
