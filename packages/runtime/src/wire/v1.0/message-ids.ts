/**
 * Ids of what the runtime sends on wire 1.0 (RFC §6.1.1). An id tells where in its session's feed the message stands, so
 * that `resume` finds the place of any message without a log of what was sent (RFC §19).
 *
 *   msg_ + 10 characters of time + 6 of the session's salt + 7 of the position + 3 of the index at that position
 */
import { crockford, type MessageId } from "@arcp/core";

/** A place in a session's feed: the number of an entry, and which of its messages. */
export interface Position {
  readonly seq: number;
  readonly index: number;
}

const TIME_CHARS = 10;
const SALT_CHARS = 6;
const SEQ_CHARS = 7;
const INDEX_CHARS = 3;
const INDEX_LIMIT = 32 ** INDEX_CHARS;
/** From here on, an index counts messages that are no entries: replies, pings. */
export const FIRST_REPLY = 1024;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID = /^msg_[0-9A-HJKMNP-TV-Z]{26}$/;

export class MessageIds {
  readonly #salt: string;
  #replies = 0;
  #ts = Number.NaN;
  #tsText = "";

  /** `salt` is the session's, of which the beginning is used. */
  constructor(salt: string) {
    this.#salt = salt.slice(0, SALT_CHARS).padStart(SALT_CHARS, "0");
  }

  /** The id of message `index` of the entry that has number `seq`. Always the same. */
  of(ts: number, { seq, index }: Position): MessageId {
    if (ts !== this.#ts) {
      this.#ts = ts;
      this.#tsText = crockford(ts, TIME_CHARS);
    }
    return `msg_${this.#tsText}${this.#salt}${crockford(seq, SEQ_CHARS)}${crockford(index, INDEX_CHARS)}` as MessageId;
  }

  /** A new id of a message that is no entry, sent when everything up to `seq` had been. */
  next(ts: number, seq: number): MessageId {
    const index = FIRST_REPLY + (this.#replies % (INDEX_LIMIT - FIRST_REPLY));
    this.#replies += 1;
    return this.of(ts, { seq, index });
  }

  /** When the message of that id was written, in milliseconds since the epoch. */
  static timeOf(id: string): number {
    return numberOf(id.slice(4, 4 + TIME_CHARS));
  }

  /** The number in an id, whoever's it is; `undefined` for what is no id of a runtime. */
  static seqOf(id: string): number | undefined {
    if (!ID.test(id)) return undefined;
    const seqAt = 4 + TIME_CHARS + SALT_CHARS;
    return numberOf(id.slice(seqAt, seqAt + SEQ_CHARS));
  }

  /** Where a message stood; `undefined` if this session never sent it. */
  positionOf(id: string): Position | undefined {
    if (!ID.test(id) || id.slice(4 + TIME_CHARS, 4 + TIME_CHARS + SALT_CHARS) !== this.#salt) return undefined;
    const seqAt = 4 + TIME_CHARS + SALT_CHARS;
    const seq = numberOf(id.slice(seqAt, seqAt + SEQ_CHARS));
    return { seq, index: numberOf(id.slice(seqAt + SEQ_CHARS)) };
  }
}

/** What Crockford base-32 digits say; not a number for what is none. */
export const numberOf = (text: string): number =>
  [...text].reduce((sum, digit) => sum * 32 + ALPHABET.indexOf(digit), 0);
