/**
 * Credentials of jobs (§9.8): issued before a job is accepted, rotated while it runs, revoked when it ends.
 *
 * Every secret has a record in the store before its upstream is asked for it, under an alias that finds it there. So
 * there is no moment at which a crash leaves a secret that nobody knows of: what is not known to be dead at start-up and
 * is not of a job that lives is revoked. The secrets themselves are in memory only, and only while their job lives.
 */
import { ARCPError, type Clock, InternalError, InvalidRequestError, type JobId, type Logger, ulid } from "@arcp/core";
import type { SharedStore } from "../../store/shared.ts";
import type { CredentialRecord, Store } from "../../store/store.ts";
import type { Audit } from "../audit/audit.ts";
import type { Journal } from "../journal.ts";
import { BadAnswerError, checkedAnswer, type LiveCredential, upstreamIdOf } from "./answer.ts";
import type { JobCredential } from "./job-credential.ts";
import type { CredentialProvisioner, CredentialRequest, IssuedCredential } from "./provisioner.ts";
import { SecretMask } from "./redaction.ts";
import { auditFactsOf, DEFAULT_REVOCATION_TIMING, factsOf, Revocations, type RevocationTiming } from "./revocation.ts";
import type { Secret } from "./secret.ts";
import { callUpstream, isTransient, nameOfFailure } from "./upstream-call.ts";

/** What a job's credentials are asked for with. */
export interface IssueRequest extends Omit<CredentialRequest, "credentialId" | "alias" | "budget"> {
  /** What the job has left when it is asked: a rotated credential gets what is left then. */
  readonly remaining: () => ReadonlyMap<string, number>;
}

export interface CredentialTiming extends RevocationTiming {
  /** How long an upstream may take to issue a credential. Default: 10,000. */
  readonly issueTimeoutMs: number;
  /** How long after each failure that may pass an upstream is asked again. Default: 250, 1,000. */
  readonly issueRetriesMs: readonly number[];
  /** How long {@link Credentials.close} lets revocations go on. Default: 5,000. */
  readonly drainMs: number;
}

export interface CredentialsOptions {
  readonly journal: Journal;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  /** Their names are unique: a record finds its provisioner by it. */
  readonly provisioners: readonly CredentialProvisioner[];
  readonly timing?: Partial<CredentialTiming>;
  /** In [0, 1). Default: `Math.random`. */
  readonly random?: () => number;
}

/** Credentials that have been issued and are nobody's yet. One of the two is called, once. */
export interface Issuance {
  /** Empty if no provisioner issues for such a job. */
  readonly credentials: readonly LiveCredential[];
  /**
   * Makes them the job's, in the open batch: in the turn that accepts the job, or that announces the rotation, whose
   * predecessor is revoked then. Returns false, and does nothing, if they have been abandoned meanwhile: the job has
   * ended, or the runtime stops.
   */
  commit(): boolean;
  /** Revokes them: the job is not accepted. Idempotent, and without effect after {@link commit}. */
  abandon(): void;
}

interface Wanted {
  readonly provisioner: CredentialProvisioner;
  readonly credentialId: string;
}

/** A secret that was asked for. */
interface Asked {
  readonly provisioner: CredentialProvisioner;
  record: CredentialRecord;
  credential: LiveCredential | undefined;
}

type IssuancePhase = "asking" | "issued" | "committed" | "abandoned";

interface OpenIssuance {
  readonly request: IssueRequest;
  readonly asked: readonly Asked[];
  readonly stop: AbortController;
  phase: IssuancePhase;
}

/** A credential of a live job. */
interface Held {
  readonly provisioner: CredentialProvisioner;
  readonly record: CredentialRecord;
  readonly credential: LiveCredential;
}

/** What is known of a job that has credentials. */
interface Holder {
  readonly request: IssueRequest;
  /** By credential id. */
  readonly held: Map<string, Held>;
  /** All that the job ever had: a rotated one must not be printed either. */
  readonly secrets: Secret[];
  mask: SecretMask | undefined;
}

/** How many values of the past are remembered, by digest. */
const MAX_PAST_VALUES = 10_000;

const DEFAULT_TIMING: CredentialTiming = {
  ...DEFAULT_REVOCATION_TIMING,
  issueTimeoutMs: 10_000,
  issueRetriesMs: [250, 1_000],
  drainMs: 5_000,
};

export class Credentials {
  readonly #options: CredentialsOptions;
  readonly #timing: CredentialTiming;
  readonly #provisioners: ReadonlyMap<string, CredentialProvisioner>;
  readonly #revocations: Revocations;
  readonly #holders = new Map<JobId, Holder>();
  readonly #open = new Set<OpenIssuance>();
  /** Digests of the values that live jobs have, or are about to. */
  readonly #values = new Set<string>();
  /** The same of those before, oldest first. */
  readonly #pastValues = new Set<string>();
  /** Aliases made while it is not yet known what a dead process left. */
  #newAliases: Set<string> | undefined = new Set();
  #isClosed = false;

  /** @throws TypeError when two provisioners have one name. */
  constructor(options: CredentialsOptions) {
    const { journal, clock, logger, audit, provisioners, random = Math.random } = options;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#provisioners = new Map(provisioners.map((provisioner) => [provisioner.name, provisioner]));
    if (this.#provisioners.size !== provisioners.length) throw new TypeError("two provisioners have one name");
    const tools = { journal, clock, logger, audit, random, provisioners: this.#provisioners, timing: this.#timing };
    this.#revocations = new Revocations(tools);
  }

  /** Is every credential sure to be revoked, also after a crash? Otherwise the feature must not be offered (§14). */
  get canGuarantee(): boolean {
    return this.#provisioners.size > 0 && this.#options.store.isDurable;
  }

  /** Does a job with such a lease get credentials? */
  issuesFor(facts: Pick<CredentialRequest, "lease" | "agent" | "principal">): boolean {
    return this.#options.provisioners.some((provisioner) => provisioner.issuesFor(facts));
  }

  /**
   * Asks every provisioner that issues for such a job. All of them answer well, or everything that was asked for is
   * revoked.
   *
   * @throws ARCPError: a provisioner's own refusal, or InternalError, which is retryable and carries no text of an
   * upstream.
   */
  async issue(request: IssueRequest, signal?: AbortSignal): Promise<Issuance> {
    const wanted = this.#options.provisioners
      .filter((provisioner) => provisioner.issuesFor(request))
      .map((provisioner) => ({ provisioner, credentialId: `cred_${ulid()}` }));
    return this.#issuePatiently(request, wanted, signal);
  }

  /**
   * Asks for a new secret of a live job's credential. The old one is revoked when the new one is committed.
   *
   * @throws InvalidRequestError if the job has ended or has no such credential, and as {@link issue} does.
   */
  async rotate(jobId: JobId, credentialId: string, signal?: AbortSignal): Promise<Issuance> {
    const holder = this.#holders.get(jobId);
    const held = holder?.held.get(credentialId);
    if (holder === undefined || held === undefined) throw new InvalidRequestError("the job has no such credential");
    for (const { request, asked } of this.#open) {
      if (request.jobId === jobId && asked.some(({ record }) => record.credentialId === credentialId)) {
        throw new InvalidRequestError("the credential is being rotated already");
      }
    }
    return this.#issuePatiently(holder.request, [{ provisioner: held.provisioner, credentialId }], signal);
  }

  /**
   * Revokes and forgets what the job has, in the open batch: called in the turn in which it ends, after its last entry
   * was masked. The upstreams are told when that is durable.
   */
  release(jobId: JobId): void {
    for (const issuance of [...this.#open]) if (issuance.request.jobId === jobId) this.#abandon(issuance);
    const holder = this.#holders.get(jobId);
    if (holder === undefined) return;
    this.#holders.delete(jobId);
    for (const { record, credential } of holder.held.values()) {
      this.#retire(credential);
      this.#revocations.begin(record);
    }
  }

  /**
   * Revokes what nodes that are no more left, with a store that others use: the secrets of their jobs, too, as whoever goes on with
   * a job issues new ones. To be called again and again. Resolves when the upstreams are about to be told.
   */
  async takeOver(shared: Pick<SharedStore, "claimCredentials">): Promise<void> {
    this.#newAliases = undefined;
    if (this.#provisioners.size === 0 || this.#isClosed) return;
    // What is known to be dead, and is not stored yet, is known before as well.
    const before = this.#revocations.outstanding;
    await this.#options.journal.flush();
    const known = [...before, ...this.#revocations.outstanding].map(({ alias }) => alias);
    const claimed = await shared.claimCredentials([...this.#provisioners.keys()], known);
    if (!this.#isClosed) for (const record of claimed) this.#revocations.begin(record);
  }

  /** Forgets everything: others revoke what this process has issued. Nothing of it is written any more. */
  lose(): void {
    for (const issuance of [...this.#open]) {
      issuance.phase = "abandoned";
      issuance.stop.abort(new InternalError("another runtime has what this one had"));
      for (const { credential } of issuance.asked) if (credential !== undefined) this.#retire(credential);
    }
    this.#open.clear();
    for (const { held } of this.#holders.values()) for (const { credential } of held.values()) this.#retire(credential);
    this.#holders.clear();
    this.#revocations.lose();
  }

  /**
   * Revokes what a dead process left: everything that is not known to be dead, but for what this one has asked for.
   * Called once. Resolves when that is durable; the upstreams are told from then on.
   */
  async recover(): Promise<void> {
    const { journal, store } = this.#options;
    for (const record of await store.outstandingCredentials()) {
      if (this.#newAliases?.has(record.alias) === false) this.#revocations.begin(record);
    }
    this.#newAliases = undefined;
    await journal.flush();
  }

  /** The secrets of a live job, as they are now. Empty when it has none or has ended. */
  liveFor(jobId: JobId): readonly LiveCredential[] {
    return [...(this.#holders.get(jobId)?.held.values() ?? [])].map(({ credential }) => credential);
  }

  /** The current secret; `undefined` once the job has ended. */
  valueOf(jobId: JobId, credentialId: string): Secret | undefined {
    return this.#holders.get(jobId)?.held.get(credentialId)?.credential.value;
  }

  /** The job's credentials as its agent sees them. */
  jobCredentials(jobId: JobId): readonly JobCredential[] {
    return this.liveFor(jobId).map(({ id, scheme, endpoint, profile, constraints }) => ({
      ...{ id, scheme, endpoint },
      ...(profile !== undefined && { profile }),
      ...(constraints !== undefined && { constraints }),
      reveal: () => {
        const value = this.valueOf(jobId, id);
        if (value === undefined) throw new InvalidRequestError("the job has ended: its credentials are revoked");
        return value.reveal();
      },
    }));
  }

  /** Masks what the job has or had; `undefined` if that is nothing. */
  maskOf(jobId: JobId): SecretMask | undefined {
    const holder = this.#holders.get(jobId);
    if (holder === undefined || holder.secrets.length === 0) return undefined;
    holder.mask ??= new SecretMask(holder.secrets.map((secret) => secret.reveal()));
    return holder.mask;
  }

  /** A refusal of an upstream in the terms of §12; `undefined` for what is none. */
  explain(error: unknown): ARCPError | undefined {
    for (const provisioner of this.#options.provisioners) {
      const explained = provisioner.explain?.(error);
      if (explained !== undefined) return explained;
    }
    return undefined;
  }

  /** What ought to be dead and is not known to be: for operators. */
  outstanding(): readonly CredentialRecord[] {
    return this.#revocations.outstanding;
  }

  /**
   * Abandons what is being issued and gives revocations a bounded time. What is outstanding then stays in the store for
   * the next start. The jobs have ended before. Rejects when the store has failed.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const issuance of [...this.#open]) this.#abandon(issuance);
    await this.#revocations.close(this.#timing.drainMs);
  }

  /** Stops at once: for a store that has failed. */
  abort(): void {
    this.#isClosed = true;
    for (const { stop } of this.#open) stop.abort();
    this.#revocations.abort();
  }

  /** Tries again after failures that may pass, each time under new aliases: what came of the old ones is revoked. */
  async #issuePatiently(request: IssueRequest, wanted: readonly Wanted[], signal?: AbortSignal): Promise<Issuance> {
    const { clock, random = Math.random } = this.#options;
    for (const delayMs of [...this.#timing.issueRetriesMs, undefined]) {
      try {
        return await this.#issue(request, wanted, signal);
      } catch (error) {
        const mayPass = delayMs !== undefined && isTransient(error) && !this.#isClosed && signal?.aborted !== true;
        if (!mayPass) throw this.#refusal(error);
        await new Promise<void>((resolve) => clock.setTimer(resolve, delayMs * (0.5 + random() / 2)));
      }
    }
    throw new InternalError("the credentials for the job could not be issued");
  }

  async #issue(request: IssueRequest, wanted: readonly Wanted[], signal: AbortSignal | undefined): Promise<Issuance> {
    if (this.#isClosed) throw new InternalError("the runtime is shutting down");
    const { journal } = this.#options;
    const asked = wanted.map(({ provisioner, credentialId }): Asked => {
      const record = this.#intent(request, provisioner.name, credentialId);
      journal.putCredential(record);
      return { provisioner, record, credential: undefined };
    });
    const issuance: OpenIssuance = { request, asked, stop: new AbortController(), phase: "asking" };
    const onAbort = (): void => issuance.stop.abort(signal?.reason);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
    this.#open.add(issuance);
    try {
      if (asked.length > 0) {
        await journal.flush();
        await this.#askAll(issuance);
      }
      if (issuance.phase !== "asking") throw new InternalError("the credentials are not needed any more");
    } catch (error) {
      this.#abandon(issuance);
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    issuance.phase = "issued";
    return {
      credentials: asked.flatMap(({ credential }) => credential ?? []),
      commit: () => this.#commit(issuance),
      abandon: () => this.#abandon(issuance),
    };
  }

  #intent(request: IssueRequest, provisioner: string, credentialId: string): CredentialRecord {
    const alias = `arcp-${ulid()}`;
    this.#newAliases?.add(alias);
    return {
      ...{ alias, credentialId, jobId: request.jobId, provisioner, upstreamId: null },
      ...{ state: "intended", createdAt: this.#options.clock.now(), issuedAt: null },
      ...{ expiresAt: request.expiresAt ?? null, revokingSince: null, attempts: 0, lastError: null, revokedAt: null },
    };
  }

  /** Resolves when all have answered well; otherwise rejects when none is waited for any more. */
  async #askAll({ request, asked, stop }: OpenIssuance): Promise<void> {
    let failure: { readonly error: unknown } | undefined;
    const answers = asked.map(async (one) => {
      try {
        await this.#ask(request, one, stop.signal);
      } catch (error) {
        failure ??= { error };
        stop.abort(error);
      }
    });
    await Promise.all(answers);
    if (failure !== undefined) throw failure.error;
  }

  async #ask({ remaining, ...request }: IssueRequest, one: Asked, signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const { alias, credentialId } = one.record;
    const { answer, outcome } = callUpstream<IssuedCredential>(
      (stop) => one.provisioner.issue({ ...request, credentialId, alias, budget: remaining() }, stop),
      { clock, timeoutMs: this.#timing.issueTimeoutMs, signal },
    );
    const confirmed = outcome.then((issued) => {
      const upstreamId = upstreamIdOf(issued);
      one.record = { ...one.record, issuedAt: clock.now(), upstreamId };
      return { upstreamId };
    });
    this.#revocations.watch(alias, confirmed);
    try {
      const credential = checkedAnswer(credentialId, await answer);
      this.#assertSamePlace(request.jobId, credential);
      this.#assertUnheardOf(credential.value);
      one.credential = credential;
    } catch (error) {
      const isOurs = error instanceof ARCPError || error instanceof BadAnswerError;
      const reason = isOurs ? error.message : nameOfFailure(error);
      logger.warn({ ...factsOf(one.record), reason }, "a credential was not issued");
      throw error;
    }
  }

  /** A value is one job's, whatever an upstream says (§9.8.2). */
  #assertUnheardOf(value: Secret): void {
    const digest = value.digest();
    if (this.#values.has(digest) || this.#pastValues.has(digest)) {
      throw new BadAnswerError("the upstream has issued this value before");
    }
    this.#values.add(digest);
  }

  #retire({ value }: LiveCredential): void {
    const digest = value.digest();
    this.#values.delete(digest);
    this.#pastValues.add(digest);
    if (this.#pastValues.size <= MAX_PAST_VALUES) return;
    for (const oldest of this.#pastValues) {
      this.#pastValues.delete(oldest);
      return;
    }
  }

  /** A rotation tells the client a value and nothing else: the rest must be as it was. */
  #assertSamePlace(jobId: JobId, { id, scheme, endpoint }: LiveCredential): void {
    const before = this.#holders.get(jobId)?.held.get(id)?.credential;
    if (before === undefined || (before.scheme === scheme && before.endpoint === endpoint)) return;
    throw new BadAnswerError("the new value is for another scheme or endpoint");
  }

  #commit(issuance: OpenIssuance): boolean {
    if (issuance.phase !== "issued") return false;
    const { request, asked } = issuance;
    issuance.phase = "committed";
    this.#open.delete(issuance);
    if (asked.length === 0) return true;
    const holder: Holder = this.#holders.get(request.jobId) ?? {
      ...{ request, held: new Map<string, Held>(), secrets: [], mask: undefined },
    };
    this.#holders.set(request.jobId, holder);
    for (const { provisioner, record, credential } of asked) {
      if (credential === undefined) continue;
      const live = { ...record, state: "live" as const };
      const before = holder.held.get(credential.id);
      this.#options.journal.putCredential(live);
      const { principal, jobId } = request;
      const facts = auditFactsOf(live);
      // Nobody but the operator has one rotated.
      if (before === undefined) this.#options.audit.record("credential.issued", { principal, jobId }, facts);
      else this.#options.audit.record("credential.rotated", { principal, jobId }, { ...facts, by: "operator" });
      holder.held.set(credential.id, { provisioner, record: live, credential });
      holder.secrets.push(credential.value);
      if (before === undefined) continue;
      this.#retire(before.credential);
      this.#revocations.begin(before.record);
    }
    holder.mask = undefined;
    return true;
  }

  #abandon(issuance: OpenIssuance): void {
    if (issuance.phase === "committed" || issuance.phase === "abandoned") return;
    issuance.phase = "abandoned";
    issuance.stop.abort(new InternalError("the credentials are not needed any more"));
    this.#open.delete(issuance);
    for (const { record, credential } of issuance.asked) {
      if (credential !== undefined) this.#retire(credential);
      this.#revocations.begin(record);
    }
  }

  #refusal(error: unknown): ARCPError {
    if (error instanceof ARCPError && error.code !== "INTERNAL_ERROR" && error.code !== "TIMEOUT") return error;
    return new InternalError("the credentials for the job could not be issued");
  }
}
