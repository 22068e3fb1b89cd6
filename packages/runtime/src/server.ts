import { hostname } from "node:os";
import {
  type BearerVerifier,
  type Capabilities,
  CLIENT_FRAME_LIMITS,
  type Clock,
  DESCRIBE_FEATURE,
  EXTENSION_FEATURE,
  type Instruments,
  InternalError,
  InvalidRequestError,
  type JobId,
  type Logger,
  rootLogger,
  systemClock,
  type Transport,
  V1_1_FEATURES,
} from "@arcp/core";
import { capabilitiesOf } from "@arcp/core/v1.0";
import type { AttemptLimits } from "./auth/attempt-limiter.ts";
import { AuthGate } from "./auth/auth-gate.ts";
import { AuthSchemes } from "./auth/auth-schemes.ts";
import { bearerVerifier, type SchemeVerifier } from "./auth/scheme.ts";
import type { AgentHandler, AgentOptions } from "./engine/agents.ts";
import type { ArtifactReadPolicy } from "./engine/artifacts/artifacts.ts";
import {
  type ArtifactCaps,
  type ArtifactRetention,
  DEFAULT_ARTIFACT_CAPS,
  DEFAULT_ARTIFACT_RETENTION,
} from "./engine/artifacts/caps.ts";
import { type AuditPolicy, DEFAULT_AUDIT_POLICY } from "./engine/audit/audit.ts";
import type { CancelAuthority } from "./engine/cancellation.ts";
import {
  DEFAULT_JOB_CAPS,
  DEFAULT_PRINCIPAL_CAPS,
  DEFAULT_SESSION_CAPS,
  type JobCaps,
  type PrincipalCaps,
  type SessionCaps,
} from "./engine/caps.ts";
import type { NodeOptions } from "./engine/cluster/cluster.ts";
import type { CredentialProvisioner } from "./engine/credentials/provisioner.ts";
import { DEFAULT_DELEGATION_CAPS, type DelegationCaps } from "./engine/delegation.ts";
import { Engine } from "./engine/engine.ts";
import { DEFAULT_GRANT_POLICY, type GrantPolicy, type MaxElevation } from "./engine/grants/policy.ts";
import type { HandoffConnector } from "./engine/handoff.ts";
import { type InteractionPolicy, QUORUM_EXTENSION } from "./engine/interactions/audience.ts";
import { validateLeaseShape } from "./engine/lease/shape.ts";
import type { JobAuthorizationPolicy } from "./engine/observation.ts";
import type { ShutdownReport } from "./engine/queue/drain.ts";
import { type ConcurrencyCaps, DEFAULT_CONCURRENCY } from "./engine/queue/job-queue.ts";
import { DEFAULT_PRINCIPAL_RATES, type PrincipalRates } from "./engine/rates.ts";
import type { ScheduleLimits } from "./engine/schedules/scheduler.ts";
import type { StorageReason } from "./engine/storage-room.ts";
import type { LeasePolicy } from "./engine/submission.ts";
import type { Tool } from "./engine/tools.ts";
import { type WebhookOptions, webhookSettings } from "./engine/webhooks/endpoint.ts";
import { CountingTransport } from "./metrics/counting-transport.ts";
import { agentOperations, type OperationsOptions } from "./operations/operations.ts";
import { ResponseSchemas } from "./response-schema/response-schemas.ts";
import { SessionContext, type WireSettings } from "./session-context.ts";
import type { BlobStore } from "./store/blobs.ts";
import { temporaryBlobs } from "./store/blobs-files.ts";
import { sqliteStore } from "./store/sqlite.ts";
import type { CredentialRecord, Store } from "./store/store.ts";
import { StoreError } from "./store/store-error.ts";
import { type WebhookClient, webhookClient } from "./webhooks/post.ts";
import type { ConnectionSettings10 } from "./wire/v1.0/connection.ts";
import type { ConnectionSettings } from "./wire/v1.1/connection.ts";
import { CREDENTIALS_FEATURE } from "./wire/v1.1/handshake.ts";

/** How a runtime names itself (§6.2). */
export interface RuntimeIdentity {
  /** As clients are told. */
  readonly name: string;
  /** Of the runtime, not of the protocol. */
  readonly version: string;
}

/** Who the runtime is, who may use it, what it keeps, and how much of everything it takes. */
export interface ARCPServerOptions {
  /** Advertised in `session.welcome`. */
  readonly runtime: RuntimeIdentity;
  /**
   * What to advertise. The agents are those that were registered; an entry here with a `default` chooses the version
   * that a bare name means.
   */
  readonly capabilities: Capabilities;
  /** Verifies bearer tokens. Without it nobody gets in, unless `anonymousPrincipal` is set. */
  readonly bearer?: BearerVerifier;
  /**
   * The principal of clients that present no credentials (`auth.scheme: "none"`) on a connection that stays inside this
   * machine: stdio, memory, loopback. Default: none are let in.
   */
  readonly anonymousPrincipal?: string;
  /**
   * How often one remote address may show credentials that are not valid, before it has to wait; the clients of one
   * address share that. `"unlimited"` where a proxy in front hides the addresses, and limits them itself. Default: 60 per
   * minute, 20 in a row.
   */
  readonly authAttempts?: Partial<AttemptLimits> | "unlimited";
  /** Where the journal is kept. Default: in memory, gone with the process. */
  readonly eventLog?: Store;
  /** This runtime among others over the same store, if that is one that several share (docs/cluster.md). */
  readonly node?: Partial<NodeOptions>;
  /**
   * Called when the store has failed for good: nothing is stored any more, every connection was closed, and whoever comes is
   * turned away. Time to close, and to begin anew.
   */
  readonly onStoreFailure?: (error: unknown) => void;
  /** Called when somebody has asked this node to stop. Default: {@link ARCPServer.close}, with 30 seconds. */
  readonly onDrain?: () => void;
  /** What the runtime measures is told to these (docs/observability.md). Default: nothing is measured. */
  readonly metrics?: Instruments;
  /** Tells of principals in jobs that ended and in what was spent: as many series as there are. Default: false. */
  readonly metricsByPrincipal?: boolean;
  /** Default: {@link rootLogger}. */
  readonly logger?: Logger;
  /** How often both sides show signs of life (§6.4). Default: 30. */
  readonly heartbeatIntervalSeconds?: number;
  /** How long a session can be resumed after its connection was lost. Default: 600. */
  readonly resumeWindowSeconds?: number;
  /** How long a cancelled agent may take to stop. Default: 30,000. */
  readonly cancelGraceMs?: number;
  /** How long an idempotency key is remembered, from acceptance; longer while its job lives. Default: 24 hours. */
  readonly idempotencyTtlMs?: number;
  /** How long a job that has ended can be listed and replayed. Default: 24 hours. */
  readonly jobRetentionMs?: number;
  /**
   * How long the events of a job that has ended are kept, if not as long as the job: after that its history begins with its
   * result. At least as long as sessions. Default: `jobRetentionMs`.
   */
  readonly eventRetentionMs?: number;
  /**
   * Keeps what jobs were asked for (inputs of up to 64 KiB of JSON, requested leases) as long as the jobs, and tells it to
   * whoever may observe them. Durable jobs keep their input while they live in any case. Default: true.
   */
  readonly keepInputs?: boolean;
  /** Per session. Default: {@link DEFAULT_SESSION_CAPS}. */
  readonly caps?: Partial<SessionCaps>;
  /** Per principal. Default: {@link DEFAULT_PRINCIPAL_CAPS}. */
  readonly principalCaps?: Partial<PrincipalCaps>;
  /**
   * How often a principal may open sessions, send commands and submit jobs. What comes sooner is refused with a retryable
   * error, whose `details.retry_after_seconds` says when to come back. Default: {@link DEFAULT_PRINCIPAL_RATES}.
   */
  readonly principalRates?: Partial<PrincipalRates>;
  /**
   * How many jobs work at once; what is beyond that is accepted, and waits (docs/operations.md). How many there may be at all
   * is said by `caps` and `principalCaps`. Default: {@link DEFAULT_CONCURRENCY}.
   */
  readonly concurrency?: Partial<ConcurrencyCaps>;
  /** Per job. Default: {@link DEFAULT_JOB_CAPS}. */
  readonly jobCaps?: Partial<JobCaps>;
  /** The features to offer. Default: all that this runtime has. */
  readonly features?: readonly string[];
  /** May a principal observe another principal's job? Default: no. One's own jobs are always visible. */
  readonly jobAuthorizationPolicy?: JobAuthorizationPolicy;
  /** Answers about other principals' jobs as if there were none (`JOB_NOT_FOUND`). Default: false. */
  readonly hideForeignJobs?: boolean;
  /** Default: `"session"`, as §7.6 says. */
  readonly cancelAuthority?: CancelAuthority;
  /** Takes away from what a submitter asks for. Default: grants it as it is. */
  readonly leasePolicy?: LeasePolicy;
  /**
   * How long after `expires_at` operations still pass, for machines whose clocks differ (§14); at most 5,000. Default: 0.
   */
  readonly leaseGraceMs?: number;
  /** How long an agent may go on after its first operation past `expires_at` (§9.5). Default: 1000. */
  readonly leaseUnwindMs?: number;
  /** Ends a job at `expires_at` even if its agent tries nothing. Default: false. */
  readonly endJobsAtLeaseExpiry?: boolean;
  /**
   * What a job whose lease does not speak of `model.use` may use: `"none"`, or the models that these patterns name
   * (§9.7). Default: `"none"`.
   */
  readonly modelsWithoutLease?: "none" | readonly string[];
  /**
   * Who issues credentials for jobs (§9.8). They are issued, and the feature is offered, only if they are sure to be
   * revoked: with a store that keeps what it was told (a file, synchronous `FULL`).
   */
  readonly credentialProvisioners?: readonly CredentialProvisioner[];
  /** Of `job.schedule` (RFC §10.6). Default: {@link DEFAULT_SCHEDULE_LIMITS}. */
  readonly scheduleLimits?: Partial<ScheduleLimits>;
  /** Other runtimes that jobs may be handed over to (RFC §14). Default: none. */
  readonly handoff?: HandoffConnector;
  /** Where the contents of artifacts are kept (RFC §16.2). Default: files in a directory that goes with the runtime. */
  readonly blobs?: BlobStore;
  /** Of artifacts. Default: {@link DEFAULT_ARTIFACT_CAPS}. */
  readonly artifactCaps?: Partial<ArtifactCaps>;
  /** How long artifacts are kept (RFC §16.3). Default: {@link DEFAULT_ARTIFACT_RETENTION}. */
  readonly artifactRetention?: ArtifactRetention;
  /** May a principal read another's artifact? Default: no. */
  readonly artifactReadPolicy?: ArtifactReadPolicy;
  /** Of delegation. Default: {@link DEFAULT_DELEGATION_CAPS}. */
  readonly delegationCaps?: Partial<DelegationCaps>;
  /** Bounds of `ctx.fs` and `ctx.fetch`. */
  readonly operations?: OperationsOptions;
  /**
   * Which of a principal's sessions may answer the questions and requests of its jobs (RFC §12, §15.4). Default: all of
   * them. Other principals' sessions never may.
   */
  readonly interactionPolicy?: InteractionPolicy;
  /** How long what people grant may last, and what it may cover (RFC §15.4). Default: {@link DEFAULT_GRANT_POLICY}. */
  readonly grantPolicy?: Partial<GrantPolicy>;
  /** Up to which level of trust people may raise a principal's jobs for a time (RFC §15.6). Default: none. */
  readonly maxElevation?: MaxElevation;
  /**
   * Refuses `session.resume` without credentials: the token alone is not enough. Default: false, but for sessions that
   * were opened with credentials that can expire or be withdrawn.
   */
  readonly requireAuthOnResume?: boolean;
  /**
   * Whom to tell over HTTP that jobs have ended, that they ask people something, and that budgets are being used up
   * (docs/webhooks.md). Default: nobody.
   */
  readonly webhooks?: WebhookOptions;
  /** What is audited of answers, and how long. Default: {@link DEFAULT_AUDIT_POLICY}. */
  readonly audit?: Partial<AuditPolicy>;
  /** Unacknowledged events after which a job waits for its client. Default: 1000. */
  readonly backPressureThreshold?: number;
  /** How long a new connection may take to say hello. Default: 10,000. */
  readonly handshakeTimeoutMs?: number;
  /**
   * Disconnects a client that sends nothing but heartbeats and watches no job that lives; it can resume (§14). Default:
   * never.
   */
  readonly idleSessionSeconds?: number;
  /**
   * Who verifies the credentials of schemes beside `bearer` (RFC §8.2): `jwtVerifier`, `oauth2Verifier`, `mtlsVerifier`, or
   * one's own; of wire 1.0 alone also those that ask back, such as `hmacVerifier`. A client of wire 1.1 that shows no token is
   * who its certificate says, if there is a verifier of those. Default: none.
   */
  readonly authSchemes?: readonly SchemeVerifier[];
  /**
   * A token counts only on a connection whose certificate speaks for the same principal, so that one that was stolen is of no
   * use: `mtlsVerifier` has to be among `authSchemes`. Default: false.
   */
  readonly bindTokensToCertificates?: boolean;
  /** How long a client of wire 1.0 may take to renew its credentials (RFC §8.4). Default: 30,000. */
  readonly refreshDeadlineMs?: number;
  /** By which clients of wire 1.0 may know the runtime again (RFC §8.3), as `sha256:<hex>`. */
  readonly fingerprint?: string;
  /**
   * What becomes of a job whose agent falls silent although it has promised signs of life (RFC §10.3): it fails, or is
   * blocked until there is one. An agent may be registered otherwise. Default: `"fail"`.
   */
  readonly heartbeatRecovery?: "fail" | "block";
  /** Takes envelopes of wire 1.0 without a timestamp, which RFC §6.1.1 requires. Default: false. */
  readonly allowMissingTimestamp?: boolean;
  /** Default: the machine's. */
  readonly clock?: Clock;
}

const HOUR_MS = 3_600_000;
const CLOSE_INTERNAL_ERROR = 1011;

/** The longest that an expired lease may go on. */
const MAX_LEASE_GRACE_MS = 5_000;

/** The patterns, each checked; `undefined` for none. */
function openModels(option: ARCPServerOptions["modelsWithoutLease"]): readonly string[] | undefined {
  if (option === undefined || option === "none") return undefined;
  return validateLeaseShape({ "model.use": option }, { mayBeUnlimited: true })["model.use"];
}

/** Whoever takes tokens takes those of links to questions, too. */
function withLinks(options: ARCPServerOptions, { people, ready }: Engine): ARCPServerOptions {
  const { bearer } = options;
  if (bearer === undefined) return options;
  const { links } = people.interactions;
  const verify: BearerVerifier["verify"] = async (token, signal) => {
    if (!links.isLink(token)) return bearer.verify(token, signal);
    await ready;
    return links.verify(token);
  };
  return { ...options, bearer: { verify } };
}

/** What every connection goes by. */
function connectionSettings(options: ARCPServerOptions, gate: AuthGate, canIssue: boolean): ConnectionSettings {
  const caps = { ...DEFAULT_SESSION_CAPS, ...options.caps };
  const offered = options.features ?? [...V1_1_FEATURES, EXTENSION_FEATURE, DESCRIBE_FEATURE];
  return {
    runtime: { name: options.runtime.name, version: options.runtime.version },
    // Clients of this wire know tokens: the option for those comes first.
    schemes: new AuthSchemes(
      options.bearer === undefined
        ? (options.authSchemes ?? [])
        : [bearerVerifier(options.bearer), ...(options.authSchemes ?? []).filter(({ scheme }) => scheme !== "bearer")],
      authSchemesOptions(options, gate),
    ),
    anonymousPrincipal: options.anonymousPrincipal,
    // A runtime that cannot guarantee revocation does not offer it (§14).
    features: offered.filter((name) => name !== CREDENTIALS_FEATURE || canIssue),
    extensions: options.capabilities.extensions,
    heartbeatIntervalSeconds: options.heartbeatIntervalSeconds ?? 30,
    resumeWindowSeconds: options.resumeWindowSeconds ?? 600,
    requireAuthOnResume: options.requireAuthOnResume ?? false,
    frameLimits: CLIENT_FRAME_LIMITS,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    idleSessionSeconds: options.idleSessionSeconds,
    maxBufferedBytes: caps.maxBufferedBytes,
    maxBufferedEvents: caps.maxBufferedEvents,
    maxInlineResultBytes: options.jobCaps?.maxInlineResultBytes ?? DEFAULT_JOB_CAPS.maxInlineResultBytes,
  };
}

const authSchemesOptions = ({ clock = systemClock, bindTokensToCertificates }: ARCPServerOptions, gate: AuthGate) => ({
  ...{ clock, gate, bindsTokens: bindTokensToCertificates ?? false },
});

/** Those of the operator; the option `bearer` stands for its scheme, unless they have another for that. */
function schemeVerifiers({ bearer, authSchemes = [] }: ARCPServerOptions): readonly SchemeVerifier[] {
  const isBearerGiven = bearer === undefined || authSchemes.some(({ scheme }) => scheme === "bearer");
  return isBearerGiven ? authSchemes : [bearerVerifier(bearer), ...authSchemes];
}

/** The same for wire 1.0. */
function connectionSettings10(options: ARCPServerOptions, gate: AuthGate, engine: Engine): ConnectionSettings10 {
  const caps = { ...DEFAULT_SESSION_CAPS, ...options.caps };
  const { name, version } = options.runtime;
  return {
    schemes: new AuthSchemes(schemeVerifiers(options), authSchemesOptions(options, gate)),
    anonymousPrincipal: options.anonymousPrincipal,
    requireAuthOnResume: options.requireAuthOnResume ?? false,
    runtime: { kind: name, version, fingerprint: options.fingerprint },
    offered: () =>
      capabilitiesOf({
        ...{
          streaming: true,
          durable_jobs: true,
          binary_streams: true,
          checkpoints: true,
          subscriptions: true,
          artifacts: true,
          scheduled_jobs: true,
        },
        agent_handoff: options.fingerprint !== undefined || options.handoff !== undefined,
        anonymous: options.anonymousPrincipal !== undefined,
        ...{ human_input: true, interrupt: true },
        extensions: [QUORUM_EXTENSION, ...(options.capabilities.extensions ?? [])],
        binary_encoding: ["base64", "sidecar"],
        heartbeat_interval_seconds: options.heartbeatIntervalSeconds ?? 30,
        heartbeat_recovery: options.heartbeatRecovery ?? "fail",
        artifact_retention: options.artifactRetention ?? DEFAULT_ARTIFACT_RETENTION,
        agents: engine.inventory(),
      }),
    frameLimits: CLIENT_FRAME_LIMITS,
    handshakeTimeoutMs: options.handshakeTimeoutMs ?? 10_000,
    maxBufferedBytes: caps.maxBufferedBytes,
    maxBufferedEvents: caps.maxBufferedEvents,
    allowsMissingTimestamp: options.allowMissingTimestamp ?? false,
    refreshDeadlineMs: options.refreshDeadlineMs ?? 30_000,
  };
}

/** Why a runtime takes no work. */
export type Unreadiness = "draining" | "store_failed" | "store_silent" | (typeof UNREADY_FOR)[StorageReason];

const UNREADY_FOR = {
  storage_full: "store_full",
  storage_busy: "store_busy",
  storage_unreachable: "store_unreachable",
} as const satisfies Record<StorageReason, string>;

/** How {@link ARCPServer.close} ends what goes on. */
export interface CloseOptions {
  /** How long jobs may take to end, and durable ones to come to where they can be put aside, in milliseconds. Default: 0. */
  readonly drainMs?: number;
}

/** What jobs may take when a node is asked to stop. */
const DRAIN_MS = 30_000;
const NODE_TTL_MS = 8_000;
const MIN_NODE_TTL_MS = 200;

/** @throws InvalidRequestError for a time that is none. */
function nodeOptions({ name = hostname(), labels = {}, ttlMs = NODE_TTL_MS }: Partial<NodeOptions> = {}): NodeOptions {
  if (Number.isFinite(ttlMs) && ttlMs >= MIN_NODE_TTL_MS) return { name, labels, ttlMs };
  throw new InvalidRequestError(`node.ttlMs: at least ${MIN_NODE_TTL_MS}`);
}

/** @throws InvalidRequestError for what is no number of jobs. */
function concurrencyCaps(asked: Partial<ConcurrencyCaps> = {}): ConcurrencyCaps {
  const caps = { ...DEFAULT_CONCURRENCY, ...asked };
  for (const [name, max] of Object.entries(caps)) {
    const isCount = max === Number.POSITIVE_INFINITY || Number.isInteger(max);
    if (isCount && max >= (name.startsWith("max") ? 0 : 1)) continue;
    throw new InvalidRequestError(`concurrency.${name}: a whole number, or Infinity`);
  }
  return caps;
}

/** A runtime: agents, jobs and sessions over one store. It listens to nothing itself: transports are given to it. */
export class ARCPServer {
  readonly #options: ARCPServerOptions;
  readonly #logger: Logger;
  readonly #engine: Engine;
  readonly #ownsStore: boolean;
  readonly #ownsBlobs: boolean;
  readonly #blobs: BlobStore;
  readonly #webhookClient: WebhookClient;
  /** Start their threads when there is something to check. */
  readonly #schemas = new ResponseSchemas();
  readonly #settings: WireSettings;
  readonly #contexts = new Set<SessionContext>();
  /** The committed history, for replay tools and audits. */
  readonly eventLog: Store;
  #closing: Promise<ShutdownReport> | undefined;
  #hasStoreFailed = false;

  constructor(options: ARCPServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? rootLogger;
    this.#ownsStore = options.eventLog === undefined;
    this.#ownsBlobs = options.blobs === undefined;
    this.#blobs = options.blobs ?? temporaryBlobs();
    this.eventLog = options.eventLog ?? sqliteStore();
    const resumeWindowMs = (options.resumeWindowSeconds ?? 600) * 1000;
    const idempotencyTtlMs = options.idempotencyTtlMs ?? 24 * HOUR_MS;
    // What can be resumed or asked for again must still be there.
    const jobRetentionMs = Math.max(options.jobRetentionMs ?? 24 * HOUR_MS, resumeWindowMs, idempotencyTtlMs);
    const webhooks = webhookSettings(options.webhooks ?? { endpoints: [] });
    this.#webhookClient = webhookClient("arcp-webhooks", webhooks.timeoutMs);
    this.#engine = new Engine({
      store: this.eventLog,
      clock: options.clock ?? systemClock,
      logger: this.#logger,
      sessionCaps: { ...DEFAULT_SESSION_CAPS, ...options.caps },
      principalCaps: { ...DEFAULT_PRINCIPAL_CAPS, ...options.principalCaps },
      principalRates: { ...DEFAULT_PRINCIPAL_RATES, ...options.principalRates },
      jobCaps: { ...DEFAULT_JOB_CAPS, ...options.jobCaps },
      concurrency: concurrencyCaps(options.concurrency),
      resumeWindowMs,
      cancelGraceMs: options.cancelGraceMs ?? 30_000,
      idempotencyTtlMs,
      jobRetentionMs,
      keepsInputs: options.keepInputs ?? true,
      eventRetentionMs: Math.min(Math.max(options.eventRetentionMs ?? jobRetentionMs, resumeWindowMs), jobRetentionMs),
      backPressureThreshold: options.backPressureThreshold ?? 1000,
      jobAuthorizationPolicy: options.jobAuthorizationPolicy,
      hidesForeignJobs: options.hideForeignJobs ?? false,
      cancelAuthority: options.cancelAuthority ?? "session",
      leasePolicy: options.leasePolicy ?? ((request) => request),
      leaseExpiry: {
        graceMs: Math.min(Math.max(options.leaseGraceMs ?? 0, 0), MAX_LEASE_GRACE_MS),
        unwindMs: options.leaseUnwindMs ?? 1000,
        endsIdleJobs: options.endJobsAtLeaseExpiry ?? false,
      },
      delegationCaps: { ...DEFAULT_DELEGATION_CAPS, ...options.delegationCaps },
      openModels: openModels(options.modelsWithoutLease),
      operations: agentOperations({
        ...options.operations,
        network: { clock: options.clock ?? systemClock, ...options.operations?.network },
      }),
      provisioners: options.credentialProvisioners ?? [],
      heartbeatRecovery: options.heartbeatRecovery ?? "fail",
      handoff: options.handoff,
      runtime: options.runtime,
      metrics: { instruments: options.metrics, byPrincipal: options.metricsByPrincipal },
      auditPolicy: { ...DEFAULT_AUDIT_POLICY, ...options.audit },
      scheduleLimits: options.scheduleLimits ?? {},
      people: {
        schemas: this.#schemas,
        policy: {
          mayAnswer: options.interactionPolicy,
          grants: { ...DEFAULT_GRANT_POLICY, ...options.grantPolicy },
          maxElevation: options.maxElevation ?? (() => undefined),
        },
      },
      artifacts: {
        blobs: this.#blobs,
        caps: { ...DEFAULT_ARTIFACT_CAPS, ...options.artifactCaps },
        retention: options.artifactRetention ?? DEFAULT_ARTIFACT_RETENTION,
        mayRead: options.artifactReadPolicy,
      },
      webhooks: { settings: webhooks, post: this.#webhookClient.post },
      node: nodeOptions(options.node),
      onMustDrain: () => this.#onMustDrain(),
      onStoreFailure: (error) => this.#onStoreFailure(error),
    });
    const gate = new AuthGate({
      clock: options.clock ?? systemClock,
      logger: this.#logger,
      attempts: options.authAttempts,
    });
    const admitted = withLinks(options, this.#engine);
    this.#settings = {
      "1.1": connectionSettings(admitted, gate, this.#engine.credentials.canGuarantee),
      "1.0": connectionSettings10(admitted, gate, this.#engine),
    };
  }

  /**
   * Adds `name` or `name@version` (§7.5). Without a version it is listed as 0.0.0. The version registered last is the
   * one that a bare name means, unless one was chosen.
   */
  registerAgent(reference: string, handler: AgentHandler, options: AgentOptions = {}): void {
    this.#engine.agents.register(reference, handler, options);
    for (const agent of this.#options.capabilities.agents ?? []) {
      if (typeof agent === "object" && agent.default !== undefined) {
        this.#engine.agents.pinDefault(agent.name, agent.default);
      }
    }
  }

  /**
   * Adds or replaces a tool that agents call by `name` (§9.2 `tool.call`). Throws {@link InvalidRequestError} for a name
   * that no pattern can match, and for an input schema that is none.
   */
  registerTool<Input = unknown, Result = unknown>(name: string, tool: Tool<Input, Result>): void {
    this.#engine.tools.register(name, tool as Tool);
  }

  /**
   * Serves a client on `transport`. Resolves at once, before the client has said anything, with what stands for this
   * connection and, once it is welcomed, for its session.
   */
  async accept(transport: Transport): Promise<SessionContext> {
    if (this.#closing !== undefined) {
      transport.close(1001, "the runtime is shutting down");
      throw new Error("the runtime is closed");
    }
    if (this.#hasStoreFailed) {
      transport.close(CLOSE_INTERNAL_ERROR, "the store failed");
      throw new InternalError("the store failed");
    }
    const { metrics } = this.#engine;
    const context = new SessionContext({
      engine: this.#engine,
      transport: metrics.isOn ? new CountingTransport(transport, metrics) : transport,
      logger: this.#logger,
      settings: this.#settings,
    });
    this.#contexts.add(context);
    void transport.closed.then(() => this.#contexts.delete(context));
    return context;
  }

  /**
   * Can it take work? Resolves with `undefined` if so, otherwise with why not: it has begun to stop, or its store has
   * failed, cannot be reached, has no room, is locked by another program, or does not answer within `timeoutMs`
   * (default: 2000). Never rejects.
   */
  async unreadiness({ timeoutMs = 2000 }: { readonly timeoutMs?: number } = {}): Promise<Unreadiness | undefined> {
    if (this.#closing !== undefined) return "draining";
    if (this.#hasStoreFailed) return "store_failed";
    const { clock = systemClock } = this.#options;
    const late = Promise.withResolvers<"store_silent">();
    const stopTimer = clock.setTimer(() => late.resolve("store_silent"), timeoutMs);
    try {
      const answer = Promise.all([this.#engine.ready, this.eventLog.auditHead()]).then(() => undefined);
      const problem = await Promise.race([answer, late.promise]);
      const { stall } = this.#engine.journal.room;
      if (problem !== undefined || stall === undefined) return problem;
      return UNREADY_FOR[stall];
    } catch (error) {
      // Whoever reads or writes next says why.
      return error instanceof StoreError && error.reason === "unreachable" ? "store_unreachable" : "store_failed";
    } finally {
      stopTimer();
    }
  }

  /** The sessions that are attached to a job, per job: the submitter's and its observers'. A snapshot. */
  get subscribers(): Map<JobId, Set<SessionContext>> {
    const map = new Map<JobId, Set<SessionContext>>();
    for (const job of this.#engine.jobs.all()) {
      const watching = [...this.#contexts].filter(({ sessionId }) => {
        const session = sessionId && this.#engine.sessions.get(sessionId);
        return session !== undefined && job.isFollowedBy(session.feed);
      });
      map.set(job.id, new Set(watching));
    }
    return map;
  }

  /** Secrets that ought to be dead and are not known to be (§14): they are retried until they are. For operators. */
  get unrevokedCredentials(): readonly CredentialRecord[] {
    return this.#engine.credentials.outstanding();
  }

  /**
   * Gives a live job a new secret for one of its credentials, tells its submitter, and revokes the old one (§9.8.2).
   *
   * @throws InvalidRequestError if the job has ended or has no such credential, InternalError if none was issued.
   */
  rotateCredential(jobId: JobId, credentialId: string): Promise<void> {
    return this.#engine.rotate(jobId, credentialId);
  }

  /**
   * Takes back what people granted a job (RFC §15.5), in the operator's name, whichever node runs it. Resolves with false if no such
   * lease is active; rejects with InternalError, to be tried again, if a node does not answer that may have it.
   */
  revokeGrant(leaseId: string, reason = "taken back by the operator"): Promise<boolean> {
    return this.#engine.people.grants.revoke(leaseId, reason);
  }

  /**
   * Resolves when what an earlier runtime has left is taken up, and this one is a node, if there may be several. Clients that come
   * before that wait. Rejects when the store does.
   */
  get ready(): Promise<void> {
    return this.#engine.ready;
  }

  /** The number of jobs that have not ended, those that wait to begin among them. */
  get runningJobs(): number {
    return this.#engine.jobs.size;
  }

  /**
   * Takes no connections and no jobs any more, lets those that run go on for `drainMs` at most, says goodbye to every client,
   * and resolves with what became of the jobs when that is on disk. Durable jobs, and those that have not begun, are left to
   * the next runtime; what then still runs ends with a retryable error. Clients reconnect by themselves (§6.7). Rejects when
   * the store has failed. A store that was passed in stays open. Idempotent: the first call decides.
   */
  close(reason = "the runtime is shutting down", { drainMs = 0 }: CloseOptions = {}): Promise<ShutdownReport> {
    this.#closing ??= this.#close(reason, drainMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(reason: string, drainMs: number): Promise<ShutdownReport> {
    try {
      await this.#engine.ready;
      const report = await this.#engine.close(drainMs);
      for (const context of this.#contexts) context.close(reason);
      this.#engine.audit.close(reason);
      await this.#engine.journal.flush();
      await this.#engine.audit.tellHead(this.eventLog, this.#logger);
      await this.#engine.leave();
      return report;
    } finally {
      await this.#schemas.close();
      await this.#webhookClient.close();
      if (this.#ownsBlobs) await this.#blobs[Symbol.asyncDispose]();
      if (this.#ownsStore) await this.eventLog.close();
    }
  }

  #onMustDrain(): void {
    this.#logger.info({ node: this.#engine.cluster?.id }, "this node was asked to stop");
    if (this.#options.onDrain !== undefined) this.#options.onDrain();
    else {
      this.close("the node was asked to stop", { drainMs: DRAIN_MS }).catch((err) =>
        this.#logger.error({ err }, "the runtime did not stop as it should"),
      );
    }
  }

  #onStoreFailure(error: unknown): void {
    this.#hasStoreFailed = true;
    this.#logger.error({ err: error }, "the store failed: every connection is closed");
    for (const context of this.#contexts) context.emitSessionError(new InternalError("the store failed"));
    // Nothing of it is stored: what runs is stopped, so that it does no more work that would be lost.
    this.#engine.abort("store_failure");
    this.#options.onStoreFailure?.(error);
  }
}
