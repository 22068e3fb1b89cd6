/** The people behind a job, as agents reach them: questions, permissions, and what they say when they interrupt (RFC §12, §15). */
import type { Clock, Logger, SessionId, TrustLevel } from "@arcp/core";
import type { Store } from "../store/store.ts";
import type { Audit } from "./audit/audit.ts";
import type { Cancellation } from "./cancellation.ts";
import type { GrantFacts } from "./grants/grant.ts";
import { Grants } from "./grants/grants.ts";
import type { GrantPolicy, MaxElevation } from "./grants/policy.ts";
import type { Answered } from "./interactions/answer.ts";
import { Audience, type InteractionPolicy } from "./interactions/audience.ts";
import { type Asked, Interactions, type OtherNodes } from "./interactions/interactions.ts";
import { Interrupts } from "./interactions/interrupts.ts";
import {
  choiceDraft,
  type HumanChoiceOptions,
  type HumanInputOptions,
  inputDraft,
  type QuestionDraft,
  type SchemaCompiler,
} from "./interactions/request.ts";
import type { Job } from "./job.ts";
import type { JobRegistry } from "./job-registry.ts";
import type { Journal } from "./journal.ts";
import type { Session } from "./session.ts";
import type { SessionRegistry } from "./session-registry.ts";
import type { Webhooks } from "./webhooks/webhooks.ts";

/** Who gave an answer, and when. */
export interface Provenance {
  /** As the client says, e.g. `ntfy:phone`; its principal if it does not say; `default` if nobody answered. */
  readonly respondedBy: string;
  /** RFC 3339. */
  readonly respondedAt: string;
  /** Did nobody answer, so that the default counts? */
  readonly isDefault: boolean;
}

/** What a person has answered, and who it was (RFC §12.1). */
export interface HumanInput<Value> extends Provenance {
  /** It keeps the schema that was asked with. */
  readonly value: Value;
}

/** Which of the options a person has chosen, and who it was (RFC §12.2). */
export interface HumanChoice extends Provenance {
  readonly choiceId: string;
}

/** What an operator decides about questions and grants. */
export interface PeoplePolicy {
  readonly mayAnswer: InteractionPolicy | undefined;
  readonly grants: GrantPolicy;
  readonly maxElevation: MaxElevation;
}

export interface PeopleOptions {
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly sessions: Pick<SessionRegistry, "get" | "of">;
  readonly jobs: Pick<JobRegistry, "get">;
  readonly cancellation: Pick<Cancellation, "controlled" | "isElsewhere">;
  readonly schemas: SchemaCompiler;
  readonly webhooks: Pick<Webhooks, "questionAsked">;
  readonly policy: PeoplePolicy;
  /** How long it is remembered how a question ended, in milliseconds. */
  readonly retentionMs: number;
  /** The other nodes; `undefined`: there are none. */
  readonly others?: (OtherNodes & AllNodes) | undefined;
}

/** Every other node at once. */
export interface AllNodes {
  /** Resolves with whether `method` of one of them returns true; rejects with what one throws if none does. */
  askAll(method: string, params: unknown): Promise<boolean>;
  /** What does not arrive is not told again. */
  tellAll(method: string, params: unknown): void;
}

/** Sessions of wire 1.0 carry how far their client is trusted; who is let in over wire 1.1 has shown a token. */
const TRUST_PREFIX = "trust:";
const DEFAULT_TRUST: TrustLevel = "trusted";

export class People {
  readonly interactions: Interactions;
  readonly grants: Grants;
  readonly interrupts: Interrupts;
  readonly #options: PeopleOptions;

  constructor(options: PeopleOptions) {
    this.#options = options;
    const { journal, store, clock, logger, audit, sessions, jobs, policy, retentionMs } = options;
    const sessionOf = (id: Session["id"]): Session | undefined => sessions.get(id);
    const audience = new Audience({
      sessionsOf: (principal) => sessions.of(principal),
      policy: policy.mayAnswer,
      logger,
    });
    this.interactions = new Interactions({
      ...{ journal, store, clock, logger, audit, audience, sessionOf, retentionMs, others: options.others },
      webhooks: options.webhooks,
    });
    this.grants = new Grants({
      ...{ audit, clock, logger, interactions: this.interactions, policy: policy.grants, sessionOf },
      maxElevation: policy.maxElevation,
      jobOf: (id) => jobs.get(id),
      trustOf: (job) => trustOf(sessions.get(job.sessionId)),
      mayDecide: (job, lease, session) => audience.mayAnswer(leaseView(job, lease), session),
      others: options.others && {
        changeLease: (change) => options.others?.askAll("lease.change", change) ?? Promise.resolve(false),
        showLease: (shown) => journal.afterCommit(() => options.others?.tellAll("lease.show", shown)),
      },
    });
    this.interrupts = new Interrupts({
      ...{ interactions: this.interactions, logger, audit },
      controlled: (session, jobId) => options.cancellation.controlled(session, jobId),
      isElsewhere: (session, jobId) => options.cancellation.isElsewhere(session, jobId),
      elsewhere: options.others,
    });
  }

  /** RFC §12.1. Rejects as {@link inputDraft} and {@link Interactions.ask} do. */
  async askInput<Value>(job: Job, options: HumanInputOptions, onAsked?: OnAsked): Promise<HumanInput<Value>> {
    const asked = this.interactions.ask(job, await this.#inputDraft(job, options), inputOf<Value>);
    onAsked?.(asked.id);
    return asked.settled;
  }

  /** RFC §12.2. Rejects as {@link choiceDraft} and {@link Interactions.ask} do. */
  async askChoice(job: Job, options: HumanChoiceOptions, onAsked?: OnAsked): Promise<HumanChoice> {
    const asked = this.interactions.ask(job, choiceDraft(options, this.#options.clock.now()), choiceOf);
    onAsked?.(asked.id);
    return asked.settled;
  }

  /** Asks again what was open when the runtime died; `undefined` if it was not. */
  async reopen(
    job: Job,
    questionId: string,
    question: StoredQuestionOptions,
    load: (id: SessionId) => Promise<Session | undefined>,
  ): Promise<Asked<HumanInput<unknown> | HumanChoice> | undefined> {
    const { interactions } = this;
    // Its time is on record.
    const { expiresAt: _at, expiresInMs: _in, ...options } = question.options;
    if (question.kind === "input") {
      const draft = await this.#inputDraft(job, options as HumanInputOptions);
      return interactions.reopen(job, questionId, draft, inputOf<unknown>, load);
    }
    const draft = choiceDraft(options as HumanChoiceOptions, this.#options.clock.now());
    return interactions.reopen(job, questionId, draft, choiceOf, load);
  }

  #inputDraft(job: Job, options: HumanInputOptions): Promise<QuestionDraft> {
    const { clock, schemas } = this.#options;
    return inputDraft(options, { schemas, owner: job.submitterPrincipal, now: clock.now() });
  }
}

/** Called in the turn in which a question is asked, with its id. */
export type OnAsked = (questionId: string) => void;

/** What it takes to ask a question again. */
export interface StoredQuestionOptions {
  readonly kind: "input" | "choice";
  readonly options: Omit<HumanInputOptions, "signal"> | Omit<HumanChoiceOptions, "signal">;
}

const inputOf = <Value>(answered: Answered): HumanInput<Value> => {
  const value = answered.answer.kind === "input" ? answered.answer.value : undefined;
  return { value: value as Value, ...provenanceOf(answered) };
};

const choiceOf = (answered: Answered): HumanChoice => ({
  choiceId: answered.answer.kind === "choice" ? answered.answer.choiceId : "",
  ...provenanceOf(answered),
});

const provenanceOf = ({ respondedBy, respondedAt, isDefault }: Answered): Provenance => ({
  respondedBy,
  respondedAt,
  isDefault,
});

function trustOf(session: Session | undefined): TrustLevel {
  if (session === undefined) return "untrusted";
  const named = [...session.features].find((feature) => feature.startsWith(TRUST_PREFIX));
  return named === undefined ? DEFAULT_TRUST : (named.slice(TRUST_PREFIX.length) as TrustLevel);
}

const leaseView = ({ agentRef }: Job, { leaseId, jobId, principal, permission, resource, operation }: GrantFacts) => ({
  ...{ id: leaseId, kind: "permission" as const, jobId, agentRef, principal, quorum: 1 },
  ...{ permission, resource, operation },
});
