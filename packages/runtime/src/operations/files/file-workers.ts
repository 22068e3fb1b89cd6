/**
 * The threads that call the file system. The pool that Node shares among files, names and compression is left alone: a
 * few calls that do not return would hold all of that up.
 */
import { Worker } from "node:worker_threads";
import { type Clock, systemClock } from "@arcp/core";
import type { FileAction, FileActions } from "./file-actions.ts";
import { Refusal, type RefusalReason, refusalOf } from "./refusal.ts";

export type FileRequest = { readonly action: FileAction; readonly args: unknown } | "end";

export type FileReply =
  | { readonly value: unknown }
  | { readonly refused: RefusalReason; readonly code: string | undefined };

type Arguments<Action extends FileAction> = Parameters<FileActions[Action]>[0];
type Value<Action extends FileAction> = ReturnType<FileActions[Action]>;

export interface FileCallOptions<Value> {
  /** A call that waits is called off; one that is under way ends at its next step. */
  readonly signal?: AbortSignal;
  readonly transfer?: readonly ArrayBuffer[];
  /** Takes what a call returned after its deadline, when nobody waited any more. */
  readonly discard?: (value: Value) => void;
}

export interface FileCall<Value> {
  /** Rejects with a {@link Refusal}, or with the reason of the signal. */
  readonly result: Promise<Value>;
  /** Resolves when no thread uses what the call was given: after a deadline that may be much later than `result`. */
  readonly ended: Promise<void>;
}

/** The calls of one job. They are begun in order; jobs take turns. */
export interface FileLane {
  call<Action extends FileAction>(
    action: Action,
    args: Arguments<Action>,
    options?: FileCallOptions<Value<Action>>,
  ): FileCall<Value<Action>>;
}

export interface FileWorkersOptions {
  /** Threads. Default: 2. */
  readonly size?: number;
  /** How long one call may take, the time that it waits for a thread not included. Default: 10 s. */
  readonly deadlineMs?: number;
  /** How many calls of one job may wait; more are refused. Default: 256. */
  readonly maxWaiting?: number;
  /** How many threads may be stuck in the system before calls are refused. Default: 16. */
  readonly maxStuck?: number;
  readonly clock?: Clock;
  /** What the threads run. */
  readonly script?: URL;
}

interface Task {
  readonly request: Exclude<FileRequest, "end">;
  readonly transfer: readonly ArrayBuffer[];
  readonly lane: Task[];
  readonly succeed: (value: unknown) => void;
  readonly fail: (error: unknown) => void;
  readonly end: () => void;
  readonly discard: (value: unknown) => void;
}

/** A thread is idle, busy, or stuck: past the deadline of a call, and given up. */
interface Thread {
  readonly worker: Worker;
  readonly stop: Int32Array;
  task: Task | undefined;
  cancelDeadline: () => void;
}

/** Sources are run as they are, the package as it was built. */
const SCRIPT = import.meta.url.endsWith(".ts")
  ? new URL("./file-worker.ts", import.meta.url)
  : new URL("./file-worker.js", import.meta.url);

export class FileWorkers {
  readonly #size: number;
  readonly #deadlineMs: number;
  readonly #maxWaiting: number;
  readonly #maxStuck: number;
  readonly #clock: Clock;
  readonly #script: URL;
  readonly #threads = new Set<Thread>();
  readonly #stuck = new Set<Thread>();
  /** The lanes with something in them, in the order of their turns. */
  readonly #waiting: Task[][] = [];

  /** Starts no thread: the first call does. Threads without a call do not keep the process alive. */
  constructor(options: FileWorkersOptions = {}) {
    this.#size = options.size ?? 2;
    this.#deadlineMs = options.deadlineMs ?? 10_000;
    this.#maxWaiting = options.maxWaiting ?? 256;
    this.#maxStuck = options.maxStuck ?? 16;
    this.#clock = options.clock ?? systemClock;
    this.#script = options.script ?? SCRIPT;
  }

  lane(): FileLane {
    const lane: Task[] = [];
    return { call: (action, args, options) => this.#call(lane, action, args, options) };
  }

  /** Ends the threads, and with them what they do. For tests: a thread that is ended in a call leaves its files open. */
  async close(): Promise<void> {
    await Promise.all([...this.#threads, ...this.#stuck].map(({ worker }) => worker.terminate()));
  }

  #call<Action extends FileAction>(
    lane: Task[],
    action: Action,
    args: Arguments<Action>,
    { signal, transfer = [], discard }: FileCallOptions<Value<Action>> = {},
  ): FileCall<Value<Action>> {
    const result = Promise.withResolvers<Value<Action>>();
    const ended = Promise.withResolvers<void>();
    const onAbort = (): void => this.#abort(task, signal?.reason);
    const release = (): void => signal?.removeEventListener("abort", onAbort);
    const task: Task = {
      request: { action, args },
      transfer,
      lane,
      succeed: (value) => {
        release();
        result.resolve(value as Value<Action>);
      },
      fail: (error) => {
        release();
        result.reject(signal?.aborted && isStopped(error) ? signal.reason : error);
      },
      end: ended.resolve,
      discard: (value) => discard?.(value as Value<Action>),
    };
    if (signal?.aborted) this.#drop(task, signal.reason);
    else if (lane.length >= this.#maxWaiting || this.#stuck.size >= this.#maxStuck) {
      this.#drop(task, new Refusal("overloaded"));
    } else {
      signal?.addEventListener("abort", onAbort, { once: true });
      if (lane.push(task) === 1) this.#waiting.push(lane);
      this.#dispatch();
    }
    return { result: result.promise, ended: ended.promise };
  }

  /** Fails a call that no thread has seen. */
  #drop(task: Task, error: unknown): void {
    task.fail(error);
    task.end();
  }

  #abort(task: Task, reason: unknown): void {
    const position = task.lane.indexOf(task);
    if (position !== -1) {
      task.lane.splice(position, 1);
      if (task.lane.length === 0) this.#waiting.splice(this.#waiting.indexOf(task.lane), 1);
      this.#drop(task, reason);
      return;
    }
    for (const thread of this.#threads) if (thread.task === task) Atomics.store(thread.stop, 0, 1);
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#idleOrStarted();
      if (thread === undefined) return;
      const lane = this.#waiting.shift() ?? [];
      const task = lane.shift();
      if (lane.length > 0) this.#waiting.push(lane);
      if (task !== undefined) this.#begin(thread, task);
    }
  }

  #idleOrStarted(): Thread | undefined {
    for (const thread of this.#threads) if (thread.task === undefined) return thread;
    if (this.#threads.size >= this.#size || this.#stuck.size >= this.#maxStuck) return undefined;
    try {
      return this.#start();
    } catch (error) {
      if (this.#threads.size === 0) this.#dropWaiting(refusalOf(error));
      return undefined;
    }
  }

  #start(): Thread {
    const stop = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
    // Descriptors outlive the thread that opened them: each has an owner who closes it.
    const worker = new Worker(this.#script, { workerData: { stop }, trackUnmanagedFds: false, execArgv: [], env: {} });
    const thread: Thread = { worker, stop, task: undefined, cancelDeadline: () => {} };
    this.#threads.add(thread);
    worker.on("message", (reply: FileReply) => this.#reply(thread, reply));
    // The exit that follows reports it.
    worker.on("error", () => {});
    worker.on("exit", () => this.#gone(thread));
    return thread;
  }

  #begin(thread: Thread, task: Task): void {
    thread.task = task;
    Atomics.store(thread.stop, 0, 0);
    thread.worker.ref();
    thread.cancelDeadline = this.#clock.setTimer(() => this.#giveUp(thread), this.#deadlineMs);
    thread.worker.postMessage(task.request, [...task.transfer]);
  }

  #reply(thread: Thread, reply: FileReply): void {
    const { task } = thread;
    thread.task = undefined;
    if (task === undefined) return;
    if (this.#stuck.has(thread)) {
      if ("value" in reply) task.discard(reply.value);
      task.end();
      return;
    }
    thread.cancelDeadline();
    thread.worker.unref();
    if ("value" in reply) task.succeed(reply.value);
    else task.fail(new Refusal(reply.refused, reply.code));
    task.end();
    this.#dispatch();
  }

  /** The call ends here; its thread ends when the system lets it. */
  #giveUp(thread: Thread): void {
    this.#threads.delete(thread);
    this.#stuck.add(thread);
    Atomics.store(thread.stop, 0, 1);
    const end: FileRequest = "end";
    thread.worker.postMessage(end);
    thread.worker.unref();
    thread.task?.fail(new Refusal("deadline"));
    if (this.#stuck.size >= this.#maxStuck) this.#dropWaiting(new Refusal("overloaded"));
    this.#dispatch();
  }

  /** There is nobody left to wait for. */
  #dropWaiting(refusal: Refusal): void {
    for (const lane of this.#waiting.splice(0)) for (const task of lane.splice(0)) this.#drop(task, refusal);
  }

  #gone(thread: Thread): void {
    this.#threads.delete(thread);
    this.#stuck.delete(thread);
    thread.cancelDeadline();
    thread.task?.fail(new Refusal("failed", "worker_exited"));
    thread.task?.end();
    thread.task = undefined;
    this.#dispatch();
  }
}

const isStopped = (error: unknown): boolean => error instanceof Refusal && error.reason === "stopped";

let shared: FileWorkers | undefined;

/** The threads of this process. */
export function sharedFileWorkers(): FileWorkers {
  shared ??= new FileWorkers();
  return shared;
}
