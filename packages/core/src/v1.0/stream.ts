/** The messages of streams (RFC §11). */
import { z } from "zod";
import { absentOr, counter, jobId } from "../messages/envelope.ts";
import { anything, entityId, message10, needed, openWord } from "./envelope.ts";
import { errorPayload10 } from "./errors.ts";

/** RFC §11.1. */
export const STREAM_KINDS = ["text", "binary", "event", "log", "metric", "thought"] as const;
/** What a stream carries (RFC §11.1). */
export type StreamKind = (typeof STREAM_KINDS)[number];

/** A kind that is not known is `event` (RFC §11.1). */
const kind = openWord.transform((given): StreamKind => STREAM_KINDS.find((known) => known === given) ?? "event");

const openText = absentOr(z.string());
const inStream = { stream_id: absentOr(entityId) };

/** The stream is named on the envelope, in the payload, or in both. */
function withStreamId<Message extends { stream_id?: string | undefined; payload: { stream_id?: string | undefined } }>(
  message: Message,
  context: z.RefinementCtx,
): Message & { readonly stream_id: string } {
  return { ...message, stream_id: needed(message.stream_id ?? message.payload.stream_id, ["stream_id"], context) };
}

/** RFC §11.1. `related_job_id` is another SDK's place for the job; `result_id` says that the stream is a job's result. */
export const streamOpen = message10(
  "stream.open",
  z.object({
    ...inStream,
    kind,
    content_type: openText,
    encoding: absentOr(openWord),
    related_job_id: absentOr(jobId),
    result_id: openText,
  }),
)
  .transform(withStreamId)
  .transform((message) => ({ ...message, job_id: message.job_id ?? message.payload.related_job_id }));

/**
 * RFC §11.3, §11.4. What a chunk brings is `data`, whatever member its sender put it in; a chunk of reasoning has
 * `content` too. Some senders do not number their chunks.
 */
export const streamChunk = message10(
  "stream.chunk",
  z
    .object({
      ...inStream,
      sequence: absentOr(counter),
      data: anything,
      event: anything,
      log: anything,
      metric: anything,
      content: openText,
      content_type: openText,
      encoding: absentOr(openWord),
      sha256: openText,
      byte_length: absentOr(counter),
      role: openText,
      redacted: absentOr(z.boolean()),
    })
    .transform(({ data, event, log, metric, ...rest }) => ({
      ...rest,
      data: data ?? event ?? log ?? metric ?? rest.content,
      redacted: rest.redacted ?? false,
    })),
).transform(withStreamId);

/** RFC §11. */
export const streamClose = message10(
  "stream.close",
  z.object({ ...inStream, reason: openText, total_chunks: absentOr(counter) }),
).transform(withStreamId);

/** RFC §11, §10.4. */
export const streamError = message10("stream.error", z.intersection(errorPayload10, z.object(inStream))).transform(
  withStreamId,
);
