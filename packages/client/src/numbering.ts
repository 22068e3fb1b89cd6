/** What the number of a message means for it, and for the session (§8.3). */
import { type ARCPError, InternalError } from "@arcp/core";
import type { KnownJob } from "./job-book.ts";
import type { ResolvedOptions } from "./options.ts";
import type { Session } from "./session.ts";

/** A message that may carry a number. */
export interface NumberedMessage {
  readonly session_id?: string | undefined;
  readonly event_seq?: number | undefined;
}

/** A message's number. Zero is what some peers write for none; what cannot be a position is none either. */
export function seqOf(message: NumberedMessage): number | undefined {
  const seq = message.event_seq;
  return seq !== undefined && seq > 0 && Number.isSafeInteger(seq) ? seq : undefined;
}

export interface NumberingOwner {
  readonly onProblem: (error: ARCPError) => void;
  /** The connection must be given up, so that what is missing is replayed. */
  readonly onBroken: (error: ARCPError) => void;
}

export class Numbering {
  readonly #options: ResolvedOptions;
  readonly #owner: NumberingOwner;
  /** The gap that a resume has already been tried for. */
  #retried: { readonly session: Session; readonly last: number } | undefined;

  constructor(options: ResolvedOptions, owner: NumberingOwner) {
    this.#options = options;
    this.#owner = owner;
  }

  /** Counts a message. Returns whether it is to be taken: it is new, and nothing before it is missing. */
  admit(session: Session, message: NumberedMessage, known: KnownJob | undefined): boolean {
    const seq = seqOf(message);
    if (seq === undefined) return true;
    if (this.#isForeign(session, message, known)) return admitForeign(seq, known);
    const verdict = session.sequence.take(seq);
    if (verdict === "duplicate") return false;
    if (verdict === "gap" && !this.#bridge(session, seq)) return false;
    if (this.#options.autoAck && session.facts.features.has("ack")) session.acknowledgement.arm();
    return true;
  }

  /** Counts a message that was received and is of no further use. */
  count(session: Session, seq: unknown): void {
    if (typeof seq === "number") session.sequence.take(seqOf({ event_seq: seq }));
  }

  /** Is the message numbered in the stream of another session, which some runtimes pass on as it is? */
  #isForeign(session: Session, message: NumberedMessage, known: KnownJob | undefined): boolean {
    if (known?.role === "own" || known?.role === "delegated") return false;
    const isOtherSession = message.session_id !== undefined && message.session_id !== session.facts.sessionId;
    const isApart = session.numbersByJob || this.#options.compat.subscriptionNumbering === "owner";
    return isOtherSession || (known?.role === "observed" && isApart);
  }

  /** Something is missing before `seq`. Returns whether to go on without it. */
  #bridge(session: Session, seq: number): boolean {
    const { last } = session.sequence;
    const error = new InternalError(`messages ${last + 1} to ${seq - 1} are missing`, {
      details: { last_event_seq: last, event_seq: seq },
    });
    this.#owner.onProblem(error);
    const isRetried = this.#retried?.session === session && this.#retried.last === last;
    if (this.#options.compat.onGap === "resume" && session.resumeToken !== undefined && !isRetried) {
      this.#retried = { session, last };
      this.#owner.onBroken(error);
      return false;
    }
    // The runtime does not have it either, or must not be asked.
    session.sequence.skipTo(seq);
    return true;
  }
}

function admitForeign(seq: number, known: KnownJob | undefined): boolean {
  if (known === undefined) return true;
  if (seq <= known.foreignSeq) return false;
  known.foreignSeq = seq;
  return true;
}
