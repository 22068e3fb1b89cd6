/** What a client of wire 1.0 can be told. */
import { type Clock, type CompressionOptions, type JsonObject, type Logger, rootLogger, systemClock } from "@arcp/core";
import { type Capabilities10, capabilitiesOf } from "@arcp/core/v1.0";
import type { TokenSource } from "../options.ts";
import type { ReconnectOptions } from "../reconnect.ts";

/** Who the client says it is (RFC §8.1). */
export interface ClientIdentity {
  readonly kind: string;
  readonly version: string;
  /** Of the client's certificate: needed for the scheme `mtls`. */
  readonly fingerprint?: string;
  readonly principal?: string;
}

/**
 * How the client proves who it is (RFC §8.2). A token is asked for at every handshake, and when the runtime wants it
 * renewed (RFC §8.4).
 */
export type Credentials =
  | { readonly scheme: "bearer" | "oauth2" | "signed_jwt"; readonly token: TokenSource }
  | { readonly scheme: "mtls" | "none" };

/** What the runtime asks before it lets the client in (RFC §8.1). */
export interface Challenge {
  readonly type: string;
  readonly params: JsonObject;
  /** What is to be answered, where the runtime sends it as one text. */
  readonly challenge: string | undefined;
  readonly expiresAt: string | undefined;
  /** Set when an answer before this one was wrong. */
  readonly refusal: string | undefined;
}

/** How a client of wire 1.0 connects again; see {@link ReconnectOptions}. */
export interface ToolReconnectOptions
  extends Pick<ReconnectOptions, "initialDelayMs" | "maxDelayMs" | "maxAttempts" | "random"> {
  /** How long to go on trying after a loss. Default: 600 000 ms. */
  readonly giveUpAfterMs?: number;
  /**
   * What becomes of an invocation whose session the runtime no longer knows (`DATA_LOSS`, RFC §19). `fail`: it fails.
   * `continue`: it is asked for once more, under its idempotency key, so that a runtime which still knows the job answers
   * with that one. Default: `fail`.
   */
  readonly onDataLoss?: "fail" | "continue";
}

/** What a runtime needs that the specification does not say. */
export interface ToolCompatibility {
  /**
   * `fsharp`: `session.open` names the version in its payload too, names of the protocol are written as objects, and
   * `interrupt` names the job in another member.
   */
  readonly dialect?: "spec" | "fsharp";
  /**
   * What it means that a runtime says nothing to `resume`: that the session goes on, or that the runtime knows no such
   * message and the session is lost ({@link ToolReconnectOptions.onDataLoss}). Default: `resumed`.
   */
  readonly silentResume?: "resumed" | "lost";
}

/** Who an {@link ARCPToolClient} is, what it can do, how long it waits, and how much it keeps in memory. */
export interface ToolClientOptions {
  /** Default: kind `arcp-client`. */
  readonly client?: ClientIdentity;
  /** Default: `token` as bearer, if there is one; otherwise the scheme `none`, which few runtimes accept. */
  readonly auth?: Credentials;
  /** Short for `auth: { scheme: "bearer", token }`. */
  readonly token?: TokenSource;
  /**
   * What to ask for (RFC §7). What is not named is asked for as by default: everything that this client can do, and
   * `anonymous` with the scheme `none`. Name `false` what a runtime would refuse the session for.
   */
  readonly capabilities?: Partial<Omit<Capabilities10, "required" | "extensions">>;
  /** Capabilities and extensions without which the client wants no session (RFC §7). */
  readonly required?: readonly string[];
  /** Message types of extensions that the client speaks (RFC §21). */
  readonly extensions?: readonly string[];
  /** Refuses any runtime with another fingerprint (RFC §8.3). */
  readonly pinnedFingerprint?: string;
  /** Answers a challenge. What it returns is sent as the response; without it, a challenge fails the handshake. */
  readonly onChallenge?: (challenge: Challenge) => unknown;
  /** Who answers questions, when a handler does not say. Default: the principal, or the kind of the client. */
  readonly respondedBy?: string;
  /** Sends a token over a connection that others can read. Default: false. */
  readonly allowInsecure?: boolean;
  /**
   * Offers compression to the runtime, which takes it if it was told to: for a `ws:` or `wss:` URL, in Node. Browsers
   * offer it by themselves. Default: false.
   */
  readonly compression?: boolean | CompressionOptions;
  /** How long to wait for a connection and its `session.accepted`. Default: 10 000 ms. */
  readonly handshakeTimeoutMs?: number;
  /** How long to wait for the answer to a command. Default: 30 000 ms. */
  readonly requestTimeoutMs?: number;
  /** How long a runtime may be silent on what some SDKs do not answer: `resume`, `unsubscribe`, `artifact.release`, the end. Default: 2 000 ms. */
  readonly silenceMs?: number;
  /** A connection on which nothing was sent, or heard, for so long is asked for a sign of life. 0: never. Default: 30 000 ms. */
  readonly pingIntervalMs?: number;
  /** Events of one invocation that are kept while nobody reads them; the oldest are dropped beyond it. Default: 1024. */
  readonly maxKeptEvents?: number;
  /** Unread events of one iterator at which the client stops reading from the connection. Default: 1024. */
  readonly maxUnreadEvents?: number;
  /** Unread bytes of one stream at which its sender is asked to slow down, and at twice as many made to. Default: 1 MiB. */
  readonly maxUnreadStreamBytes?: number;
  /** Bytes of a result that is streamed, or fetched, and collected. Default: 256 MiB. */
  readonly maxResultBytes?: number;
  /** The largest frame that the runtime reads: a larger command is refused here. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  readonly compat?: ToolCompatibility;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

type Given =
  | "token"
  | "auth"
  | "capabilities"
  | "compat"
  | "pinnedFingerprint"
  | "onChallenge"
  | "respondedBy"
  | "compression";

export type ResolvedToolOptions = Required<Omit<ToolClientOptions, Given>> &
  Pick<ToolClientOptions, "pinnedFingerprint" | "onChallenge"> & {
    readonly auth: Credentials;
    readonly respondedBy: string;
    readonly capabilities: Capabilities10;
    readonly compat: Required<ToolCompatibility>;
  };

const CLIENT_VERSION = "0.1.0";
const MIB = 1024 * 1024;

/** Everything that this client can do. */
const ALL_CAPABILITIES = {
  streaming: true,
  durable_jobs: true,
  checkpoints: true,
  binary_streams: true,
  agent_handoff: true,
  human_input: true,
  artifacts: true,
  subscriptions: true,
  scheduled_jobs: true,
  interrupt: true,
  binary_encoding: ["base64", "sidecar"],
} as const;

export function resolveToolOptions(options: ToolClientOptions): ResolvedToolOptions {
  const { token, auth = token === undefined ? { scheme: "none" } : { scheme: "bearer", token } } = options;
  const client = options.client ?? { kind: "arcp-client", version: CLIENT_VERSION };
  const { required = [], extensions = [] } = options;
  return {
    required,
    extensions,
    allowInsecure: false,
    handshakeTimeoutMs: 10_000,
    requestTimeoutMs: 30_000,
    silenceMs: 2_000,
    pingIntervalMs: 30_000,
    maxKeptEvents: 1024,
    maxUnreadEvents: 1024,
    maxUnreadStreamBytes: MIB,
    maxResultBytes: 256 * MIB,
    maxFrameBytes: MIB,
    clock: systemClock,
    logger: rootLogger,
    respondedBy: client.principal ?? client.kind,
    ...options,
    client,
    auth,
    capabilities: capabilitiesOf({
      ...ALL_CAPABILITIES,
      anonymous: auth.scheme === "none",
      ...options.capabilities,
      required,
      extensions,
    }),
    compat: { dialect: "spec", silentResume: "resumed", ...options.compat },
  };
}
