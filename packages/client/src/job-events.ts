/** Events as the caller sees them: one type per kind, discriminated on `kind` (§8.2). */
import { EVENT_BODIES, type EventBody, type EventKind, isEventKind, type JobId, type MessageOf } from "@arcp/core";
import { withoutNulls } from "./respelling.ts";

interface EventFacts {
  readonly jobId: JobId;
  /** Position in the session's stream (§8.3). `undefined` when the peer did not number the event. */
  readonly seq: number | undefined;
  /** When it happened, as the peer wrote it (RFC 3339). `undefined` when the peer did not say. */
  readonly ts: string | undefined;
}

/** An event of one of the ten reserved kinds. */
export type ReservedEvent = {
  [Kind in EventKind]: EventFacts & { readonly kind: Kind; readonly body: EventBody<Kind> };
}[EventKind];

/**
 * An event of any other kind: a vendor's, or one that a later version of the protocol adds. Also a reserved kind whose
 * body is not what §8.2 says; `problem` then says what is wrong with it.
 */
export interface VendorEvent extends EventFacts {
  readonly kind: "vendor";
  /** The kind on the wire, e.g. `x-vendor.acme.note`. */
  readonly name: string;
  readonly body: unknown;
  readonly problem?: string;
}

/** One `job.event`. */
export type JobEvent = ReservedEvent | VendorEvent;

/** The events of one kind. */
export type JobEventOf<Kind extends JobEvent["kind"]> = Extract<JobEvent, { kind: Kind }>;

export function toJobEvent(
  jobId: JobId,
  seq: number | undefined,
  payload: MessageOf<"job.event">["payload"],
): JobEvent {
  const { kind, ts, body } = payload;
  if (!isEventKind(kind)) return { kind: "vendor", name: kind, jobId, seq, ts, body };
  const schema = EVENT_BODIES[kind];
  const parsed = schema.safeParse(body);
  if (parsed.success) return { kind, jobId, seq, ts, body: parsed.data } as ReservedEvent;
  const again = schema.safeParse(withoutNulls(body));
  if (again.success) return { kind, jobId, seq, ts, body: again.data } as ReservedEvent;
  const issue = parsed.error.issues[0];
  const problem = `${(issue?.path ?? []).map(String).join(".")}: ${issue?.message ?? "not valid"}`;
  return { kind: "vendor", name: kind, jobId, seq, ts, body, problem };
}
