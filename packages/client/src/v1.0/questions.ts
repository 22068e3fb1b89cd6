/** What the runtime's jobs ask people, and the handlers that answer (RFC §12, §15.4). */
import { ARCPError, CancelledError, type Clock, InvalidRequestError, type JsonObject, TimeoutError } from "@arcp/core";
import type { MessageOf10, RuntimeMessage10 } from "@arcp/core/v1.0";
import { toInstant } from "../job-list.ts";
import type { Question } from "../questions.ts";
import type { Unsent } from "./requests.ts";

type Kind = Question["kind"];

interface Facts {
  readonly jobId: string | undefined;
  readonly sessionId: string | undefined;
  /** Set when the runtime has refused an answer before this one: the question is still open. */
  readonly refusal: ARCPError | undefined;
}

type ByKind = {
  readonly [Of in Kind]: Omit<Extract<Question, { kind: Of }>, "quorum" | "jobId"> & Facts;
};

/** A question to a person. */
export type ToolQuestion<Of extends Kind = Kind> = ByKind[Of];

interface SaidBy {
  /** Which person, or channel, it comes from. Default: {@link ToolClientOptions.respondedBy}. */
  readonly respondedBy?: string;
}

/** The answer to a question for a value (RFC §12.1). */
export interface InputAnswer extends SaidBy {
  /** Any JSON value that the question's schema takes. `null` is one. */
  readonly value: unknown;
}

/** The answer to a question that offers options (RFC §12.2). */
export interface ChoiceAnswer extends SaidBy {
  /** The id of one of the options. */
  readonly choiceId: string;
}

/** A permission is granted, on these terms at most (RFC §15.4), or denied. */
export type PermissionAnswer = SaidBy &
  (
    | {
        readonly granted: true;
        readonly leaseSeconds?: number;
        readonly expiresAt?: Date | string;
        /** Less than what was asked for. Default: what was asked for. */
        readonly resource?: string;
        readonly operation?: string;
      }
    | { readonly granted: false; readonly reason?: string }
  );

interface Answers {
  readonly input: InputAnswer;
  readonly choice: ChoiceAnswer;
  readonly permission: PermissionAnswer;
}

/**
 * Answers questions of one kind. `signal` aborts when the question is no longer open: answered elsewhere, expired,
 * withdrawn. What returns `undefined`, or throws, leaves it to other channels.
 */
export type QuestionHandler<Of extends Kind> = (
  question: ToolQuestion<Of>,
  signal: AbortSignal,
) => Answers[Of] | undefined | Promise<Answers[Of] | undefined>;

type AnyHandler = (question: ToolQuestion, signal: AbortSignal) => Promise<Answers[Kind] | undefined>;

interface Open {
  readonly question: ToolQuestion;
  readonly message: RuntimeMessage10;
  readonly controller: AbortController;
  readonly stopTimer: () => void;
  /** Is somebody at it? */
  isHandled: boolean;
}

export interface QuestionsOwner10 {
  readonly clock: Clock;
  readonly respondedBy: string;
  /** Sends an answer. Rejects with the runtime's refusal; a runtime that says nothing has taken it. */
  readonly answer: (message: Unsent) => Promise<unknown>;
  readonly onProblem: (error: ARCPError) => void;
}

/** Open questions that are remembered. Beyond it the oldest is forgotten. */
const MAX_OPEN = 1024;
/** How often one question is put to its handler, when the runtime refuses the answers. */
const MAX_ANSWERS = 16;
const MAX_DELAY_MS = 2 ** 31 - 1;
const RESOLVED_EVENT = "human.input.resolved";

export class Questions10 {
  readonly #owner: QuestionsOwner10;
  readonly #handlers = new Map<Kind, AnyHandler>();
  readonly #open = new Map<string, Open>();

  constructor(owner: QuestionsOwner10) {
    this.#owner = owner;
  }

  /** The questions that nobody has answered yet, oldest first. */
  get open(): readonly ToolQuestion[] {
    return [...this.#open.values()].map(({ question }) => question);
  }

  /** Puts the open questions of that kind, and those to come, to `handler`. Returns a function that stops it. */
  handle<Of extends Kind>(kind: Of, handler: QuestionHandler<Of>): () => void {
    if (this.#handlers.has(kind)) throw new InvalidRequestError(`there is a handler for questions of kind ${kind}`);
    const own: AnyHandler = async (question, signal) => handler(question as ToolQuestion<Of>, signal);
    this.#handlers.set(kind, own);
    for (const open of this.#open.values()) void this.#put(open);
    return () => {
      if (this.#handlers.get(kind) === own) this.#handlers.delete(kind);
    };
  }

  /** Takes a message about a question. Returns whether it is one. */
  receive(message: RuntimeMessage10): boolean {
    switch (message.type) {
      case "human.input.request":
      case "human.choice.request":
      case "permission.request":
        this.#ask(message);
        return true;
      case "human.input.cancelled":
        this.#close(this.#meant(message), new CancelledError(message.payload.message || message.payload.code));
        return true;
      case "human.input.response":
      case "human.choice.response":
        this.#close(message.correlation_id, new CancelledError("answered by the runtime"));
        return true;
      case "event.emit":
        if (message.payload.name !== RESOLVED_EVENT) return false;
        this.#close(message.causation_id, new CancelledError("the question was answered"));
        return true;
      default:
        return false;
    }
  }

  /** The job is over, and nobody has to answer it. */
  closeOfJob(jobId: string | undefined): void {
    if (jobId === undefined) return;
    for (const [id, { question }] of [...this.#open]) {
      if (question.jobId === jobId) this.#close(id, new CancelledError("the job is over"));
    }
  }

  /** Is a question of that session open? */
  hasOpen(sessionId: string): boolean {
    return [...this.#open.values()].some(({ question }) => question.sessionId === sessionId);
  }

  /** Nothing can be answered any more: in one session, or at all. */
  closeAll(error: Error, sessionId?: string): void {
    for (const [id, { question }] of [...this.#open]) {
      if (sessionId === undefined || question.sessionId === sessionId) this.#close(id, error);
    }
  }

  #ask(message: MessageOf10<"human.input.request" | "human.choice.request" | "permission.request">): void {
    if (this.#open.has(message.id)) return;
    const question = questionOf(message);
    const { clock } = this.#owner;
    const expiresAt = Date.parse(question.expiresAt ?? "");
    const stopTimer = Number.isNaN(expiresAt)
      ? () => {}
      : clock.setTimer(
          () => this.#close(message.id, new TimeoutError("the question has expired")),
          Math.min(Math.max(0, expiresAt - clock.now()), MAX_DELAY_MS),
        );
    const open: Open = { question, message, controller: new AbortController(), stopTimer, isHandled: false };
    this.#open.set(message.id, open);
    if (this.#open.size > MAX_OPEN)
      this.#close(this.#open.keys().next().value, new CancelledError("too many questions"));
    void this.#put(open);
  }

  /** A question that is cancelled without being named is the only one of its job. */
  #meant({ correlation_id, causation_id, job_id }: RuntimeMessage10): string | undefined {
    const named = [correlation_id, causation_id].find((id) => id !== undefined && this.#open.has(id));
    const ofJob = this.open.filter(({ jobId }) => job_id !== undefined && jobId === job_id);
    return named ?? (ofJob.length === 1 ? ofJob[0]?.id : undefined);
  }

  #close(id: string | undefined, reason: Error): void {
    const open = id === undefined ? undefined : this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(open.message.id);
    open.stopTimer();
    open.controller.abort(reason);
  }

  async #put(open: Open): Promise<void> {
    const handler = this.#handlers.get(open.question.kind);
    if (handler === undefined || open.isHandled) return;
    open.isHandled = true;
    try {
      await this.#pursue(open, handler);
    } catch (thrown) {
      this.#owner.onProblem(ARCPError.from(thrown));
    }
  }

  /** Asks the handler until the runtime takes what it says. */
  async #pursue({ question, message, controller }: Open, handler: AnyHandler): Promise<void> {
    const { signal } = controller;
    let refusal: ARCPError | undefined;
    for (let answered = 0; answered < MAX_ANSWERS; answered += 1) {
      const answer = await handler({ ...question, refusal }, signal);
      if (answer === undefined || !this.#open.has(message.id)) return;
      try {
        await this.#owner.answer(this.#spelled(question, message, answer));
        this.#close(message.id, new CancelledError("the question was answered"));
        return;
      } catch (thrown) {
        // It is over, and so is the wait for the answer.
        if (!this.#open.has(message.id)) return;
        refusal = ARCPError.from(thrown);
        this.#owner.onProblem(refusal);
        // Anything else says that there is nothing to answer any more.
        if (refusal.code !== "INVALID_REQUEST" || refusal.details?.["code"] !== undefined) {
          this.#close(message.id, refusal);
          return;
        }
      }
    }
  }

  #spelled(question: ToolQuestion, message: RuntimeMessage10, answer: Answers[Kind]): Unsent {
    const { job_id, session_id, trace_id } = message;
    const { respondedBy = this.#owner.respondedBy } = answer;
    const about = { correlation_id: message.id, job_id, session_id, ...(trace_id !== undefined && { trace_id }) };
    const provenance = { responded_by: respondedBy, responded_at: new Date(this.#owner.clock.now()).toISOString() };
    if ("value" in answer) {
      return { ...about, type: "human.input.response", payload: { value: answer.value, ...provenance } };
    }
    if ("choiceId" in answer) {
      return { ...about, type: "human.choice.response", payload: { choice_id: answer.choiceId, ...provenance } };
    }
    if (question.kind !== "permission")
      throw new InvalidRequestError(`no answer to a question of kind ${question.kind}`);
    const { type, payload } = decisionOf(question, answer, respondedBy);
    return { ...about, type, payload };
  }
}

function decisionOf(
  { permission, resource, operation }: ToolQuestion<"permission">,
  answer: PermissionAnswer,
  by: string,
): { readonly type: string; readonly payload: JsonObject } {
  if (!answer.granted) {
    const { reason = "denied" } = answer;
    return { type: "permission.deny", payload: { permission, resource, operation, reason, denied_by: by } };
  }
  const { leaseSeconds, expiresAt } = answer;
  return {
    type: "permission.grant",
    payload: {
      ...{
        permission,
        resource: answer.resource ?? resource,
        operation: answer.operation ?? operation,
        granted_by: by,
      },
      ...(leaseSeconds !== undefined && { lease_seconds: leaseSeconds }),
      ...(expiresAt !== undefined && { expires_at: toInstant(expiresAt) }),
    },
  };
}

function questionOf(
  message: MessageOf10<"human.input.request" | "human.choice.request" | "permission.request">,
): ToolQuestion {
  const facts = { id: message.id, jobId: message.job_id, sessionId: message.session_id, refusal: undefined };
  switch (message.type) {
    case "human.input.request": {
      const { prompt, response_schema, expires_at, destinations, default: value } = message.payload;
      return {
        ...{ ...facts, kind: "input", prompt, responseSchema: response_schema, expiresAt: expires_at, destinations },
        ...(value !== undefined && { default: value }),
      };
    }
    case "human.choice.request": {
      const { prompt, options, expires_at, destinations, default: choice } = message.payload;
      return { ...facts, kind: "choice", prompt, options, expiresAt: expires_at, destinations, default: choice };
    }
    case "permission.request": {
      const { permission, resource, operation, reason, requested_lease_seconds } = message.payload;
      return {
        ...{ ...facts, kind: "permission", permission, resource, operation, reason },
        ...{ expiresAt: undefined, destinations: [], requestedLeaseSeconds: requested_lease_seconds },
      };
    }
  }
}
