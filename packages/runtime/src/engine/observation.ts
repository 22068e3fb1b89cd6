/** Seeing jobs that one may see: lists and subscriptions (§6.6, §7.6), and the record of who looked (§14). */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import {
  InvalidRequestError,
  type JobId,
  JobNotFoundError,
  type JobStatus,
  type Lease,
  type LeaseConstraints,
  PermissionDeniedError,
  type SessionId,
} from "@arcp/core";
import type { JobQuery, JobRecord, Store } from "../store/store.ts";
import { type Access, nameInTenant, type Viewer } from "./access.ts";
import { parseReference } from "./agents.ts";
import { type Audit, bySession } from "./audit/audit.ts";
import type { RemoteJobs } from "./cluster/remote-jobs.ts";
import { readRunInput } from "./durable/records.ts";
import { timestamp } from "./entry-text.ts";
import { type OptionalEntry, showHistory } from "./feed.ts";
import type { Job } from "./job.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import { type AskedFor, readAskedFor } from "./kept-request.ts";
import type { JobQueue, Place } from "./queue/job-queue.ts";
import type { Session } from "./session.ts";
import { isOptional, isShownEverything } from "./visibility.ts";

/** What a policy is told of a job. */
export interface JobView {
  readonly jobId: JobId;
  readonly sessionId: SessionId;
  readonly agent: string;
  readonly agentVersion: string | null;
  readonly agentRef: string;
  readonly lease: Lease;
  readonly parentJobId?: JobId | undefined;
  readonly submitterPrincipal?: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly state: JobStatus;
  readonly isTerminal: boolean;
}

/** May `principal` observe `job`? Asked only about other principals' jobs: one's own are always visible. */
export type JobAuthorizationPolicy = (job: JobView, principal: string) => boolean;

export interface SubscribeRequest {
  readonly jobId: JobId;
  readonly history: boolean;
  /** In the numbering of the submitting session. */
  readonly fromEventSeq: number | undefined;
}

/** What a subscriber is told of a job's authority and place. */
export interface Subscribed extends ListedJob {
  readonly leaseConstraints: LeaseConstraints | null;
  readonly budget: Readonly<Record<string, number>> | null;
  /** The subscriber's own number after which live events come. */
  readonly subscribedFrom: number;
  readonly isReplayed: boolean;
  /** The subscriber's own number after which the history comes. */
  readonly replayedAfter: number;
  /** Was part of the history asked for no longer known? */
  readonly isTruncated: boolean;
}

export interface ListRequest {
  readonly status: readonly JobStatus[] | undefined;
  readonly agent: string | undefined;
  /** RFC 3339, exclusive. */
  readonly createdAfter: string | undefined;
  /** RFC 3339, exclusive. */
  readonly createdBefore: string | undefined;
  readonly limit: number | undefined;
  readonly cursor: string | undefined;
}

export interface ListedJob {
  readonly jobId: JobId;
  readonly agentRef: string;
  readonly status: JobStatus;
  readonly lease: Lease;
  readonly parentJobId: JobId | null;
  readonly createdAt: string;
  readonly traceId: string;
  readonly lastEventSeq: number;
  /** Where it stands while it waits to begin. */
  readonly place: Place | undefined;
  /** RFC 3339; `undefined` while it lives. */
  readonly endedAt: string | undefined;
  /** Whose it is, for those who may observe jobs of others; `undefined` for everybody else, whose own they all are. */
  readonly owner: JobOwner | undefined;
}

export interface JobOwner {
  readonly principal: string;
  readonly tenant?: string;
}

export interface ObservationOptions {
  readonly jobs: JobRegistry;
  readonly journal: Journal;
  readonly store: Store;
  /** Decides who sees what. */
  readonly access: Access;
  readonly audit: Audit;
  readonly queue: JobQueue;
  /** What other nodes run; `undefined`: there are none. */
  readonly remote: RemoteJobs | undefined;
  /** What signs the cursors of lists. Default: 32 bytes that no other process has. */
  readonly cursorKey?: (() => Promise<Uint8Array>) | undefined;
}

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;
const MAC_BYTES = 16;

export class Observation {
  readonly #options: ObservationOptions;
  #cursorKey: Promise<Uint8Array> | undefined;

  constructor(options: ObservationOptions) {
    this.#options = options;
  }

  /** The job if `viewer` may know of it. Throws {@link JobNotFoundError} or {@link PermissionDeniedError}. */
  async visibleJob(jobId: JobId, viewer: Viewer): Promise<Job | JobRecord> {
    const { access } = this.#options;
    const job = this.#options.jobs.get(jobId) ?? (await this.#ended(jobId));
    if (job === undefined) throw notFound(jobId);
    const view = viewOf(job);
    if (access.seesJob(viewer, view)) return job;
    if (access.isHidden(viewer, view.submitterPrincipal ?? "")) throw notFound(jobId);
    throw new PermissionDeniedError("this job belongs to another principal", { details: { job_id: jobId } });
  }

  /**
   * Shows a job in the session's feed. `onSubscribed` is called when that is durable, before anything of the job is
   * sent. Throws as {@link visibleJob} does. Every attempt leaves an audit record.
   */
  async subscribe(
    session: Session,
    request: SubscribeRequest,
    onSubscribed: (subscribed: Subscribed) => void,
  ): Promise<void> {
    const job = await this.#audited(session, request.jobId);
    const from = await this.#firstEntry(job, request);
    const isWhole = isShownWhole(session, request);
    // What this process has not written itself is known to the store alone.
    const storedN = !isWhole && "storedN" in job ? job.storedN : 0;
    const early = storedN < from.n ? [] : await this.#optionalEntries(request.jobId, from.n, storedN);
    // The job may have gone on, or ended, while the store was read: look again, and from here on do not wait.
    const live = this.#options.jobs.get(request.jobId);
    const ended = live === undefined ? await this.#ended(request.jobId) : undefined;
    const lastN = live?.lastN ?? ended?.lastN ?? 0;
    const firstN = Math.max(from.n, ended?.firstN ?? 1);
    const optional = isWhole
      ? []
      : live === undefined
        ? await this.#optionalEntries(request.jobId, firstN, lastN)
        : [...early, ...live.optionalEntries];
    const before = session.feed.head;
    if (request.history) showHistory(session.feed, request.jobId, firstN, lastN, optional);
    this.#follow(session, live, ended, lastN);
    const facts = live === undefined ? this.#listed(session, ended as JobRecord) : this.#liveFacts(session, live);
    const subscribed: Subscribed = {
      ...facts,
      leaseConstraints: (live ? live.leaseConstraints : ended?.leaseConstraints) ?? null,
      budget: live ? budgetOf(live) : (ended?.budget ?? null),
      subscribedFrom: session.feed.head,
      isReplayed: session.feed.head > before,
      replayedAfter: before,
      isTruncated: from.isTruncated || (request.history && firstN > from.n),
    };
    this.#options.journal.afterCommit(() => onSubscribed(subscribed));
  }

  /**
   * What a job was asked for. Throws as {@link visibleJob} does. Every attempt leaves an audit record.
   */
  async describe(session: Session, jobId: JobId): Promise<{ readonly agentRef: string; readonly asked: AskedFor }> {
    const { agentRef } = viewOf(await this.#audited(session, jobId, "job.described"));
    await this.#options.journal.flush();
    const { store, jobs } = this.#options;
    const text = await store.readAsked(jobId);
    const asked = readAskedFor(text);
    const live = jobs.get(jobId);
    if (text === undefined || "input" in asked || live === undefined) return { agentRef, asked };
    // The input of a durable job that is too long for its row is there as long as the agent may need it.
    const run = await readRunInput(store, jobId);
    if (run === undefined) return { agentRef, asked };
    const shown = live.secretMask?.maskJson(JSON.stringify(run)).text;
    return { agentRef, asked: { ...(shown === undefined ? run : readAskedFor(shown)), ...asked } };
  }

  /** Shows what the job writes from now on, whoever runs it. */
  #follow(session: Session, live: Job | undefined, record: JobRecord | undefined, n: number): void {
    const { journal, remote } = this.#options;
    const { feed, id: sessionId } = session;
    const jobId = live?.id ?? record?.id;
    if (jobId === undefined) return;
    if (live === undefined) {
      if (remote === undefined || record?.endedAt !== null || remote.isFollowedBy(feed, jobId)) return;
      remote.follow(feed, jobId, n, record.sessionId === sessionId);
    } else if (live.isFollowedBy(feed)) return;
    else live.follow(feed);
    journal.putFollow({ sessionId, jobId, isOn: true, n });
  }

  /** Stops showing a job in the session's feed. The submitter's own jobs stay; unknown ones are no matter. */
  unsubscribe(session: Session, jobId: JobId): void {
    const { jobs, remote } = this.#options;
    const job = jobs.get(jobId);
    if (job === undefined && remote?.isSubscribed(session.feed, jobId)) {
      remote.unfollow(session.feed, jobId);
      this.#options.journal.putFollow({ sessionId: session.id, jobId, isOn: false, n: 0 });
    }
    if (job === undefined || job.sessionId === session.id || !job.isFollowedBy(session.feed)) return;
    job.unfollow(session.feed);
    this.#options.journal.putFollow({ sessionId: session.id, jobId, isOn: false, n: 0 });
    const subject = bySession(session, { jobId, traceId: job.traceId });
    this.#options.audit.record("subscription.closed", subject, { owner: job.submitterPrincipal, by: "client" });
  }

  /**
   * A page of the jobs that the session's principal may observe, oldest first. `nextCursor` is `null` on the last page.
   * Throws {@link InvalidRequestError} for a cursor that was not made for this principal and filter.
   */
  async list(
    session: Session,
    request: ListRequest,
  ): Promise<{ readonly jobs: readonly ListedJob[]; readonly nextCursor: string | null }> {
    await this.#options.journal.flush();
    const { access } = this.#options;
    const limit = Math.min(request.limit ?? DEFAULT_LIMIT, MAX_LIMIT);
    const query = queryOf(request, access.seesOthers(session) ? null : session.principal);
    let after = request.cursor === undefined ? undefined : await this.#readCursor(request.cursor, session.principal);
    const found: ListedJob[] = [];
    for (;;) {
      const page = await this.#options.store.listJobs({ ...query, ...(after && { after }), limit: limit + 1 });
      for (const record of page) {
        if (!access.seesJob(session, viewOf(record))) continue;
        if (found.length === limit) {
          const last = found[limit - 1] as ListedJob;
          return { jobs: found, nextCursor: await this.#writeCursor(last, session.principal) };
        }
        found.push(this.#current(session, record));
      }
      const last = page.at(-1);
      if (page.length <= limit || last === undefined) return { jobs: found, nextCursor: null };
      after = { createdAt: last.createdAt, id: last.id };
    }
  }

  async #ended(jobId: JobId): Promise<JobRecord | undefined> {
    await this.#options.journal.flush();
    return this.#options.store.findJob(jobId);
  }

  /** May `viewer` observe what `job` writes? */
  mayWatch(job: Job | JobRecord, viewer: Viewer): boolean {
    return this.#options.access.seesJob(viewer, viewOf(job));
  }

  /** The session's credentials permit something else now: jobs of others that it may not see any more are shown no further. */
  reconsider(session: Session): void {
    for (const job of this.#options.jobs.all()) {
      const isForeign = job.submitterPrincipal !== session.principal && job.isFollowedBy(session.feed);
      if (isForeign && !this.mayWatch(job, session)) this.unsubscribe(session, job.id);
    }
    // Whose those of other nodes are the store knows: until it has said so, nothing of them is shown.
    for (const { jobId, n } of this.#options.remote?.leaveSubscribed(session.feed) ?? []) {
      void this.#reconsiderRemote(session, jobId, n);
    }
  }

  async #reconsiderRemote(session: Session, jobId: JobId, n: number): Promise<void> {
    const { store, access, remote, journal } = this.#options;
    const record = await store.findJob(jobId).catch(() => undefined);
    const isShown =
      record !== undefined && (record.principal === session.principal || access.seesJob(session, viewOf(record)));
    if (isShown) remote?.follow(session.feed, jobId, n, false);
    else journal.putFollow({ sessionId: session.id, jobId, isOn: false, n: 0 });
  }

  async #audited(
    session: Session,
    jobId: JobId,
    look: "subscription.opened" | "job.described" = "subscription.opened",
  ): Promise<Job | JobRecord> {
    const audit = (allowed: boolean, owner: string | null): void => {
      const action = allowed ? look : "subscription.refused";
      this.#options.audit.record(action, bySession(session, { jobId }), { owner, allowed });
    };
    try {
      const job = await this.visibleJob(jobId, session);
      audit(true, viewOf(job).submitterPrincipal ?? null);
      return job;
    } catch (error) {
      const known = this.#options.jobs.get(jobId)?.submitterPrincipal ?? (await this.#ended(jobId))?.principal;
      audit(false, known ?? null);
      throw error;
    }
  }

  /** The first entry to replay, from a position in the submitting session's numbering. */
  async #firstEntry(
    job: Job | JobRecord,
    { history, fromEventSeq }: SubscribeRequest,
  ): Promise<{ readonly n: number; readonly isTruncated: boolean }> {
    if (!history || fromEventSeq === undefined || fromEventSeq === 0) return { n: 1, isTruncated: false };
    await this.#options.journal.flush();
    const id = "jobId" in job ? job.jobId : job.id;
    const reached = await this.#options.store.feedPosition(job.sessionId, id, fromEventSeq);
    // The submitting session is forgotten, and its numbers with it: everything that is left is replayed.
    return reached === undefined ? { n: 1, isTruncated: true } : { n: reached + 1, isTruncated: false };
  }

  async #optionalEntries(jobId: JobId, fromN: number, toN: number): Promise<readonly OptionalEntry[]> {
    const codes = await this.#options.store.readCodes(jobId, fromN, toN);
    return codes.flatMap((code, index) => (isOptional(code) ? [[fromN + index, code] as const] : []));
  }

  #current(session: Session, record: JobRecord): ListedJob {
    const live = this.#options.jobs.get(record.id);
    return live === undefined ? this.#listed(session, record) : this.#liveFacts(session, live);
  }

  #ownerOf(session: Session, principal: string | undefined): JobOwner | undefined {
    if (principal === undefined || !this.#options.access.seesOthers(session)) return undefined;
    const { tenant, name } = nameInTenant(principal);
    return { principal: name, ...(tenant !== undefined && { tenant }) };
  }

  #listed(session: Session, job: JobRecord): ListedJob {
    return {
      ...{ jobId: job.id, agentRef: `${job.agent}@${job.agentVersion}`, status: job.status, lease: job.lease },
      parentJobId: job.parentJobId,
      createdAt: timestamp(job.createdAt),
      traceId: job.traceId,
      lastEventSeq: job.lastEventSeq,
      place: undefined,
      endedAt: job.endedAt === null ? undefined : timestamp(job.endedAt),
      owner: this.#ownerOf(session, job.principal),
    };
  }

  #liveFacts(session: Session, job: Job): ListedJob {
    return {
      ...{ jobId: job.id, agentRef: job.agentRef, status: job.state, lease: job.lease },
      parentJobId: job.parentJobId ?? null,
      createdAt: job.createdAt,
      traceId: job.traceId,
      lastEventSeq: job.lastEventSeq,
      place: this.#options.queue.placeOf(job),
      endedAt: undefined,
      owner: this.#ownerOf(session, job.submitterPrincipal),
    };
  }

  async #writeCursor(last: ListedJob, principal: string): Promise<string> {
    const place = JSON.stringify([Date.parse(last.createdAt), last.jobId]);
    return Buffer.concat([await this.#cursorMac(place, principal), Buffer.from(place)]).toString("base64url");
  }

  async #readCursor(cursor: string, principal: string): Promise<{ readonly createdAt: number; readonly id: string }> {
    const bytes = Buffer.from(cursor, "base64url");
    const place = bytes.subarray(MAC_BYTES).toString();
    const mac = bytes.subarray(0, MAC_BYTES);
    if (mac.length !== MAC_BYTES || !timingSafeEqual(mac, await this.#cursorMac(place, principal))) {
      throw new InvalidRequestError("the cursor is not one of this principal's");
    }
    const [createdAt, id] = JSON.parse(place) as [number, string];
    return { createdAt, id };
  }

  async #cursorMac(place: string, principal: string): Promise<Buffer> {
    this.#cursorKey ??= this.#options.cursorKey?.() ?? Promise.resolve(randomBytes(32));
    const text = JSON.stringify([place, principal]);
    return createHmac("sha256", await this.#cursorKey)
      .update(text)
      .digest()
      .subarray(0, MAC_BYTES);
  }
}

/** Is the history asked for, if any, shown whole? */
const isShownWhole = (session: Session, { history }: SubscribeRequest): boolean =>
  !history || isShownEverything((code) => session.feed.shows(code));

function queryOf(request: ListRequest, principal: string | null): Omit<JobQuery, "limit" | "after"> {
  const { status, agent, createdAfter, createdBefore } = request;
  const reference = agent === undefined ? undefined : parseReference(agent);
  return {
    principal,
    ...(status && { status }),
    ...(reference && { agent: reference.name }),
    ...(reference?.version !== undefined && { agentVersion: reference.version }),
    ...(createdAfter !== undefined && { createdAfter: Date.parse(createdAfter) }),
    ...(createdBefore !== undefined && { createdBefore: Date.parse(createdBefore) }),
  };
}

const notFound = (jobId: JobId): JobNotFoundError =>
  new JobNotFoundError("there is no such job", { details: { job_id: jobId } });

function viewOf(job: Job | JobRecord): JobView {
  if ("jobId" in job) return job;
  return {
    jobId: job.id,
    sessionId: job.sessionId,
    agent: job.agent,
    agentVersion: job.agentVersion,
    agentRef: `${job.agent}@${job.agentVersion}`,
    lease: job.lease,
    parentJobId: job.parentJobId ?? undefined,
    submitterPrincipal: job.principal,
    createdAt: timestamp(job.createdAt),
    state: job.status,
    isTerminal: job.endedAt !== null,
  };
}

const budgetOf = (job: Job): Readonly<Record<string, number>> | null =>
  job.lease["cost.budget"] === undefined ? null : Object.fromEntries(job.budget);
