/**
 * One question that was asked.
 *
 *   open -> closed   answered, by default, expired, cancelled; once
 */
import type { SessionId } from "@arcp/core";
import type { Expiry } from "../authority.ts";
import { digestOf } from "../canonical-json.ts";
import type { Job } from "../job.ts";
import type { Session } from "../session.ts";
import { type Answer, type Closing, sameAnswerKey } from "./answer.ts";
import type { QuestionView } from "./audience.ts";
import type { QuestionDraft } from "./request.ts";

export class Question {
  readonly view: QuestionView;
  readonly job: Job;
  readonly draft: QuestionDraft;
  /** When it ends, on both clocks. */
  readonly expiry: Expiry;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
  /** Its place in the job's journal. */
  readonly n: number;
  /** The sessions that have it, whether they follow the job or not. */
  readonly shown = new Set<Session>();
  /** The links by which it was answered. */
  readonly #links = new Set<string>();
  readonly #votes = new Map<SessionId, string>();
  /** The last of the answers that are being looked at. */
  #lastVerdict: Promise<unknown> = Promise.resolve();
  #closing: Closing | undefined;

  constructor(facts: {
    readonly view: QuestionView;
    readonly job: Job;
    readonly draft: QuestionDraft;
    readonly expiry: Expiry;
    readonly expiresAt: number;
    readonly n: number;
  }) {
    this.view = facts.view;
    this.job = facts.job;
    this.draft = facts.draft;
    this.expiry = facts.expiry;
    this.expiresAt = facts.expiresAt;
    this.n = facts.n;
  }

  /** Of what was asked, so that a link or an answer that was meant for something else does not count for it. */
  get digest(): string {
    return digestOf([this.view.kind, this.view.quorum, this.draft.members]);
  }

  get id(): string {
    return this.view.id;
  }

  /** How it ended; `undefined` while it is open. */
  get closing(): Closing | undefined {
    return this.#closing;
  }

  /** Takes an answer by this link. Returns false, and does nothing, if there was one before. */
  useLink(linkId: string): boolean {
    if (this.#links.has(linkId)) return false;
    this.#links.add(linkId);
    return true;
  }

  /** Returns false, and does nothing, if it has ended before. */
  close(closing: Closing): boolean {
    if (this.#closing !== undefined) return false;
    this.#closing = closing;
    return true;
  }

  /**
   * Looks at `answer` and calls `decide` with what is wrong with it, if anything is; returns what that returns. Answers are
   * looked at side by side and decided on in the order in which they came: of two valid ones the first counts, however
   * long it took to look at. Rejects when it cannot be told, and with what `decide` throws.
   */
  judge<Verdict>(answer: Answer, decide: (problem: string | undefined) => Verdict): Promise<Verdict> {
    const before = this.#lastVerdict;
    const looked = Promise.allSettled([(async () => this.draft.check(answer))()]);
    const verdict = before.then(async () => {
      const [look] = await looked;
      if (look.status === "rejected") throw look.reason;
      return decide(look.value);
    });
    this.#lastVerdict = verdict.catch(() => {});
    return verdict;
  }

  /** Counts what `sessionId` says, in the place of what it said before. Is that as many equal answers as it takes? */
  vote(sessionId: SessionId, answer: Answer): boolean {
    const { quorum } = this.draft;
    if (quorum === 1) return true;
    const key = digestOf(sameAnswerKey(answer));
    this.#votes.set(sessionId, key);
    return [...this.#votes.values()].filter((other) => other === key).length >= quorum;
  }
}
