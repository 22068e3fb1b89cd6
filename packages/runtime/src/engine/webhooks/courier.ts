/**
 * Delivers what the outbox holds for one endpoint: what is due first, a few at a time. It keeps nothing in mind that is not in the store but
 * what is under way: however much waits for an endpoint that does not answer, and whoever has put it there, takes no memory.
 *
 * Where several runtimes share the store, one claims a delivery before, and looks at it again then: another one has made it, or it is this
 * one's. If that node dies before it has said what came of it, its claim is void.
 */
import { type Clock, type JobId, type Logger, newJobId } from "@arcp/core";
import { signWebhook, WEBHOOK_HEADERS } from "@arcp/core/webhooks";
import type { SharedStore } from "../../store/shared.ts";
import type { Store } from "../../store/store.ts";
import type { Audit } from "../audit/audit.ts";
import { callUpstream, nameOfFailure } from "../credentials/upstream-call.ts";
import type { Journal } from "../journal.ts";
import type { RuntimeMetrics } from "../metrics/runtime-metrics.ts";
import type { Receiver, WebhookSettings } from "./endpoint.ts";
import { kindOf, noWebhookRecord, type StoredWebhook, webhookOf, webhookRecord } from "./outbox.ts";

/** What an endpoint has answered. */
export interface PostAnswer {
  readonly status: number;
  /** As it asks, in milliseconds; `undefined` if it does not. */
  readonly retryAfterMs: number | undefined;
}

/** Sends one request. Follows nothing, and reads no more of the answer than it must. Rejects when there is no answer. */
export type PostWebhook = (
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
) => Promise<PostAnswer>;

export interface CourierOptions {
  readonly name: string;
  readonly receiver: Receiver;
  readonly settings: WebhookSettings;
  readonly journal: Journal;
  readonly store: Pick<Store, "listRecords" | "findRecord">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly metrics: RuntimeMetrics;
  readonly post: PostWebhook;
  readonly shared: Pick<SharedStore, "bindKey" | "releaseKey"> | undefined;
  readonly random: () => number;
}

/** How often is looked for what nobody has told of: of other nodes, and of operators. */
const LOOK_MS = 2_000;
/** After how long is looked again at what another node is delivering. */
const HELD_MS = 2_000;
/** In whose name deliveries are claimed: no client has it. */
const CLAIMANT = "\u0000webhooks";
const CLAIM_TTL_MS = 3_600_000;
const GONE = 410;
const MAX_RETRY_AFTER_MS = 3_600_000;
const MAX_DOUBLINGS = 30;
/** Waits are this much shorter or longer, at most. */
const JITTER = 0.2;

export class Courier {
  readonly #options: CourierOptions;
  readonly #kind: string;
  /** What is under way, by id. */
  readonly #underWay = new Map<string, Promise<void>>();
  /** What another node is delivering, and until when it is left alone, by the clock that nobody changes. */
  readonly #held = new Map<string, number>();
  /** Claims of this node that it has not given back. */
  readonly #claims = new Map<string, JobId>();
  readonly #stop = new AbortController();
  #state: "new" | "started" | "closed" = "new";
  #looking: Promise<void> | undefined;
  #mustLook = false;
  #cancelTimer: () => void = () => {};

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#kind = kindOf(options.name);
  }

  start(): void {
    if (this.#state !== "new") return;
    this.#state = "started";
    this.wake();
  }

  /** Something may be due. */
  wake(): void {
    if (this.#state !== "started") return;
    this.#mustLook = true;
    if (this.#looking !== undefined || this.#underWay.size >= this.#options.settings.concurrency) return;
    this.#cancelTimer();
    this.#looking = this.#look().finally(() => {
      this.#looking = undefined;
      if (this.#mustLook) this.wake();
    });
  }

  /** Begins nothing more, gives up what is under way, and resolves when that is over. Idempotent. */
  async close(): Promise<void> {
    this.#state = "closed";
    this.#cancelTimer();
    this.#stop.abort(new Error("the runtime stops"));
    await this.#looking;
    await Promise.all(this.#underWay.values());
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { journal, store, clock, settings, logger } = this.#options;
    this.#mustLook = false;
    let wait = LOOK_MS;
    try {
      await journal.flush();
      const monotonic = clock.monotonic();
      for (const [id, until] of this.#held) if (until <= monotonic) this.#held.delete(id);
      const now = clock.now();
      // One more than can begin: it says when something is due next.
      const limit = settings.concurrency + this.#underWay.size + this.#held.size + 1;
      const records = await store.listRecords({ kind: this.#kind, dueBefore: Number.MAX_SAFE_INTEGER, limit });
      for (const record of records) {
        if (this.#state !== "started" || this.#underWay.has(record.id) || this.#held.has(record.id)) continue;
        const webhook = webhookOf(record);
        if (webhook === undefined) continue;
        if (webhook.dueAt > now) {
          wait = Math.min(wait, webhook.dueAt - now);
          break;
        }
        // Whatever ends makes room, and looks again.
        if (this.#underWay.size >= settings.concurrency) break;
        this.#begin(webhook);
      }
      if (this.#held.size > 0) wait = Math.min(wait, HELD_MS);
    } catch (err) {
      if (this.#state === "started") logger.warn({ err, endpoint: this.#options.name }, "webhooks cannot be read");
    }
    if (this.#state === "started") this.#cancelTimer = clock.setTimer(() => this.wake(), wait);
  }

  #begin(webhook: StoredWebhook): void {
    const delivery = this.#deliver(webhook)
      .catch((err) => {
        const { logger, name: endpoint } = this.#options;
        if (this.#state === "started") logger.warn({ err, endpoint, webhookId: webhook.id }, "a webhook was not told");
        this.#hold(webhook.id);
      })
      .finally(() => {
        this.#underWay.delete(webhook.id);
        this.wake();
      });
    this.#underWay.set(webhook.id, delivery);
  }

  async #deliver(listed: StoredWebhook): Promise<void> {
    const { journal, store, shared } = this.#options;
    if (shared === undefined) {
      await this.#attempt(listed);
      return journal.flush();
    }
    const key = `${this.#kind} ${listed.id} ${listed.attempts}`;
    if (!(await this.#claim(shared, key))) return this.#hold(listed.id);
    try {
      const record = await store.findRecord(this.#kind, listed.id);
      const webhook = record && webhookOf(record);
      // Another node has made the attempt since this one looked.
      if (webhook === undefined || webhook.attempts !== listed.attempts || webhook.dueAt !== listed.dueAt) return;
      await this.#attempt(webhook);
      await journal.flush();
    } finally {
      await this.#release(shared, key);
    }
  }

  async #attempt(webhook: StoredWebhook): Promise<void> {
    const { journal, clock, metrics, settings, logger, name: endpoint } = this.#options;
    if (webhook.state === "dead") return journal.putRecord(noWebhookRecord(webhook));
    let answer: PostAnswer | undefined;
    let failure: string;
    try {
      answer = await this.#post(webhook);
      failure = `HTTP ${answer.status}`;
    } catch (error) {
      // It is told by the next runtime: whether the endpoint has it is not known.
      if (this.#stop.signal.aborted) return;
      failure = nameOfFailure(error);
      logger.debug({ err: error, endpoint, webhookId: webhook.id }, "a webhook was not taken");
    }
    const { type, attempts, failures, since } = webhook;
    if (answer !== undefined && answer.status >= 200 && answer.status < 300) {
      metrics.webhook(type, "delivered");
      return journal.putRecord(noWebhookRecord(webhook));
    }
    const now = clock.now();
    const wait = this.#waitAfter(failures, answer?.retryAfterMs);
    const failed = { ...webhook, attempts: attempts + 1, failures: failures + 1, lastError: failure };
    if (answer?.status === GONE || now + wait - since > settings.giveUpAfterMs) this.#giveUp(failed, now);
    else {
      metrics.webhook(type, "failed");
      journal.putRecord(webhookRecord({ ...failed, dueAt: now + wait }, { isNew: false }));
    }
  }

  #giveUp(webhook: StoredWebhook, now: number): void {
    const { journal, audit, logger, metrics, settings, name: endpoint } = this.#options;
    const { id, type, principal, jobId, attempts, lastError } = webhook;
    metrics.webhook(type, "dead");
    logger.error({ endpoint, webhookId: id, jobId, type, attempts, failure: lastError }, "a webhook was given up");
    audit.record("webhook.given_up", { principal, jobId }, { endpoint, type, webhook_id: id, attempts });
    const dead = { ...webhook, state: "dead" as const, dueAt: now + settings.keepDeadMs };
    journal.putRecord(webhookRecord(dead, { isNew: false }));
  }

  async #post({ id, body }: StoredWebhook): Promise<PostAnswer> {
    const { clock, receiver, post, settings } = this.#options;
    const sentAt = Math.floor(clock.now() / 1000);
    const headers = {
      "content-type": "application/json",
      [WEBHOOK_HEADERS.id]: id,
      [WEBHOOK_HEADERS.timestamp]: String(sentAt),
      [WEBHOOK_HEADERS.signature]: await signWebhook({ id, timestamp: sentAt, body }, receiver.secrets),
    };
    const limits = { clock, timeoutMs: settings.timeoutMs, signal: this.#stop.signal };
    return callUpstream((signal) => post(receiver.url, headers, body, signal), limits).answer;
  }

  #waitAfter(failures: number, retryAfterMs = 0): number {
    const { settings, random } = this.#options;
    const doubled = settings.firstRetryMs * 2 ** Math.min(failures, MAX_DOUBLINGS);
    const spread = 1 + JITTER * (2 * random() - 1);
    return Math.round(
      Math.max(Math.min(doubled, settings.maxRetryMs) * spread, Math.min(retryAfterMs, MAX_RETRY_AFTER_MS)),
    );
  }

  #hold(id: string): void {
    this.#held.set(id, this.#options.clock.monotonic() + HELD_MS);
  }

  async #claim(shared: Pick<SharedStore, "bindKey">, key: string): Promise<boolean> {
    // One that could not be given back is this node's still.
    const jobId = this.#claims.get(key) ?? newJobId();
    const expiresAt = this.#options.clock.now() + CLAIM_TTL_MS;
    const bound = await shared.bindKey({ principal: CLAIMANT, key, digest: "", jobId, expiresAt });
    if (bound.jobId !== jobId) return false;
    this.#claims.set(key, jobId);
    return true;
  }

  async #release(shared: Pick<SharedStore, "releaseKey">, key: string): Promise<void> {
    const jobId = this.#claims.get(key);
    if (jobId === undefined) return;
    await shared.releaseKey({ principal: CLAIMANT, key, jobId });
    this.#claims.delete(key);
  }
}
