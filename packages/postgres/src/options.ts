import type { ConnectionOptions as TlsOptions } from "node:tls";

/** Which database it is, and how many connections to it there are. */
export interface PostgresOptions {
  /** `postgresql://user:password@host:port/database`. A directory as `?host=` is that of a Unix socket. */
  readonly url: string;
  /** Where the tables are, and nothing else: lower-case letters, digits, underscores. Default: `arcp`. */
  readonly schema?: string;
  /**
   * The name of the cluster: it is written into a new schema, and compared from then on. Two clusters that were pointed at one
   * schema by mistake are found by that. Default: none; a schema with a name can be read then, and not joined.
   */
  readonly cluster?: string;
  /** Connections of this process, beside the one that listens. Default: 8. */
  readonly pool?: { readonly max?: number };
  /** For the one connection that listens, if `url` is that of a pooler in transaction mode. Default: `url`. */
  readonly listenUrl?: string;
  /** TLS: `true`, or as of `tls.connect`. Default: what `sslmode` in the URL says. */
  readonly ssl?: boolean | TlsOptions;
  /**
   * When a commit is acknowledged: `on`, when it is on the server's disk (and on those of its synchronous standbys);
   * `remote_apply`, when those show it, too; `local`, when it is on the server's own; `off`, before that, and what came last is
   * lost when the server crashes. Default: `on`, whatever the server's default is.
   */
  readonly synchronousCommit?: "on" | "remote_write" | "remote_apply" | "local" | "off";
  /** May this process make the schema, or bring it up to date? Default: true. */
  readonly migrate?: boolean;
  /** How long it is gathered what other nodes are told of, in milliseconds. Default: 5. */
  readonly wakeMs?: number;
  /** How long connecting may take, in milliseconds. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /** After how long a statement that is not answered counts as lost with its connection. Default: 30 seconds. */
  readonly queryTimeoutMs?: number;
  /** By which the server's administrator knows the connections. Default: `arcp`. */
  readonly applicationName?: string;
}

/** With every default. Throws TypeError for a URL of something else. */
export function settled(options: PostgresOptions) {
  const { url, schema = "arcp", listenUrl = url } = options;
  for (const text of [url, listenUrl]) {
    // Without the text itself, which may hold a password.
    if (!/^postgres(ql)?:\/\//.test(text)) throw new TypeError("the URL of PostgreSQL begins with postgresql://");
  }
  return {
    ...{ url, schema, listenUrl, cluster: options.cluster, ssl: options.ssl },
    ...{ maxConnections: options.pool?.max ?? 8, synchronousCommit: options.synchronousCommit ?? "on" },
    ...{ migrate: options.migrate ?? true, gatherMs: options.wakeMs ?? 5 },
    ...{ connectTimeoutMs: options.connectTimeoutMs ?? 10_000, queryTimeoutMs: options.queryTimeoutMs ?? 30_000 },
    applicationName: options.applicationName ?? "arcp",
  };
}

export type SettledOptions = ReturnType<typeof settled>;
