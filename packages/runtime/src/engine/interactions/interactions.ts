/**
 * Questions of jobs to people (RFC §12, §15.4): asked of every client of the principal that can show them, answered by the
 * first valid answer, and closed once, whatever else happens to the job.
 */
import {
  type Clock,
  InternalError,
  InvalidRequestError,
  type JobId,
  type Logger,
  type SessionId,
  ulid,
} from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { ENTRY, type Store, type StoredRecord } from "../../store/store.ts";
import { onlyQuestionOf } from "../access.ts";
import { type Audit, type AuditSubject, bySession, ofJob } from "../audit/audit.ts";
import { Expiry } from "../authority.ts";
import { tooMany } from "../caps.ts";
import { type ActorFacts, actorFacts, actorOf, type Elsewhere } from "../cluster/elsewhere.ts";
import { timestamp } from "../entry-text.ts";
import type { Job } from "../job.ts";
import type { Journal } from "../journal.ts";
import { shownTarget } from "../lease/operation.ts";
import type { Actor, Session } from "../session.ts";
import type { Webhooks } from "../webhooks/webhooks.ts";
import { type Answer, type Answered, type Closing, closingMembers } from "./answer.ts";
import { type AnswerLink, AnswerLinks, LINK_RECORDS, type UnusedLink } from "./answer-links.ts";
import { type Audience, hears, type QuestionView } from "./audience.ts";
import { Question } from "./question.ts";
import { deadlineOf, type QuestionDraft } from "./request.ts";

export interface InteractionsOptions {
  readonly journal: Journal;
  readonly store: Pick<Store, "findRecord" | "listRecords">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly audience: Audience;
  readonly webhooks: Pick<Webhooks, "questionAsked">;
  /** The session, as long as something may be numbered in its feed. */
  readonly sessionOf: (id: SessionId) => Session | undefined;
  /** How long it is remembered how a question ended, in milliseconds. */
  readonly retentionMs: number;
  /** The other nodes; `undefined`: there are none. */
  readonly others?: OtherNodes | undefined;
}

/** Where people may be besides here. */
export interface OtherNodes extends Elsewhere {
  /** Are there any? */
  readonly arePresent: boolean;
  /** Has all of them show an entry of a job to those sessions of its principal that are asked. */
  show(entry: ShownEntry): void;
}

/** An entry about a question. */
export interface ShownEntry {
  readonly view: QuestionView;
  readonly n: number;
}

/** A question that was asked. */
export interface Asked<Result> {
  readonly id: string;
  /**
   * What `conclude` made of the answer that counted. Rejects with DEADLINE_EXCEEDED when there was none in time, with why
   * the job stopped, with the reason of the agent's signal, and with what `conclude` threw.
   */
  readonly settled: Promise<Result>;
}

/** An answer, as it comes from a client. */
export interface GivenAnswer {
  readonly session: Actor;
  readonly questionId: string;
  readonly answer: Answer;
  /** The client's message. */
  readonly messageId: string;
  /** Default: the session's principal. */
  readonly respondedBy?: string | undefined;
  /** RFC 3339. Default, and for a time that is yet to come: now. */
  readonly respondedAt?: string | undefined;
}

/** What became of a valid answer: it decided, it is one of several that it takes, or the question was answered before. */
export type AnswerStatus = "applied" | "counted" | "ignored";

/** As its record has it. */
interface StoredQuestion {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  readonly outcome: "open" | Closing["outcome"];
  readonly question: Answer["kind"];
  readonly n: number;
  readonly shown: readonly SessionId[];
  /** Absent in those of before. */
  readonly view?: QuestionView;
  /** Of what was asked. Absent in those of before. */
  readonly digest?: string;
}

const RECORD_KIND = "question";
const MAX_OPEN_PER_JOB = 32;
const MAX_OPEN_PER_PRINCIPAL = 4_096;
const MAX_RESPONDER = 256;
const PAGE = 500;
/** Who answers when nobody does. Nobody else is called so. */
const DEFAULT_RESPONDER = "default";

export class Interactions {
  readonly #options: InteractionsOptions;
  readonly #open = new Map<string, OpenQuestion>();
  readonly #ofPrincipal = new Map<string, Set<Question>>();

  readonly links: AnswerLinks;

  constructor(options: InteractionsOptions) {
    this.#options = options;
    const { journal, store, clock, retentionMs } = options;
    this.links = new AnswerLinks({
      ...{ journal, store, clock, retentionMs, outcomeOf: (questionId) => this.#outcomeOf(questionId) },
    });
  }

  /** How many questions wait for an answer. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Asks, in this turn; the job is blocked until the question is closed. `conclude` is called in the turn of the answer,
   * after the end of the question is written. If no client could be asked, the default is the answer at once, and nothing
   * is written (PROTOCOL.md, Questions).
   *
   * @throws the error that the job was stopped with, or ended with.
   * @throws CanonicalError `FAILED_PRECONDITION` when there is neither anybody to ask nor a default.
   */
  ask<Result>(job: Job, draft: QuestionDraft, conclude: (answered: Answered) => Result): Asked<Result> {
    assertMayAsk(job);
    draft.signal?.throwIfAborted();
    const { clock, audience } = this.#options;
    const view = viewOf(job, draft);
    const asked = audience.of(view);
    const isElsewhere = this.#options.others?.arePresent === true;
    if (asked.length === 0 && !isElsewhere) return this.#unasked(view, draft, conclude);
    this.#assertRoom(job, draft);
    const now = clock.now();
    const expiresAt = now + draft.expiresInMs;
    const { id, kind } = view;
    const caused = draft.cause === undefined ? {} : { cause: draft.cause };
    const members = { id, question: kind, ...caused, ...draft.members, ...deadlineOf(now, draft) };
    const n = job.note(ENTRY.question_asked, "x-vendor.arcp.question", members);
    const expiry = new Expiry(clock, expiresAt);
    const question = new Question({ view, job, draft, expiry, expiresAt, n });
    for (const session of asked) this.#show(question, session);
    if (isElsewhere) this.#options.journal.afterCommit(() => this.#options.others?.show({ view, n }));
    this.#recordAsked(question);
    this.#options.webhooks.questionAsked(question);
    return { id, settled: this.#wait(question, conclude) };
  }

  /**
   * Takes an answer. The first valid one that arrived decides; while it is being looked at others may be too.
   *
   * @throws CanonicalError `NOT_FOUND` for a question that there is not, or that is another principal's;
   *   `PERMISSION_DENIED` for a session that may not answer it; `FAILED_PRECONDITION` if it has ended without an answer.
   * @throws InvalidRequestError for an answer of another kind, or one that does not keep the schema. The question stays open.
   */
  async answer(given: GivenAnswer): Promise<AnswerStatus> {
    const { session, questionId } = given;
    const open = this.#open.get(questionId);
    if (open === undefined || open.question.view.principal !== session.principal) return this.#answerClosed(given);
    const { question } = open;
    this.#assertMayAnswer(question, given);
    const link = await this.#linkOf(question, session);
    return question.judge(given.answer, (problem) => {
      if (question.expiry.hasPassed) this.#expire(question);
      if (question.closing !== undefined) return this.#late(given, question.closing.outcome);
      if (problem !== undefined) {
        this.#options.audit.record("question.invalid_answer", byAnswerer(given, question), factsOf(question));
        throw new InvalidRequestError(problem, { details: { question_id: questionId } });
      }
      if (link !== undefined) {
        const linkId = link.record.id;
        if (!question.useLink(linkId)) throw usedUp(questionId);
        this.links.use(link);
        const facts = { question_id: questionId, link_id: linkId };
        this.#options.audit.record("link.used", byAnswerer(given, question), facts);
      }
      if (!question.vote(session.id, given.answer)) return "counted";
      this.#close(question, { outcome: "answered", answered: this.#answered(given) });
      return "applied";
    });
  }

  /**
   * A link to a question, for somebody who may answer it: until `expiresInMs` from now, and never longer than the question.
   *
   * @throws CanonicalError `NOT_FOUND`, `PERMISSION_DENIED` and `FAILED_PRECONDITION` as {@link answer} does.
   */
  async link(session: Actor, questionId: string, expiresInMs: number): Promise<AnswerLink> {
    const { journal, store, clock, audience, audit } = this.#options;
    const details = { question_id: questionId };
    await journal.flush();
    const record = await store.findRecord(RECORD_KIND, questionId);
    if (record === undefined || record.principal !== session.principal)
      throw new CanonicalError("NOT_FOUND", "there is no such question", { details });
    const { outcome, view, digest, expiresAt } = JSON.parse(String(record.data)) as StoredQuestion;
    if (outcome !== "open" || view === undefined || digest === undefined)
      throw new CanonicalError("FAILED_PRECONDITION", "the question is not open any more", {
        details: { ...details, outcome },
      });
    if (!audience.mayAnswer(view, session)) {
      const facts = { question_id: questionId, question: view.kind, reason: "policy" };
      audit.record("question.refused", bySession(session, { jobId: view.jobId }), facts);
      throw new CanonicalError("PERMISSION_DENIED", "this session may not answer the question", { details });
    }
    const until = Math.min(clock.now() + expiresInMs, expiresAt);
    const link = await this.links.create({ questionId, digest, principal: session.principal }, until);
    audit.record("link.created", bySession(session, { jobId: view.jobId }), {
      ...{ question_id: questionId, link_id: link.linkId, expires_at: timestamp(link.expiresAt) },
    });
    await journal.flush();
    return link;
  }

  /** The link by which the session came; `undefined` if it came otherwise. */
  async #linkOf({ id, digest }: Question, { features }: Actor): Promise<UnusedLink | undefined> {
    const only = onlyQuestionOf(features);
    if (only === undefined) return undefined;
    if (only.digest !== digest)
      throw new CanonicalError("FAILED_PRECONDITION", "the question is another one than the link was made for", {
        details: { question_id: id, reason: "question_changed" },
      });
    const link = await this.links.find(only.linkId);
    if (link === undefined) throw usedUp(id);
    return link;
  }

  async #outcomeOf(questionId: string): Promise<string | undefined> {
    const record = await this.#options.store.findRecord(RECORD_KIND, questionId);
    return record === undefined ? undefined : (JSON.parse(String(record.data)) as StoredQuestion).outcome;
  }

  /** Where a question of `principal` stands: its job, and its place in the journal. `undefined` for others' and unknown ones. */
  async placeOf(
    questionId: string,
    principal: string,
  ): Promise<{ readonly jobId: JobId; readonly n: number } | undefined> {
    const { journal, store } = this.#options;
    await journal.flush();
    const record = await store.findRecord(RECORD_KIND, questionId);
    if (record === undefined || record.principal !== principal || record.jobId === null) return undefined;
    return { jobId: record.jobId, n: (JSON.parse(String(record.data)) as StoredQuestion).n };
  }

  /** Shows the questions that are open to a session that has just been opened. */
  welcome(session: Session): void {
    for (const question of this.#ofPrincipal.get(session.principal) ?? []) {
      if (this.#options.audience.includes(question.view, session)) {
        this.#show(question, session);
        this.#put(question);
      }
    }
    if (this.#options.others?.arePresent !== true) return;
    this.#showStored(session).catch((err) => {
      this.#options.logger.warn({ err, sessionId: session.id }, "open questions of other nodes are not shown");
    });
  }

  /** The same for questions of jobs that other nodes run. */
  async #showStored(session: Session): Promise<void> {
    const { store, journal, audience } = this.#options;
    await journal.flush();
    const query = { kind: RECORD_KIND, principal: session.principal, limit: MAX_OPEN_PER_PRINCIPAL };
    for (const { id, data } of await store.listRecords(query)) {
      const { outcome, view, n } = JSON.parse(String(data)) as StoredQuestion;
      if (outcome !== "open" || this.#open.has(id) || view === undefined) continue;
      if (audience.includes(view, session)) session.feed.addHistory(view.jobId, n, 1);
    }
  }

  /**
   * Asks again what was open when the runtime died, as it was: by the same id, at the same place in the journal, until the
   * same time. `undefined` if it was not open. `load` finds sessions that are not in this process yet.
   */
  async reopen<Result>(
    job: Job,
    questionId: string,
    draft: QuestionDraft,
    conclude: (answered: Answered) => Result,
    load: (id: SessionId) => Promise<Session | undefined>,
  ): Promise<Asked<Result> | undefined> {
    const { store, clock } = this.#options;
    const record = await store.findRecord(RECORD_KIND, questionId);
    const stored = typeof record?.data === "string" ? (JSON.parse(record.data) as StoredQuestion) : undefined;
    if (stored?.outcome !== "open" || job.isTerminal) return undefined;
    const { expiresAt, n } = stored;
    const view = { ...viewOf(job, draft), id: questionId };
    const question = new Question({ view, job, draft, expiry: new Expiry(clock, expiresAt), expiresAt, n });
    for (const id of stored.shown) {
      const session = await load(id);
      if (session !== undefined) question.shown.add(session);
    }
    return { id: questionId, settled: this.#wait(question, conclude) };
  }

  /**
   * Closes what `job` had asked when its runtime died, apart from the questions that are asked again. `load` finds sessions
   * that are not in this process yet.
   */
  async recover(
    job: Job,
    load: (id: SessionId) => Promise<Session | undefined>,
    isKept: (questionId: string) => boolean = () => false,
  ): Promise<void> {
    const { store, journal, clock, retentionMs } = this.#options;
    const closing: Closing = { outcome: "cancelled", message: "the runtime stopped while the question was open" };
    for (let after: string | undefined; ; ) {
      const page = { kind: RECORD_KIND, jobId: job.id, limit: PAGE, ...(after !== undefined && { after }) };
      const records = await store.listRecords(page);
      for (const record of records) {
        const stored = JSON.parse(String(record.data)) as StoredQuestion;
        if (stored.outcome !== "open" || isKept(record.id)) continue;
        const n = this.#noteClosing(job, record.id, stored.question, closing);
        const facts = { question_id: record.id, question: stored.question, reason: "runtime_restarted" };
        job.audit("question.cancelled", facts);
        for (const id of stored.shown) showEntry(job, n, await load(id));
        const data = JSON.stringify({ ...stored, outcome: closing.outcome });
        journal.putRecord({ ...record, dueAt: clock.now() + retentionMs, data });
      }
      if (records.length < PAGE) return;
      after = records.at(-1)?.id;
    }
  }

  /** Forgets how questions ended a long time ago. */
  async sweep(): Promise<void> {
    for (const kind of [RECORD_KIND, LINK_RECORDS]) await this.#sweep(kind);
  }

  async #sweep(kind: string): Promise<void> {
    const { store, journal, clock } = this.#options;
    for (;;) {
      const due = await store.listRecords({ kind, dueBefore: clock.now(), limit: PAGE });
      for (const record of due) journal.putRecord({ ...record, data: null });
      if (due.length < PAGE) return;
      await journal.flush();
    }
  }

  /** Nobody could show it: the default counts. */
  #unasked<Result>(
    view: QuestionView,
    { fallback }: QuestionDraft,
    conclude: (answered: Answered) => Result,
  ): Asked<Result> {
    if (fallback === undefined) {
      throw new CanonicalError("FAILED_PRECONDITION", "no client of this principal can be asked", {
        details: { reason: "nobody_to_ask", question: view.kind },
      });
    }
    const answered = defaultAnswer(view.id, fallback, this.#options.clock.now());
    return { id: view.id, settled: Promise.resolve(conclude(answered)) };
  }

  /** What people ask of a job has room of its own: an agent that asks too much can still be interrupted. */
  #assertRoom(job: Job, { cause }: QuestionDraft): void {
    const ofPrincipal = this.#ofPrincipal.get(job.submitterPrincipal);
    const isSameSort = ({ draft }: Question): boolean => (draft.cause === undefined) === (cause === undefined);
    const ofJob = [...(ofPrincipal ?? [])].filter((question) => question.job === job && isSameSort(question));
    if (ofJob.length >= MAX_OPEN_PER_JOB) throw tooMany("maxOpenQuestions", MAX_OPEN_PER_JOB, "after_capacity");
    if ((ofPrincipal?.size ?? 0) >= MAX_OPEN_PER_PRINCIPAL) {
      throw tooMany("maxOpenQuestionsPerPrincipal", MAX_OPEN_PER_PRINCIPAL, "after_capacity");
    }
  }

  #wait<Result>(question: Question, conclude: (answered: Answered) => Result): Promise<Result> {
    const { job, draft, view } = question;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const unblock = job.block(`${view.kind} ${view.id}`);
    const onStopped = (): void => {
      // It stays open for the runtime that goes on with the job.
      if (!job.isAside)
        this.#close(question, { outcome: "cancelled", message: "the job was stopped" }, job.signal.reason);
    };
    const onWithdrawn = (): void =>
      this.#close(question, { outcome: "cancelled", message: "the question was withdrawn" }, draft.signal?.reason);
    let isOver = false;
    const stopLastWords = job.beforeEnd(() => {
      isOver = true;
      this.#close(question, { outcome: "cancelled", message: "the job has ended" });
    });
    job.signal.addEventListener("abort", onStopped);
    draft.signal?.addEventListener("abort", onWithdrawn);
    const { clock } = this.#options;
    const stopTimer = clock.setTimer(() => this.#expire(question), Math.max(0, question.expiresAt - clock.now()));
    const settle = (closing: Closing, reason: unknown): void => {
      stopTimer();
      stopLastWords();
      job.signal.removeEventListener("abort", onStopped);
      draft.signal?.removeEventListener("abort", onWithdrawn);
      try {
        if ("answered" in closing) resolve(conclude(closing.answered));
        else reject(reason ?? errorOf(question, closing));
      } catch (error) {
        reject(error);
      }
      // A job that has ended does not go on.
      if (!isOver) unblock();
    };
    this.#open.set(view.id, { question, settle });
    const all = this.#ofPrincipal.get(view.principal) ?? new Set();
    this.#ofPrincipal.set(view.principal, all.add(question));
    this.#put(question);
    // Whoever asked may be gone by then.
    promise.catch(() => {});
    return promise;
  }

  #expire(question: Question): void {
    const { fallback } = question.draft;
    if (fallback === undefined) this.#close(question, { outcome: "expired" });
    else {
      const answered = defaultAnswer(question.id, fallback, this.#options.clock.now());
      this.#close(question, { outcome: "default", answered });
    }
  }

  /** The only way out. What waits for the question is settled in the same turn. */
  #close(question: Question, closing: Closing, reason?: unknown): void {
    if (!question.close(closing)) return;
    const { job, id, view } = question;
    const open = this.#open.get(id);
    this.#open.delete(id);
    const all = this.#ofPrincipal.get(view.principal);
    all?.delete(question);
    if (all?.size === 0) this.#ofPrincipal.delete(view.principal);
    const n = this.#noteClosing(job, id, view.kind, closing);
    for (const session of question.shown) showEntry(job, n, this.#options.sessionOf(session.id));
    this.#options.journal.afterCommit(() => this.#options.others?.show({ view, n }));
    this.#put(question);
    this.#recordClosed(question, closing);
    open?.settle(closing, reason);
  }

  #noteClosing(job: Job, id: string, question: Answer["kind"], closing: Closing): number {
    const members = { id, question, ...closingMembers(closing) };
    return job.note(ENTRY.question_closed, "x-vendor.arcp.answer", members);
  }

  #show(question: Question, session: Session): void {
    question.shown.add(session);
    showEntry(question.job, question.n, session);
  }

  #assertMayAnswer({ view }: Question, { session }: GivenAnswer): void {
    const details = { question_id: view.id };
    if (!this.#options.audience.mayAnswer(view, session)) {
      const facts = { ...factsOf({ view }), reason: "policy" };
      this.#options.audit.record("question.refused", bySession(session, { jobId: view.jobId }), facts);
      throw new CanonicalError("PERMISSION_DENIED", "this session may not answer the question", { details });
    }
    if (!hears(view, session)) {
      throw new CanonicalError("FAILED_PRECONDITION", "this session has not agreed to answer such questions", {
        details,
      });
    }
  }

  /** The same for a question that is not open, or not one that the session may know of: both take the same way. */
  async #answerClosed(given: GivenAnswer): Promise<AnswerStatus> {
    const { journal, store } = this.#options;
    const { session, questionId } = given;
    await journal.flush();
    const record = await store.findRecord(RECORD_KIND, questionId);
    if (record === undefined || record.principal !== session.principal) {
      throw new CanonicalError("NOT_FOUND", "there is no such question", { details: { question_id: questionId } });
    }
    const { outcome } = JSON.parse(String(record.data)) as StoredQuestion;
    const { others } = this.#options;
    if (outcome !== "open" || others === undefined || record.jobId === null) return this.#late(given, outcome);
    return others.call<AnswerStatus>(record.jobId, "question.answer", { ...given, session: actorFacts(session) });
  }

  /** The same as another node asks for it: the question is one of a job of this node, or of none. */
  readonly answerFor = async (given: Omit<GivenAnswer, "session"> & { readonly session: ActorFacts }) => {
    if (this.#open.has(given.questionId)) return this.answer({ ...given, session: actorOf(given.session) });
    throw new InternalError("the job is between two nodes", { retryable: true, details: { reason: "moving" } });
  };

  /** Shows an entry about a question of another node to those who are asked here and do not follow its job. */
  showFor({ view, n }: ShownEntry, isFollowed: (session: Session) => boolean): void {
    for (const session of this.#options.audience.of(view)) {
      if (!isFollowed(session)) session.feed.addHistory(view.jobId, n, 1);
    }
  }

  /** RFC §12.3: an answer after another one is no error. Without another one it is. */
  #late({ session, questionId }: GivenAnswer, outcome: StoredQuestion["outcome"]): AnswerStatus {
    if (outcome === "answered") {
      this.#options.logger.info({ questionId, sessionId: session.id }, "an answer came after another one had counted");
      this.#options.audit.record("question.ignored_answer", bySession(session), { question_id: questionId });
      return "ignored";
    }
    throw new CanonicalError("FAILED_PRECONDITION", "the question is not open any more", {
      details: { question_id: questionId, outcome },
    });
  }

  #answered({ session, questionId, answer, messageId, respondedBy, respondedAt }: GivenAnswer): Answered {
    const now = this.#options.clock.now();
    const at = respondedAt === undefined ? Number.NaN : Date.parse(respondedAt);
    const isNamed = respondedBy !== undefined && respondedBy !== "" && respondedBy !== DEFAULT_RESPONDER;
    return {
      ...{ questionId, answer, isDefault: false },
      respondedBy: isNamed ? respondedBy.slice(0, MAX_RESPONDER) : session.principal,
      respondedAt: timestamp(at <= now ? at : now),
      source: { sessionId: session.id, messageId },
    };
  }

  #put({ view, job, n, shown, closing, expiresAt, draft, digest }: Question): void {
    const { journal, clock, retentionMs } = this.#options;
    const stored: StoredQuestion = {
      expiresAt,
      ...{ outcome: closing?.outcome ?? "open", question: draft.kind, n },
      ...{ shown: [...shown].map(({ id }) => id), view, digest },
    };
    const record: StoredRecord = {
      ...{ kind: RECORD_KIND, id: view.id, principal: view.principal, jobId: job.id },
      dueAt: (closing === undefined ? expiresAt : clock.now()) + retentionMs,
      data: JSON.stringify(stored),
    };
    journal.putRecord(record);
  }

  #recordAsked({ view, job, draft, expiresAt }: Question): void {
    const facts = { ...factsOf({ view }), expires_at: timestamp(expiresAt) };
    const { permission, resource, operation } = view;
    if (permission !== undefined && resource !== undefined && operation !== undefined) {
      job.audit("permission.asked", { ...facts, permission, resource: shownTarget(permission, resource), operation });
    } else job.audit("question.asked", { ...facts, ...(draft.cause !== undefined && { cause: draft.cause }) });
  }

  #recordClosed(question: Question, closing: Closing): void {
    const { audit, sessionOf } = this.#options;
    const facts = factsOf(question);
    if (closing.outcome === "expired") question.job.audit("question.expired", facts);
    else if (closing.outcome === "cancelled") {
      question.job.audit("question.cancelled", { ...facts, reason: closing.message });
    } else {
      const { answer, respondedBy, respondedAt, source } = closing.answered;
      const session = source && sessionOf(source.sessionId);
      const { id: jobId, traceId } = question.job;
      const subject = session === undefined ? ofJob(question.job) : bySession(session, { jobId, traceId });
      audit.record("question.answered", subject, {
        ...{ ...facts, outcome: closing.outcome, responded_by: respondedBy, responded_at: respondedAt },
        ...(answer.kind === "permission"
          ? { granted: answer.granted }
          : audit.answerFacts(question.id, answer.kind === "input" ? answer.value : answer.choiceId)),
      });
    }
  }
}

/** A question, and how whoever waits for it hears of its end. */
interface OpenQuestion {
  readonly question: Question;
  readonly settle: (closing: Closing, reason: unknown) => void;
}

const usedUp = (questionId: string): CanonicalError =>
  new CanonicalError("FAILED_PRECONDITION", "the link was used", {
    details: { question_id: questionId, reason: "link_used" },
  });

const factsOf = ({ view }: Pick<Question, "view">) => ({ question_id: view.id, question: view.kind });

const byAnswerer = ({ session }: GivenAnswer, { job }: Question): AuditSubject =>
  bySession(session, { jobId: job.id, traceId: job.traceId });

function assertMayAsk(job: Job): void {
  job.assertLive();
  if (job.stopReason !== undefined) throw job.stopReason;
}

function viewOf(job: Job, { kind, members, quorum }: QuestionDraft): QuestionView {
  const { id: jobId, agentRef, submitterPrincipal: principal } = job;
  const view = { id: `q_${ulid()}`, kind, jobId: jobId as JobId, agentRef, principal, quorum };
  if (kind !== "permission") return view;
  const { permission, resource, operation } = members as Record<"permission" | "resource" | "operation", string>;
  return { ...view, permission, resource, operation };
}

/** Numbers entry `n` in a session that does not follow the job, if it is still there. */
function showEntry(job: Job, n: number, session: Session | undefined): void {
  if (n > 0 && session !== undefined && !job.isFollowedBy(session.feed)) session.feed.addHistory(job.id, n, 1);
}

const defaultAnswer = (questionId: string, answer: Answer, now: number): Answered => ({
  ...{ questionId, answer, isDefault: true, source: undefined },
  ...{ respondedBy: DEFAULT_RESPONDER, respondedAt: timestamp(now) },
});

function errorOf({ view }: Question, closing: Closing): Error {
  const details = { question_id: view.id };
  if (closing.outcome === "expired") {
    return new CanonicalError("DEADLINE_EXCEEDED", "nobody answered in time", { details });
  }
  const message = closing.outcome === "cancelled" ? closing.message : "the question was closed";
  return new CanonicalError("CANCELLED", message, { details });
}
