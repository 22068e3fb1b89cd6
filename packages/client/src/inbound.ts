/** What a runtime's messages mean for the jobs and requests of a client. */
import { type ARCPError, InvalidRequestError, type JobId, type JsonObject, type MessageOf } from "@arcp/core";
import { readChecked, readDescription, readJobDescription } from "./agent-description.ts";
import type { SessionMessage } from "./connection.ts";
import { type Correlation, type Correlators, readCorrelators } from "./correlation.ts";
import { type EarlyEvent, type JobBook, type KnownJob, takeEarly } from "./job-book.ts";
import { type JobEvent, toJobEvent } from "./job-events.ts";
import { readJobPage } from "./job-list.ts";
import { type NumberedMessage, type Numbering, seqOf } from "./numbering.ts";
import type { Questions } from "./questions.ts";
import { RecentIds } from "./recent-ids.ts";
import type { Session } from "./session.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { readError } from "./wire-error.ts";

export interface InboundOwner {
  readonly jobs: JobBook;
  readonly correlation: Correlation;
  readonly numbering: Numbering;
  readonly subscriptions: Subscriptions;
  readonly questions: Questions;
  readonly onEvent: (event: JobEvent) => void;
  readonly onDelegated: (known: KnownJob) => void;
  /** A job was accepted that its submitter no longer waits for, and that no key leads back to. */
  readonly onUnwanted: (known: KnownJob) => void;
  readonly onProblem: (error: ARCPError) => void;
}

/** Codes with which one SDK's `job.error` refuses a request about a job that goes on. */
const REFUSALS: ReadonlySet<string> = new Set(["JOB_NOT_FOUND", "PERMISSION_DENIED", "INVALID_REQUEST"]);

/** Events of one job that wait for the reply to its subscription. */
const MAX_EARLY = 1024;

export class Inbound {
  readonly #owner: InboundOwner;
  readonly #recentIds = new RecentIds();

  constructor(owner: InboundOwner) {
    this.#owner = owner;
  }

  receive(session: Session, message: SessionMessage, frame: JsonObject): void {
    switch (message.type) {
      case "job.event":
        this.#onJobEvent(session, message);
        return;
      case "job.result":
      case "job.error":
        this.#onJobEnd(session, message, frame);
        return;
      case "job.accepted":
        // One SDK repeats an acceptance under the same id, for another request.
        if (this.#recentIds.add(`${message.id} ${message.payload.request_id}`)) this.#onAccepted(message, frame);
        return;
      case "job.cancelled":
        // One SDK numbers it.
        this.#owner.numbering.count(session, frame["event_seq"]);
        if (this.#recentIds.add(message.id)) this.#onCancelled(frame);
        return;
      case "job.subscribed":
        if (this.#recentIds.add(message.id)) {
          this.#owner.subscriptions.onSubscribed(session, message, frame, (known, events) =>
            this.#deliver(known, events),
          );
        }
        return;
      case "session.jobs":
        if (this.#recentIds.add(message.id)) this.#onJobs(message, frame);
        return;
      case "x-vendor.arcp.ack":
        if (this.#recentIds.add(message.id)) this.#onAnswerAck(message.payload, frame);
        return;
      case "x-vendor.arcp.agent.description":
        if (this.#recentIds.add(message.id)) this.#onDescription(message, frame);
        return;
      case "x-vendor.arcp.job.checked":
        if (this.#recentIds.add(message.id)) this.#onChecked(message, frame);
        return;
      case "x-vendor.arcp.job.description":
        if (this.#recentIds.add(message.id)) this.#onJobDescription(message, frame);
        return;
      case "session.error":
        if (this.#recentIds.add(message.id)) this.#onError(readError(message.payload), frame);
        return;
      case "session.closed":
      case "session.bye":
        return;
    }
  }

  #onJobEvent(session: Session, message: MessageOf<"job.event">): void {
    const jobId = message.job_id;
    if (jobId === undefined) {
      this.#owner.onProblem(new InvalidRequestError("a job.event names no job"));
      return;
    }
    const { jobs, numbering } = this.#owner;
    const found = jobs.find(jobId);
    if (!numbering.admit(session, message, found) || this.#isRedelivered(message, found)) return;
    const { kind, body } = message.payload;
    // Of any of the principal's jobs, also of those that this session has nothing else to do with.
    const isQuestion = this.#owner.questions.receive(jobId, kind, body);
    if (found === undefined && (isQuestion || jobs.isPast(jobId))) return;
    const known = found ?? jobs.ensure(jobId, "unknown");
    const event = toJobEvent(jobId, seqOf(message), message.payload);
    if (this.#owner.subscriptions.isHistoryPending(known)) this.#keepEarly(known, { session, event });
    else this.#deliver(known, [event]);
    if (known.endsAt) this.#owner.subscriptions.settleByStatus(session, known);
  }

  #deliver(known: KnownJob, events: readonly JobEvent[]): void {
    for (const each of events) {
      const event = known.job.receive(each);
      if (event !== undefined) this.#owner.onEvent(event);
    }
  }

  /** Until the reply says whether it comes again. Not for ever: there are runtimes that send all of the history first. */
  #keepEarly(known: KnownJob, early: EarlyEvent): void {
    known.early.push(early);
    if (known.early.length > MAX_EARLY) this.#deliver(known, takeEarly(known));
  }

  /** A number tells most; this is for messages without one, and for runtimes that send the submitter's twice. */
  #isRedelivered(message: NumberedMessage & { readonly id: string }, known: KnownJob | undefined): boolean {
    if (seqOf(message) === undefined) return !this.#recentIds.add(message.id);
    return known !== undefined && known.role === "own" && known.subscriptions > 0 && !known.seenIds.add(message.id);
  }

  #onJobEnd(session: Session, message: MessageOf<"job.result"> | MessageOf<"job.error">, frame: JsonObject): void {
    const { jobs, numbering } = this.#owner;
    const jobId = message.job_id ?? message.payload.job_id;
    const found = jobId === undefined ? undefined : jobs.find(jobId);
    if (!numbering.admit(session, message, found) || this.#isRedelivered(message, found)) return;
    if (message.type === "job.error" && this.#isRefusal(message, jobId, found, readCorrelators(frame))) return;
    if (jobId === undefined || (found === undefined && jobs.isPast(jobId))) return;
    const known = found ?? jobs.ensure(jobId, "unknown");
    this.#deliver(known, takeEarly(known));
    if (message.type === "job.result") known.job.finish(message.payload);
    else known.job.fail(readError(message.payload), message.payload.final_status);
    this.onOver(known);
  }

  /** Does this `job.error` refuse a request, as some SDKs' do, instead of ending a job? Then it is dealt with here. */
  #isRefusal(
    message: MessageOf<"job.error">,
    jobId: JobId | undefined,
    known: KnownJob | undefined,
    reply: Correlators,
  ): boolean {
    const { correlation, jobs } = this.#owner;
    const error = readError(message.payload);
    if (error.code === "CANCELLED") return false;
    if (correlation.refuseExactly(reply, error)) return true;
    if (REFUSALS.has(error.code) && correlation.refuseAbout(jobId, known?.role === "own", error)) return true;
    // An ending that overtakes the acceptance comes from an SDK that names the job in the payload and does not number it.
    const isEarlyEnd = message.payload.job_id !== undefined && seqOf(message) === undefined;
    const isUnheardOf = known === undefined && !isEarlyEnd && !(jobId !== undefined && jobs.isPast(jobId));
    if (error.code !== "DUPLICATE_KEY" && !isUnheardOf) return false;
    return correlation.refuseSubmit(reply, error) || error.code === "DUPLICATE_KEY";
  }

  #onAccepted(message: MessageOf<"job.accepted">, frame: JsonObject): void {
    const { jobs, correlation } = this.#owner;
    const { payload } = message;
    const jobId = payload.job_id ?? message.job_id;
    if (jobId === undefined) {
      this.#owner.onProblem(new InvalidRequestError("a job.accepted names no job"));
      return;
    }
    if (payload.parent_job_id !== undefined) {
      // After a resume it may come once more.
      const isRepeated = jobs.isPast(jobId) || jobs.find(jobId)?.role === "delegated";
      const child = jobs.recall(jobId, "delegated");
      child.job.accept(payload);
      if (!isRepeated) this.#owner.onDelegated(child);
      return;
    }
    const request = correlation.submits.match(readCorrelators(frame));
    if (request === undefined) return;
    const known = jobs.recall(jobId, "own");
    known.job.accept(payload);
    const isWanted = correlation.submits.resolve(request, known);
    if (!isWanted && !request.isRepeatable && !known.job.isOver) this.#owner.onUnwanted(known);
  }

  #onCancelled(frame: JsonObject): void {
    const { cancels } = this.#owner.correlation;
    const request = cancels.match(readCorrelators(frame));
    if (request) cancels.resolve(request, undefined);
  }

  #onJobs(message: MessageOf<"session.jobs">, frame: JsonObject): void {
    const { lists } = this.#owner.correlation;
    const request = lists.match(readCorrelators(frame));
    if (request) lists.resolve(request, readJobPage(message.payload));
  }

  #onAnswerAck(payload: MessageOf<"x-vendor.arcp.ack">["payload"], frame: JsonObject): void {
    const { answers } = this.#owner.correlation;
    const request = answers.match(readCorrelators(frame));
    if (request) answers.resolve(request, payload);
  }

  #onDescription({ payload }: MessageOf<"x-vendor.arcp.agent.description">, frame: JsonObject): void {
    const { descriptions } = this.#owner.correlation;
    const request = descriptions.match(readCorrelators(frame));
    if (request) descriptions.resolve(request, readDescription(payload));
  }

  #onChecked({ payload }: MessageOf<"x-vendor.arcp.job.checked">, frame: JsonObject): void {
    const { checks } = this.#owner.correlation;
    const request = checks.match(readCorrelators(frame));
    if (request) checks.resolve(request, readChecked(payload));
  }

  #onJobDescription({ payload }: MessageOf<"x-vendor.arcp.job.description">, frame: JsonObject): void {
    const { jobDescriptions } = this.#owner.correlation;
    const request = jobDescriptions.match(readCorrelators(frame));
    if (request) jobDescriptions.resolve(request, readJobDescription(payload));
  }

  #onError(error: ARCPError, frame: JsonObject): void {
    if (!this.#owner.correlation.refuse(readCorrelators(frame), error)) this.#owner.onProblem(error);
  }

  /** A message that could not be decoded. It was received all the same: asking for it again would bring it again. */
  onUnreadable(session: Session | undefined, frame: JsonObject | undefined, error: ARCPError): void {
    if (session) this.#owner.numbering.count(session, frame?.["event_seq"]);
    this.#owner.onProblem(error);
  }

  /** The job has ended: what waits for its cancellation settles, and it moves out of the way. */
  onOver(known: KnownJob): void {
    // Kept until there is word of what it is.
    if (known.role === "unknown") return;
    const { jobId } = known.job;
    const { cancels } = this.#owner.correlation;
    for (let request = cancels.matchJob(jobId); request; request = cancels.matchJob(jobId)) {
      cancels.resolve(request, undefined);
    }
    this.#owner.jobs.retire(jobId);
  }
}
