/** Journal entries as envelopes of wire 1.0: the same entry gives the same messages, ids included (RFC §19). */
import type { SessionId } from "@arcp/core";
import { jobSpanIdOf } from "../../engine/telemetry.ts";
import type { Entry } from "../../store/store.ts";
import { type Part, partsOf, type Voice } from "./entry-parts.ts";
import { MessageIds } from "./message-ids.ts";
import type { Profile10 } from "./profiles.ts";

export interface Frame10 {
  /** Which message of its entry it is. */
  readonly index: number;
  readonly part: Part;
  readonly text: string;
  /** The binary frame that follows it (RFC §11.3). */
  readonly bytes: Uint8Array | undefined;
}

export class Spelling10 {
  readonly ids: MessageIds;
  readonly profile: Profile10;
  readonly #arcp: string;
  readonly #sessionId: SessionId;
  #spanJobId = "";
  #spanId = "";

  constructor(options: {
    readonly arcp: string;
    readonly sessionId: SessionId;
    readonly salt: string;
    readonly profile: Profile10;
  }) {
    this.#arcp = options.arcp;
    this.#sessionId = options.sessionId;
    this.profile = options.profile;
    this.ids = new MessageIds(options.salt);
  }

  /** The frames that carry `entry` as number `seq`, in order. `hasSidecars`: bytes stand beside their envelopes. */
  frames(
    seq: number,
    traceId: string,
    voice: Voice,
    entry: Entry,
    { hasSidecars = false }: { readonly hasSidecars?: boolean } = {},
  ): readonly Frame10[] {
    const timestamp = new Date(entry.ts).toISOString();
    const parts = partsOf(entry, voice, this.profile);
    return parts.map((part, index) => {
      const { type, streamId, priority } = part;
      const { payload, bytes } = hasSidecars ? beside(part) : { payload: part.payload, bytes: undefined };
      const correlationId = this.#known(part.correlationId ?? (part.isAnswer ? voice.commandId : undefined));
      const causationId = this.#known(part.causationId ?? voice.commandId);
      const envelope = {
        arcp: this.#arcp,
        id: part.id ?? this.ids.of(entry.ts, { seq, index }),
        ...{ type, timestamp, session_id: this.#sessionId, job_id: voice.jobId },
        ...(streamId !== undefined && { stream_id: streamId }),
        ...{ trace_id: traceId, span_id: this.#spanOf(voice.jobId) },
        ...(correlationId !== undefined && { correlation_id: correlationId }),
        ...(causationId !== undefined && { causation_id: causationId }),
        ...(priority !== undefined && !this.profile.wrapsNames && { priority }),
        // Who has the last message of an entry has all of it.
        ...(this.profile.numbers && index === parts.length - 1 && { event_seq: seq }),
        payload,
      };
      return { index, part, text: JSON.stringify(envelope), bytes };
    });
  }

  /** The id of a message that another client has sent, unless this one cannot read it. */
  #known(id: string | undefined): string | undefined {
    return this.profile.isStrict && id?.startsWith("msg_") !== true ? undefined : id;
  }

  /** A job is one span, whose id follows from its own. */
  #spanOf(jobId: string): string {
    if (jobId !== this.#spanJobId) {
      this.#spanJobId = jobId;
      this.#spanId = jobSpanIdOf(jobId);
    }
    return this.#spanId;
  }
}

/** A payload without the bytes in it, and the bytes. */
function beside({ type, payload }: Part): Pick<Frame10, "bytes"> & Pick<Part, "payload"> {
  const { data, ...rest } = payload;
  const isStream = type === "stream.chunk" || type === "stream.open";
  if (!isStream || payload["encoding"] !== "base64") return { payload, bytes: undefined };
  if (typeof data !== "string") return { payload: { ...payload, encoding: "sidecar" }, bytes: undefined };
  const bytes = Buffer.from(data, "base64");
  return { payload: { ...rest, encoding: "sidecar", byte_length: bytes.length }, bytes };
}
