/**
 * One durable job in this process: what its agent has done that is not done again when it is called again.
 *
 * The agent is called from the beginning, or from its last checkpoint, after a restart and for each further attempt. A step
 * that is on record gives what it gave before, in the order in which the steps came about ({@link Replay}); what the agent
 * has told already is not told again ({@link Told}). What is recorded is in the same commit as whatever it tells of.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { createHash } from "node:crypto";
import {
  type ARCPError,
  type Clock,
  type ErrorPayload,
  errorFromWire,
  InternalError,
  InvalidRequestError,
  type JsonObject,
} from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import type { Entry, EntryCode } from "../../store/store.ts";
import { agentError, errorMembers } from "../agent-failure.ts";
import { tooLarge } from "../caps.ts";
import type { DelegationEnd, DelegationResult } from "../delegated-job.ts";
import type { DelegationRecord, KnownChild } from "../delegation.ts";
import { isLonger, jsonWithin } from "../entry-text.ts";
import { type Job, quiet } from "../job.ts";
import type { Journal } from "../journal.ts";
import { delayBefore, mayPass, pause, type RetryTerms } from "../retry.ts";
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
import { Replay } from "./replay.ts";
import { assertStepOptions, inTime, sleepUntil, type WakeUp } from "./timing.ts";
import { NOTHING_TOLD, StepEvents, type StepPieces, Told } from "./told.ts";

/** A delegation as it is on record, and what puts it there. */
export interface RecordedDelegation extends DelegationRecord {
  /** The child, if it was made before. */
  readonly known: KnownChild | undefined;
  /** Keeps what comes of the child, which `done` says. */
  readonly keep: (done: Promise<DelegationResult>) => void;
}

/** How a step is tried (again), and for how long. */
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
  /** Is the input stored with the job's row, and not with the run? */
  readonly isInputKept: boolean;
  readonly progress: StoredProgress;
  readonly steps: readonly StoredStep[];
  readonly stepIds: readonly string[];
  /** The journal from where something may have been told by what is not on record. */
  readonly tail: readonly Entry[];
}

/** Steps between two checkpoints. */
const MAX_STEPS = 10_000;
const MAX_NAME = 256;
const ID_CHARS = 26;

type Settled = Extract<StoredStep["state"], { readonly is: "done" | "failed" }>;

type Failed = Extract<StoredStep["state"], { readonly is: "failed" }>;

/** One step of the agent, in the generation in which it was begun. */
interface Place {
  readonly generation: number;
  readonly ordinal: number;
  readonly name: string;
  /** The end of the journal then. */
  readonly begunN: number;
}

type Entered = Place & { readonly recorded: StoredStep | undefined };

export class DurableRun {
  #run: StoredRun;
  readonly #isInputKept: boolean;
  readonly #options: DurableRunOptions;
  readonly #inStep = new AsyncLocalStorage<StepEvents>();
  #job: Job | undefined;
  #progress: StoredProgress;
  /** Of this generation, by ordinal. */
  #steps = new Map<number, StoredStep>();
  readonly #stepIds: Set<string>;
  #told: Told;
  #replay: Replay;
  /** What has come about in this generation. */
  #order = 0;
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
  /** Of this generation, by ordinal: steps that are being done, and questions that are open. */
  readonly #pending = new Map<number, Promise<unknown>>();
  /** Which steps have failed with what the agent was told of. */
  readonly #failures = new WeakMap<object, number>();
  /** Operations of this call that have been named. */
  #named = 0;

  constructor({ run, isInputKept, progress, steps, stepIds, tail }: Beginning, options: DurableRunOptions) {
    this.#run = run;
    this.#isInputKept = isInputKept;
    this.#progress = progress;
    this.#options = options;
    this.#stepIds = new Set(stepIds);
    for (const step of steps) this.#steps.set(step.ordinal, step);
    this.#told = this.#toldBefore(tail);
    this.#replay = this.#newReplay();
    this.#order = Math.max(0, ...steps.map(({ order }) => order + 1));
  }

  /** A run that begins. */
  static fresh(
    run: StoredRun,
    options: DurableRunOptions,
    restored?: { readonly data: unknown },
    isInputKept = false,
  ): DurableRun {
    const progress = {
      ...{ generation: 0, n: 0, failures: 0, restarts: 0, isAside: false },
      ...(restored && { restored: { data: restored.data } }),
    };
    return new DurableRun({ run, isInputKept, progress, steps: [], stepIds: [], tail: [] }, options);
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
    this.#putRun();
    this.#putProgress({});
  }

  /** The agent is about to be called for the first time: what it may take of time counts from now. */
  startTime(): void {
    const { maxRuntimeMs } = this.run;
    if (maxRuntimeMs === undefined) return;
    this.#run = { ...this.run, deadlineAt: this.#options.clock.now() + maxRuntimeMs };
    this.#putRun();
  }

  /** Is the event of the agent in the journal already? */
  hasTold(code: EntryCode, body: string): boolean {
    return this.#told.has(code, body, this.#theJob.lastN + 1, this.#inStep.getStore());
  }

  /** Is the caller within a step? */
  get isInStep(): boolean {
    return this.#inStep.getStore() !== undefined;
  }

  /** An id for the next operation of the agent: the same when it is called again and comes to the same. */
  newCallId(): string {
    const within = this.#inStep.getStore();
    if (within === undefined) this.#named += 1;
    return `call_${this.#idOf(within === undefined ? `operation ${this.#named}` : within.nextId())}`;
  }

  /**
   * The agent is about to be called once more in this life, at `callAt`. It tells anew what it tells after the last step on
   * record, as the agents of other jobs do.
   */
  callAgain(failure: ARCPError, callAt: number): void {
    // The failure that ended the call is tried again; others that the agent has dealt with stand.
    const failed = this.#failedStep(failure);
    if (failed !== undefined) this.#remove(failed);
    const { nextPiece } = this.#told;
    const retried = { callAt, n: this.#theJob.lastN, nextPiece };
    this.#putProgress({ failures: this.#progress.failures + 1, retried });
    this.#told = this.#toldBefore([]);
    this.#replay.end();
    this.#replay = this.#newReplay();
    this.#asked = 0;
    this.#named = 0;
  }

  /**
   * Resolves when the agent may be called: when it is on disk that a restart has led to it, and not before the time that
   * its last failure has put it off to.
   */
  async mayCall(): Promise<void> {
    const { retried, restarts } = this.#progress;
    if (restarts > 0) await this.#options.journal.flush();
    if (retried !== undefined) await sleepUntil(this.#theJob, this.#options.clock, { wakeAt: retried.callAt });
  }

  /** The job is gone on with in a new life of the runtime. */
  resume(): void {
    const { isAside, restarts } = this.#progress;
    this.#putProgress({ restarts: isAside ? 0 : restarts + 1, isAside: false });
  }

  /** Keeps a question that was open for the agent that will ask it again. */
  reopen(ordinal: number, answer: Promise<unknown>): void {
    const step = this.#steps.get(ordinal);
    const { generation } = this.#progress;
    if (step !== undefined) void this.#keepPending(ordinal, this.#recorded({ ...step, generation }, answer));
  }

  /**
   * Does `act` once: what it returns is on record before this resolves with it, and is what a later call of the agent gets
   * without doing it again. What it throws is on record too. The value is what JSON makes of it.
   *
   * @throws InvalidRequestError for a name and options that are none, a value that JSON cannot hold, and a step within a step.
   * @throws InternalError `step_mismatch`, which ends the job, if another step is on record here; beyond 10,000 steps
   *   without a checkpoint; for a value above `maxCheckpointBytes`.
   */
  step<Value>(
    name: string,
    act: (step: StepContext) => Value | Promise<Value>,
    options: StepOptions = {},
    onPieces?: (pieces: StepPieces) => void,
  ): Promise<Value> {
    const place = this.#enter(name);
    if (place instanceof Promise) return place;
    const { ordinal, recorded } = place;
    if (recorded !== undefined) return this.#again(recorded, onPieces) as Promise<Value>;
    const pending = this.#pending.get(ordinal) as Promise<Value> | undefined;
    return (
      pending ??
      this.#keepPending(
        ordinal,
        this.#inFlightWhile(() => this.#do(place, act, options)),
      )
    );
  }

  /** Resolves at the time that was first asked for, whatever has died since. */
  sleepUntil(wakeUp: WakeUp): Promise<void> {
    const place = this.#enter("sleep");
    if (place instanceof Promise) return place;
    const { ordinal, recorded } = place;
    const state = recorded?.state ?? { is: "asleep", ...wakeUp };
    if (recorded !== undefined && state.is !== "asleep") return this.#again(recorded) as Promise<void>;
    if (state.is !== "asleep") return this.#mismatch(ordinal, recorded?.name ?? "", "sleep");
    if (recorded === undefined) this.#record(place, state);
    const pending = this.#pending.get(ordinal) as Promise<void> | undefined;
    return pending ?? this.#keepPending(ordinal, this.#sleep(place, state));
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
    const place = this.#enter(name);
    if (place instanceof Promise) return place;
    const { ordinal, recorded } = place;
    if (recorded !== undefined && recorded.state.is !== "asked") return this.#again(recorded) as Promise<Value>;
    const open = this.#pending.get(ordinal) as Promise<Value> | undefined;
    if (open !== undefined) {
      this.#comeToRest();
      return open;
    }
    const onAsked = (questionId: string): void => this.#record(place, { is: "asked", questionId, question });
    const turn = this.#replay.turn();
    const answer = turn === undefined ? ask(onAsked) : turn.then(() => ask(onAsked));
    return this.#keepPending(ordinal, this.#recorded(place, answer));
  }

  /** The delegation that the agent comes to, as far as it is on record. */
  delegation(name: string): { readonly refusal: unknown } | RecordedDelegation {
    const place = this.#enter(`delegate ${name}`.slice(0, MAX_NAME));
    if (place instanceof Promise) return { refusal: place };
    const { recorded, ordinal } = place;
    const state = recorded?.state;
    if (state?.is === "failed") return { refusal: failureOf(state) };
    if (state?.is === "delegated") this.#comeToRest();
    return {
      known: state?.is === "delegated" ? state : undefined,
      announced: state?.is === "delegating" ? state.delegateId : undefined,
      newDelegateId: () => `del_${this.#idOf(`delegation ${ordinal}`)}`,
      onAnnounced: (delegateId) => this.#record(place, { is: "delegating", delegateId }),
      onMade: (delegateId, childId) => this.#record(place, { is: "delegated", delegateId, childId }),
      onRefused: (error) => {
        if (this.#mayRecord(place)) this.#record(place, this.#failedWith(agentError(error)));
      },
      keep: (done) => {
        const keepEnd = (end: DelegationEnd): void => this.#keepEnd(place, end);
        done.then(
          (result) => keepEnd({ result }),
          (error) => keepEnd({ error: this.#failedWith(agentError(error)).error }),
        );
      },
    };
  }

  /** What came of a child, unless that is too large: then it can be asked for as long as the child is kept. */
  #keepEnd(place: Place, end: DelegationEnd): void {
    const step = this.#steps.get(place.ordinal);
    if (!this.#mayRecord(place) || step?.state.is !== "delegated") return;
    const text = jsonWithin(end, this.#theJob.caps.maxCheckpointBytes);
    if (text !== undefined) this.#record(place, { ...step.state, end: JSON.parse(this.#theJob.masked(text)) });
  }

  /** A checkpoint of the agent's own was made, in this turn: a restart begins here, and its steps are counted anew. */
  onCheckpoint(data: string, pieces: StoredPieces | undefined): void {
    for (const ordinal of [...this.#steps.keys()]) this.#remove(ordinal);
    // What is still being done belongs to what the checkpoint has left behind: it is not recorded.
    this.#pending.clear();
    this.#replay.end();
    this.#asked = 0;
    this.#named = 0;
    this.#order = 0;
    this.#told = new Told({ ...NOTHING_TOLD, nextPiece: this.#told.nextPiece });
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
  #enter(name: string): Entered | Promise<never> {
    const job = this.#theJob;
    try {
      if (typeof name !== "string" || name === "" || name.length > MAX_NAME) {
        throw new InvalidRequestError(`the name of a step is a text of 1 to ${MAX_NAME} characters`);
      }
      if (this.isInStep) throw new InvalidRequestError("a step is not begun within a step");
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
    return { generation: this.#progress.generation, ordinal, name, begunN: recorded?.begunN ?? job.lastN, recorded };
  }

  #mismatch(ordinal: number, recorded: string, asked: string): Promise<never> {
    const error = mismatch(ordinal, recorded, asked);
    this.#theJob.end({ status: "error", error });
    return quiet(Promise.reject(error));
  }

  /** What a step has come to that is on record, when it is its turn. */
  async #again({ state, name, ordinal, order, pieces }: StoredStep, onPieces?: (pieces: StepPieces) => void) {
    if (state.is !== "done" && state.is !== "failed") return this.#mismatch(ordinal, `${name} (${state.is})`, name);
    await this.#replay.turn(order);
    if (pieces !== undefined) onPieces?.(pieces);
    if (state.is === "done") return state.value;
    const failure = failureOf(state);
    this.#failures.set(failure, ordinal);
    throw failure;
  }

  async #do<Value>(
    place: Place,
    act: (step: StepContext) => Value | Promise<Value>,
    options: StepOptions,
  ): Promise<Value> {
    const { generation, ordinal, name } = place;
    const { retry, timeoutMs } = options;
    assertStepOptions(options);
    const turn = this.#replay.turn();
    if (turn !== undefined) await turn;
    const { clock, random, journal } = this.#options;
    const job = this.#theJob;
    const idempotencyKey = `${job.id}:${generation}:${ordinal}`;
    const events = new StepEvents(`step ${generation} ${ordinal}`);
    for (let attempt = 1; ; attempt += 1) {
      let settled: Settled | undefined;
      let failure: ARCPError | undefined;
      try {
        if (job.isDoubtful) await job.mayAct();
        if (job.stopReason !== undefined) throw job.stopReason;
        const value = await this.#inStep.run(events, () =>
          inTime(job, clock, timeoutMs, name, (signal) => act({ signal, attempt, idempotencyKey })),
        );
        settled = this.#doneWith(value);
      } catch (thrown) {
        failure = agentError(thrown);
      }
      // Nothing that a stopped job has not finished is on record: whoever goes on with it does it.
      if (job.isTerminal || job.isAside || job.stopReason !== undefined) {
        throw failure ?? job.stopReason ?? new InternalError("the job was stopped");
      }
      if (failure !== undefined && retry !== undefined && mayPass(failure) && attempt < retry.maxAttempts) {
        await pause(job, clock, delayBefore(attempt, failure, retry, random));
        continue;
      }
      if (failure !== undefined) this.#failures.set(failure, ordinal);
      if (this.#mayRecord(place)) this.#record(place, settled ?? this.#failedWith(failure as ARCPError), events);
      await journal.flush();
      if (failure !== undefined) throw failure;
      return (settled as { readonly value?: unknown }).value as Value;
    }
  }

  /** @throws InvalidRequestError for what JSON cannot hold, InternalError for what is too large. */
  #doneWith(value: unknown): Settled {
    if (value === undefined) return { is: "done" };
    const { maxCheckpointBytes } = this.#theJob.caps;
    const read = jsonWithin(value, maxCheckpointBytes);
    const text = read === undefined ? undefined : this.#theJob.masked(read);
    if (text === undefined || isLonger(text, maxCheckpointBytes))
      throw tooLarge("maxCheckpointBytes", maxCheckpointBytes);
    if (text === "null" && value !== null) throw new InvalidRequestError("the value of a step is what JSON can hold");
    return { is: "done", value: JSON.parse(text) as unknown };
  }

  #failedWith(failure: ARCPError): Failed {
    const members = errorMembers(failure, this.#theJob.caps.maxEventBytes);
    const error = JSON.parse(this.#theJob.masked(`{${members}}`)) as ErrorPayload;
    return { is: "failed", error, ...(failure instanceof CanonicalError && { code10: failure.canonicalCode }) };
  }

  /** Puts what a question comes to on record, in the batch in which it is closed. */
  async #recorded<Value>(place: Place, answer: Promise<Value>): Promise<Value> {
    try {
      const value = await answer;
      if (this.#mayRecord(place)) this.#record(place, this.#doneWith(value));
      return value;
    } catch (error) {
      if (typeof error === "object" && error !== null) this.#failures.set(error, place.ordinal);
      if (this.#mayRecord(place)) this.#record(place, this.#failedWith(agentError(error)));
      throw error;
    }
  }

  /** Is what the step at `place` comes to still of use? */
  #mayRecord({ generation }: Place): boolean {
    const job = this.#theJob;
    return generation === this.#progress.generation && !job.isTerminal && !job.isAside && job.stopReason === undefined;
  }

  async #sleep(place: Place, wakeUp: WakeUp): Promise<void> {
    const { journal, clock } = this.#options;
    const turn = this.#replay.turn();
    if (turn !== undefined) await turn;
    await journal.flush();
    if (wakeUp.wakeAt > clock.now()) this.#comeToRest();
    await sleepUntil(this.#theJob, clock, wakeUp);
    if (this.#mayRecord(place)) this.#record(place, { is: "done" });
  }

  /** The job has come to where it waits, and does nothing that might kill its runtime. */
  #comeToRest(): void {
    if (this.#inFlight === 0 && this.#progress.restarts > 0) this.#putProgress({ restarts: 0 });
  }

  /** Remembers what is under way at `ordinal`: an agent that is called again joins it. */
  #keepPending<Value>(ordinal: number, promise: Promise<Value>): Promise<Value> {
    this.#pending.set(ordinal, promise);
    const over = (): void => {
      if (this.#pending.get(ordinal) === promise) this.#pending.delete(ordinal);
    };
    promise.then(over, over);
    return quiet(promise);
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

  #record({ generation, ordinal, name, begunN }: Place, state: StoredStep["state"], events?: StepEvents): void {
    if (generation !== this.#progress.generation) return;
    const { positions = [], pieces } = events ?? {};
    const step: StoredStep = {
      ...{ ordinal, name, begunN, state, order: this.#order },
      ...{ told: this.#told.count, n: this.#told.n, nextPiece: this.#told.nextPiece },
      ...(positions.length > 0 && { within: positions }),
      ...(pieces && { pieces }),
    };
    this.#order += 1;
    this.#steps.set(ordinal, step);
    const id = stepId(this.#theJob.id, generation, ordinal);
    this.#stepIds.add(id);
    this.#put(STEP_KIND, id, step);
    if (this.#progress.restarts > 0) this.#putProgress({ restarts: 0 });
  }

  /** What is known of an agent that is about to be called, from what is on record and the journal after it. */
  #toldBefore(tail: readonly Entry[]): Told {
    const steps = [...this.#steps.values()];
    const { retried } = this.#progress;
    return new Told({
      known: Math.max(0, ...steps.map(({ told }) => told)),
      knownN: Math.max(0, ...steps.map(({ n }) => n)),
      nextPiece: Math.max(
        this.#progress.pieces?.nextSeq ?? 0,
        retried?.nextPiece ?? 0,
        ...steps.map((step) => step.nextPiece),
      ),
      tail,
      settled: steps.flatMap(({ within }) => (within === undefined ? [] : [within])),
    });
  }

  #newReplay(): Replay {
    const settled = [...this.#steps.values()].filter(({ state }) => state.is === "done" || state.is === "failed");
    return new Replay(settled.map(({ order }) => order));
  }

  /** The step that `failure` is of, or is caused by; otherwise the last one, if that has failed. */
  #failedStep(failure: ARCPError): number | undefined {
    for (let cause: unknown = failure; typeof cause === "object" && cause !== null; cause = (cause as Error).cause) {
      const ordinal = this.#failures.get(cause);
      if (ordinal !== undefined) return ordinal;
    }
    const last = Math.max(...this.#steps.keys());
    return this.#steps.get(last)?.state.is === "failed" ? last : undefined;
  }

  /** An id that is the same in each life of the runtime, and another for each attempt. */
  #idOf(what: string): string {
    const { generation, failures } = this.#progress;
    const from = [this.#theJob.id, generation, failures, what].join(" ");
    return createHash("sha256").update(from).digest("hex").slice(0, ID_CHARS).toUpperCase();
  }

  #remove(ordinal: number): void {
    const id = stepId(this.#theJob.id, this.#progress.generation, ordinal);
    this.#steps.delete(ordinal);
    this.#stepIds.delete(id);
    this.#put(STEP_KIND, id, undefined);
  }

  #putRun(): void {
    const { input: _, ...rest } = this.run;
    this.#put(RUN_KIND, this.#theJob.id, this.#isInputKept ? rest : this.run);
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

/** What a step has failed with, as the agent was told of it. */
function failureOf({ error, code10 }: Failed): ARCPError {
  if (code10 === undefined) return errorFromWire(error);
  const { message, retryable, details } = error;
  return new CanonicalError(code10, message, { retryable, ...(details && { details }) });
}

const mismatch = (ordinal: number, recorded: string, asked: string | undefined): InternalError =>
  new InternalError(
    asked === undefined
      ? `the agent returned before step ${ordinal + 1}, ${recorded}, which it has done before: its code has changed`
      : `step ${ordinal + 1} was ${recorded} and is ${asked} now: the code of the agent has changed`,
    {
      details: {
        reason: "step_mismatch",
        retry: "never",
        step: ordinal + 1,
        recorded,
        ...(asked !== undefined && { asked }),
      },
    },
  );

const tooManySteps = (): InternalError =>
  new InternalError(`more than ${MAX_STEPS} steps without a checkpoint`, {
    details: { limit: "maxSteps", max: MAX_STEPS, retry: "never" },
  });
