/** The messages that steer what runs, and that say yes and no (RFC §6.2, §10.4, §10.5, §11.2, §19). */
import { z } from "zod";
import { absentOr, counter, jobId, messageId } from "../messages/envelope.ts";
import { anything, entityId, message10, needed, reason, text, word } from "./envelope.ts";
import { errorMembers, errorShape10 } from "./errors.ts";

const name = text(256);
const openText = absentOr(z.string());

/** RFC §6.2. */
export const ping = message10("ping", z.object({ nonce: name, sent_at: name }));

/** A reply whose payload may be the only one to name its request. */
interface Reply {
  readonly correlation_id?: z.infer<typeof messageId> | undefined;
  readonly payload: { readonly ack_for?: z.infer<typeof messageId> | undefined };
}
const correlated = <Message extends Reply>(message: Message): Message => ({
  ...message,
  correlation_id: message.correlation_id ?? message.payload.ack_for,
});

const ackFor = { ack_for: absentOr(messageId) };

/** RFC §6.2. */
export const pong = message10("pong", z.object({ ...ackFor, received_at: openText, nonce: openText })).transform(
  correlated,
);

/** RFC §6.3. `note` and `detail` are other SDKs' names for `message`; `checkpoint_id` is what `checkpoint.create` made. */
export const ack = message10(
  "ack",
  z
    .object({
      ...{ ...ackFor, received_at: openText, message: openText, note: openText, detail: openText.catch(undefined) },
      checkpoint_id: absentOr(entityId).catch(undefined),
    })
    .transform(({ note, detail, ...rest }) => ({ ...rest, message: rest.message ?? note ?? detail })),
).transform(correlated);

/** RFC §6.3, §18.1. A message whose id is none is refused too, and named by what it has instead of one. */
export const nack = message10(
  "nack",
  z
    .object({ ...errorShape10, ack_for: absentOr(messageId).catch(undefined) })
    .transform(({ ack_for, ...error }) => ({ ...errorMembers(error), ack_for })),
).transform(correlated);

/** What can be cancelled (RFC §10.4). */
export const CANCEL_TARGETS = ["job", "stream", "session"] as const;
/** What can be cancelled or interrupted (RFC §10.4). */
export type CancelTarget = (typeof CANCEL_TARGETS)[number];

/** What is aimed at: a target and its id, or, as another SDK writes it, a job id alone. */
const aim = { target: absentOr(word(CANCEL_TARGETS)), target_id: absentOr(entityId), job_id: absentOr(jobId) };

function aimed(
  { target, target_id, job_id }: z.infer<z.ZodObject<typeof aim>>,
  context: z.RefinementCtx,
): { readonly target: CancelTarget; readonly target_id: string } {
  const isJob = target === "job" || (target === undefined && target_id === undefined);
  return {
    target: needed(target ?? (isJob && job_id !== undefined ? "job" : undefined), ["target"], context),
    target_id: needed(target_id ?? (isJob ? job_id : undefined), ["target_id"], context),
  };
}

/** RFC §10.4. */
export const cancel = message10(
  "cancel",
  z
    .object({ ...aim, reason, deadline_ms: absentOr(counter) })
    .transform(({ reason, deadline_ms, ...rest }, context) => ({ ...aimed(rest, context), reason, deadline_ms })),
);

const echoedAim = { target: absentOr(word(CANCEL_TARGETS)).catch(undefined), target_id: openText };

/** RFC §10.4. */
export const cancelAccepted = message10("cancel.accepted", z.object(echoedAim));

/** RFC §10.4. */
export const cancelRefused = message10(
  "cancel.refused",
  z.object({
    ...echoedAim,
    reason: z
      .string()
      .nullish()
      .transform((given) => given ?? "not_cancellable"),
  }),
);

/** RFC §10.5. Another SDK says `reason` for `prompt`. */
export const interrupt = message10(
  "interrupt",
  z
    .object({ ...aim, prompt: text(65_536), reason: text(65_536) })
    .transform(({ prompt, reason, ...rest }, context) => ({
      ...aimed(rest, context),
      prompt: prompt ?? reason,
    })),
);

/** RFC §19. The session and the job that it is about are on the envelope. */
export const resume = message10(
  "resume",
  z.object({
    after_message_id: absentOr(messageId),
    checkpoint_id: absentOr(entityId),
    include_open_streams: z
      .boolean()
      .nullish()
      .transform((given) => given ?? false),
  }),
);

/** RFC §11.2. */
export const backpressure = message10(
  "backpressure",
  z.object({
    desired_rate_per_second: absentOr(z.number().nonnegative()),
    buffer_remaining_bytes: absentOr(counter),
    reason,
  }),
);

const ofJob = (message: { job_id?: z.infer<typeof jobId> | undefined }, payload: typeof message) =>
  message.job_id ?? payload.job_id;

/** RFC §6.2, §19. The runtime names a checkpoint that the client does not. */
export const checkpointCreate = message10(
  "checkpoint.create",
  z.object({
    checkpoint_id: absentOr(entityId),
    job_id: absentOr(jobId),
    label: name,
    snapshot: anything,
  }),
).transform((message) => ({ ...message, job_id: ofJob(message, message.payload) }));

/** RFC §6.2, §19. */
export const checkpointRestore = message10(
  "checkpoint.restore",
  z.object({ checkpoint_id: entityId, job_id: absentOr(jobId) }),
).transform((message) => ({ ...message, job_id: ofJob(message, message.payload) }));
