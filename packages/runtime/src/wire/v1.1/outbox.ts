/** What leaves one connection: envelopes, replies that name their request, and the items of the session's feed. */
import { InternalError, isId, type JobId, type JsonObject, newMessageId, parseTraceId, WIRE_VERSION } from "@arcp/core";
import type { FeedSink } from "../../engine/delivery.ts";
import type { LiveItem } from "../../engine/feed.ts";
import type { Session } from "../../engine/session.ts";
import { ENTRY, type Entry, type FeedItem, messageTypeOf } from "../../store/store.ts";
import { Outgoing, type OutgoingOptions } from "../outgoing.ts";
import { type Profile, STANDARD } from "./profiles.ts";
import { Spelling } from "./spelling.ts";
import { inlineTerminal, isStreamed } from "./streamed-result.ts";

/** What a reply has to name. A frame that could not be read may have neither. */
export interface RequestReference {
  readonly id?: string | undefined;
  readonly trace_id?: unknown;
}

export interface OutboxOptions extends OutgoingOptions {
  readonly readJournal: (jobId: JobId, fromN: number, toN: number) => Promise<readonly Entry[]>;
  /** The secret that a rotation is about, if this client may have it. */
  readonly secretOf: (jobId: JobId, credentialId: string) => string | undefined;
  readonly maxInlineResultBytes: number;
  /** Called for each frame that is written. */
  readonly onWritten: () => void;
}

export class Outbox implements FeedSink {
  readonly #options: OutboxOptions;
  readonly #outgoing: Outgoing;
  #arcp: string = WIRE_VERSION;
  #profile: Profile = STANDARD;
  #session: Session | undefined;
  #spelling: Spelling | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#outgoing = new Outgoing(options);
  }

  /** The client has spoken: it is answered in its own version, and in the shapes that it reads. */
  address(arcp: string, profile: Profile): void {
    this.#arcp = arcp;
    this.#profile = profile;
  }

  /** The client has been admitted: everything from now on belongs to `session`. */
  bind(session: Session): void {
    this.#session = session;
    this.#spelling = new Spelling({ arcp: this.#arcp, sessionId: session.id, salt: session.salt });
  }

  /** Nothing leaves after this. */
  close(): void {
    this.#outgoing.close();
  }

  /** Sends a message that answers nothing. `members` are put on the envelope. */
  send(type: string, payload: object, members: object = {}): void {
    const facts = { sessionId: this.#session?.id, timestamp: new Date(this.#options.clock.now()).toISOString() };
    const shaped = this.#profile.reshape[type]?.({ ...payload }, facts);
    this.#write(JSON.stringify({ ...this.#envelope(type, members), payload: shaped ?? payload }));
  }

  /** Answers `request`, naming it in every way that some client looks for (PROTOCOL.md, Replies). */
  reply(request: RequestReference, type: string, payload: object, members: object = {}): void {
    if (request.id === undefined) {
      this.send(type, payload, members);
      return;
    }
    const replyTo = this.#profile.readsReplyTo && { reply_to: request.id };
    this.send(type, { ...payload, request_id: request.id, ...replyTo }, this.#correlated(request, request.id, members));
  }

  /** The same for a payload that is JSON already, and leaves as it is if the client reads it so. */
  replyJson(request: RequestReference & { readonly id: string }, type: string, payload: string, members: object): void {
    if (this.#profile.reshape[type] !== undefined || this.#profile.readsReplyTo) {
      this.reply(request, type, JSON.parse(payload) as object, members);
      return;
    }
    const head = JSON.stringify(this.#envelope(type, this.#correlated(request, request.id, members))).slice(0, -1);
    // The payload's closing brace makes room for the request that it answers.
    this.#write(`${head},"payload":${payload.slice(0, -1)},"request_id":${JSON.stringify(request.id)}}}`);
  }

  // --- FeedSink ---------------------------------------------------------------------------------------------------

  writeLive(items: readonly LiveItem[]): boolean {
    if (items.some(({ entry }) => this.#needsInlining(entry))) return false;
    for (const { seq, job, entry } of items) this.#writeItem(seq, job, entry);
    return true;
  }

  async writeStored(items: readonly FeedItem[]): Promise<void> {
    for (const { seq, jobId, traceId, entry } of items) {
      const job = { id: jobId, traceId };
      if (this.#needsInlining(entry)) await this.#writeInlined(seq, job, entry);
      else this.#writeItem(seq, job, entry);
    }
  }

  get isCongested(): boolean {
    return this.#outgoing.isCongested;
  }

  drained(): Promise<void> {
    return this.#outgoing.drained();
  }

  #envelope(type: string, members: object): object {
    const session = this.#session && { session_id: this.#session.id };
    return { arcp: this.#arcp, id: newMessageId(), type, ...session, ...members };
  }

  #correlated(request: RequestReference, id: string, members: object): object {
    const traceId = parseTraceId(request.trace_id)?.traceId;
    return {
      // A request may have been refused for its id.
      ...(this.#profile.repliesReuseId && isId(id) && { id }),
      correlation_id: id,
      ...(traceId !== undefined && { trace_id: traceId }),
      ...members,
    };
  }

  #writeItem(seq: number, job: { readonly id: JobId; readonly traceId: string }, entry: Entry): void {
    const type = messageTypeOf(entry.code);
    const spelling = this.#spellingOrThrow();
    const isRotation = entry.code === ENTRY.credential_rotated;
    const shown = isRotation ? { ...entry, payload: this.#withSecret(job.id, entry.payload) } : entry;
    if (this.#profile.reshape[type] === undefined) this.#write(spelling.frame(seq, job, shown));
    else this.#write(spelling.frameOf(type, seq, job, entry.ts, this.#reshaped(type, entry.ts, shown.payload)));
    this.#outgoing.count();
  }

  /** A rotation with the secret as it is now: the journal does not have it. */
  #withSecret(jobId: JobId, payload: string): string {
    const event = JSON.parse(payload) as { readonly body: { readonly id: string } };
    const value = this.#options.secretOf(jobId, event.body.id);
    return value === undefined ? payload : JSON.stringify({ ...event, body: { ...event.body, value } });
  }

  async #writeInlined(seq: number, job: { readonly id: JobId; readonly traceId: string }, entry: Entry): Promise<void> {
    const chunks = await this.#options.readJournal(job.id, 1, entry.n - 1);
    const { type, payload } = inlineTerminal(entry, chunks, this.#options.maxInlineResultBytes);
    const shaped = this.#reshaped(type, entry.ts, payload);
    this.#write(this.#spellingOrThrow().frameOf(type, seq, job, entry.ts, shaped));
  }

  /** The stored payload as this client wants it. */
  #reshaped(type: string, ts: number, payload: string): string {
    const reshape = this.#profile.reshape[type];
    if (reshape === undefined) return payload;
    const facts = { sessionId: this.#session?.id, timestamp: new Date(ts).toISOString() };
    return JSON.stringify(reshape(JSON.parse(payload) as JsonObject, facts));
  }

  /** Is this the end of a streamed result, for a client that does not read chunks? */
  #needsInlining(entry: Entry): boolean {
    return !this.#session?.features.has("result_chunk") && isStreamed(entry);
  }

  #write(frame: string): void {
    if (this.#outgoing.isClosed) return;
    this.#outgoing.send(frame);
    this.#options.onWritten();
  }

  #spellingOrThrow(): Spelling {
    if (!this.#spelling) throw new InternalError("there is no session");
    return this.#spelling;
  }
}
