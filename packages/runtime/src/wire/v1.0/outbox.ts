/** What leaves one connection of wire 1.0: replies, which stand in no feed, and the feeds of the sessions it carries. */
import { isId, type JsonObject, newMessageId } from "@arcp/core";
import type { FeedSink } from "../../engine/delivery.ts";
import type { LiveItem } from "../../engine/feed.ts";
import type { Session } from "../../engine/session.ts";
import { ENTRY, type Entry, type FeedItem, type Store } from "../../store/store.ts";
import { Outgoing, type OutgoingOptions } from "../outgoing.ts";
import type { Voice } from "./entry-parts.ts";
import { FIRST_REPLY, type Position } from "./message-ids.ts";
import { type Profile10, profileNamed } from "./profiles.ts";
import { Spelling10 } from "./spelling.ts";

/** What a reply has to name. A frame that could not be read may have neither. */
export interface CommandReference {
  readonly id?: string | undefined;
  readonly trace_id?: unknown;
}

export interface OutboxOptions extends OutgoingOptions {
  readonly store: Store;
}

export class Outbox10 {
  readonly #options: OutboxOptions;
  readonly #outgoing: Outgoing;
  #arcp = "1.0";
  #profile: Profile10 = profileNamed("standard");
  #own: Outlet | undefined;
  #hasSidecars = false;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#outgoing = new Outgoing(options);
  }

  /** The client has spoken: it is answered in its own version, and in the shapes that it reads. */
  address(arcp: string, profile: Profile10): void {
    this.#arcp = arcp;
    this.#profile = profile;
  }

  /** Bytes go beside their envelopes, in binary frames, from now on (RFC §11.3). */
  useSidecars(): void {
    this.#hasSidecars = true;
  }

  get hasSidecars(): boolean {
    return this.#hasSidecars;
  }

  /** The feed of `session` through this connection; `isOwn`: everything else that leaves belongs to it too. */
  outlet(
    session: Session,
    { isOwn = false, after }: { readonly isOwn?: boolean; readonly after?: Position | undefined } = {},
  ): Outlet {
    const outlet = new Outlet({
      ...{ session, arcp: this.#arcp, outbox: this, after },
      profile: isOwn ? this.#profile : profileNamed(profileNameOf(session)),
    });
    if (isOwn) this.#own = outlet;
    return outlet;
  }

  /** Nothing leaves after this. */
  close(): void {
    this.#outgoing.close();
  }

  get profile(): Profile10 {
    return this.#profile;
  }

  /** Sends a message that stands in no feed. `members` are put on the envelope. */
  send(type: string, payload: object, members: object = {}): void {
    this.write(this.envelope(type, payload, members));
  }

  /** The same for a payload that is JSON already. */
  sendJson(type: string, payload: string, members: object = {}): void {
    this.write(`${JSON.stringify(this.#head(type, members)).slice(0, -1)},"payload":${payload}}`);
  }

  /** A message that stands in no feed, as JSON. */
  envelope(type: string, payload: object, members: object = {}): string {
    return JSON.stringify({ ...this.#head(type, members), payload });
  }

  #head(type: string, members: object): object {
    const now = this.#options.clock.now();
    const id = this.#own?.nextId(now) ?? newMessageId();
    const session = this.#own && { session_id: this.#own.sessionId };
    return { arcp: this.#arcp, id, type, timestamp: new Date(now).toISOString(), ...session, ...members };
  }

  /** How a job speaks, from the first entry of its journal. */
  voiceOfJob(jobId: FeedItem["jobId"]): Promise<Pick<Voice, "commandId" | "mode">> {
    return readVoice(this.#options.store, jobId);
  }

  /** Answers a command (RFC §6.1.1). */
  reply(command: CommandReference, type: string, payload: object, members: object = {}): void {
    const { id, trace_id } = command;
    // A command may have been refused for them.
    const correlated = id !== undefined && isId(id) ? { correlation_id: id, causation_id: id } : {};
    const trace = typeof trace_id === "string" && isId(trace_id) ? { trace_id } : {};
    this.send(type, payload, { ...trace, ...correlated, ...members });
  }

  write(frame: string): void {
    this.#outgoing.send(frame);
    this.#outgoing.count();
  }

  /** Right after the envelope that it belongs to: nothing else may stand between the two. */
  writeBinary(bytes: Uint8Array): void {
    this.#outgoing.sendBinary(bytes);
    this.#outgoing.count();
  }

  get isCongested(): boolean {
    return this.#outgoing.isCongested;
  }

  drained(): Promise<void> {
    return this.#outgoing.drained();
  }
}

/** Features of a session that are no capabilities: how its client reads. */
const PROFILE_PREFIX = "profile:";
export const profileFeature = ({ name }: Profile10): string => `${PROFILE_PREFIX}${name}`;
export const profileNameOf = ({ features }: { readonly features: Iterable<string> }): string =>
  [...features].find((name) => name.startsWith(PROFILE_PREFIX))?.slice(PROFILE_PREFIX.length) ?? "standard";

/** How many jobs' voices are remembered. */
const MAX_VOICES = 1024;

/** The feed of one session on its way out. */
export class Outlet implements FeedSink {
  readonly sessionId: Session["id"];
  readonly spelling: Spelling10;
  readonly #session: Session;
  readonly #outbox: Outbox10;
  /** The client has everything up to here. */
  readonly #after: Position | undefined;
  readonly #voices = new Map<string, Voice>();
  readonly #waiting: { readonly seq: number; readonly run: () => void }[] = [];
  #sentSeq = 0;

  constructor(options: {
    readonly session: Session;
    readonly arcp: string;
    readonly profile: Profile10;
    readonly outbox: Outbox10;
    readonly after: Position | undefined;
  }) {
    const { session, arcp, profile, outbox, after } = options;
    this.sessionId = session.id;
    this.#session = session;
    this.#outbox = outbox;
    this.#after = after;
    this.#sentSeq = after?.seq ?? 0;
    this.spelling = new Spelling10({ arcp, sessionId: session.id, salt: session.salt, profile });
  }

  /** An id for a message that is no entry, at the place that the feed has reached. */
  nextId(now: number): string {
    return this.spelling.ids.next(now, this.#sentSeq);
  }

  /** From now on `jobId` answers `commandId` here: the same work was asked for once more (RFC §6.4). */
  answer(jobId: string, commandId: string, mode: Voice["mode"]): void {
    this.#remember({ commandId, mode, jobId, sessionId: this.sessionId });
  }

  /** Calls `run` when everything up to `seq` has been written. */
  whenSent(seq: number, run: () => void): void {
    if (seq <= this.#sentSeq) run();
    else this.#waiting.push({ seq, run });
  }

  writeLive(items: readonly LiveItem[]): boolean {
    for (const { seq, job, entry } of items) {
      const known = this.#voices.get(job.id);
      const voice = known ?? this.#remember({ ...voiceOf(job.origin), jobId: job.id, sessionId: this.sessionId });
      this.#write(seq, job.traceId, voice, entry);
    }
    return true;
  }

  async writeStored(items: readonly FeedItem[]): Promise<void> {
    for (const { seq, jobId, traceId, entry } of items) {
      const voice = this.#voices.get(jobId) ?? (await this.voice(jobId));
      this.#write(seq, traceId, voice, entry);
    }
  }

  get isCongested(): boolean {
    return this.#outbox.isCongested;
  }

  drained(): Promise<void> {
    return this.#outbox.drained();
  }

  /** How `jobId` speaks, from the first entry of its journal. */
  async voice(jobId: FeedItem["jobId"]): Promise<Voice> {
    return this.#remember({ ...(await this.#outbox.voiceOfJob(jobId)), jobId, sessionId: this.sessionId });
  }

  #remember(voice: Voice): Voice {
    this.#voices.delete(voice.jobId);
    this.#voices.set(voice.jobId, voice);
    const oldest = this.#voices.size > MAX_VOICES ? this.#voices.keys().next().value : undefined;
    if (oldest !== undefined) this.#voices.delete(oldest);
    return voice;
  }

  #write(seq: number, traceId: string, voice: Voice, entry: Entry): void {
    const frames = this.spelling.frames(seq, traceId, voice, entry, { hasSidecars: this.#outbox.hasSidecars });
    for (const { index, text, bytes } of frames) {
      const isKnown = seq === this.#after?.seq && (index <= this.#after.index || this.#after.index >= FIRST_REPLY);
      if (isKnown) continue;
      this.#outbox.write(text);
      if (bytes !== undefined) this.#outbox.writeBinary(bytes);
    }
    this.#sentSeq = seq;
    while ((this.#waiting[0]?.seq ?? Number.POSITIVE_INFINITY) <= seq) this.#waiting.shift()?.run();
  }

  get session(): Session {
    return this.#session;
  }
}

export const voiceOf = (origin: Pick<Voice, "commandId" | "mode"> | undefined): Pick<Voice, "commandId" | "mode"> =>
  origin === undefined ? { commandId: undefined, mode: "durable" } : { commandId: origin.commandId, mode: origin.mode };

/** How a job speaks, from the first entry of its journal. */
export async function readVoice(
  store: Pick<Store, "readJournal">,
  jobId: FeedItem["jobId"],
): Promise<Pick<Voice, "commandId" | "mode">> {
  const [first] = await store.readJournal(jobId, 1, 1);
  return voiceOf(first && originOf(first));
}

function originOf({ code, payload }: Entry): Pick<Voice, "commandId" | "mode"> | undefined {
  if (code !== ENTRY.accepted) return undefined;
  const { body } = JSON.parse(payload) as { readonly body: JsonObject };
  return { commandId: String(body["command_id"]), mode: body["mode"] === "tool" ? "tool" : "durable" };
}
