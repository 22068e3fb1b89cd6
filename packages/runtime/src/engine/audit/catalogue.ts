/**
 * What is audited: every action there is, and what its row says besides who, when, in which session and about which job.
 *
 * A fact is never a secret: tokens, values of credentials and contents of jobs have no place here. Facts are stored and
 * hashed: an action's name and the meaning of a member never change.
 */
import type { Lease, LeaseConstraints } from "@arcp/core";

/** Who decided, when it was not the principal of the row. */
type By = "client" | "parent" | "runtime" | "operator";

interface QuestionFacts {
  readonly question_id: string;
  readonly question: "input" | "choice" | "permission";
}

interface LinkFacts {
  readonly question_id: string;
  readonly link_id: string;
}

interface PermissionFacts {
  readonly permission: string;
  readonly resource: string;
  readonly operation: string;
}

interface LeaseFacts {
  readonly lease_id: string;
  readonly permission: string;
}

interface CredentialFacts {
  readonly credential_id: string;
  /** Its name at the upstream. */
  readonly alias: string;
  readonly provisioner: string;
}

interface ArtifactFacts {
  readonly artifact_id: string;
  readonly owner: string;
}

/** What is told with each action of the audit log. */
export interface AuditFacts {
  // Sessions (§6, RFC §8, §9).
  "session.opened": { readonly wire: string };
  "session.resumed": { readonly wire: string; readonly after_seq?: number };
  /** Nobody was let in; why is told by the code of the error that the client got. */
  "session.refused": { readonly wire: string; readonly code: string };
  /** Another of the client's sessions is not shown to it (RFC §19). */
  "resume.refused": { readonly wire: string; readonly of_session_id: string; readonly code: string };
  /** The client has shown fresh credentials (RFC §8.4). */
  "session.renewed": { readonly wire: string };
  /** The credentials of the session do not permit the command. */
  "command.refused": { readonly command: string; readonly permission: string };
  "session.closed": { readonly wire: string; readonly by: "client" | "runtime" | "transport"; readonly reason: string };
  /** The runtime ended the connection of a session with an error; `session.evicted` of RFC §8.5. */
  "session.evicted": { readonly wire: string; readonly code: string; readonly reason: string };

  // Jobs (§7, §9).
  "job.submitted": {
    readonly agent: string;
    /** What was given. */
    readonly lease: Lease;
    /** What was asked for, if the lease policy gave something else. */
    readonly lease_request?: Lease;
    readonly lease_constraints?: LeaseConstraints;
    /** The message of wire 1.0 that asked for it. */
    readonly command?: string;
    readonly schedule_id?: string;
  };
  "job.refused": { readonly agent: string; readonly code: string; readonly reason?: string };
  "job.cancelled": { readonly by: By; readonly owner?: string; readonly reason?: string };
  /** A client paused the job, and its people are asked what it should do (RFC §10.5). */
  "job.interrupted": { readonly command: string };
  /** A client may not cancel or interrupt the job; `owner` is `null` if there is no such job. */
  "control.refused": { readonly owner: string | null; readonly code: string };
  "job.ended": { readonly status: string; readonly code?: string };
  /** §14. */
  "lease.expired": { readonly expires_at: string | undefined };
  /** The guard held an operation of an agent back: by its lease, its time, or its budget (§9.3). */
  "operation.refused": { readonly capability: string; readonly target: string; readonly code: string };

  // Delegation and handoff (§10, RFC §14).
  "job.delegated": {
    readonly agent: string;
    readonly parent_job_id: string;
    readonly delegate_id: string;
    readonly lease: Lease;
    readonly lease_request?: Lease;
    readonly lease_constraints?: LeaseConstraints;
  };
  "delegation.refused": { readonly agent: string; readonly delegate_id: string; readonly code: string };
  "job.handed_over": {
    readonly agent: string;
    readonly to_runtime: { readonly kind: string; readonly version: string; readonly fingerprint: string };
    readonly to_job_id: string;
  };

  // Observers (§7.6, §14, RFC §13). Those of wire 1.1 have a job each, those of wire 1.0 a filter too.
  "subscription.opened": SubscriptionFacts;
  "subscription.refused": SubscriptionFacts;
  "job.described": SubscriptionFacts;
  "subscription.closed": { readonly owner?: string; readonly subscription_id?: string; readonly by: By };

  // Questions (RFC §12).
  "question.asked": QuestionFacts & { readonly expires_at: string; readonly cause?: string };
  "question.answered": QuestionFacts & {
    readonly outcome: "answered" | "default";
    readonly responded_by: string;
    readonly responded_at: string;
    readonly granted?: boolean;
  } & AnswerFacts;
  "question.expired": QuestionFacts;
  "question.cancelled": QuestionFacts & { readonly reason: string };
  "question.refused": QuestionFacts & { readonly reason: string };
  "question.invalid_answer": QuestionFacts;
  "question.ignored_answer": { readonly question_id: string };
  /** Somebody who may answer made a link for somebody else, by whoever shows which it can be answered once. */
  "link.created": LinkFacts & { readonly expires_at: string };
  "link.used": LinkFacts;

  // Permissions, and the leases that people grant (RFC §15.4-15.6).
  "permission.asked": QuestionFacts & PermissionFacts & { readonly expires_at: string };
  "permission.granted": PermissionFacts & {
    readonly lease_id: string;
    readonly question_id: string;
    readonly expires_at: string;
    readonly granted_by: string;
  };
  "permission.denied": PermissionFacts & { readonly question_id: string; readonly denied_by: string };
  "permission.refused": { readonly permission: string; readonly reason: string };
  "trust.elevated": { readonly lease_id: string; readonly level: string; readonly expires_at: string };
  "lease.extended": LeaseFacts & { readonly by: By; readonly expires_at: string };
  "lease.revoked": LeaseFacts & { readonly by: By; readonly reason: string };
  "lease.refused": LeaseFacts & { readonly reason: string };

  // Credentials (§9.8).
  "credential.issued": CredentialFacts;
  "credential.rotated": CredentialFacts & { readonly by: By };
  "credential.revoked": CredentialFacts;
  /** Told once for each; it is tried again until it is revoked. */
  "credential.revocation_failed": CredentialFacts & { readonly error: string };
  /** An agent emitted a secret of its job, which was masked. */
  "credential.emitted": { readonly agent: string };

  // Artifacts (RFC §16).
  "artifact.put": ArtifactFacts & { readonly media_type: string; readonly size: number; readonly sha256: string };
  /** By another principal than its owner: once for each of them, as far back as this process remembers. */
  "artifact.fetched": ArtifactFacts;
  "artifact.released": ArtifactFacts;
  /** It is another principal's. */
  "artifact.refused": ArtifactFacts & { readonly act: "fetch" | "release" };

  // Schedules (RFC §10.6).
  "schedule.made": { readonly schedule_id: string; readonly agent: string; readonly when: unknown };
  "schedule.refused": { readonly agent: string; readonly code: string };
  "schedule.cancelled": { readonly schedule_id: string };

  // Webhooks.
  /** An endpoint has not taken it in its time, or says that it is gone. */
  "webhook.given_up": WebhookFacts & { readonly attempts: number };
  /** By an operator: it is tried again. */
  "webhook.retried": WebhookFacts;
  /** An operator has taken out what was still to be told, or was given up. */
  "webhook.forgotten": WebhookFacts;

  // The runtime, and the audit itself.
  "runtime.started": { readonly name: string; readonly version: string };
  "runtime.stopped": { readonly reason: string };
  /** So many rows of an action, by the principal or address of this row if it names one, were too many at once. */
  "audit.suppressed": { readonly action: string; readonly rows: number; readonly since: string };
}

interface WebhookFacts {
  readonly endpoint: string;
  readonly type: string;
  readonly webhook_id: string;
}

interface SubscriptionFacts {
  /** Whose job it is; `null` if there is none. */
  readonly owner?: string | null;
  readonly allowed: boolean;
  readonly subscription_id?: string;
  readonly filter?: unknown;
}

/** By policy: a digest of the answer, the answer, or nothing of it. */
export interface AnswerFacts {
  /** SHA-256 of the canonical JSON of `[question_id, answer]`. */
  readonly answer_sha256?: string;
  readonly answer?: unknown;
}

/** What the audit log tells of. */
export type AuditAction = keyof AuditFacts;

/** What clients can have recorded as often as they like, by doing what is refused: so many rows and no more. */
export const RATIONED: ReadonlySet<AuditAction> = new Set<AuditAction>([
  "session.refused",
  "command.refused",
  "resume.refused",
  "job.refused",
  "control.refused",
  "operation.refused",
  "delegation.refused",
  "subscription.refused",
  "question.refused",
  "question.invalid_answer",
  "question.ignored_answer",
  "permission.refused",
  "lease.refused",
  "artifact.refused",
  "schedule.refused",
]);
