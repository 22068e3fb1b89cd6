/**
 * What an observer asked to see (RFC §13): a filter over everything that jobs write, history first if it wants that.
 *
 *   backfilling -> live   what was there has been sent, and the marker after it; nothing is missed or sent twice
 *   any -> closed         unsubscribe, the end of the connection, an observer that does not read
 */
import {
  type JobId,
  JobNotFoundError,
  type Logger,
  PermissionDeniedError,
  ResumeWindowExpiredError,
  type SessionId,
} from "@arcp/core";
import { CanonicalError, newSubscriptionId, priorityRank, type SubscriptionFilter10 } from "@arcp/core/v1.0";
import { isSameTenant } from "../../engine/access.ts";
import { bySession } from "../../engine/audit/audit.ts";
import type { RemoteReader } from "../../engine/cluster/remote-reader.ts";
import type { Engine } from "../../engine/engine.ts";
import type { Session } from "../../engine/session.ts";
import type { Tapped } from "../../engine/tap.ts";
import type { Entry, FeedItem, JobRecord } from "../../store/store.ts";
import type { Voice } from "./entry-parts.ts";
import { FIRST_REPLY, MessageIds, type Position } from "./message-ids.ts";
import { type Outbox10, voiceOf } from "./outbox.ts";
import { jobHistory, SessionHistory } from "./session-history.ts";
import { type Since, saltOf, sinceOf } from "./since.ts";
import { type Frame10, Spelling10 } from "./spelling.ts";

export interface SubscriptionsOptions {
  readonly engine: Engine;
  readonly outbox: Outbox10;
  readonly principal: string;
  /** The connection's own. */
  readonly session: Session;
  readonly logger: Logger;
  /** Events that wait for an observer that does not read, after which it is given up. */
  readonly maxQueued: number;
}

/** What one subscription works with. */
interface Subscription {
  readonly id: string;
  readonly matches: (envelope: Frame10, job: ObservedJob) => boolean;
  /** Numbers up to here are sent from the store, per session. */
  readonly covered: Map<SessionId, number>;
  /** The same for what stands in no feed: entries up to here are sent from the store, per job. */
  readonly coveredHidden: Map<JobId, number>;
  phase: "backfilling" | "live" | "closed";
  /** Written while history was still on its way, or while the observer did not read. */
  queue: Written[];
  isDraining: boolean;
  stopListening: () => void;
  /** What other nodes write; `undefined`: there are none. */
  reader: RemoteReader | undefined;
}

/** What is to be shown of a job, with whoever asked for that. */
interface Written {
  readonly job: ObservedJob;
  readonly entry: Entry;
  readonly seq: number;
  readonly voice: Pick<Voice, "commandId" | "mode">;
}

interface ObservedJob {
  readonly id: JobId;
  readonly sessionId: SessionId;
  readonly traceId: string;
}

/** Subscriptions of one connection. One more is refused. */
const MAX_SUBSCRIPTIONS = 64;
export class Subscriptions {
  readonly #options: SubscriptionsOptions;
  readonly #open = new Map<string, Subscription>();
  readonly #spellings = new Map<SessionId, Spelling10>();

  constructor(options: SubscriptionsOptions) {
    this.#options = options;
  }

  /**
   * Begins to show what `filter` matches. `onAccepted` is called before anything of it is sent.
   *
   * @throws PermissionDeniedError for a filter that names what the observer may not see; ResumeWindowExpiredError if what
   * came after `since` is not known any more.
   */
  async subscribe(
    filter: SubscriptionFilter10,
    since: { readonly after_message_id?: string | undefined } | undefined,
    onAccepted: (id: string) => void,
  ): Promise<void> {
    const { engine } = this.#options;
    if (this.#open.size >= MAX_SUBSCRIPTIONS) throw tooMany("maxSubscriptions", MAX_SUBSCRIPTIONS);
    await this.#authorize(filter);
    const id = newSubscriptionId();
    const jobId = filter.job_id?.length === 1 ? (filter.job_id[0] as JobId) : undefined;
    const subject = bySession(this.#options.session, { jobId });
    engine.audit.record("subscription.opened", subject, { allowed: true, subscription_id: id, filter });
    const subscription: Subscription = {
      ...{ id, covered: new Map(), coveredHidden: new Map(), queue: [], isDraining: false },
      phase: since === undefined ? "live" : "backfilling",
      matches: matcherOf(filter),
      stopListening: () => {},
      reader: undefined,
    };
    subscription.reader = this.#readerFor(subscription, filter);
    // From here on everything new is kept; what is older is durable after this, and read from the store.
    subscription.stopListening = engine.tap.listen((written) => this.#onWritten(subscription, written));
    try {
      await engine.journal.flush();
      const history =
        since === undefined ? undefined : await this.#history(filter, since.after_message_id, subscription);
      await subscription.reader?.begin(engine.clock.now(), (job) => this.#begunAt(subscription, job));
      this.#open.set(id, subscription);
      onAccepted(id);
      if (history !== undefined) void this.#backfill(subscription, history);
      else this.#drain(subscription);
    } catch (error) {
      subscription.stopListening();
      subscription.reader?.close();
      throw error;
    }
  }

  /** Other nodes' jobs have no numbers here but those of sessions of this node: they are shown by the places of their own. */
  #readerFor(subscription: Subscription, filter: SubscriptionFilter10): RemoteReader | undefined {
    const { engine, session, principal, outbox, logger } = this.#options;
    return engine.readOthers({
      principal: engine.access.seesOthers(session) ? null : principal,
      logger,
      wants: (job) =>
        (filter.job_id?.includes(job.id) ?? true) &&
        (filter.session_id?.includes(job.sessionId) ?? true) &&
        engine.observation.mayWatch(job, session),
      onWritten: async (job, entries) => {
        const voice = await outbox.voiceOfJob(job.id);
        this.#queue(
          subscription,
          entries.map((entry) => ({ job, entry, seq: 0, voice })),
        );
      },
    });
  }

  /** Up to which entry history shows a job of another node; that it has now, if nothing of it is history. */
  async #begunAt({ covered }: Subscription, { id, sessionId, lastN }: JobRecord): Promise<number> {
    const head = covered.get(sessionId);
    return head === undefined ? lastN : ((await this.#options.engine.store.feedPosition(sessionId, id, head)) ?? 0);
  }

  /** Ends a subscription. Throws `NOT_FOUND` if there is none of that id. */
  unsubscribe(id: string): void {
    const subscription = this.#open.get(id);
    if (subscription === undefined) throw new CanonicalError("NOT_FOUND", "there is no such subscription");
    this.#recordEnd(subscription, "client");
    this.#close(subscription);
  }

  /** Ends all of them, without a word. */
  closeAll(): void {
    for (const subscription of [...this.#open.values()]) this.#close(subscription);
  }

  #close(subscription: Subscription): void {
    subscription.phase = "closed";
    subscription.queue = [];
    subscription.stopListening();
    subscription.reader?.close();
    this.#open.delete(subscription.id);
  }

  // --- Who may see what -------------------------------------------------------------------------------------------

  /** A filter that would show what the observer may not see is refused whole (RFC §13.2). */
  async #authorize({ session_id = [], job_id = [] }: SubscriptionFilter10): Promise<void> {
    const { engine, principal } = this.#options;
    const denied = (): PermissionDeniedError => {
      const jobId = job_id.length === 1 ? (job_id[0] as JobId) : undefined;
      const subject = bySession(this.#options.session, { jobId });
      engine.audit.record("subscription.refused", subject, { allowed: false, filter: { session_id, job_id } });
      return new PermissionDeniedError("the filter names what is not yours to see");
    };
    for (const id of session_id) {
      const known = await engine.sessions.ownerOf(id as SessionId);
      // Another tenant's session is answered like one that is not there.
      const owner = known !== undefined && isSameTenant(known, principal) ? known : undefined;
      if (owner !== principal && !engine.access.seesOthers(this.#options.session)) throw denied();
    }
    for (const id of job_id) {
      try {
        await engine.observation.visibleJob(id as JobId, this.#options.session);
      } catch (error) {
        throw error instanceof JobNotFoundError || error instanceof PermissionDeniedError ? denied() : error;
      }
    }
  }

  // --- Live -------------------------------------------------------------------------------------------------------

  #onWritten(subscription: Subscription, written: readonly Tapped[]): void {
    const { engine, session } = this.#options;
    const visible = written.filter(({ job }) => engine.observation.mayWatch(job, session));
    for (const { job, entry } of visible)
      subscription.reader?.note({ id: job.id, createdAt: Date.parse(job.createdAt) }, entry);
    this.#queue(
      subscription,
      visible.map(({ job, entry, seq }) => ({ job, entry, seq, voice: voiceOf(job.origin) })),
    );
  }

  #queue(subscription: Subscription, written: readonly Written[]): void {
    const { maxQueued } = this.#options;
    if (subscription.phase === "closed") return;
    subscription.queue.push(...written);
    if (subscription.queue.length > maxQueued) this.#overflow(subscription);
    else this.#drain(subscription);
  }

  #recordEnd({ id }: Subscription, by: "client" | "runtime"): void {
    const { engine, session } = this.#options;
    engine.audit.record("subscription.closed", bySession(session), { subscription_id: id, by });
  }

  #overflow(subscription: Subscription): void {
    this.#recordEnd(subscription, "runtime");
    this.#close(subscription);
    const code = "BACKPRESSURE_OVERFLOW";
    const payload = { subscription_id: subscription.id, reason: code, code, message: "the observer does not read" };
    this.#options.outbox.send("subscribe.closed", payload, { subscription_id: subscription.id });
  }

  #drain(subscription: Subscription): void {
    if (subscription.phase !== "live" || subscription.isDraining) return;
    const { outbox, logger } = this.#options;
    while (subscription.queue.length > 0 && !outbox.isCongested) {
      const { job, entry, seq, voice } = subscription.queue.shift() as Written;
      const covered = seq > 0 ? subscription.covered.get(job.sessionId) : subscription.coveredHidden.get(job.id);
      if ((seq > 0 ? seq : entry.n) <= (covered ?? 0)) continue;
      this.#show(subscription, job, seq, voice, entry);
    }
    if (subscription.queue.length === 0) return;
    subscription.isDraining = true;
    outbox
      .drained()
      .catch((error) => logger.error({ err: error, invariant: true }, "an observer could not be waited for"))
      .finally(() => {
        subscription.isDraining = false;
        this.#drain(subscription);
      });
  }

  #show(
    subscription: Subscription,
    job: ObservedJob,
    seq: number,
    voice: Pick<Voice, "commandId" | "mode">,
    entry: Entry,
    isSeen: (index: number) => boolean = () => false,
  ): void {
    // What stands in no feed has a place of its own: its job's.
    const spelling = seq > 0 ? this.#spellingOf(job.sessionId) : this.#spellingOfJob(job);
    const spoken = { ...voice, jobId: job.id, sessionId: job.sessionId };
    for (const frame of spelling.frames(seq > 0 ? seq : entry.n, job.traceId, spoken, entry)) {
      if (!isSeen(frame.index) && subscription.matches(frame, job)) this.#send(subscription, frame.text);
    }
  }

  #send({ id }: Subscription, event: string): void {
    this.#options.outbox.sendJson("subscribe.event", `{"event":${event}}`, { subscription_id: id });
  }

  #spellingOf(sessionId: SessionId): Spelling10 {
    const known = this.#spellings.get(sessionId);
    if (known !== undefined) return known;
    const session = this.#options.engine.sessions.get(sessionId);
    const spelling = new Spelling10({
      ...{ arcp: "1.0", sessionId, salt: session?.salt ?? saltOf(sessionId) },
      profile: this.#options.outbox.profile,
    });
    this.#spellings.set(sessionId, spelling);
    return spelling;
  }

  #spellingOfJob({ id, sessionId }: ObservedJob): Spelling10 {
    return new Spelling10({ arcp: "1.0", sessionId, salt: saltOf(id), profile: this.#options.outbox.profile });
  }

  // --- History ----------------------------------------------------------------------------------------------------

  /** What to read, each from where on, and up to where it is durable now. */
  async #history(
    { session_id, job_id }: SubscriptionFilter10,
    afterMessageId: string | undefined,
    subscription: Subscription,
  ): Promise<readonly Reading[]> {
    const { engine, principal } = this.#options;
    const sessions = new Set(session_id === undefined ? engine.sessions.of(principal) : await this.#loaded(session_id));
    const orphans: JobRecord[] = [];
    for (const id of session_id === undefined ? (job_id ?? []) : []) {
      const record = await engine.store.findJob(id as JobId);
      const [session] = await this.#loaded(record === undefined ? [] : [record.sessionId]);
      if (session !== undefined) sessions.add(session);
      else if (record !== undefined) orphans.push(record);
    }
    for (const session of sessions) subscription.covered.set(session.id, session.feed.committedHead);
    if (afterMessageId === undefined) {
      const whole = { after: BEGINNING, afterTs: 0, since: undefined };
      return [...sessions, ...orphans].map((source) => ({ source, ...whole }));
    }
    const viewer = this.#options.session;
    const live = [...engine.jobs.all()].filter((job) => engine.observation.mayWatch(job, viewer));
    const jobIds = [...(job_id ?? []).map((id) => id as JobId), ...live.map(({ id }) => id)];
    const since = await sinceOf(afterMessageId, { engine, sessions: [...sessions], jobIds });
    if (since === undefined) {
      throw new ResumeWindowExpiredError("what came after that message is not known any more");
    }
    // Elsewhere: what was written later.
    const afterTs = MessageIds.timeOf(afterMessageId);
    return [...sessions, ...orphans].map((source) =>
      since.kind === "feed" && since.session === source
        ? { source, after: since.position, afterTs: 0, since }
        : { source, after: BEGINNING, afterTs, since },
    );
  }

  async #loaded(ids: readonly string[]): Promise<readonly Session[]> {
    const { sessions } = this.#options.engine;
    const found = await Promise.all(ids.map((id) => sessions.load(id as SessionId)));
    return found.flatMap((session) => session ?? []);
  }

  async #backfill(subscription: Subscription, history: readonly Reading[]): Promise<void> {
    const { outbox, logger } = this.#options;
    try {
      const readers = history.map((reading) => ({ ...reading, items: this.#items(reading, subscription) }));
      for await (const { source, since, item } of inOrderOfTime(readers)) {
        if (outbox.isCongested) await outbox.drained();
        if (this.#isClosed(subscription)) return;
        const { jobId, traceId, entry, seq } = item;
        const voice = await outbox.voiceOfJob(jobId);
        const job = { id: jobId, sessionId: "sessionId" in source ? source.sessionId : source.id, traceId };
        this.#show(subscription, job, seq, voice, entry, (index) => isSeen(since, item, source, index));
      }
      if (this.#isClosed(subscription)) return;
      const name = "subscription.backfill_complete";
      const event = outbox.envelope(
        "event.emit",
        { name, type: name, subscription_id: subscription.id },
        {
          subscription_id: subscription.id,
        },
      );
      this.#send(subscription, event);
      subscription.phase = "live";
      this.#drain(subscription);
    } catch (error) {
      logger.error({ err: error }, "history could not be read for an observer");
      this.#close(subscription);
      const payload = {
        subscription_id: subscription.id,
        reason: "INTERNAL",
        code: "INTERNAL",
        message: "internal error",
      };
      outbox.send("subscribe.closed", payload, { subscription_id: subscription.id });
    }
  }

  #isClosed({ phase }: Subscription): boolean {
    return phase === "closed";
  }

  #items({ source, after, afterTs }: Reading, { covered, coveredHidden }: Subscription): AsyncGenerator<FeedItem> {
    const { engine } = this.#options;
    const onHidden = (jobId: JobId, n: number): void => void coveredHidden.set(jobId, n);
    if ("sessionId" in source) return jobHistory(source, { store: engine.store, fromTs: afterTs, onHidden });
    const session = source;
    const history = new SessionHistory({
      ...{ session, store: engine.store, jobs: engine.jobs, fromSeq: after.seq, fromTs: afterTs },
      toSeq: covered.get(session.id) ?? 0,
      isOwn: (jobId) => this.#isVisible(jobId, session.id),
      onHidden,
    });
    return history.items();
  }

  async #isVisible(jobId: JobId, sessionId: SessionId): Promise<boolean> {
    const { engine } = this.#options;
    const job = engine.jobs.get(jobId) ?? (await engine.store.findJob(jobId));
    if (job?.sessionId !== sessionId) return false;
    return engine.observation.visibleJob(jobId, this.#options.session).then(
      () => true,
      () => false,
    );
  }
}

const tooMany = (limit: string, max: number): CanonicalError =>
  new CanonicalError("RESOURCE_EXHAUSTED", `${limit} (${max}) is exceeded`, { details: { limit, max } });

/** A part of the history. */
interface Reading {
  /** A session, or a job whose session is not known any more. */
  readonly source: Session | JobRecord;
  readonly after: Position;
  readonly afterTs: number;
  /** What the observer has seen. */
  readonly since: Since | undefined;
}

/** Was message `index` of an entry shown, as far as the observer says? */
function isSeen(
  since: Since | undefined,
  { jobId, entry, seq }: FeedItem,
  source: Reading["source"],
  index: number,
): boolean {
  if (since?.kind === "feed") {
    const { position } = since;
    return (
      since.session === source && seq === position.seq && (index <= position.index || position.index >= FIRST_REPLY)
    );
  }
  if (since?.jobId !== jobId) return false;
  return entry.n < since.n || (entry.n === since.n && index <= since.index);
}

const BEGINNING: Position = { seq: 0, index: 0 };

/** Several histories as one, by time; each stays in its own order. */
async function* inOrderOfTime<Reader extends { readonly items: AsyncGenerator<FeedItem> }>(
  readers: readonly Reader[],
): AsyncGenerator<Reader & { readonly item: FeedItem }> {
  const heads: { readonly reader: Reader; item: FeedItem }[] = [];
  for (const reader of readers) {
    const { value, done } = await reader.items.next();
    if (done !== true) heads.push({ reader, item: value });
  }
  while (heads.length > 0) {
    const first = heads.reduce((earliest, head) => (head.item.entry.ts < earliest.item.entry.ts ? head : earliest));
    yield { ...first.reader, item: first.item };
    const { value, done } = await first.reader.items.next();
    if (done === true) heads.splice(heads.indexOf(first), 1);
    else first.item = value;
  }
}

/** Members are AND-ed, the values of one OR-ed (RFC §13.2). */
function matcherOf(filter: SubscriptionFilter10): Subscription["matches"] {
  const isIn = (values: readonly string[] | undefined, value: string | undefined): boolean =>
    values === undefined || (value !== undefined && values.includes(value));
  const least = filter.min_priority === undefined ? 0 : priorityRank(filter.min_priority);
  return ({ part }, job) =>
    isIn(filter.session_id, job.sessionId) &&
    isIn(filter.job_id, job.id) &&
    isIn(filter.trace_id, job.traceId) &&
    isIn(filter.stream_id, part.streamId) &&
    isIn(filter.types, part.type) &&
    priorityRank(part.priority) >= least;
}
