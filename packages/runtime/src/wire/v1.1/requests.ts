/** What an admitted client asks for: each request checked against what was negotiated, carried out, and answered. */
import {
  DESCRIBE_FEATURE,
  EXTENSION_FEATURE,
  InvalidRequestError,
  type JobId,
  type JsonObject,
  type LeaseConstraints,
  type MessageOf,
  parseTrace,
  REPLAYED_AFTER_MEMBER,
} from "@arcp/core";
import type { Cancellation } from "../../engine/cancellation.ts";
import { credentialPayload, type LiveCredential } from "../../engine/credentials/answer.ts";
import type { Answer } from "../../engine/interactions/answer.ts";
import type { Interactions } from "../../engine/interactions/interactions.ts";
import type { ListedJob, Observation, Subscribed } from "../../engine/observation.ts";
import { QUEUE_MEMBER } from "../../engine/queue/job-queue.ts";
import type { Acceptance, Session } from "../../engine/session.ts";
import type { Submission, SubmitRequest } from "../../engine/submission.ts";
import { receivedIn } from "../../engine/telemetry.ts";
import type { Outbox } from "./outbox.ts";

/** Sends a reply when its turn has come. */
export type Reply = (send: () => void) => void;

export interface RequestsOptions {
  readonly session: Session;
  readonly outbox: Outbox;
  readonly submission: Submission;
  readonly observation: Observation;
  readonly cancellation: Cancellation;
  readonly interactions: Interactions;
  /** The secrets of a live job (§9.8). */
  readonly credentialsOf: (jobId: JobId) => readonly LiveCredential[];
  /** May this connection carry secrets? */
  readonly mayHaveSecrets: () => boolean;
}

export class Requests {
  readonly #options: RequestsOptions;
  readonly #session: Session;
  readonly #outbox: Outbox;

  constructor(options: RequestsOptions) {
    this.#options = options;
    this.#session = options.session;
    this.#outbox = options.outbox;
  }

  /** §6.5. Throws for a number that was never given out. */
  ack({ payload }: MessageOf<"session.ack">): void {
    this.#assertNegotiated("ack");
    if (payload.last_processed_seq > this.#session.feed.head) {
      throw new InvalidRequestError("last_processed_seq is higher than any number of this session", {
        details: { highest: this.#session.feed.head },
      });
    }
    this.#session.ack(payload.last_processed_seq);
  }

  /** §7.1. A message that arrives twice starts one job and is answered twice. */
  async submit(message: MessageOf<"job.submit">, reply: Reply): Promise<void> {
    const accepted = (acceptance: Acceptance): void => this.#accepted(message, acceptance);
    const repeated = this.#session.seen.get(message.id);
    if (repeated !== undefined) {
      const acceptance = await repeated;
      reply(() => accepted(acceptance));
      return;
    }
    for (const feature of neededFeatures(message.payload)) this.#assertNegotiated(feature);
    const outcome = Promise.withResolvers<Acceptance>();
    this.#session.seen.add(message.id, outcome.promise);
    try {
      await this.#options.submission.submit(this.#session, submitRequest(message), (acceptance) => {
        outcome.resolve(acceptance);
        reply(() => accepted(acceptance));
      });
    } catch (error) {
      outcome.reject(error);
      throw error;
    }
  }

  /** What an agent is, for whoever is about to submit to it. */
  async describe(message: MessageOf<"x-vendor.arcp.agent.describe">, reply: Reply): Promise<void> {
    this.#assertNegotiated(DESCRIBE_FEATURE);
    const { agent, description, inputSchema } = this.#options.submission.describe(message.payload.agent);
    const payload = { agent, description, input_schema: inputSchema };
    reply(() => this.#outbox.reply(message, "x-vendor.arcp.agent.description", payload));
  }

  /** A `job.submit` that makes no job. */
  async check(message: MessageOf<"x-vendor.arcp.job.check">, reply: Reply): Promise<void> {
    this.#assertNegotiated(DESCRIBE_FEATURE);
    for (const feature of neededFeatures(message.payload)) this.#assertNegotiated(feature);
    const { agent, input, lease_request, lease_constraints } = message.payload;
    const checked = await this.#options.submission.check(this.#session.principal, {
      ...{ agent, input, leaseRequest: lease_request, leaseConstraints: constraintsOf(lease_constraints) },
    });
    const payload = { agent: checked.agent, lease: checked.lease, lease_constraints: checked.leaseConstraints };
    reply(() => this.#outbox.reply(message, "x-vendor.arcp.job.checked", payload));
  }

  /** What a job was asked for, for whoever may observe it. */
  async describeJob(message: MessageOf<"x-vendor.arcp.job.describe">, reply: Reply): Promise<void> {
    this.#assertNegotiated(DESCRIBE_FEATURE);
    const { job_id } = message.payload;
    const { agentRef: agent, asked } = await this.#options.observation.describe(this.#session, job_id);
    const payload = { job_id, agent, ...(!("input" in asked) && { input_omitted: true }), ...asked };
    reply(() => this.#outbox.reply(message, "x-vendor.arcp.job.description", payload, { job_id }));
  }

  /** §7.4. */
  async cancel(message: MessageOf<"job.cancel">, reply: Reply): Promise<void> {
    const { payload } = message;
    if (message.job_id && payload.job_id && message.job_id !== payload.job_id) {
      throw new InvalidRequestError("job_id differs between the envelope and the payload");
    }
    const jobId = message.job_id ?? payload.job_id;
    if (jobId === undefined) throw new InvalidRequestError("job_id: expected the job to cancel");
    const cancel = await this.#options.cancellation.prepare(this.#session, jobId, payload.reason);
    reply(() => {
      const reason = payload.reason === undefined ? {} : { reason: payload.reason };
      this.#outbox.reply(message, "job.cancelled", { job_id: jobId, ...reason }, { job_id: jobId });
      cancel();
    });
  }

  /** §7.6. */
  async subscribe(message: MessageOf<"job.subscribe">, reply: Reply): Promise<void> {
    this.#assertNegotiated("subscribe");
    const { job_id, history, from_event_seq } = message.payload;
    const request = { jobId: job_id, history: history ?? false, fromEventSeq: from_event_seq };
    await this.#options.observation.subscribe(this.#session, request, (subscribed) =>
      reply(() => {
        const members = { job_id, trace_id: subscribed.traceId };
        const payload = { ...subscribedPayload(subscribed), ...this.#unnamedFacts(subscribed) };
        this.#outbox.reply(message, "job.subscribed", payload, members);
      }),
    );
  }

  /** §7.6. The job to leave; what leaves it comes in its turn among the requests. */
  unsubscribe(message: MessageOf<"job.unsubscribe">): () => void {
    this.#assertNegotiated("subscribe");
    const jobId: JobId | undefined = message.payload.job_id ?? message.job_id;
    if (jobId === undefined) throw new InvalidRequestError("payload.job_id: expected the job to leave");
    return () => this.#options.observation.unsubscribe(this.#session, jobId);
  }

  /** §6.6. */
  async listJobs(message: MessageOf<"session.list_jobs">, reply: Reply): Promise<void> {
    this.#assertNegotiated("list_jobs");
    const { filter, limit, cursor } = message.payload;
    const { jobs, nextCursor } = await this.#options.observation.list(this.#session, {
      status: filter?.status,
      agent: filter?.agent,
      createdAfter: filter?.created_after,
      createdBefore: filter?.created_before,
      limit,
      cursor,
    });
    const payload = {
      jobs: jobs.map((job) => ({ ...listedPayload(job), ...this.#unnamedFacts(job) })),
      next_cursor: nextCursor,
    };
    reply(() => this.#outbox.reply(message, "session.jobs", payload));
  }

  /** What the specification has no name for, for those who have agreed on such names. */
  #unnamedFacts({ owner, endedAt }: ListedJob): object {
    if (!this.#session.features.has(EXTENSION_FEATURE)) return {};
    return { ...(owner && { [OWNER_MEMBER]: owner }), ...(endedAt !== undefined && { [ENDED_AT_MEMBER]: endedAt }) };
  }

  /** RFC §12, §15.4: what people say to a question that came as an event. */
  async answer(message: AnswerMessage, reply: Reply): Promise<void> {
    this.#assertNegotiated(EXTENSION_FEATURE);
    const { answer, respondedBy, respondedAt } = answerOf(message);
    const status = await this.#options.interactions.answer({
      ...{ session: this.#session, questionId: message.payload.request_id, messageId: message.id },
      ...{ answer, respondedBy, respondedAt },
    });
    reply(() => this.#outbox.reply(message, "x-vendor.arcp.ack", { status }));
  }

  /** A link for somebody else. Its token is in this reply and nowhere else. */
  async link(message: MessageOf<"x-vendor.arcp.answer_link">, reply: Reply): Promise<void> {
    this.#assertNegotiated(EXTENSION_FEATURE);
    const { request_id, expires_in_seconds = LINK_SECONDS } = message.payload;
    const link = await this.#options.interactions.link(this.#session, request_id, expires_in_seconds * 1000);
    const payload = { status: "linked", token: link.token, expires_at: new Date(link.expiresAt).toISOString() };
    reply(() => this.#outbox.reply(message, "x-vendor.arcp.ack", payload));
  }

  /** §10.1. Nobody asked for it: it answers nothing. */
  announce({ jobId, traceId, payload }: Acceptance): void {
    const members = { job_id: jobId, trace_id: traceId };
    this.#outbox.send("job.accepted", this.#asNegotiated(jobId, payload), members);
  }

  #accepted(message: MessageOf<"job.submit">, { jobId, traceId, payload }: Acceptance): void {
    const members = { job_id: jobId, trace_id: traceId };
    const isPlain = this.#session.features.has("agent_versions") && this.#secrets(jobId).length === 0;
    if (isPlain) this.#outbox.replyJson(message, "job.accepted", payload, members);
    else this.#outbox.reply(message, "job.accepted", this.#asNegotiated(jobId, payload), members);
  }

  /** Without `agent_versions` an agent has a name alone. The secrets are the current ones, and not stored (§9.8). */
  #asNegotiated(jobId: JobId, payload: string): JsonObject {
    const facts = JSON.parse(payload) as JsonObject & { readonly agent: string };
    const agent = this.#session.features.has("agent_versions") ? facts.agent : facts.agent.split("@")[0];
    const credentials = this.#secrets(jobId).map(credentialPayload);
    return { ...facts, agent, ...(credentials.length > 0 && { credentials }) };
  }

  #secrets(jobId: JobId): readonly LiveCredential[] {
    return this.#options.mayHaveSecrets() ? this.#options.credentialsOf(jobId) : [];
  }

  #assertNegotiated(feature: string): void {
    if (this.#session.features.has(feature)) return;
    throw new InvalidRequestError(`the feature ${feature} was not negotiated`, { details: { feature } });
  }
}

/** How long a link is good for unless its maker says otherwise. */
const LINK_SECONDS = 3600;

type AnswerMessage = MessageOf<
  | "x-vendor.arcp.human.input.response"
  | "x-vendor.arcp.human.choice.response"
  | "x-vendor.arcp.permission.grant"
  | "x-vendor.arcp.permission.deny"
>;

interface SaidBy {
  readonly answer: Answer;
  readonly respondedBy: string | undefined;
  readonly respondedAt?: string | undefined;
}

function answerOf(message: AnswerMessage): SaidBy {
  switch (message.type) {
    case "x-vendor.arcp.human.input.response": {
      const { value, responded_by: respondedBy, responded_at: respondedAt } = message.payload;
      return { answer: { kind: "input", value }, respondedBy, respondedAt };
    }
    case "x-vendor.arcp.human.choice.response": {
      const { choice_id: choiceId, responded_by: respondedBy, responded_at: respondedAt } = message.payload;
      return { answer: { kind: "choice", choiceId }, respondedBy, respondedAt };
    }
    case "x-vendor.arcp.permission.grant": {
      const { permission, resource, operation, lease_seconds, expires_at, granted_by } = message.payload;
      const expiresAt = expires_at === undefined ? undefined : Date.parse(expires_at);
      const answer = { kind: "permission", granted: true, scope: { permission, resource, operation } } as const;
      return { answer: { ...answer, leaseSeconds: lease_seconds, expiresAt }, respondedBy: granted_by };
    }
    case "x-vendor.arcp.permission.deny": {
      const { permission, resource, operation, reason, denied_by } = message.payload;
      const scope = { permission, resource, operation };
      return { answer: { kind: "permission", granted: false, scope, reason }, respondedBy: denied_by };
    }
  }
}

/** Members that bind a job only if their feature is in use: never accepted and ignored (§6.2). */
function neededFeatures(payload: MessageOf<"job.submit" | "x-vendor.arcp.job.check">["payload"]): readonly string[] {
  const uses: readonly (readonly [isUsed: boolean, feature: string])[] = [
    [payload.lease_constraints?.expires_at !== undefined, "lease_expires_at"],
    [payload.lease_request?.["cost.budget"] !== undefined, "cost.budget"],
    [payload.lease_request?.["model.use"] !== undefined, "model.use"],
    [payload.agent.includes("@"), "agent_versions"],
  ];
  return uses.filter(([isUsed]) => isUsed).map(([, feature]) => feature);
}

const constraintsOf = (
  constraints: MessageOf<"job.submit">["payload"]["lease_constraints"],
): LeaseConstraints | undefined =>
  constraints?.expires_at === undefined ? undefined : { expires_at: constraints.expires_at };

const submitRequest = ({ payload, ...envelope }: MessageOf<"job.submit">): SubmitRequest => ({
  agent: payload.agent,
  input: payload.input,
  leaseRequest: payload.lease_request,
  leaseConstraints: constraintsOf(payload.lease_constraints),
  idempotencyKey: payload.idempotency_key,
  maxRuntimeSec: payload.max_runtime_sec,
  trace: receivedIn(parseTrace(envelope)),
});

const listedPayload = (job: ListedJob): object => ({
  ...placeOf(job),
  job_id: job.jobId,
  agent: job.agentRef,
  status: job.status,
  lease: job.lease,
  parent_job_id: job.parentJobId,
  created_at: job.createdAt,
  trace_id: job.traceId,
  last_event_seq: job.lastEventSeq,
});

/** Whose a job is, for those who may observe jobs of others. */
const OWNER_MEMBER = "x-vendor.arcp.owner";
const ENDED_AT_MEMBER = "x-vendor.arcp.ended_at";

/** What the specification has no name for. */
const placeOf = ({ place }: ListedJob): object => (place === undefined ? {} : { [QUEUE_MEMBER]: place });

const subscribedPayload = (job: Subscribed): object => ({
  ...placeOf(job),
  job_id: job.jobId,
  current_status: job.status,
  agent: job.agentRef,
  lease: job.lease,
  ...(job.leaseConstraints && { lease_constraints: job.leaseConstraints }),
  ...(job.budget && { budget: job.budget }),
  parent_job_id: job.parentJobId,
  trace_id: job.traceId,
  subscribed_from: job.subscribedFrom,
  replayed: job.isReplayed,
  // A session that was shown something before the history cannot tell by the numbers alone where that begins.
  ...(job.isReplayed && job.replayedAfter > 0 && { [REPLAYED_AFTER_MEMBER]: job.replayedAfter }),
  job_last_event_seq: job.lastEventSeq,
  ...(job.isTruncated && { history_truncated: true }),
});
