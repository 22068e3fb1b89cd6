/** The messages of a session as they were sent, read back from a store, for replay tools and audits (RFC §19). */
import { InvalidRequestError, type JobId, type SessionId } from "@arcp/core";
import type { FeedItem, SessionRecord, Store } from "../store/store.ts";
import { questionIdOf, type Voice } from "./v1.0/entry-parts.ts";
import { FIRST_REPLY, numberOf, type Position } from "./v1.0/message-ids.ts";
import { profileNameOf, readVoice } from "./v1.0/outbox.ts";
import { profileNamed } from "./v1.0/profiles.ts";
import { Spelling10 } from "./v1.0/spelling.ts";
import { Spelling } from "./v1.1/spelling.ts";

/** A message that stands in the session's feed: replies and signs of life do not. */
export interface SentMessage {
  /** The number of its entry in the session. */
  readonly seq: number;
  readonly jobId: JobId;
  /** The envelope as JSON, with the id that it was sent with. */
  readonly text: string;
}

/** Spells the messages of one item of a feed. */
type Spell = (item: FeedItem) => Promise<readonly { readonly position: Position; readonly text: string }[]>;

const PAGE_ITEMS = 256;
const PAGE_BYTES = 1024 * 1024;
const BEGINNING: Position = { seq: 0, index: 0 };

/** One session of a store, live or over, as long as the store keeps it. Reading changes nothing. */
export class SessionReplay {
  readonly sessionId: SessionId;
  readonly principal: string;
  /** The wire that it was opened with. */
  readonly wire: string;
  readonly #store: Store;
  readonly #spell: Spell;
  readonly #positionOf: (id: string) => Position | undefined;

  private constructor(store: Store, record: SessionRecord) {
    this.sessionId = record.id;
    this.principal = record.principal;
    this.wire = record.wire;
    this.#store = store;
    if (record.wire === "1.0") {
      const spelling = spelling10(record);
      this.#spell = speller10(store, spelling, record.id);
      this.#positionOf = (id) => spelling.ids.positionOf(id);
    } else {
      this.#spell = speller11(record);
      this.#positionOf = (id) => positionOf11(id, record.salt);
    }
  }

  /** `undefined` if the store has no such session, or has it no more. */
  static async open(store: Store, id: SessionId): Promise<SessionReplay | undefined> {
    const found = await store.findSession(id);
    return found && new SessionReplay(store, found.record);
  }

  /** The session that sent `messageId`; `undefined` if none of this store did, or none that has had jobs of its own. */
  static async ofMessage(store: Store, messageId: string): Promise<SessionReplay | undefined> {
    const question = await store.findRecord("question", questionIdOf(messageId));
    const asking = question?.jobId ? await store.findJob(question.jobId) : undefined;
    if (asking !== undefined) return SessionReplay.open(store, asking.sessionId);
    const seen = new Set<SessionId>();
    for await (const { sessionId } of store.jobs()) {
      if (seen.has(sessionId)) continue;
      seen.add(sessionId);
      const replay = await SessionReplay.open(store, sessionId);
      if (replay !== undefined && replay.#positionOf(messageId) !== undefined) return replay;
    }
    return undefined;
  }

  /**
   * What was sent, in order: everything, or what came after the message of that id. A message whose bytes went beside it has
   * them inside.
   *
   * @throws InvalidRequestError if the session never sent `after`.
   */
  async *messages(after?: string): AsyncGenerator<SentMessage, void> {
    const start = after === undefined ? BEGINNING : (this.#positionOf(after) ?? BEGINNING);
    // The id of a question tells no place.
    let isFound = after === undefined || start !== BEGINNING;
    for (let seq = Math.max(0, start.seq - 1); ; ) {
      const items = await this.#store.readFeed(this.sessionId, seq, PAGE_ITEMS, PAGE_BYTES);
      for (const item of items) {
        seq = item.seq;
        for (const { position, text } of await this.#spell(item)) {
          if (isFound && isAfter(position, start)) yield { seq, jobId: item.jobId, text };
          else if (!isFound) isFound = (JSON.parse(text) as { readonly id: string }).id === after;
        }
      }
      if (items.length > 0) continue;
      if (!isFound || start.seq > seq) throw new InvalidRequestError(`the session never sent a message ${after}`);
      return;
    }
  }
}

const isAfter = ({ seq, index }: Position, start: Position): boolean =>
  seq > start.seq || (seq === start.seq && index > start.index && start.index < FIRST_REPLY);

function spelling10({ id, salt, features }: SessionRecord): Spelling10 {
  const profile = profileNamed(profileNameOf({ features }));
  // The only client of another version that there is.
  return new Spelling10({ arcp: profile.name === "rust" ? "1.1" : "1.0", sessionId: id, salt, profile });
}

function speller10(store: Store, spelling: Spelling10, sessionId: SessionId): Spell {
  let voice: Voice | undefined;
  return async ({ seq, jobId, traceId, entry }) => {
    if (voice?.jobId !== jobId) {
      voice = { ...(await readVoice(store, jobId)), jobId, sessionId };
    }
    return spelling.frames(seq, traceId, voice, entry).map(({ index, text }) => ({ position: { seq, index }, text }));
  };
}

function speller11({ id, salt }: SessionRecord): Spell {
  const spelling = new Spelling({ arcp: "1.1", sessionId: id, salt });
  return async ({ seq, jobId, traceId, entry }) => [
    { position: { seq, index: 0 }, text: spelling.frame(seq, { id: jobId, traceId }, entry) },
  ];
}

/** Wire 1.1 writes an id as ten characters of time, the salt, and the number. */
function positionOf11(id: string, salt: string): Position | undefined {
  const at = "msg_".length + 10;
  if (!id.startsWith("msg_") || id.slice(at, at + salt.length) !== salt) return undefined;
  const seq = numberOf(id.slice(at + salt.length));
  return Number.isSafeInteger(seq) && seq > 0 ? { seq, index: 0 } : undefined;
}
