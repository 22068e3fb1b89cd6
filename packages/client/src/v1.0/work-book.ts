/** All work that a client knows of: by the command that asked for it, by job, by stream (RFC §6.3). */
import type { RuntimeMessage10 } from "@arcp/core/v1.0";
import type { Invocation } from "./invocation.ts";
import type { Work } from "./work.ts";

export interface KnownWork {
  readonly work: Work;
  readonly handle: Invocation;
  /** The messages that asked for it, as often as it was asked for. Empty for work that the runtime does by itself. */
  readonly commandIds: Set<string>;
  /** Did this client ask for it? */
  readonly isOwn: boolean;
}

export interface WorkBookOwner {
  readonly create: () => Pick<KnownWork, "work" | "handle">;
  /** The runtime does work that nobody here asked for: a run of a schedule, a child, work of before. */
  readonly onHeardOf: (known: KnownWork, message: RuntimeMessage10) => void;
  readonly onOver: (known: KnownWork) => void;
}

interface Early {
  readonly message: RuntimeMessage10;
  readonly bytes: Uint8Array | undefined;
}

/** Work that nobody here asked for. Beyond it the one heard of first is forgotten. */
const MAX_HEARD_OF = 256;
/** Ended jobs that are remembered, so that what comes late for them is ignored. */
const MAX_REMEMBERED = 4096;
/** Messages of jobs that are kept until it is known whose they are. */
const MAX_EARLY = 1024;

/** The types that tell of a job and do not begin with its name. */
const OF_JOBS: ReadonlySet<string> = new Set([
  "tool.result",
  "tool.error",
  "workflow.complete",
  "event.emit",
  "log",
  "metric",
  "trace.span",
  "agent.handoff",
]);

const isOfJob = (type: string): boolean => OF_JOBS.has(type) || type.startsWith("job.") || type.startsWith("stream.");

export class WorkBook {
  readonly #owner: WorkBookOwner;
  readonly #live = new Set<KnownWork>();
  readonly #byCommand = new Map<string, KnownWork>();
  /** Several of one job: the same work was asked for more than once (RFC §6.4). */
  readonly #byJob = new Map<string, Set<KnownWork>>();
  readonly #byStream = new Map<string, KnownWork>();
  readonly #heardOf = new Set<KnownWork>();
  readonly #pastJobs = new Set<string>();
  #early: Early[] = [];

  constructor(owner: WorkBookOwner) {
    this.#owner = owner;
  }

  /** The work that has not ended. */
  get live(): readonly KnownWork[] {
    return [...this.#live];
  }

  /** New work that the caller asks for. */
  begin(): KnownWork {
    const known: KnownWork = { ...this.#owner.create(), commandIds: new Set(), isOwn: true };
    this.#live.add(known);
    return known;
  }

  /** `commandId` asks for it. */
  bind(known: KnownWork, commandId: string): void {
    known.commandIds.add(commandId);
    this.#byCommand.set(commandId, known);
  }

  /** The work of that job, unless it has ended. */
  ofJob(jobId: string | undefined): KnownWork | undefined {
    return jobId === undefined ? undefined : this.#byJob.get(jobId)?.values().next().value;
  }

  ofCommand(commandId: string | undefined): KnownWork | undefined {
    return commandId === undefined ? undefined : this.#byCommand.get(commandId);
  }

  /** Gives a message to the work that it is about. Returns whether it is about any. */
  receive(message: RuntimeMessage10, bytes: Uint8Array | undefined): boolean {
    if (!isOfJob(message.type)) return false;
    const known = this.#find(message);
    if (known) this.#deliverToAll(known, message, bytes);
    else if (message.job_id === undefined) return false;
    else if (this.#isSomeoneAsking && this.#early.length < MAX_EARLY) this.#early.push({ message, bytes });
    else if (this.#isUnheardOf(message)) this.#hearOf(message, bytes);
    else return false;
    this.#settleEarly();
    return true;
  }

  /** Moves work that has ended, or is of no interest any more, out of the way. */
  retire(known: KnownWork): void {
    this.#live.delete(known);
    this.#heardOf.delete(known);
    for (const id of known.commandIds) if (this.#byCommand.get(id) === known) this.#byCommand.delete(id);
    const { jobId } = known.work;
    const ofJob = jobId === undefined ? undefined : this.#byJob.get(jobId);
    if (jobId !== undefined && ofJob?.delete(known) && ofJob.size === 0) {
      this.#byJob.delete(jobId);
      this.#pastJobs.add(jobId);
      if (this.#pastJobs.size > MAX_REMEMBERED) this.#pastJobs.delete(this.#pastJobs.values().next().value as string);
    }
    for (const [id, owner] of this.#byStream) if (owner === known) this.#byStream.delete(id);
    this.#settleEarly();
  }

  #find({ correlation_id, job_id, stream_id }: RuntimeMessage10): KnownWork | undefined {
    const known = this.ofCommand(correlation_id) ?? this.ofJob(job_id);
    return known ?? (stream_id === undefined ? undefined : this.#byStream.get(stream_id));
  }

  /** Is it about a job of which nothing was known until now? */
  #isUnheardOf({ job_id }: RuntimeMessage10): boolean {
    return job_id !== undefined && !this.#pastJobs.has(job_id);
  }

  /** A job may be told of before it is said which command it answers. */
  get #isSomeoneAsking(): boolean {
    for (const { work, isOwn } of this.#live) if (isOwn && work.isAsked) return true;
    return false;
  }

  /** A message that answers one command tells of the job to whoever asked for that with another. */
  #deliverToAll(known: KnownWork, message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    const { jobId } = known.work;
    const others = jobId === undefined || message.type === "job.accepted" ? [] : [...(this.#byJob.get(jobId) ?? [])];
    this.#deliver(known, message, bytes);
    for (const other of others) if (other !== known) this.#deliver(other, message, bytes);
  }

  #deliver(known: KnownWork, message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    const { work } = known;
    const { job_id, type } = message;
    if (job_id !== undefined) this.#bindJob(known, job_id);
    if (type === "stream.open") this.#byStream.set(message.stream_id, known);
    if (type === "job.accepted") {
      const acceptedAt = message.payload.accepted_at ?? message.timestamp;
      work.accept({ jobId: job_id, acceptedAt, sessionId: message.session_id });
    } else work.receive(message, bytes);
    if (!work.isOver) return;
    this.retire(known);
    this.#owner.onOver(known);
  }

  #bindJob(known: KnownWork, jobId: string): void {
    const ofJob = this.#byJob.get(jobId);
    if (ofJob === undefined) this.#byJob.set(jobId, new Set([known]));
    else ofJob.add(known);
  }

  #hearOf(message: RuntimeMessage10, bytes: Uint8Array | undefined): void {
    const known: KnownWork = { ...this.#owner.create(), commandIds: new Set(), isOwn: false };
    this.#live.add(known);
    this.#heardOf.add(known);
    if (this.#heardOf.size > MAX_HEARD_OF) this.retire(this.#heardOf.values().next().value as KnownWork);
    this.#deliver(known, message, bytes);
    this.#owner.onHeardOf(known, message);
  }

  /** What was kept goes where it belongs, once that is known. */
  #settleEarly(): void {
    while (this.#early.length > 0) {
      const isAsking = this.#isSomeoneAsking;
      const at = this.#early.findIndex(({ message }) => !isAsking || this.#find(message) !== undefined);
      const [early] = at < 0 ? [] : this.#early.splice(at, 1);
      if (early === undefined) return;
      const { message, bytes } = early;
      const known = this.#find(message);
      if (known) this.#deliverToAll(known, message, bytes);
      else if (this.#isUnheardOf(message)) this.#hearOf(message, bytes);
    }
  }
}
