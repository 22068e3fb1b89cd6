/** The work of a client: asked for, heard of, scheduled, lost with its session, and asked for again. */
import type { ARCPError, JsonObject } from "@arcp/core";
import type { ArtifactRef10, CancelTarget, RuntimeMessage10 } from "@arcp/core/v1.0";
import type { Backlog } from "../backlog.ts";
import { EventTape } from "../event-tape.ts";
import { contentOf } from "./artifacts.ts";
import type { CancelOptions10, InterruptOptions } from "./control.ts";
import type { ToolEvent } from "./events.ts";
import { Invocation } from "./invocation.ts";
import { type InvokeOptions, type ScheduledWork, scheduleOf, type When } from "./invoking.ts";
import type { ResolvedToolOptions } from "./options.ts";
import { Pursuit } from "./pursuit.ts";
import type { AskOptions, Command } from "./requests.ts";
import { Schedule } from "./schedule.ts";
import type { Flow } from "./stream-flow.ts";
import type { ReadOptions } from "./streams.ts";
import { type ToolResult, Work } from "./work.ts";
import { type KnownWork, WorkBook } from "./work-book.ts";

export interface WorksOwner {
  readonly backlog: Backlog;
  readonly options: ResolvedToolOptions;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly ask: (command: Command, options: AskOptions) => Promise<unknown>;
  readonly cancel: (target: CancelTarget, targetId: string, options: CancelOptions10) => Promise<void>;
  readonly interrupt: (jobId: string, options: InterruptOptions) => Promise<void>;
  readonly backpressure: (streamId: string, flow: Flow & { readonly reason?: string }) => void;
  readonly fetch: (ref: ArtifactRef10, options: ReadOptions) => Promise<Uint8Array>;
  readonly onEvent: (event: ToolEvent) => void;
  /** The runtime does work that nobody here asked for. */
  readonly onHeardOf: (handle: Invocation) => void;
  readonly onOver: (jobId: string | undefined) => void;
  readonly onProblem: (error: ARCPError) => void;
}

interface Runs {
  readonly tape: EventTape<Invocation>;
  /** There is one run, and no message that says so. */
  readonly isOnce: boolean;
}

export class Works {
  readonly #owner: WorksOwner;
  readonly #book: WorkBook;
  readonly #pursuit: Pursuit;
  readonly #runs = new WeakMap<Work, Runs>();

  constructor(owner: WorksOwner) {
    const { options, random, ask, cancel, onProblem } = owner;
    this.#owner = owner;
    this.#book = new WorkBook({
      create: () => this.#create(),
      onHeardOf: (known, message) => this.#onHeardOf(known, message),
      onOver: ({ work }) => owner.onOver(work.jobId),
    });
    this.#pursuit = new Pursuit({
      ...{ works: this.#book, clock: options.clock, random, ask, onProblem },
      cancelJob: (jobId, reason) => cancel("job", jobId, { reason }),
    });
  }

  /** Asks for work with a command of that type. */
  start(type: string, payload: JsonObject, options: InvokeOptions): Invocation {
    return this.#pursuit.start(type, payload, options).handle;
  }

  schedule(job: ScheduledWork, when: When, options: InvokeOptions): Schedule {
    const { work, handle } = this.#pursuit.start("job.schedule", scheduleOf(job, when), options);
    const tape = new EventTape<Invocation>(this.#owner.backlog, this.#owner.options);
    this.#runs.set(work, { tape, isOnce: !("every" in when) });
    return new Schedule(handle, tape);
  }

  /** The job that the command of that id started. */
  jobOf(commandId: string | undefined): string | undefined {
    return this.#book.ofCommand(commandId)?.work.jobId;
  }

  /** Is there work of which that session tells? */
  isIn(sessionId: string): boolean {
    return this.#of(sessionId).length > 0;
  }

  hasOpenStreams(sessionId: string): boolean {
    return this.#of(sessionId).some(({ work }) => work.hasOpenStreams);
  }

  /** The jobs of which sessions other than that one tell. */
  jobsBeside(sessionId: string | undefined): readonly string[] {
    return this.#book.live.flatMap(({ work }) => (work.home !== sessionId ? (work.jobId ?? []) : []));
  }

  /** Takes a message about work. Returns whether it is one. */
  receive(message: RuntimeMessage10, bytes: Uint8Array | undefined): boolean {
    if (message.type === "job.accepted") this.#pursuit.onAccepted(message);
    return this.#book.receive(message, bytes);
  }

  /** A command is refused that had been accepted before. Returns whether it asked for any work. */
  refuse(commandId: string, error: ARCPError): boolean {
    const known = this.#book.ofCommand(commandId);
    if (known) this.#pursuit.giveUp(known, error);
    return known !== undefined;
  }

  /**
   * The runtime no longer knows that session. Fails the work of which it told, or asks for it once more. Returns that
   * work.
   */
  lose(sessionId: string, error: ARCPError, mayContinue: boolean): readonly Invocation[] {
    const affected = this.#of(sessionId);
    for (const known of affected) {
      if (!mayContinue || !this.#pursuit.again(known)) this.#pursuit.giveUp(known, error);
    }
    return affected.map(({ handle }) => handle);
  }

  endAll(error: ARCPError): void {
    for (const known of this.#book.live) this.#pursuit.giveUp(known, error);
  }

  #of(sessionId: string): readonly KnownWork[] {
    return this.#book.live.filter(({ work }) => work.home === sessionId);
  }

  #create(): Pick<KnownWork, "work" | "handle"> {
    const { backlog, options, backpressure, cancel, interrupt, onEvent } = this.#owner;
    const work = new Work(backlog, options, {
      ...{ backpressure, onEvent },
      cancel: (streamId, reason) => cancel("stream", streamId, reason === undefined ? {} : { reason }),
      onThrow: (thrown) => options.logger.error({ err: thrown }, "a listener failed"),
    });
    const handle = new Invocation(work, {
      cancel: (jobId, how) => cancel("job", jobId, how),
      interrupt,
      valueOf: (result, how) => this.#valueOf(result, how),
    });
    return { work, handle };
  }

  /** A run of a schedule names what caused it: the schedule's job, or the command that asked for it. */
  #onHeardOf({ handle }: KnownWork, { causation_id, correlation_id }: RuntimeMessage10): void {
    const causes = [causation_id, correlation_id].map((id) => this.#book.ofCommand(id) ?? this.#book.ofJob(id));
    const cause = causes.find((known) => known !== undefined && this.#runs.has(known.work));
    const schedule = cause && this.#runs.get(cause.work);
    schedule?.tape.push(handle);
    this.#owner.onHeardOf(handle);
    if (cause === undefined || schedule?.isOnce !== true) return;
    cause.work.complete();
    this.#book.retire(cause);
  }

  async #valueOf({ value, ref }: ToolResult, options: ReadOptions): Promise<unknown> {
    if (value !== undefined || ref === undefined) return value;
    return contentOf(await this.#owner.fetch(ref, options), ref.media_type);
  }
}
