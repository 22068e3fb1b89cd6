/**
 * Permissions that jobs ask people for, and the leases that come of it (RFC §15.4-15.6). A lease widens what its job may
 * do by what was asked for, until it ends, is revoked, or the job is over; never what the job may hand on or spend.
 */
import {
  type Clock,
  InvalidRequestError,
  type Logger,
  PermissionDeniedError,
  type SessionId,
  type TrustLevel,
} from "@arcp/core";
import { CanonicalError, newLeaseId } from "@arcp/core/v1.0";
import { ENTRY } from "../../store/store.ts";
import { type Audit, type AuditSubject, bySession } from "../audit/audit.ts";
import { tooMany } from "../caps.ts";
import { type ActorFacts, actorFacts, actorOf } from "../cluster/elsewhere.ts";
import { timestamp } from "../entry-text.ts";
import type { Answered, Decision } from "../interactions/answer.ts";
import type { Interactions } from "../interactions/interactions.ts";
import { commonOf, objectOf, type QuestionDraft, type QuestionOptions, textOf } from "../interactions/request.ts";
import type { Job } from "../job.ts";
import { parseInstant } from "../lease/constraints.ts";
import { shownTarget } from "../lease/operation.ts";
import type { Actor, Session } from "../session.ts";
import { type GrantFacts, PermissionLease } from "./grant.ts";
import type { GrantPolicy, MaxElevation } from "./policy.ts";
import { isTrustedAs, type PermissionScope, scopeOf } from "./scope.ts";

/** What an agent asks to be allowed (RFC §15.4). */
export interface PermissionOptions extends QuestionOptions {
  /** Of RFC §15.1, of a lease (§9.2), or one of one's own, e.g. `email.send`; `trust.elevate.<level>` for more trust. */
  readonly permission: string;
  /** What it is to be used on: a path, a URL, a name, or what a permission of one's own makes of it. */
  readonly resource: string;
  /** What is to be done with it, in a word. */
  readonly operation: string;
  /** Why, for people. */
  readonly reason?: string;
  /** How long it is needed, in seconds. Default and longest: the operator's {@link GrantPolicy}. */
  readonly requestedLeaseSeconds?: number;
}

export interface GrantsOptions {
  readonly audit: Audit;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly interactions: Pick<Interactions, "ask">;
  readonly policy: GrantPolicy;
  readonly maxElevation: MaxElevation;
  /** The session, as long as something may be numbered in its feed. */
  readonly sessionOf: (id: SessionId) => Session | undefined;
  /** The live job. */
  readonly jobOf: (id: Job["id"]) => Job | undefined;
  /** How far the client is trusted that a job belongs to. */
  readonly trustOf: (job: Job) => TrustLevel;
  /** May this session decide about the job's permissions? */
  readonly mayDecide: (job: Job, lease: GrantFacts, session: Actor) => boolean;
  /** `undefined`: there are none. */
  readonly others?: OtherHolders | undefined;
}

/** Who wants a lease changed, and by which message. */
export interface LeaseCommand {
  readonly session: Actor;
  readonly messageId: string;
}

/** What one node asks the others to do to a lease, whose job one of them runs. */
export interface LeaseChange {
  readonly leaseId: string;
  readonly change: "refresh" | "withdraw" | "revoke";
  readonly seconds?: number | undefined;
  readonly reason?: string | undefined;
  /** Who wants it; `undefined`: the operator. */
  readonly by?: { readonly session: ActorFacts; readonly messageId: string } | undefined;
}

/** An entry about a lease, for those of these sessions that are at another node. */
export interface ShownLease {
  readonly jobId: Job["id"];
  readonly n: number;
  readonly sessions: readonly SessionId[];
}

/** The other nodes. */
export interface OtherHolders {
  /** Asks each of them. Resolves with whether one of them has done it; rejects with why one that could has refused. */
  changeLease(change: LeaseChange): Promise<boolean>;
  showLease(shown: ShownLease): void;
}

const MAX_PERMISSION = 128;
const MAX_RESOURCE = 4_096;
const MAX_OPERATION = 256;
const MAX_REASON = 4_096;
/** Leases of one job, lapsed ones included: those are kept to say why they give nothing any more. */
const MAX_LEASES = 256;
const MS_PER_SECOND = 1000;

export class Grants {
  readonly #options: GrantsOptions;
  readonly #leases = new Map<string, PermissionLease>();
  readonly #ofJob = new WeakMap<Job, Set<PermissionLease>>();

  constructor(options: GrantsOptions) {
    this.#options = options;
  }

  /** How many leases there are of jobs that live. */
  get size(): number {
    return this.#leases.size;
  }

  /**
   * Asks whether `job` may do something, and resolves with the lease (RFC §15.4).
   *
   * @throws PermissionDeniedError with `details.reason`: `denied`, `timeout`, or `policy` when nobody may be asked.
   * @throws InvalidRequestError for what is no permission, or no resource of it; and as {@link Interactions.ask} does.
   */
  async request(job: Job, options: PermissionOptions): Promise<PermissionLease> {
    const { clock, policy, interactions } = this.#options;
    const { requestedLeaseSeconds } = objectOf(options);
    const permission = textOf("a permission", options.permission, MAX_PERMISSION);
    const scope = scopeOf(permission, textOf("a resource", options.resource, MAX_RESOURCE), policy.allowsPatterns);
    if (requestedLeaseSeconds !== undefined && !(Number.isFinite(requestedLeaseSeconds) && requestedLeaseSeconds > 0)) {
      throw new InvalidRequestError("a lease is asked for by a positive number of seconds");
    }
    const asked: AskedPermission = {
      ...{ permission, scope },
      // What people are shown is what is compared.
      resource: scope.kind === "capability" ? scope.target : options.resource,
      operation: textOf("an operation", options.operation, MAX_OPERATION),
      reason: options.reason === undefined ? undefined : textOf("a reason", options.reason, MAX_REASON),
      requestedSeconds: requestedLeaseSeconds,
      seconds: Math.min(requestedLeaseSeconds ?? policy.defaultSeconds, policy.maxSeconds),
    };
    this.#assertMayBeRaised(job, asked);
    this.#assertRoom(job);
    const draft = permissionDraft(asked, options, clock);
    try {
      return await interactions.ask(job, draft, (answered) => this.#conclude(job, asked, answered)).settled;
    } catch (error) {
      if (!(error instanceof CanonicalError) || error.canonicalCode !== "DEADLINE_EXCEEDED") throw error;
      throw refusal(asked, "timeout", "nobody decided in time", { question_id: error.details?.["question_id"] });
    }
  }

  /**
   * Has a lease extended for its holder, to `seconds` from now, as far as whoever granted it allowed.
   *
   * @throws CanonicalError `LEASE_EXPIRED`, `LEASE_REVOKED` when it has lapsed.
   * @throws PermissionDeniedError with `details.reason` `limit` when it cannot last longer.
   */
  extend(lease: PermissionLease, seconds: number | undefined): void {
    this.#extend(lease, seconds, lease.latestEnd, undefined);
  }

  /**
   * The same for a client that may decide (RFC §15.5): it is bound by the operator's policy alone.
   *
   * @throws CanonicalError `NOT_FOUND` for a lease that there is not, or not of this principal's jobs; `PERMISSION_DENIED`
   *   for a session that may not decide.
   */
  async refresh(leaseId: string, seconds: number | undefined, command: LeaseCommand): Promise<void> {
    if (await this.#isDoneElsewhere({ leaseId, change: "refresh", seconds }, command)) return;
    this.#refresh(leaseId, seconds, command);
  }

  #refresh(leaseId: string, seconds: number | undefined, command: LeaseCommand): void {
    const lease = this.#decided(leaseId, command.session);
    const latestEnd = this.#options.clock.now() + this.#options.policy.maxSeconds * MS_PER_SECOND;
    this.#extend(lease, seconds, latestEnd, command);
  }

  /** Takes a lease back for a client that may decide. Throws as {@link refresh} does. */
  async withdraw(leaseId: string, reason: string | undefined, command: LeaseCommand): Promise<void> {
    if (await this.#isDoneElsewhere({ leaseId, change: "withdraw", reason }, command)) return;
    this.#withdraw(leaseId, reason, command);
  }

  #withdraw(leaseId: string, reason: string | undefined, command: LeaseCommand): void {
    const lease = this.#decided(leaseId, command.session);
    if (lease.lapse !== undefined) throw lease.lapse;
    this.#revoke(lease, reason ?? "taken back", command);
  }

  /** Takes a lease back in the operator's name. Resolves with false if there is none that is active. */
  async revoke(leaseId: string, reason: string): Promise<boolean> {
    return (
      (await this.#isDoneElsewhere({ leaseId, change: "revoke", reason }, undefined)) ||
      this.#revokeActive(leaseId, reason)
    );
  }

  /** Does what another node asks for. Returns false if the job of the lease is not here. Throws as the methods for clients do. */
  readonly changeFor = ({ leaseId, change, seconds, reason, by }: LeaseChange): boolean => {
    if (!this.#leases.has(leaseId)) return false;
    const command = by && { session: actorOf(by.session), messageId: by.messageId };
    if (command === undefined) return change === "revoke" && this.#revokeActive(leaseId, reason ?? "taken back");
    if (change === "refresh") this.#refresh(leaseId, seconds, command);
    else this.#withdraw(leaseId, reason, command);
    return true;
  };

  /** Has another node done it, because the job of the lease is there? */
  async #isDoneElsewhere(change: LeaseChange, command: LeaseCommand | undefined): Promise<boolean> {
    const { others } = this.#options;
    if (others === undefined || this.#leases.has(change.leaseId)) return false;
    const by = command && { session: actorFacts(command.session), messageId: command.messageId };
    return others.changeLease({ ...change, by });
  }

  #revokeActive(leaseId: string, reason: string): boolean {
    const lease = this.#leases.get(leaseId);
    if (lease === undefined || !lease.isActive) return false;
    this.#revoke(lease, reason, undefined);
    return true;
  }

  /** How far the job is trusted now: as its client is, or as it was raised to (RFC §15.6). */
  trustLevelOf(job: Job): TrustLevel {
    let level = this.#options.trustOf(job);
    for (const { facts, isActive } of this.#ofJob.get(job) ?? []) {
      if (facts.scope.kind === "trust" && isActive && isTrustedAs(facts.scope.level, level)) level = facts.scope.level;
    }
    return level;
  }

  /** RFC §15.6: what the operator does not allow is not asked for. */
  #assertMayBeRaised(job: Job, asked: AskedPermission): void {
    const { scope } = asked;
    if (scope.kind !== "trust") return;
    const highest = this.#options.maxElevation(job.submitterPrincipal);
    if (highest !== undefined && isTrustedAs(highest, scope.level)) return;
    job.audit("permission.refused", { permission: asked.permission, reason: "policy" });
    throw refusal(asked, "policy", "jobs of this principal are not raised to that level");
  }

  #assertRoom(job: Job): void {
    const leases = this.#ofJob.get(job) ?? new Set();
    if (leases.size < MAX_LEASES) return;
    const lapsed = [...leases].find(({ isActive }) => !isActive);
    if (lapsed === undefined) throw tooMany("maxGrants", MAX_LEASES, "after_capacity");
    leases.delete(lapsed);
    this.#leases.delete(lapsed.leaseId);
  }

  /** The decision, in its turn: the lease is there before anything else happens to the job. */
  #conclude(job: Job, asked: AskedPermission, answered: Answered): PermissionLease {
    const decision = answered.answer as Decision;
    const about = { ...shownOf(asked), question_id: answered.questionId };
    if (!decision.granted) {
      const facts = { ...about, denied_by: answered.respondedBy };
      this.#options.audit.record("permission.denied", this.#decider(job, answered.source), facts);
      const because = decision.reason === undefined ? {} : { denied_because: decision.reason };
      throw refusal(asked, "denied", "it was denied", { question_id: answered.questionId, ...because });
    }
    const { source } = answered;
    if (source === undefined) throw refusal(asked, "denied", "nobody has granted it");
    return this.#grant(job, asked, decision, answered, source);
  }

  #grant(
    job: Job,
    asked: AskedPermission,
    { leaseSeconds, expiresAt }: Extract<Decision, { granted: true }>,
    { questionId, respondedBy }: Answered,
    source: NonNullable<Answered["source"]>,
  ): PermissionLease {
    const { clock, policy } = this.#options;
    const { permission, resource, operation, scope } = asked;
    const now = clock.now();
    const seconds = Math.min(asked.seconds, leaseSeconds ?? Number.POSITIVE_INFINITY);
    const end = Math.min(now + seconds * MS_PER_SECOND, expiresAt ?? Number.POSITIVE_INFINITY, endOf(job));
    // Who grants less than was asked for means it.
    const isLimited = leaseSeconds !== undefined || expiresAt !== undefined;
    const latestEnd = isLimited ? end : Math.min(now + policy.maxSeconds * MS_PER_SECOND, endOf(job));
    const lease = new PermissionLease(
      {
        ...{ leaseId: newLeaseId(), jobId: job.id, principal: job.submitterPrincipal },
        ...{ permission, resource, operation, scope, grantedBy: respondedBy, grantedIn: source.sessionId, seconds },
      },
      clock,
      { expiresAt: end, latestEnd },
    );
    this.#keep(job, lease);
    job.authority.admit(lease);
    this.#tell(job, lease, "granted", { command_id: source.messageId, request_id: questionId }, []);
    this.#options.audit.record("permission.granted", this.#decider(job, source), {
      ...{ lease_id: lease.leaseId, ...shownOf(asked), question_id: questionId },
      ...{ expires_at: timestamp(end), granted_by: respondedBy },
    });
    if (scope.kind === "trust") this.#tellOfTrust(job, lease, scope.level);
    return lease;
  }

  #keep(job: Job, lease: PermissionLease): void {
    const leases = this.#ofJob.get(job);
    this.#leases.set(lease.leaseId, lease);
    if (leases !== undefined) {
      leases.add(lease);
      return;
    }
    const own = new Set([lease]);
    this.#ofJob.set(job, own);
    job.whenEnded(() => {
      for (const { leaseId } of own) this.#leases.delete(leaseId);
    });
  }

  /** RFC §15.6: by `metric` and by `log`, and for whoever audits. */
  #tellOfTrust(job: Job, { leaseId, expiresAt }: PermissionLease, level: TrustLevel): void {
    const lease = { lease_id: leaseId, level, expires_at: timestamp(expiresAt) };
    const metric = { name: "arcpx.arcp.trust.elevated", value: 1, unit: "1", dimensions: { lease_id: leaseId, level } };
    job.note(ENTRY.metric, "metric", metric);
    job.note(ENTRY.log, "log", {
      level: "warn",
      message: `the job is trusted as ${level} for a time`,
      attributes: lease,
    });
    job.audit("trust.elevated", lease);
  }

  #extend(
    lease: PermissionLease,
    asked: number | undefined,
    latestEnd: number,
    command: LeaseCommand | undefined,
  ): void {
    if (lease.lapse !== undefined) {
      this.#refused(lease, command?.session, lease.lapse.canonicalCode);
      throw lease.lapse;
    }
    const { clock, policy, jobOf } = this.#options;
    const seconds = asked ?? lease.facts.seconds;
    if (!(Number.isFinite(seconds) && seconds > 0)) {
      throw new InvalidRequestError("a lease is extended by a positive number of seconds");
    }
    const job = jobOf(lease.facts.jobId);
    const now = clock.now();
    const wanted = now + Math.min(seconds, policy.maxSeconds) * MS_PER_SECOND;
    const end = Math.min(wanted, latestEnd, job === undefined ? now : endOf(job));
    if (job === undefined || end <= lease.expiresAt) {
      this.#refused(lease, command?.session, "limit");
      throw new PermissionDeniedError("the lease cannot last longer", {
        details: { reason: "limit", lease_id: lease.leaseId, expires_at: timestamp(lease.expiresAt) },
      });
    }
    lease.extend(end, command === undefined ? latestEnd : Math.max(end, lease.latestEnd));
    const watching = command === undefined ? [] : [command.session.id];
    this.#tell(job, lease, "extended", command === undefined ? {} : { command_id: command.messageId }, watching);
    this.#options.audit.record("lease.extended", subjectOf(lease, command?.session), {
      ...{ ...leaseFacts(lease), by: command === undefined ? "runtime" : "client", expires_at: timestamp(end) },
    });
  }

  #revoke(lease: PermissionLease, reason: string, command: LeaseCommand | undefined): void {
    lease.revoke(reason);
    const job = this.#options.jobOf(lease.facts.jobId);
    const by = command === undefined ? {} : { command_id: command.messageId };
    if (job !== undefined)
      this.#tell(job, lease, "revoked", { ...by, reason }, command === undefined ? [] : [command.session.id]);
    const facts = {
      ...leaseFacts(lease),
      by: command === undefined ? ("operator" as const) : ("client" as const),
      reason,
    };
    this.#options.audit.record("lease.revoked", subjectOf(lease, command?.session), facts);
  }

  /** The lease, if the session may decide about it. */
  #decided(leaseId: string, session: Actor): PermissionLease {
    const lease = this.#leases.get(leaseId);
    const job = lease && this.#options.jobOf(lease.facts.jobId);
    if (lease === undefined || job === undefined || lease.facts.principal !== session.principal) {
      if (lease !== undefined) this.#refused(lease, session, "owner");
      throw new CanonicalError("NOT_FOUND", "there is no such lease", { details: { lease_id: leaseId } });
    }
    if (this.#options.mayDecide(job, lease.facts, session)) return lease;
    this.#refused(lease, session, "policy");
    throw new PermissionDeniedError("this session may not decide about the lease", { details: { lease_id: leaseId } });
  }

  #refused(lease: PermissionLease, session: Actor | undefined, reason: string): void {
    this.#options.audit.record("lease.refused", subjectOf(lease, session), { ...leaseFacts(lease), reason });
  }

  /** Writes what happened to the lease. The session that granted it hears of it, and `watching`, besides the followers. */
  #tell(
    job: Job,
    { facts, expiresAt }: PermissionLease,
    event: "granted" | "extended" | "revoked",
    more: object,
    watching: readonly SessionId[],
  ): void {
    const { leaseId: lease_id, permission, resource, operation, grantedIn } = facts;
    const body = { event, lease_id, permission, resource, operation, expires_at: timestamp(expiresAt), ...more };
    const n = job.note(ENTRY.lease, "x-vendor.arcp.lease", body);
    if (n === 0) return;
    const shown = { jobId: job.id, n, sessions: [...new Set([grantedIn, ...watching])] };
    this.showFor(shown, ({ feed }) => job.isFollowedBy(feed));
    this.#options.others?.showLease(shown);
  }

  /** Shows an entry about a lease, perhaps of another node's job, to those of its sessions that are here and do not follow the job. */
  showFor({ jobId, n, sessions }: ShownLease, isFollowed: (session: Session) => boolean): void {
    for (const id of sessions) {
      const session = this.#options.sessionOf(id);
      if (session?.feed.shows(ENTRY.lease) && !isFollowed(session)) session.feed.addHistory(jobId, n, 1);
    }
  }

  /** Who decided, if the session is still there. */
  #decider(job: Job, source: Answered["source"]): AuditSubject {
    const session = source && this.#options.sessionOf(source.sessionId);
    const about = { jobId: job.id, traceId: job.traceId };
    return session === undefined
      ? { principal: job.submitterPrincipal, sessionId: source?.sessionId, ...about }
      : bySession(session, about);
  }
}

const leaseFacts = ({ facts }: PermissionLease): { readonly lease_id: string; readonly permission: string } => ({
  lease_id: facts.leaseId,
  permission: facts.permission,
});

/** Who commanded something of the lease; whose it is, if that was no client. */
const subjectOf = ({ facts }: PermissionLease, session: Actor | undefined): AuditSubject =>
  session === undefined
    ? { principal: facts.principal, jobId: facts.jobId }
    : bySession(session, { jobId: facts.jobId });

/** What is recorded of what was asked: URLs without what may be a secret in them. */
const shownOf = ({ permission, resource, operation }: AskedPermission) => ({
  ...{ permission, resource: shownTarget(permission, resource), operation },
});

/** A request for permission, checked. */
interface AskedPermission {
  readonly permission: string;
  readonly resource: string;
  readonly operation: string;
  readonly reason: string | undefined;
  readonly scope: PermissionScope;
  /** As the agent asked for it. */
  readonly requestedSeconds: number | undefined;
  /** For which it is asked for, by policy at most. */
  readonly seconds: number;
}

function permissionDraft(asked: AskedPermission, options: QuestionOptions, clock: Clock): QuestionDraft {
  const { permission, resource, operation, reason, requestedSeconds, seconds } = asked;
  const common = commonOf(options, clock.now());
  return {
    ...common,
    kind: "permission",
    members: {
      ...{ permission, resource, operation },
      ...(reason !== undefined && { reason }),
      ...(requestedSeconds !== undefined && { requested_lease_seconds: seconds }),
      ...common.members,
    },
    fallback: undefined,
    check(answer) {
      if (answer.kind !== "permission") return "the answer is of another kind than the question";
      const { scope } = answer;
      // A decision is about what was asked, or about nothing.
      for (const name of ["permission", "resource", "operation"] as const) {
        if (scope[name] !== undefined && scope[name] !== asked[name]) return `${name}: not the one that was asked for`;
      }
      const isPast = answer.granted && answer.expiresAt !== undefined && answer.expiresAt <= clock.now();
      return isPast ? "expires_at: is not in the future" : undefined;
    },
  };
}

/** When the job's own lease ends. */
function endOf({ leaseConstraints }: Job): number {
  const expiresAt = leaseConstraints?.expires_at;
  return (expiresAt === undefined ? undefined : parseInstant(expiresAt)) ?? Number.POSITIVE_INFINITY;
}

const refusal = (
  { permission, resource, operation }: Pick<AskedPermission, "permission" | "resource" | "operation">,
  reason: "denied" | "timeout" | "policy",
  why: string,
  more: object = {},
): PermissionDeniedError =>
  new PermissionDeniedError(`${permission}: ${why}`, { details: { reason, permission, resource, operation, ...more } });
