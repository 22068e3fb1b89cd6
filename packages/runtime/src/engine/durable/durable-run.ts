/**
 * One durable job in this process: what its agent has done that is not done again when it is called again.
 *
 * The agent is called from the beginning, or from its last checkpoint, after a restart and for each further attempt. A step
 * that is on record gives what it gave before; what the agent has told already is not told again ({@link Told}). What
 * is recorded is in the same commit as whatever it tells of.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import {
  type ARCPError,
  type Clock,
  type ErrorPayload,
  errorFromWire,
  InternalError,
  InvalidRequestError,
  type JobId,
  type JsonObject,
} from "@arcp/core";
import type { Entry, EntryCode } from "../../store/store.ts";
import { agentError } from "../agent-failure.ts";
import { tooLarge } from "../caps.ts";
import { isLonger, jsonOf } from "../entry-text.ts";
import { type Job, quiet } from "../job.ts";
import type { Journal } from "../journal.ts";
import { assertRetryTerms, delayBefore, pause, type RetryTerms } from "../retry.ts";
import {
  PROGRESS_KIND,
  RUN_KIND,
  STEP_KIND,
  type StoredPieces,
  type StoredProgress,
  type StoredRun,
  type StoredStep,
  stepId,
} from "./records.ts";
import { inTime, sleepUntil, type WakeUp } from "./timing.ts";
import { Told } from "./told.ts";

export interface StepOptions {
  /** Tries it again after failures that may pass. Default: it is tried once. */
  readonly retry?: RetryTerms;
  /** How long one try may take, in milliseconds; after that it has failed with `TIMEOUT`. Default: as long as the job. */
  readonly timeoutMs?: number;
}

/** What a step is told. */
export interface StepContext {
  /** Aborts when the job is to stop, and when the step's time is over. */
  readonly signal: AbortSignal;
  /** 1 for the first try in this life of the runtime. */
  readonly attempt: number;
  /** The same for the same step of the same job, whatever dies in between: for upstreams that know a call by its key. */
  readonly idempotencyKey: string;
}

export interface DurableRunOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly random: () => number;
  /** The runs of jobs that have neither ended nor been put aside. */
  readonly live: Map<Job, DurableRun>;
}

/** What the agent was when it began, or what a dead runtime has left of it. */
export interface Beginning {
  readonly run: StoredRun;
  readonly progress: StoredProgress;
  readonly steps: readonly StoredStep[];
  readonly stepIds: readonly string[];
  /** The journal after the last thing on record. */
  readonly tail: readonly Entry[];
}

/** Steps between two checkpoints. */
const MAX_STEPS = 10_000;
const MAX_NAME = 256;

type Settled = Exclude<StoredStep["state"], { readonly is: "asleep" | "asked" | "delegated" }>;

export class DurableRun {
  #run: StoredRun;
  readonly #options: DurableRunOptions;
  readonly #inStep = new AsyncLocalStorage<true>();
  #job: Job | undefined;
  #progress: StoredProgress;
  /** Of this generation, by ordinal. */
  #steps = new Map<number, StoredStep>();
  readonly #stepIds: Set<string>;
  #told: Told;
  /** Steps that the agent has asked for in this call. */
  #asked = 0;
  /** Steps that are being done. */
  #inFlight = 0;
  /** What the agent waits for that is no work: a time, a person, another job. */
  #rests = 0;
  /** Has it come to a step or a checkpoint since it was to be put aside? */
  #isHeld = false;
  #onIdle: (() => void) | undefined;
  #isDraining = false;
  /** Questions that were open when the runtime died, by ordinal. */
  readonly #reopened = new Map<number, Promise<unknown>>();

  constructor({ run, progress, steps, stepIds, tail }: Beginning, options: DurableRunOptions) {
    this.#run = run;
    this.#progress = progress;
    this.#options = options;
    this.#stepIds = new Set(stepIds);
    for (const step of steps) this.#steps.set(step.ordinal, step);
    this.#told = new Told({
      known: Math.max(0, ...steps.map(({ told }) => told)),
      tail,
      isInStep: () => this.#inStep.getStore() === true,
    });
  }

  /** A run that begins. */
  static fresh(run: StoredRun, options: DurableRunOptions, restored?: { readonly data: unknown }): DurableRun {
    const progress = {
      ...{ generation: 0, n: 0, failures: 0, restarts: 0, isAside: false },
      ...(restored && { restored: { data: restored.data } }),
    };
    return new DurableRun({ run, progress, steps: [], stepIds: [], tail: [] }, options);
  }

  get run(): StoredRun {
    return this.#run;
  }

  get progress(): StoredProgress {
    return this.#progress;
  }

  /** The data of the last checkpoint; `undefined` before the first. */
  get restored(): unknown {
    return this.#progress.restored?.data;
  }

  get steps(): ReadonlyMap<number, StoredStep> {
    return this.#steps;
  }

  /** Makes `job` the one that this is about. What is kept of it goes with its end. */
  attach(job: Job): void {
    this.#job = job;
    this.#options.live.set(job, this);
    job.whenEnded(() => {
      this.#options.live.delete(job);
      this.#onIdle?.();
      this.#forget(job);
    });
  }

  /** Writes what the job was asked for, in the batch that adds it. */
  begin(): void {
    this.#put(RUN_KIND, this.#theJob.id, this.run);
    this.#putProgress({});
  }

  /** The agent is about to be called for the first time: what it may take of time counts from now. */
  startTime(): void {
    const { maxRuntimeMs } = this.run;
    if (maxRuntimeMs === undefined) return;
    this.#run = { ...this.run, deadlineAt: this.#options.clock.now() + maxRuntimeMs };
    this.#put(RUN_KIND, this.#theJob.id, this.run);
  }

  /** Is the event of the agent in the journal already? */
  hasTold(code: EntryCode, body: string): boolean {
    return this.#told.has(code, body);
  }

  /** The agent is about to be called once more in this life. */
  callAgain(failure: ARCPError | undefined): void {
    this.#told = this.#told.again();
    this.#asked = 0;
    if (failure === undefined) return;
    // The failure that ended the call is tried again; others that the agent has dealt with stand.
    for (let ordinal = this.#steps.size - 1; this.#steps.get(ordinal)?.state.is === "failed"; ordinal -= 1) {
      this.#remove(ordinal);
    }
    this.#putProgress({ failures: this.#progress.failures + 1 });
  }

  /** The job is gone on with in a new life of the runtime. */
  resume(): void {
    const { isAside, restarts } = this.#progress;
    this.#putProgress({ restarts: isAside ? 0 : restarts + 1, isAside: false });
  }

  /** Keeps a question that was open for the agent that will ask it again. */
  reopen(ordinal: number, answer: Promise<unknown>): void {
    this.#reopened.set(ordinal, quiet(this.#recorded(ordinal, answer)));
  }

  /**
   * Does `act` once: what it returns is on record before this resolves with it, and is what a later call of the agent gets
   * without doing it again. What it throws is on record too. The value is what JSON makes of it.
   *
   * @throws InvalidRequestError for a name that is none, a value that JSON cannot hold, and a step within a step.
   * @throws InternalError `step_mismatch`, which ends the job, if another step is on record here; beyond 10,000 steps
   *   without a checkpoint; for a value above `maxCheckpointBytes`.
   */
  step<Value>(
    name: string,
    act: (step: StepContext) => Value | Promise<Value>,
    options: StepOptions = {},
  ): Promise<Value> {
    const begun = this.#enter(name);
    if (begun instanceof Promise) return begun;
    const { ordinal, recorded } = begun;
    if (recorded !== undefined) return this.#again(recorded) as Promise<Value>;
    return quiet(this.#inFlightWhile(() => this.#do(ordinal, name, act, options)));
  }

  /** Resolves at the time that was first asked for, whatever has died since. */
  sleepUntil(wakeUp: WakeUp): Promise<void> {
    const begun = this.#enter("sleep");
    if (begun instanceof Promise) return begun;
    const { ordinal, recorded } = begun;
    const state = recorded?.state ?? { is: "asleep", ...wakeUp };
    if (state.is !== "asleep") return this.#mismatch(ordinal, recorded?.name ?? "", "sleep");
    if (recorded === undefined) this.#record(ordinal, "sleep", state);
    return quiet(this.#sleep(state));
  }

  /**
   * Asks once: `ask` returns the id of the question, which is on record before anybody hears of it, and its answer.
   * `question` is what it takes to ask again.
   */
  question<Value>(
    name: string,
    question: JsonObject,
    ask: (onAsked: (questionId: string) => void) => Promise<Value>,
  ): Promise<Value> {
    const begun = this.#enter(name);
    if (begun instanceof Promise) return begun;
    const { ordinal, recorded } = begun;
    const open = this.#reopened.get(ordinal) as Promise<Value> | undefined;
    if (open !== undefined) return open;
    if (recorded !== undefined && recorded.state.is !== "asked") return this.#again(recorded) as Promise<Value>;
    const onAsked = (questionId: string): void => this.#record(ordinal, name, { is: "asked", questionId, question });
    const answer = this.#recorded(ordinal, ask(onAsked));
    this.#reopened.set(ordinal, quiet(answer));
    return answer;
  }

  /** The child that this delegation has on record; `undefined` if it has none yet. `onMade` puts it there. */
  delegation(name: string):
    | { readonly refusal: unknown }
    | {
        readonly known: { readonly delegateId: string; readonly childId: JobId } | undefined;
        readonly onMade: (delegateId: string, childId: JobId) => void;
      } {
    const begun = this.#enter(`delegate ${name}`);
    if (begun instanceof Promise) return { refusal: begun };
    const { ordinal, recorded } = begun;
    return {
      known: recorded?.state.is === "delegated" ? recorded.state : undefined,
      onMade: (delegateId, childId) =>
        this.#record(ordinal, `delegate ${name}`, { is: "delegated", delegateId, childId }),
    };
  }

  /** A checkpoint of the agent's own was made, in this turn: a restart begins here, and its steps are counted anew. */
  onCheckpoint(data: string, pieces: StoredPieces | undefined): void {
    for (const ordinal of [...this.#steps.keys()]) this.#remove(ordinal);
    this.#asked = 0;
    this.#told = new Told({ known: 0, tail: [], isInStep: () => this.#inStep.getStore() === true });
    this.#putProgress({
      ...{ generation: this.#progress.generation + 1, restarts: 0, n: this.#theJob.lastN },
      restored: { data: JSON.parse(data) },
      ...(pieces && { pieces }),
    });
    this.#hold();
  }

  /** Why the agent may not have returned yet, if there is a reason: it has not come as far as before. */
  problemAtEnd(): ARCPError | undefined {
    const missed = [...this.#steps.values()].find(({ ordinal }) => ordinal >= this.#asked);
    return missed && mismatch(missed.ordinal, missed.name, undefined);
  }

  /** What `wait` comes to: while it lasts, the job can be put aside. */
  async whileResting<Value>(wait: Promise<Value>): Promise<Value> {
    this.#rests += 1;
    this.#tellIdle();
    try {
      return await wait;
    } finally {
      this.#rests -= 1;
    }
  }

  /** From now on no step is begun. Resolves when the agent has come to one, to a checkpoint or to a rest, or has ended. */
  drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Would nothing be lost if the job was put aside now? */
  get #isIdle(): boolean {
    return this.#theJob.isTerminal || (this.#inFlight === 0 && (this.#rests > 0 || this.#isHeld));
  }

  #tellIdle(): void {
    if (this.#isIdle) this.#onIdle?.();
  }

  /** The agent has come to where it can begin again. */
  #hold(): void {
    if (!this.#isDraining) return;
    this.#isHeld = true;
    this.#tellIdle();
  }

  /** Leaves the job to the next runtime, which does not count that as a crash. */
  putAside(reason: ARCPError): void {
    this.#putProgress({ isAside: true });
    this.#options.live.delete(this.#theJob);
    this.#theJob.putAside(reason);
  }

  get #theJob(): Job {
    if (this.#job === undefined) throw new Error("the run has no job");
    return this.#job;
  }

  /** The next step of the agent. What cannot be gone on with is a promise that does not resolve, or rejects. */
  #enter(name: string): { readonly ordinal: number; readonly recorded: StoredStep | undefined } | Promise<never> {
    const job = this.#theJob;
    try {
      if (typeof name !== "string" || name === "" || name.length > MAX_NAME) {
        throw new InvalidRequestError(`the name of a step is a text of 1 to ${MAX_NAME} characters`);
      }
      if (this.#inStep.getStore() === true) throw new InvalidRequestError("a step is not begun within a step");
      job.assertLive();
      if (this.#asked >= MAX_STEPS) throw tooManySteps();
    } catch (error) {
      return quiet(Promise.reject(error));
    }
    const ordinal = this.#asked;
    const recorded = this.#steps.get(ordinal);
    if (recorded !== undefined && recorded.name !== name) return this.#mismatch(ordinal, recorded.name, name);
    this.#asked += 1;
    // Whatever is not on record yet is the next runtime's.
    if (recorded === undefined && this.#isDraining) {
      this.#hold();
      return new Promise<never>(() => {});
    }
    return { ordinal, recorded };
  }

  #mismatch(ordinal: number, recorded: string, asked: string): Promise<never> {
    const error = mismatch(ordinal, recorded, asked);
    this.#theJob.end({ status: "error", error });
    return quiet(Promise.reject(error));
  }

  #again({ state, name, ordinal }: StoredStep): Promise<unknown> {
    if (state.is === "done") return Promise.resolve(state.value);
    if (state.is === "failed") return quiet(Promise.reject(errorFromWire(state.error)));
    return this.#mismatch(ordinal, `${name} (${state.is})`, name);
  }

  async #do<Value>(
    ordinal: number,
    name: string,
    act: (step: StepContext) => Value | Promise<Value>,
    options: StepOptions,
  ): Promise<Value> {
    const { retry, timeoutMs } = options;
    if (retry !== undefined) assertRetryTerms(retry);
    const { clock, random, journal } = this.#options;
    const job = this.#theJob;
    const idempotencyKey = `${job.id}:${this.#progress.generation}:${ordinal}`;
    for (let attempt = 1; ; attempt += 1) {
      let settled: Settled;
      let failure: ARCPError | undefined;
      try {
        if (job.stopReason !== undefined) throw job.stopReason;
        const value = await this.#inStep.run(true, () =>
          inTime(job, clock, timeoutMs, name, (signal) => act({ signal, attempt, idempotencyKey })),
        );
        settled = this.#doneWith(value);
      } catch (thrown) {
        failure = agentError(thrown);
        settled = { is: "failed", error: JSON.parse(jsonOf(failure.toWire())) as ErrorPayload };
      }
      // Nothing that a stopped job has not finished is on record: whoever goes on with it does it.
      if (job.isTerminal || job.isAside || job.stopReason !== undefined) {
        throw failure ?? job.stopReason ?? new InternalError("the job was stopped");
      }
      if (failure !== undefined && retry !== undefined && failure.retryable && attempt < retry.maxAttempts) {
        await pause(job, clock, delayBefore(attempt, failure, retry, random));
        continue;
      }
      this.#record(ordinal, name, settled);
      await journal.flush();
      if (failure !== undefined) throw failure;
      return (settled as { readonly value?: unknown }).value as Value;
    }
  }

  #doneWith(value: unknown): Settled {
    if (value === undefined) return { is: "done" };
    const text = this.#theJob.masked(jsonOf(value));
    const { maxCheckpointBytes } = this.#theJob.caps;
    if (isLonger(text, maxCheckpointBytes)) throw tooLarge("maxCheckpointBytes", maxCheckpointBytes);
    const read = JSON.parse(text) as unknown;
    if (read === null && value !== null) throw new InvalidRequestError("the value of a step is what JSON can hold");
    return { is: "done", value: read };
  }

  /** Puts what a question comes to on record, in the batch in which it is closed. */
  async #recorded<Value>(ordinal: number, answer: Promise<Value>): Promise<Value> {
    const { generation } = this.#progress;
    const name = (): string => this.#steps.get(ordinal)?.name ?? "question";
    const mayRecord = (): boolean =>
      generation === this.#progress.generation && !this.#theJob.isTerminal && this.#theJob.stopReason === undefined;
    try {
      const value = await answer;
      if (mayRecord()) this.#record(ordinal, name(), this.#doneWith(value));
      return value;
    } catch (error) {
      const settled = { is: "failed", error: JSON.parse(jsonOf(agentError(error).toWire())) as ErrorPayload } as const;
      if (mayRecord() && this.#steps.has(ordinal)) this.#record(ordinal, name(), settled);
      throw error;
    }
  }

  async #sleep(wakeUp: WakeUp): Promise<void> {
    await this.#options.journal.flush();
    await sleepUntil(this.#theJob, this.#options.clock, wakeUp);
  }

  async #inFlightWhile<Value>(act: () => Promise<Value>): Promise<Value> {
    this.#inFlight += 1;
    try {
      return await act();
    } finally {
      this.#inFlight -= 1;
      this.#tellIdle();
    }
  }

  #record(ordinal: number, name: string, state: StoredStep["state"]): void {
    const step: StoredStep = { ordinal, name, n: this.#theJob.lastN, told: this.#told.count, state };
    this.#steps.set(ordinal, step);
    const id = stepId(this.#theJob.id, this.#progress.generation, ordinal);
    this.#stepIds.add(id);
    this.#put(STEP_KIND, id, step);
    if (this.#progress.restarts > 0) this.#putProgress({ restarts: 0 });
  }

  #remove(ordinal: number): void {
    const id = stepId(this.#theJob.id, this.#progress.generation, ordinal);
    this.#steps.delete(ordinal);
    this.#stepIds.delete(id);
    this.#put(STEP_KIND, id, undefined);
  }

  #putProgress(change: Partial<StoredProgress>): void {
    this.#progress = { ...this.#progress, ...change };
    this.#put(PROGRESS_KIND, this.#theJob.id, this.#progress);
  }

  #put(kind: string, id: string, document: object | undefined): void {
    const job = this.#theJob;
    const data = document === undefined ? null : JSON.stringify(document);
    this.#options.journal.putRecord({ kind, id, principal: job.submitterPrincipal, jobId: job.id, dueAt: null, data });
  }

  #forget(job: Job): void {
    for (const id of this.#stepIds) this.#put(STEP_KIND, id, undefined);
    this.#put(PROGRESS_KIND, job.id, undefined);
    this.#put(RUN_KIND, job.id, undefined);
  }
}

const mismatch = (ordinal: number, recorded: string, asked: string | undefined): InternalError =>
  new InternalError(
    asked === undefined
      ? `the agent returned before step ${ordinal + 1}, ${recorded}, which it has done before: its code has changed`
      : `step ${ordinal + 1} was ${recorded} and is ${asked} now: the code of the agent has changed`,
    {
      retryable: false,
      details: { reason: "step_mismatch", step: ordinal + 1, recorded, ...(asked !== undefined && { asked }) },
    },
  );

const tooManySteps = (): InternalError =>
  new InternalError(`more than ${MAX_STEPS} steps without a checkpoint`, {
    retryable: false,
    details: { limit: "maxSteps", max: MAX_STEPS, retry: "never" },
  });
