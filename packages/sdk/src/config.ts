/** `arcp.config.ts`: what `arcp serve` reads. */
import type { CompressionOptions } from "@arcp/core";
import type { OidcOptions } from "@arcp/dashboard";
import type { ListenOptions, ModelGatewayOptions, UpstreamOptions } from "@arcp/gateway";
import type { PostgresOptions } from "@arcp/postgres";
import type {
  AgentHandler,
  ARCPServerOptions,
  CertificateName,
  IdentityClaims,
  JwtOptions,
  LiteLLMOptions,
  OAuth2Options,
  RuntimeIdentity,
  SchemeVerifier,
  Tool,
  WebhookEndpoint,
  WebhookOptions,
} from "@arcp/runtime";

/** The server options that a configuration may set as they are. */
type ServerSettings = Pick<
  ARCPServerOptions,
  | "heartbeatIntervalSeconds"
  | "resumeWindowSeconds"
  | "idleSessionSeconds"
  | "cancelGraceMs"
  | "idempotencyTtlMs"
  | "jobRetentionMs"
  | "eventRetentionMs"
  | "keepInputs"
  | "audit"
  | "caps"
  | "principalCaps"
  | "principalRates"
  | "jobCaps"
  | "concurrency"
  | "jobAuthorizationPolicy"
  | "hideForeignJobs"
  | "leasePolicy"
  | "leaseGraceMs"
  | "leaseUnwindMs"
  | "endJobsAtLeaseExpiry"
  | "modelsWithoutLease"
  | "credentialProvisioners"
  | "delegationCaps"
  | "operations"
  | "requireAuthOnResume"
  | "backPressureThreshold"
  | "authAttempts"
  | "artifactCaps"
  | "artifactRetention"
  | "artifactReadPolicy"
  | "interactionPolicy"
  | "grantPolicy"
  | "maxElevation"
  | "scheduleLimits"
  | "heartbeatRecovery"
  | "refreshDeadlineMs"
  | "fingerprint"
  | "metricsByPrincipal"
  | "allowMissingTimestamp"
  | "node"
  | "blobs"
>;

/** A secret: itself, the variable of the environment that has it, or a file that holds it and nobody else can read. */
export type SecretSource = string | { readonly env: string } | { readonly file: string };

/** A certificate, in PEM. */
export interface TlsFiles {
  /** The path of the file with the certificate, and those between it and its authority. */
  readonly cert: string;
  /** The path of the file with its key. */
  readonly key: string;
}

/** A model gateway (`@arcp/gateway`), and where it listens. */
export interface GatewaySettings
  extends Omit<ModelGatewayOptions, "upstreams" | "admin" | "clock" | "logger">,
    Pick<ListenOptions, "allowInsecure"> {
  /** The providers, each with its key. */
  readonly upstreams: readonly (Omit<UpstreamOptions, "apiKey"> & { readonly apiKey: SecretSource })[];
  /** Turns on `/key/*`. Default: off; `arcp gateway` needs it. */
  readonly admin?: {
    /** At least 16 characters. */
    readonly masterKey: SecretSource;
    /** Where keys outlive the process, as digests. Default: they die with it. */
    readonly keyFile?: string;
  };
  /** Default: 127.0.0.1. Another address needs `tls` or `allowInsecure`. */
  readonly host?: string;
  /** Where it listens. Default: any free port; of `arcp gateway`, 4000. */
  readonly port?: number;
  /** Speaks TLS, with a certificate from PEM files. Default: plain HTTP. */
  readonly tls?: TlsFiles;
}

/** A LiteLLM proxy whose virtual keys are the credentials of jobs. */
export interface LiteLLMSettings extends Omit<LiteLLMOptions, "masterKey" | "now"> {
  readonly masterKey: SecretSource;
}

/** Credentials beside tokens (RFC §8.2). Where there are any, no token is made for the developer. */
export interface AuthSettings {
  /** Signed JWTs. `jwks` is the URL of the issuer's keys, a file with them, the keys, or a secret for HMAC. */
  readonly jwt?: Omit<JwtOptions, "jwks" | "clock" | "logger"> & {
    /** The URL of the issuer's keys, a file with them, the keys, or a secret of at least 32 bytes for HMAC. */
    readonly jwks: string | Extract<JwtOptions["jwks"], { readonly keys: unknown }> | { readonly secret: SecretSource };
  };
  /** OAuth 2.0 access tokens, which the issuer is asked about. */
  readonly oauth2?: Omit<OAuth2Options, "clientSecret" | "clock"> & { readonly clientSecret: SecretSource };
  /**
   * People sign in to the dashboard at a provider of OpenID Connect. `publicUrls` are needed beyond this machine. The claims of
   * ID tokens say who they are, as those of `jwt` do.
   */
  readonly oidc?: Omit<
    OidcOptions,
    "publicUrls" | "clientSecret" | "identityOf" | "acceptsTokens" | "clock" | "logger"
  > &
    IdentityClaims & {
      /** Where people see the dashboard, and come back to. Default: the addresses of this machine. */
      readonly publicUrls?: readonly string[];
      /** What proves to the provider that it is the dashboard that asks. Default: none, PKCE alone. */
      readonly clientSecret?: SecretSource;
    };
  /** Certificates of clients. Needs `tls`. */
  readonly mtls?: {
    /** The path of a PEM file: who vouches for clients. */
    readonly ca: string;
    /**
     * Principals by the SHA-256 fingerprints of their certificates; or which name in a certificate is the principal, for
     * authorities that sign for nobody else: `san:uri`, `san:dns`, `san:email` or `cn`.
     */
    readonly principals: Readonly<Record<string, string>> | CertificateName;
    /** Refuses connections without a certificate. Default: false. */
    readonly required?: boolean;
    /** A token counts only together with a certificate of the same principal. Default: false. */
    readonly bindTokens?: boolean;
  };
  /** Verifiers of one's own. */
  readonly schemes?: readonly SchemeVerifier[];
}

/** How a database on PostgreSQL is used (`@arcp/postgres`). */
export type PostgresSettings = Omit<PostgresOptions, "url" | "synchronousCommit">;

/** Another runtime that jobs may be handed over to (RFC §14). */
export interface PeerSettings {
  /** Where it listens: `wss://…`, or `ws://…` on this machine. */
  readonly url: string;
  /** By which that runtime knows this one. */
  readonly token: SecretSource;
  /** Who it has to be: as `arcp serve` prints it there. */
  readonly fingerprint: string;
  /** Sends the token over `ws://` beyond this machine. Default: false. */
  readonly allowInsecure?: boolean;
}

/** What watches over the runtime (docs/observability.md). */
export interface MetricsSettings {
  /** The address to listen on. Default: 127.0.0.1. */
  readonly host?: string;
  /** Default: 9464. 0: any free port. */
  readonly port?: number;
  /** Who shows it may read `/metrics`; at least 16 characters. Without one, nobody beyond this machine may. */
  readonly token?: SecretSource;
}

/** Where spans, metrics and logs are sent. The variables `OTEL_EXPORTER_OTLP_*` of OpenTelemetry count too. */
export interface OtlpSettings {
  /** The URL of a collector (OTLP over HTTP), e.g. `http://127.0.0.1:4318`. */
  readonly endpoint: string;
  /** Are the runtime's logs sent there, too? Default: true. */
  readonly logs?: boolean;
}

/** An endpoint of webhooks. */
export interface WebhookEndpointSettings extends Omit<WebhookEndpoint, "secret"> {
  /** `whsec_…`; both while it is changed. */
  readonly secret: SecretSource | readonly SecretSource[];
}

/** Whom to tell over HTTP (docs/webhooks.md). */
export interface WebhookSettings extends Omit<WebhookOptions, "endpoints"> {
  /** Who is told, each of what it asks for. Default: nobody. */
  readonly endpoints?: readonly WebhookEndpointSettings[];
}

/** A proxy that speaks TLS with the clients. The way from it has to be private: what it passes on plainly counts as confidential. */
export interface TlsProxySettings {
  /** Addresses and networks that it connects from, such as `10.0.0.0/8`: nobody else's word is taken. Default: this machine. */
  readonly from?: readonly string[];
  /** The header in which it tells the client's address; of several addresses the last one counts. Default: `x-real-ip`. */
  readonly addressHeader?: string;
}

/** Everything is optional. What the command line says comes first; paths are relative to the file. */
export interface ARCPConfig extends ServerSettings {
  /** How the runtime names itself. Default: the name and version of this package. */
  readonly runtime?: RuntimeIdentity;
  /** `name` or `name@version`, each with its handler or the path of a module that has it as default export. */
  readonly agents?: Readonly<Record<string, AgentHandler | string>>;
  /** What agents call by name (§9.2): each tool, or the path of a module that has it as default export. */
  readonly tools?: Readonly<Record<string, Tool<never> | string>>;
  /** A gateway beside the runtime: jobs whose lease has `model.use` get keys for it (§9.8). */
  readonly gateway?: GatewaySettings;
  /** Jobs whose lease has `model.use` get virtual keys of this proxy (§9.8). */
  readonly litellm?: LiteLLMSettings;
  /** Default: 127.0.0.1. Another address needs tokens, and `tls` or `allowInsecure`. */
  readonly host?: string;
  /** Default: 7777. 0: any free port. */
  readonly port?: number;
  /** The path of connections. Default: /arcp, and `/` and `/ws` besides, which clients of other SDKs ask for. */
  readonly path?: string;
  /** The path of a Unix socket to listen on, for this user alone. Without `host` and `port`: on nothing else. */
  readonly unix?: string;
  /**
   * The database: a file, `:memory:`, or `postgresql://…`, which any number of runtimes share (docs/cluster.md). Default:
   * `.arcp/runtime.db` in the working directory. Better kept in the variable `ARCP_DB` if there is a password in it.
   */
  readonly db?: string;
  readonly postgres?: PostgresSettings;
  /** `full`: what was acknowledged survives a power cut. Default: `full`. */
  readonly sync?: "full" | "normal";
  /** Tokens with their principals. Better kept in the environment or in `tokenFile`. */
  readonly tokens?: Readonly<Record<string, string>>;
  /** A file with one `TOKEN[=PRINCIPAL]` per line, which nobody else can read. */
  readonly tokenFile?: string;
  readonly auth?: AuthSettings;
  /** A listener for `/metrics`, `/healthz` and `/readyz`. Default: none. */
  readonly metrics?: MetricsSettings;
  /** A collector of OpenTelemetry that is sent spans, metrics and logs. Default: nowhere. */
  readonly otlp?: OtlpSettings;
  /** Programs that are told over HTTP of what happens. Default: nobody is told. */
  readonly webhooks?: WebhookSettings;
  /** Runtimes that jobs may be handed over to, by the names that agents call them by. */
  readonly peers?: Readonly<Record<string, PeerSettings>>;
  /**
   * How long jobs may go on after SIGTERM or SIGINT, in seconds, before those that are not durable are ended. Default: 5.
   */
  readonly drainSeconds?: number;
  /** Speaks TLS, with a certificate from PEM files. Default: plain. */
  readonly tls?: TlsFiles;
  /** Allows plain `ws://` beyond this machine. Default: false. */
  readonly allowInsecure?: boolean;
  /** A proxy in front that speaks TLS with the clients. Default: none. */
  readonly tlsProxy?: TlsProxySettings;
  /** Are HTTP with Server-Sent Events and the REST surface served on the port of the WebSockets? Default: true. */
  readonly http?: boolean;
  /** Is the dashboard served at `/`, where HTTP is? Default: true. */
  readonly dashboard?: boolean;
  /**
   * Takes compressed frames from clients that offer it, and sends them some: of 1,024 bytes or more, or as it says here. It
   * spares bytes and costs time (docs/hosting.md). Default: false.
   */
  readonly compression?: boolean | CompressionOptions;
  /** Host names that a request may name. Default on loopback: its own names; otherwise any. */
  readonly allowedHosts?: readonly string[];
  /** Origins that browsers may come from. Default: only pages served by this very host. */
  readonly allowedOrigins?: readonly string[];
  /**
   * Default: `principal`, so that `arcp cancel` can end what another process of the same user submitted. The protocol's
   * own default is `session` (§7.6).
   */
  readonly cancelAuthority?: NonNullable<ARCPServerOptions["cancelAuthority"]>;
  /** How much the runtime logs. Default: `info`. */
  readonly logLevel?: "debug" | "info" | "warn" | "error" | "silent";
}

/** Returns `config` as it is; for its type. */
export const defineConfig = (config: ARCPConfig): ARCPConfig => config;
