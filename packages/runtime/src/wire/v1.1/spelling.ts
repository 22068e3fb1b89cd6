/** Journal entries as wire 1.1 envelopes: a prefix per job, the number, the payload as it was stored. */
import { crockford, type SessionId } from "@arcp/core";
import { type Entry, isTerminal, messageTypeOf } from "../../store/store.ts";

/** The highest number that an id has room for: 2^40 messages in one session. */
const SEQ_CHARS = 8;
const TIME_CHARS = 10;

export class Spelling {
  readonly #arcp: string;
  readonly #sessionId: SessionId;
  readonly #salt: string;
  #jobId = "";
  #eventPrefix = "";
  #ts = Number.NaN;
  #tsText = "";

  constructor(options: { readonly arcp: string; readonly sessionId: SessionId; readonly salt: string }) {
    this.#arcp = options.arcp;
    this.#sessionId = options.sessionId;
    this.#salt = options.salt;
  }

  /** The frame that carries `entry` as number `seq`. The same arguments give the same frame, id included. */
  frame(seq: number, job: { readonly id: string; readonly traceId: string }, entry: Entry): string {
    if (isTerminal(entry.code)) return this.frameOf(messageTypeOf(entry.code), seq, job, entry.ts, entry.payload);
    if (job.id !== this.#jobId) {
      this.#jobId = job.id;
      this.#eventPrefix = this.#prefix("job.event", job);
    }
    return `${this.#eventPrefix}${this.#id(entry.ts, seq)}","event_seq":${seq},"payload":${entry.payload}}`;
  }

  /** The same for a payload other than the stored one. */
  frameOf(
    type: string,
    seq: number,
    job: { readonly id: string; readonly traceId: string },
    ts: number,
    payload: string,
  ): string {
    return `${this.#prefix(type, job)}${this.#id(ts, seq)}","event_seq":${seq},"payload":${payload}}`;
  }

  #prefix(type: string, job: { readonly id: string; readonly traceId: string }): string {
    // Nothing here needs escaping: ids are this runtime's own, the version was matched.
    return `{"arcp":"${this.#arcp}","type":"${type}","session_id":"${this.#sessionId}","job_id":"${job.id}","trace_id":"${job.traceId}","id":"msg_`;
  }

  /** A ULID of the entry's time, the session's salt and the number. */
  #id(ts: number, seq: number): string {
    if (ts !== this.#ts) {
      this.#ts = ts;
      this.#tsText = crockford(ts, TIME_CHARS);
    }
    return this.#tsText + this.#salt + crockford(seq, SEQ_CHARS);
  }
}
