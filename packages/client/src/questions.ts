/** What the jobs of a client's principal ask people (RFC §12, §15.4), and how it is answered. */
import { ANSWER_EVENT, answerBody, type JobId, type JsonObject, QUESTION_EVENT, questionBody } from "@arcp/core";
import { RecentIds } from "./recent-ids.ts";

interface Asked {
  readonly id: string;
  /** Of whichever session of the principal. */
  readonly jobId: JobId;
  /** RFC 3339. After that nobody's answer counts. */
  readonly expiresAt: string | undefined;
  /** Where the agent wants it to be seen. */
  readonly destinations: readonly string[];
  /** How many sessions must give the same answer. */
  readonly quorum: number;
}

/** A question, by its kind. */
export type Question =
  | (Asked & {
      readonly kind: "input";
      readonly prompt: string;
      /** JSON Schema that the answer must keep. */
      readonly responseSchema: JsonObject;
      readonly default?: unknown;
    })
  | (Asked & {
      readonly kind: "choice";
      readonly prompt: string;
      readonly options: readonly {
        readonly id: string;
        readonly label: string;
        readonly description?: string | undefined;
      }[];
      readonly default?: string | undefined;
    })
  | (Asked & {
      readonly kind: "permission";
      readonly permission: string;
      readonly resource: string;
      readonly operation: string;
      readonly reason?: string | undefined;
      readonly requestedLeaseSeconds?: number | undefined;
    });

/** How a question ended, by whomever: it need not be shown any more. */
export interface QuestionEnd {
  readonly id: string;
  readonly jobId: JobId;
  /** `answered`, `default`, `expired` or `cancelled`. */
  readonly outcome: string;
  readonly respondedBy: string | undefined;
}

interface SaidBy {
  /** Who answers, e.g. `ntfy:phone`. Default: the principal. */
  readonly respondedBy?: string;
}

/** What {@link ARCPClient.respond} says: a value, a choice, or a decision about a permission. */
export type QuestionAnswer = SaidBy &
  (
    | { readonly value: unknown }
    | { readonly choiceId: string }
    | {
        readonly granted: true;
        /** For how long at most; never longer than was asked for. */
        readonly leaseSeconds?: number;
      }
    | { readonly granted: false; readonly reason?: string }
  );

/** It was the answer; it counts, and others are needed; it was valid, and came after another one had counted. */
export type AnswerStatus = "applied" | "counted" | "ignored";

/** What the runtime says to an answer, and to a request for a link. */
export interface AnswerReply {
  readonly status: string;
  readonly token?: string | undefined;
  readonly expires_at?: string | undefined;
}

/** What lets somebody else answer one question, once. */
export interface AnswerLink {
  /** For whoever is to answer: it opens a session that can do that and nothing else. */
  readonly token: string;
  /** RFC 3339. */
  readonly expiresAt: string;
}

/** Open questions that are remembered. Beyond it the oldest is forgotten. */
const MAX_OPEN = 1024;

export interface QuestionsOwner {
  readonly onQuestion: (question: Question) => void;
  readonly onEnd: (end: QuestionEnd) => void;
}

/** The questions that a client has been told of. */
export class Questions {
  readonly #owner: QuestionsOwner;
  readonly #open = new Map<string, Question>();
  /** The history of a job that is subscribed to tells again what the session was told as it happened. */
  #asked = new RecentIds(MAX_OPEN);
  #ended = new RecentIds(MAX_OPEN);

  constructor(owner: QuestionsOwner) {
    this.#owner = owner;
  }

  /** Those that have not ended, oldest first. */
  get open(): readonly Question[] {
    return [...this.#open.values()];
  }

  /** Takes an event of a job. Returns whether it was about a question. */
  receive(jobId: JobId, kind: string, body: unknown): boolean {
    if (kind === QUESTION_EVENT) {
      const question = toQuestion(jobId, body);
      if (question !== undefined) this.#add(question);
    } else if (kind === ANSWER_EVENT) {
      const { data } = answerBody.safeParse(body);
      if (data !== undefined && this.#ended.add(data.id)) {
        const { id, outcome, responded_by: respondedBy } = data;
        this.#open.delete(id);
        this.#owner.onEnd({ id, jobId, outcome, respondedBy });
      }
    } else return false;
    return true;
  }

  /** The session is another one, or over: what was open in it is not this client's any more. */
  clear(): void {
    this.#open.clear();
    this.#asked = new RecentIds(MAX_OPEN);
    this.#ended = new RecentIds(MAX_OPEN);
  }

  #add(question: Question): void {
    if (!this.#asked.add(question.id)) return;
    this.#open.set(question.id, question);
    const oldest = this.#open.size > MAX_OPEN ? this.#open.keys().next().value : undefined;
    if (oldest !== undefined) this.#open.delete(oldest);
    this.#owner.onQuestion(question);
  }
}

/** `undefined` for what is no question that this version knows. */
function toQuestion(jobId: JobId, body: unknown): Question | undefined {
  const { data } = questionBody.safeParse(body);
  if (data === undefined) return undefined;
  const asked = {
    ...{ id: data.id, jobId, expiresAt: data.expires_at },
    ...{ destinations: data.destinations ?? [], quorum: data.quorum ?? 1 },
  };
  if (data.question === "input") {
    const { prompt, response_schema: responseSchema = {}, default: fallback } = data;
    return { ...asked, kind: "input", prompt, responseSchema, ...(fallback !== undefined && { default: fallback }) };
  }
  if (data.question === "choice") {
    const { prompt, options, default: fallback } = data;
    return { ...asked, kind: "choice", prompt, options, ...(fallback !== undefined && { default: fallback }) };
  }
  const { permission, resource, operation, reason, requested_lease_seconds: requestedLeaseSeconds } = data;
  return { ...asked, kind: "permission", permission, resource, operation, reason, requestedLeaseSeconds };
}

/**
 * The message that gives `answer` to a question. A decision says what it is about, as it was `shown`: should the runtime have
 * asked for something else, it does not count.
 */
export function toAnswerMessage(
  questionId: string,
  answer: QuestionAnswer,
  shown?: Question,
): { readonly type: `x-vendor.arcp.${string}`; readonly payload: JsonObject } {
  const request_id = questionId;
  const { respondedBy } = answer;
  if ("value" in answer) {
    const payload = { request_id, value: answer.value, responded_by: respondedBy };
    return { type: "x-vendor.arcp.human.input.response", payload };
  }
  if ("choiceId" in answer) {
    const payload = { request_id, choice_id: answer.choiceId, responded_by: respondedBy };
    return { type: "x-vendor.arcp.human.choice.response", payload };
  }
  const scope = shown?.kind === "permission" ? scopeOf(shown) : {};
  if (answer.granted) {
    const payload = { request_id, ...scope, lease_seconds: answer.leaseSeconds, granted_by: respondedBy };
    return { type: "x-vendor.arcp.permission.grant", payload };
  }
  const payload = { request_id, ...scope, reason: answer.reason, denied_by: respondedBy };
  return { type: "x-vendor.arcp.permission.deny", payload };
}

const scopeOf = ({ permission, resource, operation }: Extract<Question, { readonly kind: "permission" }>) => ({
  ...{ permission, resource, operation },
});
