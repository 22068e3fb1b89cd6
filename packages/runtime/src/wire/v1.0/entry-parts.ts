/** What a journal entry says on wire 1.0: none, one or several messages, always the same ones. */
import { type ARCPError, errorFromWire, type JsonObject } from "@arcp/core";
import { type ErrorPayload10, errorToV10, isErrorCode10, type Priority } from "@arcp/core/v1.0";
import { QUEUE_MEMBER } from "../../engine/queue/job-queue.ts";
import { streamIdOfResult } from "../../engine/result-stream.ts";
import { ENTRY, type Entry } from "../../store/store.ts";
import { metricPayload10 } from "./metric-payload.ts";
import type { Profile10 } from "./profiles.ts";

/** What one message says, before it has an envelope. */
export interface Part {
  readonly type: string;
  readonly payload: JsonObject;
  readonly priority?: Priority;
  readonly streamId?: string;
  /** The message that it answers, if that is not the job's command. */
  readonly correlationId?: string;
  readonly causationId?: string;
  /** Does it answer the command? */
  readonly isAnswer?: true;
  /** A message of the same id in every session. */
  readonly id?: string;
}

/** What is known of the job that an entry is of. */
export interface Voice {
  /** The command that the job answers; `undefined` if it was not asked for over wire 1.0. */
  readonly commandId: string | undefined;
  readonly mode: "tool" | "durable";
  readonly jobId: string;
  /** The session that is told. */
  readonly sessionId: string;
}

type Spell = (body: JsonObject, voice: Voice, entry: Entry, profile: Profile10) => readonly Part[];

const PERCENT = 100;

/** The id of the message that asks a question, and the id of the question: one is the other. */
export const questionIdOf = (messageId: string): string => messageId.replace(/^msg_/, "q_");
const messageIdOfQuestion = (questionId: string): string => questionId.replace(/^q_/, "msg_");

const event =
  (name?: string): Spell =>
  (body, _voice, entry) => {
    const kind = name ?? kindOf(entry);
    return [{ type: "event.emit", payload: { name: kind, type: kind, data: body } }];
  };

const kindOf = (entry: Entry): string => (JSON.parse(entry.payload) as { readonly kind: string }).kind;

const SPELLINGS: Readonly<Record<number, Spell>> = {
  [ENTRY.log]: (body) => [{ type: "log", payload: body }],
  [ENTRY.metric]: (body) => [{ type: "metric", payload: metricPayload10(body) }],
  [ENTRY.progress]: (body) => [{ type: "job.progress", payload: progress(body) }],
  [ENTRY.thought]: thought,
  [ENTRY.tool_call]: event(),
  [ENTRY.tool_result]: event(),
  [ENTRY.status]: event(),
  [ENTRY.credential_rotated]: event(),
  [ENTRY.artifact_ref]: event(),
  [ENTRY.delegate]: event(),
  [ENTRY.vendor]: event(),
  [ENTRY.result_chunk]: resultChunk,
  [ENTRY.accepted]: (body, { jobId }, { ts }, profile) => [acceptedPart(jobId, ts, body, profile)],
  [ENTRY.started]: (_body, { jobId }, { ts }) => [
    { type: "job.started", payload: { job_id: jobId, started_at: at(ts), state: "running" } },
  ],
  [ENTRY.question_asked]: questionAsked,
  [ENTRY.question_closed]: questionClosed,
  [ENTRY.stream_opened]: ({ stream_id, priority, ...open }, { jobId }, _entry, profile) => [
    {
      ...{ type: "stream.open", streamId: String(stream_id), ...ranked(priority) },
      payload: { ...open, kind: named(profile, open["kind"]), related_job_id: jobId },
    },
  ],
  [ENTRY.stream_chunk]: ({ stream_id, priority, metric, ...chunk }, _voice, _entry, profile) => [
    {
      ...chunkPart(String(stream_id), metric === undefined ? chunk : { ...chunk, metric: metricOf(metric) }, profile),
      ...ranked(priority),
    },
  ],
  [ENTRY.stream_closed]: ({ stream_id, error, ...close }, _voice, _entry, profile) => [
    error === undefined
      ? { type: "stream.close", streamId: String(stream_id), payload: close }
      : {
          type: "stream.error",
          streamId: String(stream_id),
          payload: { ...errorFor(profile, errorFromWire(error as never)) },
        },
  ],
  [ENTRY.lease]: ({ event: name, command_id, request_id, ...lease }) => [
    {
      type: `lease.${name}`,
      payload: lease,
      ...(typeof command_id === "string" && { correlationId: command_id }),
      ...(typeof request_id === "string" && { causationId: messageIdOfQuestion(request_id) }),
    },
  ],
  [ENTRY.checkpoint]: ({ command_id, ...checkpoint }) => [
    {
      ...{ type: "job.checkpoint", payload: checkpoint },
      ...(typeof command_id === "string" && { causationId: command_id }),
    },
  ],
  [ENTRY.span]: (body, _voice, _entry, { startsSpans }) => [
    {
      type: "trace.span",
      payload: startsSpans ? { ...body, started_at: body["start_time"], ended_at: body["end_time"] } : body,
    },
  ],
  [ENTRY.state]: event("job.state"),
  [ENTRY.handoff]: (body) => [{ type: "agent.handoff", payload: body }],
  [ENTRY.result]: success,
  [ENTRY.error]: failure,
};

/** The messages of `entry`, in order. */
export function partsOf(entry: Entry, voice: Voice, profile: Profile10): readonly Part[] {
  const payload = JSON.parse(entry.payload) as JsonObject;
  const isEnd = entry.code === ENTRY.result || entry.code === ENTRY.error;
  const body = isEnd ? payload : ((payload["body"] ?? {}) as JsonObject);
  const spelled = SPELLINGS[entry.code]?.(body, voice, entry, profile) ?? [];
  const parts = profile.unread.size === 0 ? spelled : spelled.map((part) => readable(part, profile));
  // A job that was not asked for over this wire begins with its first entry.
  return entry.n === 1 && voice.commandId === undefined ? [...beginning(voice, entry), ...parts] : parts;
}

/** What a client does not know by its type, as an event of that name. */
const readable = (part: Part, { unread }: Profile10): Part =>
  unread.has(part.type)
    ? { ...part, type: "event.emit", payload: { name: part.type, type: part.type, data: part.payload } }
    : part;

const beginning = (voice: Voice, entry: Entry): readonly Part[] =>
  (isWaiting(entry) ? [ENTRY.accepted] : [ENTRY.accepted, ENTRY.started]).flatMap(
    (code) => SPELLINGS[code]?.({}, voice, entry, {} as Profile10) ?? [],
  );

/** Does it say that the job waits to begin? That it has begun is an entry of its own then. */
const isWaiting = ({ code, payload }: Entry): boolean =>
  code === ENTRY.status && QUEUE_MEMBER in (JSON.parse(payload) as { readonly body: JsonObject }).body;

/** `facts`: of the job, as wire 1.1 names them. */
export function acceptedPart(
  jobId: string,
  ts: number,
  { agent, lease, lease_constraints: constraints }: JsonObject,
  { readsLease }: Profile10,
): Part {
  const granted = readsLease ? leaseRequestOf(lease as JsonObject | undefined, constraints as JsonObject) : {};
  return {
    ...{ type: "job.accepted", isAnswer: true },
    payload: {
      ...{ job_id: jobId, accepted_at: at(ts), state: "accepted" },
      ...(typeof agent === "string" && { agent }),
      ...(Object.keys(granted).length > 0 && { lease: granted }),
    },
  };
}

const REQUESTED: ReadonlyMap<string, string> = new Map([
  ["cost.budget", "cost_budget"],
  ["model.use", "model_use"],
]);

/** A lease in the form of `lease_request`, which has the expiry beside the capabilities. */
const leaseRequestOf = (lease: JsonObject = {}, constraints: JsonObject = {}): JsonObject => ({
  ...Object.fromEntries(Object.entries(lease).map(([name, patterns]) => [REQUESTED.get(name) ?? name, patterns])),
  ...constraints,
});

/** What is told of an error. A client that ends at codes of others finds them in the details. */
export function errorFor({ isStrict }: Profile10, error: ARCPError): ErrorPayload10 {
  const payload = errorToV10(error);
  if (!isStrict || isErrorCode10(payload.code)) return payload;
  return { ...payload, code: "UNKNOWN", details: { ...payload.details, code: payload.code } };
}

const ranked = (priority: unknown): { readonly priority?: Priority } =>
  priority === undefined ? {} : { priority: priority as Priority };

const metricOf = (metric: unknown): JsonObject => metricPayload10(metric as JsonObject);

const at = (ts: number): string => new Date(ts).toISOString();

const named = ({ wrapsNames }: Profile10, name: unknown): unknown => (wrapsNames ? { type: name } : name);

function progress({ current, total, ...rest }: JsonObject): JsonObject {
  const isRatio = typeof current === "number" && typeof total === "number" && total > 0;
  const percent = isRatio ? { percent: Math.floor((current / total) * PERCENT) } : {};
  return { ...percent, current, ...(total !== undefined && { total }), ...rest };
}

/** A thought of a job that has a stream for them; any other has one for itself. */
function thought(body: JsonObject, { jobId }: Voice, entry: Entry, profile: Profile10): readonly Part[] {
  const { text = "", stream_id, sequence = 0, redacted = false } = body;
  const streamId = typeof stream_id === "string" ? stream_id : `str_${jobId.replace(/^job_/, "")}-${entry.n}`;
  const chunk = { sequence, role: "assistant_thought", content: text, redacted };
  const said = chunkPart(streamId, chunk, profile);
  if (stream_id !== undefined) return [said];
  const kind = named(profile, "thought");
  return [
    { type: "stream.open", streamId, payload: { kind, content_type: "text/plain", related_job_id: jobId } },
    said,
    { type: "stream.close", streamId, payload: { reason: "completed", total_chunks: 1 } },
  ];
}

function resultChunk(body: JsonObject, { jobId }: Voice, _entry: Entry, profile: Profile10): readonly Part[] {
  // As on wire 1.1, for a client that has no other way to streamed results.
  if (profile.numbers) return [{ type: "job.result_chunk", payload: body }];
  const { result_id, chunk_seq, data, encoding, more } = body;
  const streamId = streamIdOfResult(String(result_id));
  const sequence = Number(chunk_seq);
  const isText = encoding !== "base64";
  const contentType = isText ? "text/plain" : "application/octet-stream";
  const kind = named(profile, isText ? "text" : "binary");
  const open = { kind, content_type: contentType, encoding: isText ? "utf-8" : "base64", related_job_id: jobId };
  return [
    ...(sequence === 0 ? [{ type: "stream.open", streamId, payload: { ...open, result_id } }] : []),
    chunkPart(streamId, { sequence, data, encoding: isText ? "utf-8" : "base64", content_type: contentType }, profile),
    ...(more === true
      ? []
      : [{ type: "stream.close", streamId, payload: { reason: "completed", total_chunks: sequence + 1 } }]),
  ];
}

function chunkPart(
  streamId: string,
  { sequence, ...chunk }: JsonObject,
  { firstSequence, needsData }: Profile10,
): Part {
  const { data, event: happened, log, metric, content } = chunk;
  const brought = needsData && data === undefined ? { data: happened ?? log ?? metric ?? content ?? null } : {};
  return {
    type: "stream.chunk",
    streamId,
    payload: { sequence: Number(sequence) + firstSequence, ...chunk, ...brought },
  };
}

function questionAsked({ id, question, cause, ...request }: JsonObject): readonly Part[] {
  const common = {
    id: messageIdOfQuestion(String(id)),
    // Some clients look there for the interrupt that led to the question.
    ...(typeof cause === "string" && { causationId: cause, correlationId: cause }),
  };
  const payload = { request_id: id, ...request };
  if (question === "permission") return [{ ...common, type: "permission.request", priority: "critical", payload }];
  return [{ ...common, type: question === "choice" ? "human.choice.request" : "human.input.request", payload }];
}

/** The session whose answer counted is told that it did; every other one that the prompt is stale (RFC §12.3). */
function questionClosed(body: JsonObject, { sessionId }: Voice): readonly Part[] {
  const { id, question, outcome, answered_in, responded_by, responded_at, value, choice_id, granted } = body;
  const asked = messageIdOfQuestion(String(id));
  const facts = {
    request_id: id,
    question,
    outcome,
    responded_by,
    responded_at,
    ...(granted !== undefined && { granted }),
  };
  const name = "human.input.resolved";
  const resolved: Part = { type: "event.emit", causationId: asked, payload: { name, type: name, data: facts } };
  if (outcome === "answered" && answered_in === sessionId) return [resolved];
  if (outcome === "default") {
    const type = question === "choice" ? "human.choice.response" : "human.input.response";
    const answer = question === "choice" ? { choice_id } : { value };
    return [{ type, correlationId: asked, payload: { ...answer, responded_by, responded_at } }];
  }
  const code = outcome === "expired" ? "DEADLINE_EXCEEDED" : "CANCELLED";
  const reason = outcome === "answered" ? "answered elsewhere" : String(body["message"] ?? outcome);
  const cancelled: Part = {
    ...{ type: "human.input.cancelled", correlationId: asked },
    payload: { code, message: reason, reason, request_id: id },
  };
  return outcome === "answered" ? [cancelled, resolved] : [cancelled];
}

function success(end: JsonObject, { mode, jobId }: Voice): readonly Part[] {
  const { job_id: _job, final_status: _status, result, result_id, ...rest } = end;
  const streamed = typeof result_id === "string" && { result_id, stream_id: streamIdOfResult(result_id) };
  const isElsewhere = streamed !== false || "result_ref" in rest;
  const value = isElsewhere ? {} : { value: result ?? null };
  const common = { priority: "critical" as const, isAnswer: true as const };
  if (mode === "tool")
    return [{ ...common, type: "tool.result", payload: { job_id: jobId, ...value, ...rest, ...streamed } }];
  const both = isElsewhere ? {} : { value: result ?? null, result: result ?? null };
  return [{ ...common, type: "job.completed", payload: { job_id: jobId, ...both, ...rest, ...streamed } }];
}

function failure(end: JsonObject, { mode, jobId }: Voice, _entry: Entry, profile: Profile10): readonly Part[] {
  const { job_id: _job, final_status: status, ...error } = end;
  const common = { priority: "critical" as const, isAnswer: true as const };
  const payload = { job_id: jobId, ...errorFor(profile, errorFromWire(error as never)) };
  if (status === "cancelled") {
    const reason = String(error["message"] ?? "cancelled");
    return [
      { ...common, type: "job.cancelled", payload: { job_id: jobId, reason, code: "CANCELLED", source: "client" } },
    ];
  }
  const isKilled = payload["code"] === "ABORTED" || payload["code"] === "HEARTBEAT_LOST";
  return [{ ...common, type: mode === "tool" && !isKilled ? "tool.error" : "job.failed", payload }];
}
