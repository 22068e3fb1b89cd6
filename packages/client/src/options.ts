import {
  type Clock,
  DESCRIBE_FEATURE,
  EXTENSION_FEATURE,
  type Logger,
  rootLogger,
  systemClock,
  V1_1_FEATURES,
} from "@arcp/core";

/** A bearer token, or where to get the current one. It is asked for at every handshake. */
export type TokenSource = string | (() => string | Promise<string>);

/** What a peer needs that the specification does not say. */
export interface Compatibility {
  /**
   * `ruby`: the hello names its session and has flat names beside the client object, a resume has `token`, a lease is a
   * list of capability names, and the session is closed with `session.bye`.
   */
  readonly dialect?: "spec" | "ruby";
  /**
   * Whose numbers events of observed jobs carry: this session's (§7.6), or the submitting session's. Messages that name
   * another session are always taken for the latter. Default: `session`.
   */
  readonly subscriptionNumbering?: "session" | "owner";
  /** What a gap in the numbering does: drop the connection and resume (§8.3), or only report it. Default: `resume`. */
  readonly onGap?: "resume" | "report";
}

/** Who an {@link ARCPClient} is, what it offers, how long it waits, and how much it keeps in memory. */
export interface ClientOptions {
  /** How the client names itself. */
  readonly client?: { readonly name: string; readonly version: string };
  /** Without one, the client authenticates with the scheme `none`, which runtimes accept on stdio at most. */
  readonly token?: TokenSource;
  /**
   * The features to offer. Default: all eleven, {@link EXTENSION_FEATURE}, without which nobody asks this client, and
   * {@link DESCRIBE_FEATURE}, without which nothing is known of agents but their names.
   */
  readonly features?: readonly string[];
  /** Sends the token over a connection that others can read. Default: false. */
  readonly allowInsecure?: boolean;
  /** Acknowledge what was processed (§6.5), if negotiated. Default: true. */
  readonly autoAck?: boolean;
  /** How long to wait for a connection and its welcome. Default: 10 000 ms. */
  readonly handshakeTimeoutMs?: number;
  /** How long to wait for the reply to a request. Default: 30 000 ms. */
  readonly requestTimeoutMs?: number;
  /** How long to wait for `session.closed`. Default: 3 000 ms. */
  readonly closeTimeoutMs?: number;
  /**
   * How long jobs wait for {@link ARCPClient.resume} after the connection of a client that does not reconnect by itself
   * is lost; then they fail. 0: at once. Default: the resume window.
   */
  readonly holdMs?: number;
  /**
   * Events of one job that are kept while no iterator exists; the oldest are dropped beyond it. Default: 1024.
   */
  readonly maxKeptEvents?: number;
  /**
   * Unread events of one iterator at which the client stops reading from the connection, until half of them are read.
   * Requests that wait for their reply suspend this. Default: 1024.
   */
  readonly maxUnreadEvents?: number;
  /** Bytes of a streamed result that is collected. Default: 256 MiB. */
  readonly maxResultBytes?: number;
  /** The largest message that the runtime reads: a larger request is refused here. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  readonly compat?: Compatibility;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

export type ResolvedOptions = Required<Omit<ClientOptions, "token" | "holdMs" | "compat">> &
  Pick<ClientOptions, "token" | "holdMs"> & { readonly compat: Required<Compatibility> };

const CLIENT_VERSION = "0.1.0";
const MIB = 1024 * 1024;

export const resolveOptions = (options: ClientOptions): ResolvedOptions => ({
  client: { name: "arcp-client", version: CLIENT_VERSION },
  features: [...V1_1_FEATURES, EXTENSION_FEATURE, DESCRIBE_FEATURE],
  allowInsecure: false,
  autoAck: true,
  handshakeTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  closeTimeoutMs: 3_000,
  maxKeptEvents: 1024,
  maxUnreadEvents: 1024,
  maxResultBytes: 256 * MIB,
  maxFrameBytes: MIB,
  clock: systemClock,
  logger: rootLogger,
  ...options,
  compat: { dialect: "spec", subscriptionNumbering: "session", onGap: "resume", ...options.compat },
});
