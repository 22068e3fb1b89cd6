/**
 * Spans of a job (RFC §17.1): each is an entry, so that whoever watches can build the tree, and a span of OpenTelemetry.
 * The root of the tree is the job itself, whose span is written at its end.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { type Clock, InvalidRequestError } from "@arcp/core";
import { ENTRY } from "../store/store.ts";
import { tooLarge } from "./caps.ts";
import { isLonger, jsonOf, timestamp } from "./entry-text.ts";
import type { Job } from "./job.ts";
import type { Outcome } from "./job-facts.ts";
import { jobSpanIdOf, newSpanId, startAgentSpan } from "./telemetry.ts";

/** A span that is under way, for what runs in it. */
export interface AgentSpan {
  /** 16 hexadecimal characters. */
  readonly spanId: string;
}

type Attributes = Readonly<Record<string, unknown>>;

/** The innermost span that the current call runs in. */
const active = new AsyncLocalStorage<{ readonly jobId: string; readonly spanId: string }>();

export class JobSpans {
  readonly #job: Job;
  readonly #clock: Clock;
  #isRootPromised = false;

  constructor(job: Job, clock: Clock) {
    this.#job = job;
    this.#clock = clock;
    if (job.origin !== undefined) this.#promiseRoot();
  }

  /**
   * Calls `act` in a span below the one that it is called in, and tells of it when it is over. Rejects with what `act`
   * throws; with {@link InvalidRequestError}, and calls nothing, for a name or attributes that cannot be told.
   */
  async run<Result>(
    name: string,
    attributes: Attributes,
    act: (span: AgentSpan) => Result | Promise<Result>,
  ): Promise<Result> {
    const { id: jobId, traceId } = this.#job;
    const shown = this.#shown(name, attributes);
    this.#promiseRoot();
    const outer = active.getStore();
    const parentSpanId = outer?.jobId === jobId ? outer.spanId : jobSpanIdOf(jobId);
    const traced = startAgentSpan(shown.name, shown.attributes);
    const spanId = traced?.spanId ?? newSpanId();
    const startedAt = this.#clock.now();
    const over = (code: string | undefined): void => {
      traced?.end(code);
      this.#tell({
        ...{ trace_id: traceId, span_id: spanId, parent_span_id: parentSpanId, name: shown.name },
        ...this.#times(startedAt),
        status: code === undefined ? "ok" : "error",
        attributes: code === undefined ? shown.attributes : { ...shown.attributes, "error.type": code },
      });
    };
    try {
      const run = (): Result | Promise<Result> => active.run({ jobId, spanId }, () => act({ spanId }));
      const result = await (traced === undefined ? run() : traced.run(run));
      over(undefined);
      return result;
    } catch (error) {
      over(codeOf(error));
      throw error;
    }
  }

  /** The span of the job itself, at its end: the parent of all others. */
  #promiseRoot(): void {
    if (this.#isRootPromised) return;
    this.#isRootPromised = true;
    this.#job.beforeEnd((outcome) => this.#tellRoot(outcome));
  }

  #tellRoot(outcome: Outcome): void {
    const { id, traceId, agentRef, parentJobId, callerSpanId, createdAt } = this.#job;
    const parent = parentJobId === undefined ? callerSpanId : jobSpanIdOf(parentJobId);
    const isError = outcome.status !== "success";
    this.#tell({
      ...{ trace_id: traceId, span_id: jobSpanIdOf(id), ...(parent !== undefined && { parent_span_id: parent }) },
      ...{ name: "arcp.job", ...this.#times(Date.parse(createdAt)) },
      status: isError ? "error" : "ok",
      attributes: {
        ...{ "arcp.job_id": id, "arcp.agent": agentRef, "arcp.job.status": outcome.status },
        ...(isError && { "error.type": outcome.error.code }),
      },
    });
  }

  #times(startedAt: number): object {
    const now = this.#clock.now();
    return { start_time: timestamp(startedAt), end_time: timestamp(now), duration_ms: Math.max(0, now - startedAt) };
  }

  #tell(span: object): void {
    this.#job.tell(ENTRY.span, "x-vendor.arcp.span", JSON.stringify(span));
  }

  /** What may be told of a span, within bounds and without the job's secrets. */
  #shown(name: string, attributes: Attributes): { readonly name: string; readonly attributes: Attributes } {
    if (typeof name !== "string" || name === "") throw new InvalidRequestError("a span has a name");
    if (typeof attributes !== "object" || attributes === null || Array.isArray(attributes)) {
      throw new InvalidRequestError("the attributes of a span are an object");
    }
    const text = jsonOf({ name, attributes });
    const { maxEventBytes } = this.#job.caps;
    if (isLonger(text, maxEventBytes)) throw tooLarge("maxEventBytes", maxEventBytes);
    return JSON.parse(this.#job.masked(text)) as { readonly name: string; readonly attributes: Attributes };
  }
}

/** What went wrong, in a word that gives nothing away. */
function codeOf(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null) return typeof thrown;
  const { code, name } = thrown as { readonly code?: unknown; readonly name?: unknown };
  if (typeof code === "string") return code.slice(0, 128);
  return typeof name === "string" ? name.slice(0, 128) : "Error";
}
