/**
 * The audit: who did what, when, and what was decided, in rows that nobody can change unnoticed (`store/audit-chain.ts`).
 *
 * A row is put into the open batch in the turn of what it tells of, so both are durable or neither is. Events of jobs have
 * no rows: the journal is theirs.
 */
import type { Clock, JobId, Logger, SessionId } from "@arcp/core";
import { canonicalJson } from "../../store/canonical-json.ts";
import type { AuditRecord, Store } from "../../store/store.ts";
import { digestOf } from "../canonical-json.ts";
import { timestamp } from "../entry-text.ts";
import type { Job } from "../job.ts";
import type { Journal } from "../journal.ts";
import { noMetrics, type RuntimeMetrics } from "../metrics/runtime-metrics.ts";
import type { Session } from "../session.ts";
import { type AnswerFacts, type AuditAction, type AuditFacts, RATIONED } from "./catalogue.ts";
import { Ration } from "./ration.ts";

/** What an operator decides about the audit. */
export interface AuditPolicy {
  /**
   * What is recorded of people's answers, besides who answered and when: a SHA-256 digest, by which an answer can be
   * recognised (short ones can be guessed from it), the answer itself, or nothing. Default: `"digest"`.
   */
  readonly answers: "none" | "digest" | "value";
  /** How long rows are kept, in milliseconds; `Infinity`: for ever. Default: 90 days. */
  readonly retentionMs: number;
}

const DAY_MS = 86_400_000;

/** What the audit log keeps, and for how long, where nothing else is said. */
export const DEFAULT_AUDIT_POLICY: AuditPolicy = { answers: "digest", retentionMs: 90 * DAY_MS };

/** Who is concerned. */
export interface AuditSubject {
  /** Who did it; of what the runtime or its operator did, whose it is; empty for nobody. */
  readonly principal: string;
  readonly sessionId?: SessionId | undefined;
  readonly jobId?: JobId | undefined;
  readonly remoteAddress?: string | undefined;
  readonly traceId?: string | undefined;
}

/** The client of a session, wherever it is now, about one of its jobs or another's. */
export const bySession = (
  { principal, id, remoteAddress }: Pick<Session, "principal" | "id" | "remoteAddress">,
  about: Pick<AuditSubject, "jobId" | "traceId"> = {},
): AuditSubject => ({ principal, sessionId: id, remoteAddress, ...about });

/** A job, whatever happens to it by itself. */
export const ofJob = (job: Pick<Job, "submitterPrincipal" | "sessionId" | "id" | "traceId">): AuditSubject => ({
  ...{ principal: job.submitterPrincipal, sessionId: job.sessionId, jobId: job.id, traceId: job.traceId },
});

/** Nobody in particular. */
export const NOBODY: AuditSubject = { principal: "" };

export interface AuditOptions {
  readonly journal: Pick<Journal, "addAudit">;
  readonly clock: Clock;
  readonly policy: AuditPolicy;
  readonly metrics?: RuntimeMetrics;
  /** What the first row of a process says. */
  readonly runtime: { readonly name: string; readonly version: string };
}

/** Rows of one action, by one source, that were left out. */
interface Suppressed {
  readonly action: AuditAction;
  /** Nobody, when there are too many to name. */
  readonly subject: AuditSubject;
  rows: number;
  readonly since: number;
}

/** Characters of a principal or an address. */
const MAX_NAME = 512;
/** Bytes of facts; larger ones are told by their digest. */
const MAX_FACTS = 32_768;
/** How often is said how much was left out. */
const SUMMARY_MS = 60_000;
/** Sources that are named in it, over all actions; what others had left out is told by action alone. */
const MAX_NAMED = 16;
const TEND_EVERY_MS = 3_600_000;

export class Audit {
  readonly #options: AuditOptions;
  readonly #ration: Ration;
  readonly #suppressed = new Map<string, Suppressed>();
  #stopTimer: (() => void) | undefined;
  #hasStarted = false;
  #tendedAt: number | undefined;

  constructor(options: AuditOptions) {
    this.#options = options;
    this.#ration = new Ration(options.clock);
  }

  /**
   * Puts a row into the open batch. Of actions that clients can repeat without end there is a limit per client and in all:
   * what goes beyond it is counted, and told once a minute.
   */
  record<Action extends AuditAction>(action: Action, subject: AuditSubject, facts: AuditFacts[Action]): void {
    (this.#options.metrics ?? noMetrics).audited(action, facts as Readonly<Record<string, unknown>>);
    // What is refused at the door has nothing but an address.
    const { principal, remoteAddress } = subject;
    const isPrincipal = principal !== "";
    const source: AuditSubject = isPrincipal ? { principal } : { principal, remoteAddress };
    const name = isPrincipal ? principal : (remoteAddress ?? "");
    if (!RATIONED.has(action) || this.#ration.take({ name, isPrincipal })) this.#add(action, subject, facts);
    else this.#suppress(action, source);
  }

  /** What is recorded of an answer. */
  answerFacts(questionId: string, answer: unknown): AnswerFacts {
    const { answers } = this.#options.policy;
    if (answers === "none") return {};
    return answers === "value" ? { answer } : { answer_sha256: digestOf([questionId, answer]) };
  }

  /**
   * Deletes what is older than the operator wants it kept, and says where the chain ends; once an hour, however often it
   * is called.
   */
  async tend(store: Pick<Store, "pruneAudit" | "auditHead">, logger: Logger): Promise<void> {
    const { clock, policy } = this.#options;
    const now = clock.monotonic();
    if (this.#tendedAt !== undefined && now - this.#tendedAt < TEND_EVERY_MS) return;
    this.#tendedAt = now;
    const before = clock.now() - policy.retentionMs;
    if (Number.isFinite(before)) while ((await store.pruneAudit(before, clock.now())) > 0);
    await this.tellHead(store, logger);
  }

  /** Says in the log where the chain ends: a log that is kept elsewhere proves that nothing was cut off, or written anew. */
  async tellHead(store: Pick<Store, "auditHead">, logger: Logger): Promise<void> {
    const head = await store.auditHead();
    if (head !== undefined) logger.info({ seq: head.seq, hash: head.hash }, "the head of the audit");
  }

  /** Says what was left out, and that the runtime stops, in the open batch. Idempotent. */
  close(reason: string): void {
    this.#summarise();
    if (this.#hasStarted) this.#add("runtime.stopped", NOBODY, { reason });
    this.#hasStarted = false;
  }

  /** The same without a word: for a store that has failed. */
  abort(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #add<Action extends AuditAction>(action: Action, subject: AuditSubject, facts: AuditFacts[Action]): void {
    if (!this.#hasStarted) {
      this.#hasStarted = true;
      this.#add("runtime.started", NOBODY, { ...this.#options.runtime });
    }
    const { principal, sessionId, jobId, remoteAddress, traceId } = subject;
    const record: AuditRecord = {
      ...{ at: this.#options.clock.now(), action, principal: nameOf(principal), facts: textOf(facts) },
      ...(sessionId !== undefined && { sessionId }),
      ...(jobId !== undefined && { jobId }),
      ...(remoteAddress !== undefined && { remoteAddress: nameOf(remoteAddress) }),
      ...(traceId !== undefined && { traceId }),
    };
    this.#options.journal.addAudit(record);
  }

  #suppress(action: AuditAction, source: AuditSubject): void {
    const { clock } = this.#options;
    const known = JSON.stringify([action, source]);
    const isNamed = this.#suppressed.has(known) || this.#suppressed.size < MAX_NAMED;
    const [key, subject] = isNamed ? [known, source] : [action, NOBODY];
    const suppressed = this.#suppressed.get(key);
    if (suppressed === undefined) this.#suppressed.set(key, { action, subject, rows: 1, since: clock.now() });
    else suppressed.rows += 1;
    this.#stopTimer ??= clock.setTimer(() => this.#summarise(), SUMMARY_MS);
  }

  #summarise(): void {
    this.abort();
    const all = [...this.#suppressed.values()];
    this.#suppressed.clear();
    for (const { action, subject, rows, since } of all) {
      this.#add("audit.suppressed", subject, { action, rows, since: timestamp(since) });
    }
  }
}

/** As a database keeps it: what is no text would come back as another. */
const nameOf = (text: string): string => text.slice(0, MAX_NAME).toWellFormed();

function textOf(facts: object): string {
  const text = canonicalJson(facts);
  if (text.length <= MAX_FACTS) return text;
  return canonicalJson({ bytes: Buffer.byteLength(text), sha256: digestOf(facts) });
}
