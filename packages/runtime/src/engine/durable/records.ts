/** What the store keeps of durable jobs besides their journals, as small documents. */
import type { ErrorPayload, JobId, JsonObject, ResultId, TraceContext } from "@arcp/core";
import type { ErrorCode10 } from "@arcp/core/v1.0";
import type { Store, StoredRecord } from "../../store/store.ts";
import type { DelegationEnd } from "../delegated-job.ts";
import type { JobOrigin } from "../job-facts.ts";
import { readAskedFor } from "../kept-request.ts";
import type { WakeUp } from "./timing.ts";
import type { Positions, StepPieces } from "./told.ts";

/** What a job was asked for: one per job, written with it. */
export const RUN_KIND = "run";
/** How far it has come: one per job, written anew whenever that changes. */
export const PROGRESS_KIND = "run_progress";
/** What one step has come to. */
export const STEP_KIND = "step";

/** What a restart needs to call the agent again, and the job's own row does not have. */
export interface StoredRun {
  readonly input: unknown;
  readonly origin?: JobOrigin;
  /** When it must have ended, in milliseconds since the epoch; absent while it waits to begin. */
  readonly deadlineAt?: number;
  readonly maxRuntimeMs?: number;
  readonly depth: number;
  readonly openModels?: readonly string[];
  readonly hasCredentials: boolean;
  /** Where in its trace it was asked for, if its caller named a span: a job is below it wherever it runs. */
  readonly caller?: Omit<TraceContext, "traceId">;
}

/** Where a restart begins. */
export interface StoredProgress {
  /** Counts the agent's own checkpoints: steps are told apart by it. */
  readonly generation: number;
  /** What the last checkpoint keeps; absent before the first. */
  readonly restored?: { readonly data: unknown };
  /** The end of the journal at that checkpoint; 0 before the first. */
  readonly n: number;
  /** What had been sent of a result in pieces. */
  readonly pieces?: StoredPieces;
  /** Calls of the agent that have failed and were to be tried again. */
  readonly failures: number;
  /** What stood when the last of them had failed; absent before the first. */
  readonly retried?: StoredRetry;
  /** Restarts since the job last came on. */
  readonly restarts: number;
  /** Did the last runtime put the job aside, as opposed to dying under it? */
  readonly isAside: boolean;
}

/** Of a call of the agent that has failed. */
export interface StoredRetry {
  /** When it is to be called again, in milliseconds since the epoch. */
  readonly callAt: number;
  /** The end of the journal: what the next call tells after its last step on record is told anew. */
  readonly n: number;
  readonly nextPiece: number;
}

/** Of a result in pieces: how much of it is out. */
export interface StoredPieces {
  readonly resultId: ResultId;
  readonly nextSeq: number;
  /** Decoded. */
  readonly bytes: number;
}

/** One step of one generation: the `ordinal`th that the agent asked for. */
export interface StoredStep {
  readonly ordinal: number;
  readonly name: string;
  /** Counts what has come about in this generation: what is on record is given back in this order. */
  readonly order: number;
  /** The end of the journal when the agent asked for it. */
  readonly begunN: number;
  /** The events of the agent outside steps, where the last of those is, and its next piece, when this was written. */
  readonly told: number;
  readonly n: number;
  readonly nextPiece: number;
  /** What was told within it. */
  readonly within?: Positions;
  readonly pieces?: StepPieces;
  readonly state:
    | { readonly is: "done"; readonly value?: unknown }
    /** `error` is the payload of a wire 1.1 error, `code10` the code that wire 1.0 has for it, if it was made with that. */
    | { readonly is: "failed"; readonly error: ErrorPayload; readonly code10?: ErrorCode10 }
    | ({ readonly is: "asleep" } & WakeUp)
    | { readonly is: "asked"; readonly questionId: string; readonly question: JsonObject }
    /** The event is written; the child was not made yet. */
    | { readonly is: "delegating"; readonly delegateId: string }
    /** `end` is what came of the child, once that is known: it is kept no shorter than its parent. */
    | { readonly is: "delegated"; readonly delegateId: string; readonly childId: JobId; readonly end?: DelegationEnd };
}

/** What is stored of a job that can be gone on with. */
export interface StoredDurable {
  readonly run: StoredRun;
  /** Is the input stored with the job's row, and not with the run? */
  readonly isInputKept: boolean;
  readonly progress: StoredProgress;
  /** Of its generation, by ordinal. */
  readonly steps: readonly StoredStep[];
  /** Every record of a step, of any generation: they go with the job. */
  readonly stepIds: readonly string[];
}

/** From where on in the journal something may have been told by what is not on record. */
export function openFrom({ progress, steps }: Pick<StoredDurable, "progress" | "steps">): number {
  const byOrdinal = new Map(steps.map((step) => [step.ordinal, step]));
  let open = 0;
  while (byOrdinal.has(open)) open += 1;
  return Math.max(progress.n, progress.retried?.n ?? 0, byOrdinal.get(open - 1)?.begunN ?? 0);
}

const PAGE = 500;
const ORDINAL_DIGITS = 8;

/** In order by generation and ordinal. */
export const stepId = (jobId: JobId, generation: number, ordinal: number): string =>
  `${jobId} ${padded(generation)} ${padded(ordinal)}`;

const padded = (count: number): string => String(count).padStart(ORDINAL_DIGITS, "0");

/** What is stored of `jobId`; `undefined` if it is not durable. */
export async function readDurable(
  store: Pick<Store, "findRecord" | "listRecords" | "readAsked">,
  jobId: JobId,
): Promise<StoredDurable | undefined> {
  const kept = parsed<Partial<StoredRun>>(await store.findRecord(RUN_KIND, jobId));
  const progress = parsed<StoredProgress>(await store.findRecord(PROGRESS_KIND, jobId));
  if (kept === undefined || progress === undefined) return undefined;
  // It is written once, with the job's row or with the run.
  const isInputKept = !("input" in kept);
  const input = isInputKept ? readAskedFor(await store.readAsked(jobId)).input : kept.input;
  const run = { ...(kept as StoredRun), input: input ?? null };
  const records: StoredRecord[] = [];
  for (let after: string | undefined; ; after = records.at(-1)?.id) {
    const query = { kind: STEP_KIND, jobId, limit: PAGE, ...(after !== undefined && { after }) };
    const page = await store.listRecords(query);
    records.push(...page);
    if (page.length < PAGE) break;
  }
  const current = stepId(jobId, progress.generation, 0).slice(0, -ORDINAL_DIGITS);
  const steps = records.filter(({ id }) => id.startsWith(current)).map((record) => parsed<StoredStep>(record));
  return {
    ...{ run, isInputKept, progress, stepIds: records.map(({ id }) => id) },
    steps: steps.filter((step) => step !== undefined),
  };
}

/** The input of a durable job that has not ended, if its run has it. */
export async function readRunInput(
  store: Pick<Store, "findRecord">,
  jobId: JobId,
): Promise<{ readonly input: unknown } | undefined> {
  const kept = parsed<Partial<StoredRun>>(await store.findRecord(RUN_KIND, jobId));
  return kept !== undefined && "input" in kept ? { input: kept.input } : undefined;
}

const parsed = <Document>(record: StoredRecord | undefined): Document | undefined =>
  typeof record?.data === "string" ? (JSON.parse(record.data) as Document) : undefined;
