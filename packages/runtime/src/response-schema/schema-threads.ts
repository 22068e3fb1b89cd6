/**
 * The threads that compile schemas and check values. What takes longer than its deadline is ended with its thread, and
 * the next call gets a new one: a regular expression that runs for ever can be stopped in no other way.
 */
import { Worker } from "node:worker_threads";
import { type Clock, InternalError } from "@arcp/core";
import { tooMany } from "../engine/caps.ts";
import type { ResponseSchemaLimits } from "./limits.ts";
import { type RefusalReason, refused } from "./refusal.ts";

/** Compiles `schema`, and checks `value` against it if there is one. Both are JSON. */
export interface SchemaRequest {
  /** Of the schema: what is compiled under it is used again. */
  readonly digest: string;
  readonly schema: string;
  readonly value?: string;
}

export type SchemaReply =
  /** The thread takes calls. */
  | "ready"
  /** The schema is compiled; the value is checked next. */
  | "compiled"
  /** What is wrong with the value first. */
  | { readonly problem: string | undefined }
  | { readonly refused: RefusalReason; readonly message: string };

export interface SchemaThreadsOptions {
  readonly limits: Pick<ResponseSchemaLimits, "deadlineMs" | "maxWaitingPerOwner" | "maxWaiting">;
  readonly clock: Clock;
  /** Milliseconds that threads other than this one have spent computing. */
  readonly cpuTimeMs: () => number;
  readonly size: number;
  /** What the threads run. */
  readonly script?: URL;
}

interface Task {
  readonly request: SchemaRequest;
  readonly result: PromiseWithResolvers<string | undefined>;
}

/**
 * What a thread does.
 *
 *   starting -> idle    it has loaded its code
 *   idle -> busy        it was given a call
 *   busy -> idle        it has answered
 *   any -> gone         ended by a deadline or by itself
 */
type Activity = { readonly kind: "starting" | "idle" | "gone" } | { readonly kind: "busy"; readonly task: Task };

interface Thread {
  readonly worker: Worker;
  activity: Activity;
  cancelDeadline: () => void;
}

/** How many times longer a call may take when the machine is busy with something else. */
const MAX_STRETCH = 10;

/** Milliseconds for loading the code; a machine that cannot do that can check nothing. */
const START_DEADLINE_MS = 30_000;

/** Megabytes of one thread. Beyond them it ends, and its call with it. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16, stackSizeMb: 4 };

/** Sources are run as they are, the package as it was built. */
const SCRIPT = import.meta.url.endsWith(".ts")
  ? new URL("./schema-worker.ts", import.meta.url)
  : new URL("./schema-worker.js", import.meta.url);

export class SchemaThreads {
  readonly #limits: SchemaThreadsOptions["limits"];
  readonly #clock: Clock;
  readonly #cpuTimeMs: () => number;
  readonly #size: number;
  readonly #script: URL;
  readonly #threads = new Set<Thread>();
  /** The owners with calls that wait, in the order of their turns. */
  readonly #waiting = new Map<string, Task[]>();
  #waitingCount = 0;
  #isClosed = false;

  /** Starts no thread: the first call does. Threads without a call do not keep the process alive. */
  constructor({ limits, clock, cpuTimeMs, size, script = SCRIPT }: SchemaThreadsOptions) {
    this.#limits = limits;
    this.#clock = clock;
    this.#cpuTimeMs = cpuTimeMs;
    this.#size = size;
    this.#script = script;
  }

  /**
   * What is wrong with the request's value, or `undefined`. Owners take turns. Rejects with `InvalidRequestError` when
   * the request is refused or takes too long, with `InternalError` when too many wait or no thread can be had.
   */
  call(owner: string, request: SchemaRequest): Promise<string | undefined> {
    if (this.#isClosed) return Promise.reject(closed());
    const { maxWaiting, maxWaitingPerOwner } = this.#limits;
    const tasks = this.#waiting.get(owner) ?? [];
    if (tasks.length >= maxWaitingPerOwner) {
      return Promise.reject(tooMany("maxWaitingPerOwner", maxWaitingPerOwner, "after_capacity"));
    }
    if (this.#waitingCount >= maxWaiting) return Promise.reject(tooMany("maxWaiting", maxWaiting, "after_capacity"));
    const task: Task = { request, result: Promise.withResolvers() };
    tasks.push(task);
    this.#waiting.set(owner, tasks);
    this.#waitingCount += 1;
    this.#dispatch();
    return task.result.promise;
  }

  /** Ends the threads; calls that wait or are under way are rejected. Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const threads = [...this.#threads];
    for (const thread of threads) this.#retire(thread, closed());
    this.#rejectWaiting(closed());
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    for (const thread of this.#threads) {
      const task = thread.activity.kind === "idle" ? this.#next() : undefined;
      if (task !== undefined) this.#begin(thread, task);
    }
    const starting = [...this.#threads].filter(({ activity }) => activity.kind === "starting").length;
    if (starting < this.#waitingCount && this.#threads.size < this.#size) this.#start();
  }

  /** The next call of the owner whose turn it is; its following ones go to the end. */
  #next(): Task | undefined {
    for (const [owner, tasks] of this.#waiting) {
      const task = tasks.shift();
      this.#waiting.delete(owner);
      if (tasks.length > 0) this.#waiting.set(owner, tasks);
      this.#waitingCount -= 1;
      return task;
    }
    return undefined;
  }

  #start(): void {
    let worker: Worker;
    try {
      worker = new Worker(this.#script, { resourceLimits: RESOURCE_LIMITS, execArgv: [], env: {} });
    } catch (cause) {
      this.#rejectWaiting(unavailable(cause));
      return;
    }
    const thread: Thread = { worker, activity: { kind: "starting" }, cancelDeadline: () => {} };
    this.#threads.add(thread);
    worker.on("message", (reply: SchemaReply) => this.#reply(thread, reply));
    // What ends a thread in a call is the call: most likely the memory that it takes.
    worker.on("error", (cause) => this.#lose(thread, cause));
    worker.on("exit", (code) => this.#lose(thread, new Error(`exit ${code}`)));
    thread.cancelDeadline = this.#clock.setTimer(() => {
      void worker.terminate();
      this.#lose(thread, new Error("it does not start"));
    }, START_DEADLINE_MS);
  }

  #begin(thread: Thread, task: Task): void {
    thread.activity = { kind: "busy", task };
    thread.worker.ref();
    this.#setDeadline(thread, task);
    thread.worker.postMessage(task.request);
  }

  /**
   * The time of the deadline is time that is computed in: one that only waited for its turn on a busy machine is not
   * too slow. What other threads compute counts too, so that it is never longer than meant for a call that computes.
   */
  #setDeadline(thread: Thread, task: Task): void {
    const { deadlineMs } = this.#limits;
    const [begunAt, computedBefore] = [this.#clock.monotonic(), this.#cpuTimeMs()];
    const look = (): void => {
      const computed = this.#cpuTimeMs() - computedBefore;
      const isOver = computed >= deadlineMs || this.#clock.monotonic() - begunAt >= deadlineMs * MAX_STRETCH;
      if (!isOver) wait(Math.max(deadlineMs - computed, deadlineMs / MAX_STRETCH));
      else {
        // If it was this thread that was held up, the answer is here already and comes before the next immediate.
        const now = setImmediate(() => this.#endOverdue(thread, task));
        thread.cancelDeadline = () => clearImmediate(now);
      }
    };
    const wait = (ms: number): void => {
      thread.cancelDeadline();
      thread.cancelDeadline = this.#clock.setTimer(look, ms);
    };
    wait(deadlineMs);
  }

  #endOverdue(thread: Thread, task: Task): void {
    const { deadlineMs } = this.#limits;
    const what = task.request.value === undefined ? "the schema" : "the value";
    this.#retire(thread, refused("too_slow", `${what} is not checked in ${deadlineMs} ms`, { max: deadlineMs }));
    void thread.worker.terminate();
    this.#dispatch();
  }

  #reply(thread: Thread, reply: SchemaReply): void {
    const { activity } = thread;
    if (reply === "ready" && activity.kind === "starting") {
      thread.cancelDeadline();
      this.#rest(thread);
      return;
    }
    if (activity.kind !== "busy" || reply === "ready") return;
    const { task } = activity;
    if (reply === "compiled") {
      this.#setDeadline(thread, task);
      return;
    }
    thread.cancelDeadline();
    if ("refused" in reply) task.result.reject(refused(reply.refused, reply.message));
    else task.result.resolve(reply.problem);
    this.#rest(thread);
  }

  #rest(thread: Thread): void {
    thread.activity = { kind: "idle" };
    thread.worker.unref();
    this.#dispatch();
  }

  /** Nothing that the thread does counts any more. Its call fails with `error`. */
  #retire(thread: Thread, error: Error): void {
    const { activity } = thread;
    this.#threads.delete(thread);
    thread.activity = { kind: "gone" };
    thread.cancelDeadline();
    if (activity.kind === "busy") activity.task.result.reject(error);
  }

  /** A thread that ended by itself. */
  #lose(thread: Thread, cause: Error): void {
    const { kind } = thread.activity;
    if (kind === "gone") return;
    this.#retire(thread, refused("too_complex", "checking the value took more than a thread may use"));
    // Nor would the next one start: whoever waits is told, rather than threads started for ever.
    if (kind === "starting") this.#rejectWaiting(unavailable(cause));
    this.#dispatch();
  }

  #rejectWaiting(error: Error): void {
    const tasks = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    this.#waitingCount = 0;
    for (const { result } of tasks) result.reject(error);
  }
}

const closed = (): InternalError => new InternalError("schemas are not checked any more: the runtime is closing");

const unavailable = (cause: unknown): InternalError => new InternalError("schemas cannot be checked now", { cause });
