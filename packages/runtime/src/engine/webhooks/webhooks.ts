/**
 * Webhooks: what operators want to be told over HTTP. Something is told by being put into the outbox, in the batch that holds it, so
 * nothing is told that was not stored and nothing that was stored is forgotten. Couriers take it from there.
 */
import { type Clock, type JobId, type Logger, redactedJson } from "@arcp/core";
import type { WebhookEvent, WebhookEventType } from "@arcp/core/webhooks";
import type { SharedStore } from "../../store/shared.ts";
import type { Store } from "../../store/store.ts";
import { nameInTenant } from "../access.ts";
import type { Audit } from "../audit/audit.ts";
import { timestamp } from "../entry-text.ts";
import type { Question } from "../interactions/question.ts";
import type { Job } from "../job.ts";
import type { Outcome } from "../job-facts.ts";
import type { Journal } from "../journal.ts";
import { initialBudgetFromLease } from "../lease/budget.ts";
import { shownTarget } from "../lease/operation.ts";
import type { RuntimeMetrics } from "../metrics/runtime-metrics.ts";
import { Courier, type PostWebhook } from "./courier.ts";
import type { WebhookSettings } from "./endpoint.ts";
import { endpointRecord, storedEndpoints, webhookId, webhookRecord } from "./outbox.ts";

export interface WebhooksOptions {
  readonly settings: WebhookSettings;
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly metrics: RuntimeMetrics;
  readonly post: PostWebhook;
  /** What other runtimes over the same store share with this one; `undefined`: there are none. */
  readonly shared: Pick<SharedStore, "bindKey" | "releaseKey"> | undefined;
  /** In [0, 1): spreads retries. */
  readonly random: () => number;
}

/** The shares of one job's budgets that are not used up yet. */
export interface BudgetWatch {
  /** To be called in the turn in which what is left of a currency changes. */
  changed(job: Job, currency: string, remaining: number): void;
}

/** Characters of a text that agents word. */
const MAX_TEXT = 2_000;

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #couriers: ReadonlyMap<string, Courier>;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    const { settings } = options;
    this.#couriers = new Map(
      settings.receivers.map((receiver) => [receiver.name, new Courier({ ...options, receiver, name: receiver.name })]),
    );
  }

  /** Begins to deliver what is stored. */
  async start(): Promise<void> {
    const { journal, store } = this.#options;
    if (this.#couriers.size === 0) return;
    const known = new Set(await storedEndpoints(store));
    for (const name of this.#couriers.keys()) if (!known.has(name)) journal.putRecord(endpointRecord(name));
    for (const courier of this.#couriers.values()) courier.start();
  }

  /** Delivers nothing more. What was being delivered is delivered again, by the next runtime. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#couriers.values()].map((courier) => courier.close()));
  }

  /** The job has ended. To be called in the turn of its end. */
  jobEnded(job: Job, outcome: Outcome, endedAt: number): void {
    const error = outcome.status === "success" ? undefined : outcome.error;
    const { budget } = job;
    this.#tell(job, "job.ended", "", (texts) => ({
      ...{ status: outcome.status, created_at: job.createdAt, ended_at: timestamp(endedAt) },
      ...(budget.size > 0 && { budget_remaining: Object.fromEntries(budget) }),
      ...(error !== undefined && {
        error: {
          ...{ code: error.code, retryable: error.retryable },
          ...(texts && { message: error.message.slice(0, MAX_TEXT) }),
        },
      }),
    }));
  }

  /** The job asks people something. To be called in the turn in which it does. */
  questionAsked({ job, view, draft, expiresAt }: Pick<Question, "job" | "view" | "draft" | "expiresAt">): void {
    const { permission, resource, operation } = view;
    const { prompt } = draft.members;
    this.#tell(job, "question.asked", view.id, (texts) => ({
      ...{ question_id: view.id, question: view.kind, expires_at: timestamp(expiresAt) },
      ...(draft.cause !== undefined && { cause: draft.cause }),
      ...(permission !== undefined && { permission, operation }),
      ...(permission !== undefined && resource !== undefined && { resource: shownTarget(permission, resource) }),
      ...(texts && typeof prompt === "string" && { prompt: prompt.slice(0, MAX_TEXT) }),
    }));
  }

  /** What watches the budget of a job that has, or still has, `remaining`; `undefined` if nobody wants to know. */
  watch(lease: Job["lease"], remaining: (currency: string) => number | undefined): BudgetWatch | undefined {
    const { receivers, budgetThresholds } = this.#options.settings;
    if (lease["cost.budget"] === undefined || receivers.length === 0) return undefined;
    const initial = initialBudgetFromLease(lease);
    // What was used up before this process had the job was told by the one before.
    const open = new Map(
      [...initial].map(([currency, whole]) => {
        const left = remaining(currency) ?? whole;
        return [currency, budgetThresholds.filter((share) => !isUsedUp(whole, left, share))];
      }),
    );
    return {
      changed: (job, currency, left) => {
        const whole = initial.get(currency);
        const shares = open.get(currency);
        if (whole === undefined || shares === undefined) return;
        const reached = shares.filter((share) => isUsedUp(whole, left, share));
        if (reached.length === 0) return;
        open.set(
          currency,
          shares.filter((share) => !reached.includes(share)),
        );
        for (const threshold of reached) {
          const facts = { currency, threshold, initial: whole, remaining: left };
          this.#tell(job, "budget.threshold", `${currency} ${threshold}`, () => facts);
        }
      },
    };
  }

  /** Puts it into the open batch for every endpoint that wants it. `about` tells apart what is told of one job. */
  #tell(job: Job, type: WebhookEventType, about: string, facts: (texts: boolean) => object): void {
    const { settings, journal, clock } = this.#options;
    if (settings.receivers.length === 0) return;
    const { tenant, name: principal } = nameInTenant(job.submitterPrincipal);
    const { agent, agentRef } = job;
    const now = clock.now();
    const of = {
      ...{ job_id: job.id, session_id: job.sessionId, principal, ...(tenant !== undefined && { tenant }) },
      ...{ agent: agentRef, trace_id: job.traceId },
      ...(job.parentJobId !== undefined && { parent_job_id: job.parentJobId }),
    };
    for (const receiver of settings.receivers) {
      if (!receiver.wants({ type, tenant: tenant ?? "", agent, agentRef })) continue;
      const event = { type, timestamp: timestamp(now), data: { ...of, ...facts(receiver.tellsTexts) } };
      const text = redactedJson(event satisfies Pick<WebhookEvent, "type" | "timestamp">);
      const webhook = {
        ...{ id: webhookId(job.id as JobId, type, about), endpoint: receiver.name, type },
        ...{ principal: job.submitterPrincipal, jobId: job.id, state: "waiting" as const },
        ...{ createdAt: now, dueAt: now, since: now, attempts: 0, failures: 0, lastError: null },
        body: job.secretMask?.maskJson(text).text ?? text,
      };
      journal.putRecord(webhookRecord(webhook, { isNew: true }));
      const courier = this.#couriers.get(receiver.name);
      if (courier !== undefined) journal.afterCommit(() => courier.wake());
    }
  }
}

/** Is that share of the whole used up, or more? In decimals, of which floats know too many. */
const isUsedUp = (whole: number, left: number, share: number): boolean =>
  left <= Number((whole * (1 - share)).toPrecision(12));
