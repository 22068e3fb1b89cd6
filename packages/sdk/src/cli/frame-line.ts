/** A message of wire 1.0 as a line, or a few, for people: what `send`, `tail` and `replay` show of a session. */
import type { ErrorCode, JsonObject } from "@arcp/core";
import { decodeRuntimeMessage10, type RuntimeMessage10 } from "@arcp/core/v1.0";
import { remedyFor } from "./denial.ts";
import { escapeLine } from "./escape.ts";
import {
  answerWith,
  bytes,
  LEVEL_STYLES,
  type Line,
  layOut,
  metricText,
  progressText,
  type Styler,
} from "./event-line.ts";

/** The message laid out, as its sender wrote it where it makes no sense. */
export function frameLine(frame: JsonObject, terminal: Styler): string {
  const { timestamp } = frame;
  const message = decoded(frame);
  const line = (message && lineOf(message)) ?? plainLine(frame);
  return layOut(typeof timestamp === "string" ? timestamp : undefined, line, terminal);
}

function decoded(frame: JsonObject): RuntimeMessage10 | undefined {
  try {
    return decodeRuntimeMessage10(frame, { allowMissingTimestamp: true });
  } catch {
    // It is shown as it is.
    return undefined;
  }
}

const plainLine = ({ type, payload }: JsonObject): Line => ({
  ...{ label: "message", style: "gray", text: String(type), details: payload },
});

const QUESTION = { label: "asks", style: "yellow" } as const;

/** `undefined` for what has no form of its own. */
function lineOf(message: RuntimeMessage10): Line | undefined {
  switch (message.type) {
    case "job.accepted":
      return { label: "accepted", style: "cyan", text: message.job_id };
    case "job.started":
      return { label: "started", style: "cyan", text: message.job_id ?? "" };
    case "job.progress":
      return { label: "progress", style: "green", text: progressOf(message.payload) };
    case "job.heartbeat":
      return { label: "alive", style: "gray", text: message.payload.state ?? "" };
    case "job.checkpoint": {
      const { checkpoint_id, label } = message.payload;
      return { label: "saved", style: "blue", text: `${checkpoint_id}${label === undefined ? "" : ` ${label}`}` };
    }
    case "log": {
      const { level, message: text, attributes } = message.payload;
      const isEmpty = attributes === undefined || Object.keys(attributes).length === 0;
      return { label: level, style: LEVEL_STYLES[level] ?? "white", text, ...(isEmpty ? {} : { details: attributes }) };
    }
    case "metric": {
      const { dims } = message.payload;
      const line = { label: "metric", style: "green", text: metricText(message.payload) } as const;
      return Object.keys(dims).length === 0 ? line : { ...line, details: dims };
    }
    case "trace.span": {
      const { name, duration_ms } = message.payload;
      return { label: "span", style: "gray", text: `${name}${duration_ms === undefined ? "" : ` ${duration_ms} ms`}` };
    }
    case "event.emit":
      return { label: "event", style: "gray", text: message.payload.name, details: message.payload.value };
    case "stream.open": {
      const { kind, content_type } = message.payload;
      return { label: "stream", style: "blue", text: `${message.stream_id} opens: ${content_type ?? kind}` };
    }
    case "stream.chunk": {
      const { role, redacted, data, byte_length } = message.payload;
      if (role !== undefined) {
        return { label: "thought", style: ["magenta", "italic"], text: redacted ? "(withheld)" : textOf(data) };
      }
      const shown = byte_length === undefined ? textOf(data) : bytes(byte_length);
      return { label: "stream", style: "blue", text: `${message.stream_id}: ${shown}` };
    }
    case "stream.close":
      return { label: "stream", style: "blue", text: `${message.stream_id} ends` };
    case "human.input.request": {
      const { prompt, response_schema } = message.payload;
      const isOpen = Object.keys(response_schema).length === 0;
      return {
        ...QUESTION,
        text: `${prompt}\n${answerWith(message.id)}`,
        ...(isOpen ? {} : { details: response_schema }),
      };
    }
    case "human.choice.request": {
      const options = message.payload.options.map(({ id, label }) => `  ${id}: ${label}`);
      return { ...QUESTION, text: [message.payload.prompt, ...options, answerWith(message.id)].join("\n") };
    }
    case "permission.request": {
      const { permission, resource, operation, reason } = message.payload;
      const why = reason === undefined ? [] : [reason];
      const what = `for permission: ${permission} ${operation} ${resource}`;
      return { ...QUESTION, text: [what, ...why, answerWith(message.id)].join("\n") };
    }
    case "human.input.cancelled":
      return { label: "closed", style: "gray", text: `${message.correlation_id ?? ""} ${message.payload.message}` };
    case "lease.granted":
    case "lease.extended":
      return { label: "granted", style: "green", text: leaseText(message.payload) };
    case "lease.revoked":
      return { label: "revoked", style: "yellow", text: message.payload.lease_id };
    case "artifact.ref":
    case "artifact.put": {
      const { artifact_id, media_type, size } = message.payload;
      const length = size === undefined ? "" : ` ${bytes(size)}`;
      return { label: "artifact", style: "blue", text: `${artifact_id ?? ""} ${media_type ?? ""}${length}` };
    }
    case "agent.handoff": {
      const { kind, fingerprint } = message.payload.to_runtime;
      return { label: "handoff", style: "blue", text: `to ${kind} ${fingerprint ?? ""}` };
    }
    case "pong": {
      const { nonce, received_at } = message.payload;
      return {
        label: "pong",
        style: "green",
        text: [nonce, received_at].filter((part) => part !== undefined).join(" "),
      };
    }
    case "ack":
    case "cancel.accepted":
    case "subscribe.accepted":
      return { label: "✔", style: "green", text: message.type, details: message.payload };
    case "tool.result":
    case "job.completed": {
      const { value, result_ref } = message.payload;
      return { label: "✔", style: "green", text: result_ref?.artifact_id ?? textOf(value ?? null) };
    }
    case "workflow.complete":
      return { label: "✔", style: "green", text: textOf(message.payload.outputs ?? null) };
    case "nack":
    case "tool.error":
    case "job.failed":
    case "stream.error":
      return failureLine(message.payload);
    case "job.cancelled": {
      const { reason, message: text } = message.payload;
      return { label: "✖", style: "yellow", text: `cancelled: ${text ?? reason ?? ""}` };
    }
    case "cancel.refused":
      return { label: "✖", style: "red", text: `not cancelled: ${message.payload.reason}` };
    case "subscribe.closed":
      return { label: "closed", style: "yellow", text: message.payload.reason ?? "" };
    default:
      return undefined;
  }
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

function failureLine({ code, message, details = {} }: Failure): Line {
  // What wire 1.0 has no word for keeps its own.
  const own = typeof details["code"] === "string" ? details["code"] : code;
  const remedy = remedyFor({ code: own as ErrorCode, details });
  const more = remedy === undefined ? "" : `\n${escapeLine(remedy)}`;
  return { label: "✖", style: "red", text: `${code}: ${message}${more}` };
}

function progressOf(payload: {
  readonly percent?: number | undefined;
  readonly message?: string | undefined;
  readonly current?: number | undefined;
  readonly total?: number | undefined;
  readonly units?: string | undefined;
}): string {
  const { percent, message, current } = payload;
  if (current !== undefined) return progressText({ ...payload, current });
  return [...(percent === undefined ? [] : [`${percent}%`]), ...(message === undefined ? [] : [message])].join(" · ");
}

function leaseText({ lease_id, expires_at, ...scope }: JsonObject): string {
  const { permission, operation, resource } = scope;
  const parts = [permission, operation, resource].filter((part) => typeof part === "string");
  return `${lease_id} ${parts.join(" ")}${expires_at === undefined ? "" : ` until ${expires_at}`}`;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value));
