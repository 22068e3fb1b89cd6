/** Control of a session: `ping`, `resume`, `session.close`, and what Rust's client adds (RFC §6.2, §9, §19). */
import {
  type JobId,
  type JobStatus,
  PermissionDeniedError,
  ResumeWindowExpiredError,
  type SessionId,
} from "@arcp/core";
import type { JobState10 } from "@arcp/core/v1.0";
import { bySession } from "../../../engine/audit/audit.ts";
import type { Engine } from "../../../engine/engine.ts";
import type { ListedJob } from "../../../engine/observation.ts";
import { QUEUE_MEMBER } from "../../../engine/queue/job-queue.ts";
import type { Session } from "../../../engine/session.ts";
import { questionIdOf } from "../entry-parts.ts";
import { FIRST_REPLY, MessageIds, type Position } from "../message-ids.ts";
import { ack, type Command } from "./command.ts";
import { resumeAtCheckpoint } from "./streams.ts";

export const ping: Command<"ping"> = (message, caller, reply) => {
  reply(() => {
    const { nonce } = message.payload;
    const received_at = new Date(caller.engine.clock.now()).toISOString();
    const payload = { ack_for: message.id, received_at, ...(nonce !== undefined && { nonce }) };
    caller.outbox.reply(message, "pong", payload);
  });
};

/** Characters of an id that are recorded. */
const MAX_ID = 128;

/** A word of the client that asks for nothing. */
export const heard = (): void => {};

/**
 * Sends what a session missed after the message that the client saw last, and goes on live (RFC §19): of its session
 * now, or of one before that belongs to the same principal. A checkpoint stands for a message too.
 */
export const resume: Command<"resume"> = async (message, caller, reply) => {
  const { after_message_id, checkpoint_id } = message.payload;
  const { engine, principal } = caller;
  const id = (message.session_id ?? caller.session.id) as SessionId;
  const session = id === caller.session.id ? caller.session : await engine.sessions.reclaim(id, principal);
  if (session === undefined) {
    const facts = { wire: "1.0", of_session_id: id.slice(0, MAX_ID), code: "RESUME_WINDOW_EXPIRED" };
    engine.audit.record("resume.refused", bySession(caller.session), facts);
    throw gone("the session is not known any more");
  }
  let position: Position | undefined = { seq: 0, index: 0 };
  if (after_message_id !== undefined) position = await positionOf(engine, session, after_message_id);
  else if (checkpoint_id !== undefined) {
    const place = await resumeAtCheckpoint(message, caller, session, checkpoint_id);
    if (place === "elsewhere") return;
    position = place;
  }
  if (position === undefined || position.seq > session.sentHead || position.seq < session.ackedSeq) {
    throw gone("what came after that message is not known any more");
  }
  if (session.record.sentSeq !== null) {
    // From here on the client is sent more than it was known to have: if this process is killed then, that has to be on disk.
    session.update({ sentSeq: null });
    await engine.journal.flush();
  }
  reply(() => {
    const replayedTo = session.feed.committedHead;
    const outlet = caller.carry(session, position);
    if (session !== caller.session) {
      session.remoteAddress = caller.session.remoteAddress;
      engine.audit.record("session.resumed", bySession(session), { wire: "1.0", after_seq: position.seq });
    }
    outlet.whenSent(replayedTo, () => ack(caller, message, { session_id: session.id, replayed_to: replayedTo }));
  });
};

/** Where a message stood in the session's feed. Questions have one id in every session, which tells no place. */
async function positionOf(engine: Engine, session: Session, messageId: string): Promise<Position | undefined> {
  const position = new MessageIds(session.salt).positionOf(messageId);
  if (position !== undefined) return position;
  const place = await engine.people.interactions.placeOf(questionIdOf(messageId), session.principal);
  const seq = place && (await engine.seqOf(session.id, place.jobId, place.n));
  return seq === undefined ? undefined : { seq, index: FIRST_REPLY };
}

const gone = (message: string): ResumeWindowExpiredError => new ResumeWindowExpiredError(message);

/** RFC §9: the session's jobs are cancelled, or go on without it. */
export const close: Command<"session.close"> = async (message, caller, reply) => {
  const { engine, session } = caller;
  const { reason, dispose_jobs } = message.payload;
  const isDetaching =
    dispose_jobs === "detach" || (dispose_jobs === undefined && caller.capabilities.durable_jobs === true);
  if (!isDetaching && engine.cluster !== undefined) {
    await engine.cancelElsewhere(session, reason ?? "the session was closed");
  }
  reply(() => {
    if (!isDetaching) {
      for (const job of [...engine.jobs.all()]) {
        if (job.sessionId !== session.id) continue;
        engine.cancellation.stop(session, job, reason ?? "the session was closed", { graceMs: engine.cancelGraceMs });
      }
    }
    session.persistAck();
    caller.leave("closed");
  });
};

/** Rust: `session.ping` beside `ping`. */
export const sessionPing: Command<"session.ping"> = (message, caller, reply) => {
  const received_at = new Date(caller.engine.clock.now()).toISOString();
  const payload = { ping_nonce: message.payload.nonce ?? "", received_at };
  reply(() => void caller.outbox.reply(message, "session.pong", payload));
};

export const sessionAck: Command<"session.ack"> = (message, caller) =>
  caller.session.ack(message.payload.last_processed_seq);

/** The states of RFC §10.2 in the words of the engine. */
const STATUS: Readonly<Record<JobState10, JobStatus>> = {
  ...{ accepted: "pending", queued: "pending", running: "running", blocked: "running", paused: "running" },
  ...{ completed: "success", failed: "error", cancelled: "cancelled" },
};

const WORD: Readonly<Record<JobStatus, JobState10>> = {
  ...{ pending: "accepted", running: "running", success: "completed", error: "failed", cancelled: "cancelled" },
  timed_out: "failed",
};

/** A job that waits for capacity is queued. */
const wordOf = ({ status, place }: ListedJob): JobState10 => (place === undefined ? WORD[status] : "queued");

export const listJobs: Command<"session.list_jobs"> = async (message, caller, reply) => {
  const { filter, limit, cursor } = message.payload;
  const { jobs, nextCursor } = await caller.engine.observation.list(caller.session, {
    ...{ status: filter?.status?.map((state) => STATUS[state]), agent: filter?.agent, limit, cursor },
    ...{ createdAfter: filter?.created_after, createdBefore: filter?.created_before },
  });
  const listed = jobs.map((job) => ({
    ...{
      job_id: job.jobId,
      agent: job.agentRef,
      status: wordOf(job),
      ...(job.place && { [QUEUE_MEMBER]: job.place }),
      lease: job.lease,
      parent_job_id: job.parentJobId,
    },
    ...{ created_at: job.createdAt, trace_id: job.traceId, last_event_seq: job.lastEventSeq },
  }));
  const payload = { request_id: message.id, jobs: listed, next_cursor: nextCursor };
  reply(() => void caller.outbox.reply(message, "session.jobs", payload));
};

export const jobSubscribe: Command<"job.subscribe"> = async (message, caller, reply) => {
  const { job_id, history, from_event_seq } = message.payload;
  const request = { jobId: job_id as JobId, history: history ?? false, fromEventSeq: from_event_seq };
  await caller.engine.observation.subscribe(caller.session, request, (subscribed) =>
    reply(() => {
      const payload = {
        ...{ job_id, current_status: wordOf(subscribed), agent: subscribed.agentRef, lease: subscribed.lease },
        ...{
          subscribed_from: subscribed.subscribedFrom,
          replayed: subscribed.isReplayed,
          trace_id: subscribed.traceId,
        },
      };
      caller.outbox.reply(message, "job.subscribed", payload, { job_id });
    }),
  );
};

export const jobUnsubscribe: Command<"job.unsubscribe"> = (message, caller) => {
  const jobId = message.payload.job_id ?? message.job_id;
  if (jobId === undefined) throw new PermissionDeniedError("job_id: expected the job to leave");
  caller.engine.observation.unsubscribe(caller.session, jobId as JobId);
};
