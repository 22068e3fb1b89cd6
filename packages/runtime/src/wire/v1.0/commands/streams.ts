/** Streams and checkpoints: `backpressure`, `checkpoint.create`, `checkpoint.restore` (RFC §11, §19). */
import { InvalidRequestError } from "@arcp/core";
import { CanonicalError, errorToV10 } from "@arcp/core/v1.0";
import type { Session } from "../../../engine/session.ts";
import { FORGET_STREAMS } from "../../../engine/streams/streams.ts";
import type { Position } from "../message-ids.ts";
import { ack, type Caller, type Command, requireCapability } from "./command.ts";
import { tellRepeated } from "./jobs.ts";

/** Callers that have slowed a stream down. */
const slowing = new WeakSet<Caller>();

/** RFC §11.2. It has no reply: what it does is seen. */
export const backpressure: Command<"backpressure"> = async (message, caller) => {
  const { stream_id, payload } = message;
  if (stream_id === undefined) throw new InvalidRequestError("stream_id: expected the stream that is too fast");
  const { streams } = caller.engine;
  const { id } = caller.session;
  await streams.limit(caller.session, stream_id, {
    ratePerSecond: payload.desired_rate_per_second,
    roomBytes: payload.buffer_remaining_bytes,
  });
  if (slowing.has(caller)) return;
  slowing.add(caller);
  caller.whenClosed(() => {
    streams.forget(id);
    caller.engine.cluster?.tellAll(FORGET_STREAMS, { sessionId: id });
  });
};

/**
 * RFC §19: the agent is asked for a checkpoint. Answered when it is durable; `job.checkpoint` tells of it before. Other
 * commands do not wait for the agent.
 */
export const checkpointCreate: Command<"checkpoint.create"> = (message, caller) => {
  const { job_id, id: commandId } = message;
  const { label } = message.payload;
  requireCapability(caller, "checkpoints");
  if (job_id === undefined) throw new InvalidRequestError("job_id: expected the job that a checkpoint is wanted of");
  const asked = { commandId, ...(label !== undefined && { label }) };
  caller.engine.checkpoints.request(caller.session, job_id, asked).then(
    ({ checkpointId }) => ack(caller, message, { checkpoint_id: checkpointId, job_id }),
    (error) => void caller.outbox.reply(message, "nack", { ...errorToV10(error), ack_for: commandId }),
  );
};

/** RFC §19: another job goes on from a checkpoint. Answered with its `job.accepted`. */
export const checkpointRestore: Command<"checkpoint.restore"> = (message, caller) => {
  requireCapability(caller, "checkpoints");
  return restore(message, caller, message.payload.checkpoint_id);
};

type Restoring = Parameters<Command<"checkpoint.restore">>[0] | Parameters<Command<"resume">>[0];

const restore = (message: Restoring, caller: Caller, checkpointId: string): Promise<void> =>
  caller.engine.checkpoints.restore(
    caller.session,
    checkpointId,
    { commandId: message.id, command: message.type },
    message.idempotency_key,
    (acceptance, mode) => tellRepeated(message, caller, acceptance, mode),
  );

/**
 * What `resume` means that names a checkpoint instead of a message (RFC §19): the place of its entry in the feed of
 * `session`, if its job lives or has succeeded; otherwise another job goes on from it, which answers the command.
 */
export async function resumeAtCheckpoint(
  message: Parameters<Command<"resume">>[0],
  caller: Caller,
  session: Session,
  checkpointId: string,
): Promise<Position | "elsewhere"> {
  const { checkpoints, jobs, store } = caller.engine;
  const { jobId, seq } = await checkpoints.positionOf(session, checkpointId);
  const status = jobs.get(jobId)?.state ?? (await store.findJob(jobId))?.status;
  if (status !== "success" && status !== "pending" && status !== "running") {
    await restore(message, caller, checkpointId);
    return "elsewhere";
  }
  if (seq === undefined) throw new CanonicalError("DATA_LOSS", "the session does not have the checkpoint any more");
  return { seq, index: 0 };
}
