/**
 * Which request a reply answers. The drafts name nothing but `request_id` of `session.jobs`, and every SDK found its own
 * way: `payload.request_id`, `correlation_id`, `payload.reply_to`, a reply with the request's own `id`, the trace, the
 * job. All are read, and the order of requests is the last resort.
 */
import {
  type ARCPError,
  type Clock,
  InvalidRequestError,
  type JobId,
  type JsonObject,
  type MessageId,
  PendingRegistry,
  TimeoutError,
} from "@arcp/core";
import type { AgentDescription, CheckedSubmission, JobDescription } from "./agent-description.ts";
import type { KnownJob } from "./job-book.ts";
import type { JobPage } from "./job-list.ts";
import type { SubscribedJob } from "./job-subscription.ts";
import type { AnswerReply } from "./questions.ts";

/** What a reply says about its request. */
export interface Correlators {
  /** Ids that name the request outright. */
  readonly named: readonly string[];
  /** The reply's own id: one SDK repeats the request's. */
  readonly envelopeId: string;
  readonly traceIds: readonly string[];
  readonly jobId: string | undefined;
  /** The type of the refused message, as one SDK's errors tell it. */
  readonly requestType: string | undefined;
}

export function readCorrelators(frame: JsonObject): Correlators {
  const payload = asObject(frame["payload"]);
  const details = asObject(payload["details"]);
  return {
    named: strings(payload["request_id"], frame["correlation_id"], payload["reply_to"]),
    envelopeId: String(frame["id"]),
    traceIds: strings(frame["trace_id"], payload["trace_id"]),
    jobId: strings(payload["job_id"], frame["job_id"])[0],
    requestType: strings(details["type"])[0],
  };
}

const asObject = (value: unknown): JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : {};
const strings = (...values: readonly unknown[]): readonly string[] =>
  values.filter((value): value is string => typeof value === "string" && value !== "");

/** A request on its way. */
export interface Request {
  readonly type: "job.submit" | "job.subscribe" | "job.cancel" | "session.list_jobs" | `x-vendor.arcp.${string}`;
  /** Sends it, for the first time or again after the connection was lost. Returns the id of the message. */
  readonly send: () => MessageId;
  /** Has sending it twice the effect of sending it once? */
  readonly isRepeatable: boolean;
  readonly traceId?: string;
  readonly jobId?: string;
}

interface OpenRequest extends Request {
  /** Names the request among those that wait, whatever id its message has. */
  readonly key: string;
  wireId: string | undefined;
  /** More than once after the connection was lost: an earlier one may have had its effect. */
  timesSent: number;
  /** Nobody waits any more, but its reply may still come and must not be taken for another's. */
  isAbandoned: boolean;
  cancelTimer: () => void;
}

/** Abandoned requests whose replies are still expected. Beyond it the oldest is forgotten. */
const MAX_ABANDONED = 256;

/** The requests of one type, oldest first. */
export class Lane<Reply> {
  readonly #waiting = new PendingRegistry<Reply>();
  readonly #requests = new Set<OpenRequest>();
  readonly #owner: LaneOwner;
  #made = 0;

  constructor(owner: LaneOwner) {
    this.#owner = owner;
  }

  /** How many callers wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Sends a request, now or when there is a connection, and waits for its reply. Rejects with {@link TimeoutError} when
   * none comes in time, and with the signal's reason when it aborts.
   */
  async ask(request: Request, signal: AbortSignal | undefined): Promise<Reply> {
    signal?.throwIfAborted();
    this.#made += 1;
    const open: OpenRequest = {
      ...request,
      key: String(this.#made),
      wireId: undefined,
      timesSent: 0,
      isAbandoned: false,
      cancelTimer: () => {},
    };
    this.#requests.add(open);
    const reply = this.#waiting.wait(open.key, signal);
    this.#owner.onChange();
    try {
      if (this.#owner.isConnected()) this.#send(open);
      return await reply;
    } finally {
      // Answered requests have left the set; this one was given up.
      if (this.#requests.has(open)) this.#abandon(open);
      this.#owner.onChange();
    }
  }

  /** The request that a reply answers. `undefined` if it answers none of this type. */
  match(reply: Correlators): OpenRequest | undefined {
    const all = [...this.#requests].filter((request) => request.wireId !== undefined);
    const named = all.find((request) => reply.named.includes(request.wireId as string));
    const exact = named ?? all.find((request) => request.wireId === reply.envelopeId);
    if (exact) return exact;
    // It names a request, and not one of these.
    if (reply.named.length > 0) return undefined;
    const isAboutJob = reply.jobId !== undefined && all.some((request) => request.jobId !== undefined);
    if (isAboutJob) return all.find((request) => request.jobId === reply.jobId);
    return all.find((request) => request.traceId !== undefined && reply.traceIds.includes(request.traceId)) ?? all[0];
  }

  /** As {@link match}, but only by what the reply itself names. */
  matchExactly(reply: Correlators): OpenRequest | undefined {
    return [...this.#requests].find(
      ({ wireId }) => wireId !== undefined && (reply.named.includes(wireId) || wireId === reply.envelopeId),
    );
  }

  /** The oldest request about a job. */
  matchJob(jobId: string | undefined): OpenRequest | undefined {
    return jobId === undefined ? undefined : [...this.#requests].find((request) => request.jobId === jobId);
  }

  /** Returns whether somebody was still waiting. */
  resolve(request: OpenRequest, reply: Reply): boolean {
    this.#remove(request);
    return this.#waiting.resolve(request.key, reply);
  }

  reject(request: OpenRequest, error: unknown): void {
    this.#remove(request);
    this.#waiting.reject(request.key, error);
  }

  rejectAll(error: unknown): void {
    for (const request of [...this.#requests]) this.reject(request, error);
  }

  /** The connection is gone: nothing that was sent will be answered on it. */
  disconnect(): void {
    for (const request of [...this.#requests]) {
      request.cancelTimer();
      if (request.isAbandoned) this.#remove(request);
    }
  }

  /** There is a connection: sends what is open, again if need be. */
  resend(): void {
    for (const request of [...this.#requests]) this.#send(request);
  }

  #send(request: OpenRequest): void {
    try {
      request.wireId = request.send();
      request.timesSent += 1;
    } catch (thrown) {
      this.reject(request, thrown);
      return;
    }
    request.cancelTimer = this.#owner.clock.setTimer(
      () => this.#waiting.reject(request.key, new TimeoutError(`the runtime did not answer ${request.type}`)),
      this.#owner.timeoutMs,
    );
  }

  #abandon(request: OpenRequest): void {
    request.cancelTimer();
    request.isAbandoned = true;
    if (request.wireId === undefined) this.#requests.delete(request);
    const abandoned = [...this.#requests].filter(({ isAbandoned }) => isAbandoned);
    if (abandoned.length > MAX_ABANDONED) this.#requests.delete(abandoned[0] as OpenRequest);
  }

  #remove(request: OpenRequest): void {
    request.cancelTimer();
    this.#requests.delete(request);
  }
}

interface LaneOwner {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly isConnected: () => boolean;
  /** The number of waiting callers changed. */
  readonly onChange: () => void;
}

/** What these say is about the session. */
const SESSION_CODES: ReadonlySet<string> = new Set(["UNAUTHENTICATED", "HEARTBEAT_LOST", "RESUME_WINDOW_EXPIRED"]);
const SUBMIT_ONLY_CODES: ReadonlySet<string> = new Set([
  "AGENT_NOT_AVAILABLE",
  "AGENT_VERSION_NOT_AVAILABLE",
  "DUPLICATE_KEY",
  "LEASE_SUBSET_VIOLATION",
]);

/** All requests of a client. */
export class Correlation {
  readonly submits: Lane<KnownJob>;
  readonly subscribes: Lane<SubscribedJob>;
  readonly cancels: Lane<void>;
  readonly lists: Lane<JobPage>;
  readonly answers: Lane<AnswerReply>;
  readonly descriptions: Lane<AgentDescription>;
  readonly checks: Lane<CheckedSubmission>;
  readonly jobDescriptions: Lane<JobDescription>;

  constructor(owner: LaneOwner) {
    this.submits = new Lane(owner);
    this.subscribes = new Lane(owner);
    this.cancels = new Lane(owner);
    this.lists = new Lane(owner);
    this.answers = new Lane(owner);
    this.descriptions = new Lane(owner);
    this.checks = new Lane(owner);
    this.jobDescriptions = new Lane(owner);
  }

  get #lanes(): readonly Omit<Lane<never>, "ask" | "resolve">[] {
    const { submits, subscribes, cancels, lists, answers, descriptions, checks, jobDescriptions } = this;
    return [submits, subscribes, cancels, lists, answers, descriptions, checks, jobDescriptions];
  }

  /** How many callers wait for a reply. */
  get size(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.size, 0);
  }

  /** Fails the request that `session.error` answers. Returns whether there was one. */
  refuse(reply: Correlators, error: ARCPError): boolean {
    if (this.refuseExactly(reply, error)) return true;
    return reply.named.length === 0 && reject(this.#guess(reply, error.code), reply, error);
  }

  /** Fails the request that the reply names outright. */
  refuseExactly(reply: Correlators, error: ARCPError): boolean {
    for (const lane of this.#lanes) {
      const request = lane.matchExactly(reply);
      if (request) {
        lane.reject(request, error);
        return true;
      }
    }
    return false;
  }

  /** Fails the request about `jobId` that an error with this code can mean. `isOwn`: nobody would refuse to show it. */
  refuseAbout(jobId: JobId | undefined, isOwn: boolean, error: ARCPError): boolean {
    const subscribe = isOwn ? undefined : this.subscribes.matchJob(jobId);
    if (subscribe) this.subscribes.reject(subscribe, error);
    const mayRefuseCancel = error.code === "JOB_NOT_FOUND" || !isOwn;
    const cancel = subscribe === undefined && mayRefuseCancel ? this.cancels.matchJob(jobId) : undefined;
    if (cancel) this.cancels.reject(cancel, error);
    return subscribe !== undefined || cancel !== undefined;
  }

  /** Fails the submit that the reply means, or the oldest one. */
  refuseSubmit(reply: Correlators, error: ARCPError): boolean {
    return reject(this.submits, reply, error);
  }

  rejectAll(error: unknown): void {
    for (const lane of this.#lanes) lane.rejectAll(error);
  }

  disconnect(): void {
    for (const lane of this.#lanes) lane.disconnect();
  }

  resend(): void {
    for (const lane of this.#lanes) lane.resend();
  }

  /** The only kind of request that an error without a correlator can mean. */
  #guess(reply: Correlators, code: string): Pick<Lane<never>, "match" | "reject"> | undefined {
    const byType = {
      "job.submit": this.submits,
      "job.subscribe": this.subscribes,
      "job.cancel": this.cancels,
      "session.list_jobs": this.lists,
    } as const;
    const told = Object.hasOwn(byType, reply.requestType ?? "")
      ? byType[reply.requestType as keyof typeof byType]
      : undefined;
    if (told) return told;
    if (SUBMIT_ONLY_CODES.has(code)) return this.submits;
    if (this.subscribes.matchJob(reply.jobId)) return this.subscribes;
    if (this.cancels.matchJob(reply.jobId)) return this.cancels;
    if (SESSION_CODES.has(code)) return undefined;
    const candidates = this.#lanes.filter((lane) => lane.size > 0);
    return candidates.length === 1 ? candidates[0] : undefined;
  }
}

function reject(
  lane: Pick<Lane<never>, "match" | "reject"> | undefined,
  reply: Correlators,
  error: ARCPError,
): boolean {
  const request = lane?.match(reply);
  if (request) lane?.reject(request, error);
  return request !== undefined;
}

/** Refuses, before anything is sent, what was not negotiated (§6.2). */
export function requireFeature(features: ReadonlySet<string>, feature: string, what: string): void {
  if (features.has(feature)) return;
  throw new InvalidRequestError(`${what} needs the feature ${feature}, which this session has not negotiated`, {
    details: { feature },
  });
}
