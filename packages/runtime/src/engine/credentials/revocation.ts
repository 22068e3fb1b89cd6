/**
 * Revocation, which never gives up (§9.8.2, §14). A record that is to be revoked says so in the store first; then the
 * upstream is asked until it says that the secret is dead, across restarts.
 *
 *   queued  -> asking    a place is free: only so many upstreams' answers are waited for at a time
 *   asking  -> (gone)    the secret is dead: the record is `revoked`
 *   asking  -> waiting   it failed, or the secret may still come into being
 *   waiting -> queued    the time has come
 *   kept                 nobody configured can revoke it: it waits for a start with its provisioner
 */
import type { Clock, Logger } from "@arcp/core";
import type { CredentialRecord } from "../../store/store.ts";
import { type Audit, NOBODY } from "../audit/audit.ts";
import type { Journal } from "../journal.ts";
import type { CredentialProvisioner } from "./provisioner.ts";
import { callUpstream, nameOfFailure, retryAfterOf } from "./upstream-call.ts";

export interface RevocationTiming {
  /** One attempt. Default: 10,000. */
  readonly attemptTimeoutMs: number;
  /** The first wait after a failure, which doubles with each. Default: 1,000. */
  readonly firstRetryMs: number;
  /** The longest wait. Default: 5 minutes. */
  readonly maxRetryMs: number;
  /** The longest wait that an upstream may ask for. Default: 1 hour. */
  readonly maxRetryAfterMs: number;
  /** After how long operators hear of it. Default: 15 minutes. */
  readonly alarmAfterMs: number;
  /** How often they do from then on. Default: 1 hour. */
  readonly alarmEveryMs: number;
  /**
   * How long a secret whose issue was never confirmed may take to come into being: one that an upstream does not know
   * is asked for again after that. Default: 30,000.
   */
  readonly settleMs: number;
}

const MINUTE_MS = 60_000;

export const DEFAULT_REVOCATION_TIMING: RevocationTiming = {
  ...{ attemptTimeoutMs: 10_000, firstRetryMs: 1_000, maxRetryMs: 5 * MINUTE_MS, maxRetryAfterMs: 60 * MINUTE_MS },
  ...{ alarmAfterMs: 15 * MINUTE_MS, alarmEveryMs: 60 * MINUTE_MS, settleMs: 30_000 },
};

export interface RevocationTools {
  readonly journal: Pick<Journal, "putCredential" | "afterCommit" | "flush">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly provisioners: ReadonlyMap<string, CredentialProvisioner>;
  readonly timing: RevocationTiming;
  /** In [0, 1): spreads retries. */
  readonly random: () => number;
}

type Phase =
  | { readonly name: "queued" }
  | { readonly name: "asking" }
  | { readonly name: "waiting"; readonly stopTimer: () => void; readonly isAnswered: boolean }
  | { readonly name: "kept" };

interface Outstanding {
  record: CredentialRecord;
  phase: Phase;
  /** Something was learnt while the upstream was being asked: its answer is not the last word. */
  mustRepeat: boolean;
  /** Does another runtime see to it? */
  isLost: boolean;
  stopAlarm: () => void;
}

/** Answers of one provisioner that are waited for at a time. */
const LANE_WIDTH = 16;
const MAX_DOUBLINGS = 30;

export class Revocations {
  readonly #tools: RevocationTools;
  readonly #outstanding = new Map<string, Outstanding>();
  /** Aliases whose issue is still under way at the upstream, as far as anybody knows. */
  readonly #unanswered = new Set<string>();
  readonly #lanes = new Map<string, { asking: number; readonly queue: Outstanding[] }>();
  readonly #stop = new AbortController();
  #onProgress: () => void = () => {};

  constructor(tools: RevocationTools) {
    this.#tools = tools;
  }

  /** What is to be revoked and is not known to be dead. */
  get outstanding(): readonly CredentialRecord[] {
    return [...this.#outstanding.values()].map(({ record }) => record);
  }

  /** Puts the record to `revoking` in the open batch, and begins when that is durable. */
  begin(record: CredentialRecord): void {
    const { journal, clock, timing } = this.#tools;
    const revoking = { ...record, state: "revoking" as const, revokingSince: record.revokingSince ?? clock.now() };
    if (record.state !== "revoking") journal.putCredential(revoking);
    const entry: Outstanding = {
      ...{ record: revoking, phase: { name: "queued" }, mustRepeat: false, isLost: false, stopAlarm: () => {} },
    };
    this.#outstanding.set(record.alias, entry);
    if (this.#stop.signal.aborted) return;
    this.#alarmIn(entry, Math.max(revoking.revokingSince + timing.alarmAfterMs - clock.now(), 0));
    journal.afterCommit(() => this.#enqueue(entry));
  }

  /**
   * Watches an issue that is under way. Nothing of its alias counts as dead before it is over; if it succeeds although
   * the alias is being revoked, that begins anew.
   */
  watch(alias: string, outcome: Promise<{ readonly upstreamId: string | null }>): void {
    this.#unanswered.add(alias);
    outcome.then(
      ({ upstreamId }) => {
        this.#unanswered.delete(alias);
        this.#confirmIssued(alias, upstreamId);
      },
      () => this.#unanswered.delete(alias),
    );
  }

  /**
   * Resolves when everything was revoked that can be, or after `timeoutMs`; nothing is attempted from then on. Rejects
   * when the store has failed.
   */
  async close(timeoutMs: number): Promise<void> {
    const { journal } = this.#tools;
    try {
      await journal.flush();
      await this.#drained(timeoutMs);
      await journal.flush();
    } finally {
      this.abort();
    }
  }

  async #drained(timeoutMs: number): Promise<void> {
    const { promise: isOver, resolve } = Promise.withResolvers<void>();
    const stopTimer = this.#tools.clock.setTimer(resolve, timeoutMs);
    this.#onProgress = () => {
      if ([...this.#outstanding.values()].every(isIdle)) resolve();
    };
    this.#onProgress();
    await isOver;
    stopTimer();
  }

  /** Others revoke these. Nothing is written of them any more. */
  lose(): void {
    for (const entry of this.#outstanding.values()) {
      entry.stopAlarm();
      if (entry.phase.name === "waiting") entry.phase.stopTimer();
      entry.isLost = true;
    }
    this.#outstanding.clear();
    this.#unanswered.clear();
    for (const lane of this.#lanes.values()) lane.queue.length = 0;
  }

  /** Stops at once. What is outstanding stays for the next start. */
  abort(): void {
    this.#stop.abort(new Error("the runtime is shutting down"));
    this.#onProgress = () => {};
    for (const entry of this.#outstanding.values()) {
      entry.stopAlarm();
      if (entry.phase.name === "waiting") entry.phase.stopTimer();
    }
    for (const lane of this.#lanes.values()) lane.queue.length = 0;
  }

  #confirmIssued(alias: string, upstreamId: string | null): void {
    const entry = this.#outstanding.get(alias);
    if (entry === undefined || this.#stop.signal.aborted) return;
    this.#put(entry, { issuedAt: this.#tools.clock.now(), upstreamId });
    if (entry.phase.name === "asking") entry.mustRepeat = true;
    if (entry.phase.name !== "waiting") return;
    entry.phase.stopTimer();
    this.#enqueue(entry);
  }

  #enqueue(entry: Outstanding): void {
    if (this.#stop.signal.aborted || entry.isLost) return;
    const { provisioner } = entry.record;
    if (!this.#tools.provisioners.has(provisioner)) {
      entry.phase = { name: "kept" };
      this.#tools.logger.error(factsOf(entry.record), "no provisioner of this name can revoke the credential");
      this.#onProgress();
      return;
    }
    entry.phase = { name: "queued" };
    let lane = this.#lanes.get(provisioner);
    if (lane === undefined) {
      lane = { asking: 0, queue: [] };
      this.#lanes.set(provisioner, lane);
    }
    lane.queue.push(entry);
    this.#advance(provisioner);
  }

  #advance(name: string): void {
    const lane = this.#lanes.get(name);
    const provisioner = this.#tools.provisioners.get(name);
    if (lane === undefined || provisioner === undefined) return;
    while (lane.asking < LANE_WIDTH) {
      const entry = lane.queue.shift();
      if (entry === undefined) return;
      lane.asking += 1;
      void this.#attempt(entry, provisioner).finally(() => {
        lane.asking -= 1;
        this.#advance(name);
      });
    }
  }

  async #attempt(entry: Outstanding, provisioner: CredentialProvisioner): Promise<void> {
    const { clock, timing } = this.#tools;
    const { credentialId, alias, upstreamId, jobId } = entry.record;
    const reference = { credentialId, alias, jobId, upstreamId: upstreamId ?? undefined };
    const settlesIn = this.#settlesIn(entry.record);
    entry.phase = { name: "asking" };
    entry.mustRepeat = false;
    try {
      await callUpstream((signal) => provisioner.revoke(reference, signal), {
        ...{ clock, timeoutMs: timing.attemptTimeoutMs, signal: this.#stop.signal },
      }).answer;
    } catch (error) {
      if (!this.#stop.signal.aborted && !entry.isLost) this.#failed(entry, error);
      return;
    }
    if (this.#stop.signal.aborted || entry.isLost) return;
    if (entry.mustRepeat) this.#enqueue(entry);
    else if (settlesIn === 0) this.#revoked(entry);
    else this.#wait(entry, settlesIn, true);
  }

  /** How long a secret of this alias may still come into being; 0 when no longer. */
  #settlesIn({ alias, issuedAt, revokingSince }: CredentialRecord): number {
    const { clock, timing } = this.#tools;
    if (issuedAt !== null) return 0;
    const rest = Math.max((revokingSince ?? 0) + timing.settleMs - clock.now(), 0);
    return this.#unanswered.has(alias) ? Math.max(rest, timing.settleMs) : rest;
  }

  #revoked(entry: Outstanding): void {
    this.#put(entry, { state: "revoked", revokedAt: this.#tools.clock.now(), lastError: null });
    const { record } = entry;
    this.#tools.audit.record("credential.revoked", { ...NOBODY, jobId: record.jobId }, auditFactsOf(record));
    entry.stopAlarm();
    this.#outstanding.delete(entry.record.alias);
    this.#onProgress();
  }

  #failed(entry: Outstanding, error: unknown): void {
    const { logger, timing } = this.#tools;
    const attempts = entry.record.attempts + 1;
    this.#put(entry, { attempts, lastError: nameOfFailure(error) });
    const { lastError, jobId } = entry.record;
    if (attempts === 1) {
      const facts = { ...auditFactsOf(entry.record), error: lastError ?? "" };
      this.#tools.audit.record("credential.revocation_failed", { ...NOBODY, jobId }, facts);
    }
    logger.warn({ ...factsOf(entry.record), attempts, lastError }, "a credential could not be revoked");
    if (entry.mustRepeat) {
      this.#enqueue(entry);
      return;
    }
    const bound = Math.min(timing.maxRetryMs, timing.firstRetryMs * 2 ** Math.min(attempts - 1, MAX_DOUBLINGS));
    // At least half of it: an upstream that is down is not helped by the impatient.
    const backOff = bound * (0.5 + this.#tools.random() / 2);
    const asked = Math.min(retryAfterOf(error) ?? 0, timing.maxRetryAfterMs);
    this.#wait(entry, Math.max(backOff, asked), false);
  }

  #wait(entry: Outstanding, delayMs: number, isAnswered: boolean): void {
    const stopTimer = this.#tools.clock.setTimer(() => this.#enqueue(entry), delayMs);
    entry.phase = { name: "waiting", stopTimer, isAnswered };
    this.#onProgress();
  }

  #alarmIn(entry: Outstanding, delayMs: number): void {
    const { clock, logger, timing } = this.#tools;
    entry.stopAlarm = clock.setTimer(() => {
      const { attempts, lastError, revokingSince } = entry.record;
      const facts = { ...factsOf(entry.record), attempts, lastError, revokingSince };
      logger.error(facts, "a credential that ought to be dead is not known to be: revoke it at the upstream");
      this.#alarmIn(entry, timing.alarmEveryMs);
    }, delayMs);
  }

  #put(entry: Outstanding, change: Partial<CredentialRecord>): void {
    entry.record = { ...entry.record, ...change };
    this.#tools.journal.putCredential(entry.record);
  }
}

/** Is there nothing that could be hoped for in a short while? */
const isIdle = ({ phase }: Outstanding): boolean =>
  phase.name === "kept" || (phase.name === "waiting" && phase.isAnswered);

/** What a log says about a credential. */
export const factsOf = ({ credentialId, alias, jobId, provisioner }: CredentialRecord): object => ({
  ...{ credentialId, alias, jobId, provisioner },
});

/** What the audit says about one. */
export const auditFactsOf = ({ credentialId, alias, provisioner }: CredentialRecord) => ({
  ...{ credential_id: credentialId, alias, provisioner },
});
