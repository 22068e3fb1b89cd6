import type { ConnectionState, FinalStatus, JobEvent } from "@arcp/client";
import type { ARCPError } from "@arcp/core";
import { toSafeJson } from "./escape.ts";
import type { JobView, Outcome, WatchedChild, WatchedJob } from "./job-view.ts";
import type { TerminalStream } from "./terminal.ts";

/** Writes values as lines of JSON. Resolves when the stream has room again. */
export async function printJson(stream: TerminalStream, value: object): Promise<void> {
  const hasRoom = stream.write(`${toSafeJson(value)}\n`);
  if (!hasRoom) await new Promise<void>((resolve) => stream.once("drain", resolve));
}

/** One JSON object per line, shaped like the protocol's messages. The last line is `job.result` or `job.error`. */
export class JsonView implements JobView {
  readonly #stream: TerminalStream;
  #jobId = "";
  #isReconnecting = false;

  constructor(stream: TerminalStream) {
    this.#stream = stream;
  }

  onJob(job: WatchedJob): Promise<void> {
    this.#jobId = job.jobId;
    return printJson(this.#stream, {
      type: job.relation === "submitted" ? "job.accepted" : "job.subscribed",
      job_id: job.jobId,
      agent: job.agent,
      lease: job.lease,
      ...(job.expiresAt === undefined ? {} : { lease_constraints: { expires_at: job.expiresAt } }),
      budget: job.budget,
      trace_id: job.traceId,
    });
  }

  onEvent(event: JobEvent): Promise<void> {
    const kind = event.kind === "vendor" ? event.name : event.kind;
    const { jobId, seq, ts, body } = event;
    return printJson(this.#stream, { type: "job.event", job_id: jobId, event_seq: seq, kind, ts, body });
  }

  onChild(child: WatchedChild): Promise<void> {
    return printJson(this.#stream, {
      ...{ type: "child.accepted", job_id: child.jobId, agent: child.agent, lease: child.lease },
      ...(child.expiresAt === undefined ? {} : { lease_constraints: { expires_at: child.expiresAt } }),
      ...{ parent_job_id: child.parentJobId, delegate_id: child.delegateId },
    });
  }

  onChildEnd(child: WatchedChild, status: FinalStatus, error: ARCPError | undefined): Promise<void> {
    return printJson(this.#stream, {
      ...{ type: "child.ended", job_id: child.jobId, parent_job_id: child.parentJobId, final_status: status },
      ...(error === undefined ? {} : { error: error.toWire() }),
    });
  }

  onConnection(state: ConnectionState): void {
    if (state.phase === "reconnecting") {
      this.#isReconnecting = true;
      const { attempt, cause } = state;
      void printJson(this.#stream, { type: "connection", state: "reconnecting", attempt, message: cause.message });
    } else if (state.phase === "connected" && this.#isReconnecting) {
      this.#isReconnecting = false;
      void printJson(this.#stream, { type: "connection", state: state.isResumed ? "resumed" : "replaced" });
    }
  }

  onEnd(outcome: Outcome): Promise<void> {
    if (outcome.status !== "success") {
      const { status, error } = outcome;
      return printJson(this.#stream, {
        type: "job.error",
        job_id: this.#jobId,
        final_status: status,
        ...error.toWire(),
      });
    }
    const { result, savedTo } = outcome;
    return printJson(this.#stream, {
      type: "job.result",
      job_id: this.#jobId,
      final_status: "success",
      ...(result.resultId === undefined ? { result: result.result } : { result_id: result.resultId }),
      result_size: result.resultSize,
      summary: result.summary,
      saved_to: savedTo,
    });
  }

  onDetach(jobId: string): Promise<void> {
    return printJson(this.#stream, { type: "detached", job_id: jobId });
  }

  close(): void {}
}
