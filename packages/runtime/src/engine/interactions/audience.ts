/** Who is asked (RFC §12.3), and who may answer: nobody but sessions of the principal that the job belongs to. */
import { EXTENSION_FEATURE, type JobId, type Logger, type SessionId } from "@arcp/core";
import { onlyQuestionOf } from "../access.ts";
import type { Actor, Session } from "../session.ts";
import type { Answer } from "./answer.ts";

/** A question, as a policy sees it. */
export interface QuestionView {
  /** `q_<ULID>`. */
  readonly id: string;
  readonly kind: Answer["kind"];
  readonly jobId: JobId;
  /** `name@version` of the agent that asks. */
  readonly agentRef: string;
  /** Whose job it is. */
  readonly principal: string;
  /** How many equal answers it takes. */
  readonly quorum: number;
  /** The operation, of a request for permission. */
  readonly permission?: string | undefined;
  readonly resource?: string | undefined;
  readonly operation?: string | undefined;
}

/** Somebody who might answer. */
export interface AnsweringSession {
  readonly sessionId: SessionId;
  readonly principal: string;
  /** What its client has negotiated. */
  readonly features: ReadonlySet<string>;
}

/**
 * May this session answer this question? Asked only about sessions of the principal that the job belongs to: others never
 * may. What it throws is a refusal.
 */
export type InteractionPolicy = (question: QuestionView, session: AnsweringSession) => boolean;

/** The extension of wire 1.0 by which a client agrees that one answer may not be enough (RFC §12.3, §21). */
export const QUORUM_EXTENSION = "arcpx.arcp.quorum.v1";

/** The capability of wire 1.0 without which a client is asked nothing (RFC §7). */
const HUMAN_INPUT = "human_input";

export interface AudienceOptions {
  /** The sessions of a principal that are attached or can come back. */
  readonly sessionsOf: (principal: string) => readonly Session[];
  readonly policy: InteractionPolicy | undefined;
  readonly logger: Logger;
}

export class Audience {
  readonly #options: AudienceOptions;

  constructor(options: AudienceOptions) {
    this.#options = options;
  }

  /** The sessions that are asked. */
  of(question: QuestionView): readonly Session[] {
    return this.#options.sessionsOf(question.principal).filter((session) => this.includes(question, session));
  }

  /** Is `session`, one of the job's principal, asked? */
  includes(question: QuestionView, session: Session): boolean {
    return hears(question, session) && this.mayAnswer(question, session);
  }

  /** Does the operator let this session, one of the job's principal, answer? */
  mayAnswer(question: QuestionView, { id, principal, features }: Actor): boolean {
    const { policy, logger } = this.#options;
    const only = onlyQuestionOf(features);
    if (only !== undefined && only.questionId !== question.id) return false;
    try {
      return policy === undefined || policy(question, { sessionId: id, principal, features }) === true;
    } catch (error) {
      logger.error({ err: error, questionId: question.id }, "the policy about questions threw: nobody may answer");
      return false;
    }
  }
}

/** Has the session's client agreed to be asked such questions? */
export function hears({ kind, quorum }: QuestionView, { features, record }: Actor): boolean {
  if (record.wire !== "1.0") return features.has(EXTENSION_FEATURE);
  if (quorum > 1 && !features.has(QUORUM_EXTENSION)) return false;
  return kind === "permission" || features.has(HUMAN_INPUT);
}
