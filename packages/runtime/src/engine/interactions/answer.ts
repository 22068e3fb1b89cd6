/** What people answer, and how questions end. */
import type { JsonObject, SessionId } from "@arcp/core";

/** An answer by the kind of its question. */
export type Answer =
  | { readonly kind: "input"; readonly value: unknown }
  | { readonly kind: "choice"; readonly choiceId: string }
  | Decision;

/** The operation that a decision says it is about; what it does not say is as it was asked. */
export interface DecidedScope {
  readonly permission?: string | undefined;
  readonly resource?: string | undefined;
  readonly operation?: string | undefined;
}

/** The answer to a request for permission (RFC §15.4). */
export type Decision =
  | {
      readonly kind: "permission";
      readonly granted: true;
      readonly scope: DecidedScope;
      /** For how long at most. */
      readonly leaseSeconds?: number | undefined;
      /** Until when at most, in milliseconds since the epoch. */
      readonly expiresAt?: number | undefined;
    }
  | {
      readonly kind: "permission";
      readonly granted: false;
      readonly scope: DecidedScope;
      readonly reason?: string | undefined;
    };

/** The answer that counted. */
export interface Answered {
  readonly questionId: string;
  readonly answer: Answer;
  /** Who gave it, e.g. `ntfy:phone`; `default` if nobody did. */
  readonly respondedBy: string;
  /** RFC 3339. */
  readonly respondedAt: string;
  /** Did nobody answer, so that the default counts? */
  readonly isDefault: boolean;
  /** The session that it came from, and its message; `undefined` for a default. */
  readonly source: { readonly sessionId: SessionId; readonly messageId: string } | undefined;
}

/** How a question ends. */
export type Closing =
  | { readonly outcome: "answered"; readonly answered: Answered }
  | { readonly outcome: "default"; readonly answered: Answered }
  | { readonly outcome: "expired" }
  | { readonly outcome: "cancelled"; readonly message: string };

/** What the wires say of an answer. */
function answerMembers(answer: Answer): JsonObject {
  if (answer.kind === "input") return { value: answer.value };
  if (answer.kind === "choice") return { choice_id: answer.choiceId };
  return { granted: answer.granted };
}

/** What the wires say of the end of a question, apart from which one it is. */
export function closingMembers(closing: Closing): JsonObject {
  const { outcome } = closing;
  if (outcome === "expired") {
    return { outcome, code: "DEADLINE_EXCEEDED", message: "nobody answered in time" };
  }
  if (outcome === "cancelled") return { outcome, code: "CANCELLED", message: closing.message };
  const { answer, respondedBy, respondedAt, source } = closing.answered;
  return {
    outcome,
    ...answerMembers(answer),
    responded_by: respondedBy,
    responded_at: respondedAt,
    ...(source && { answered_in: source.sessionId }),
  };
}

/** Answers that say the same have the same key. How long a permission is granted for is no part of the decision. */
export const sameAnswerKey = (answer: Answer): unknown => answerMembers(answer);
