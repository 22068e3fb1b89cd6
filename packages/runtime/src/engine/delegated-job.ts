/** A delegated job as the agent that delegated sees it, whether the child lives, has ended, or is known by its end alone (§10). */
import {
  type ErrorPayload,
  errorFromWire,
  InternalError,
  type JobId,
  type JsonObject,
  type Lease,
  type LeaseConstraints,
} from "@arcp/core";
import { type Entry, isTerminal, type JobRecord, type Store } from "../store/store.ts";
import type { AuditFacts } from "./audit/catalogue.ts";
import { outcomeOf } from "./cluster/remote-child.ts";
import { jsonOf } from "./entry-text.ts";
import type { Job } from "./job.ts";
import type { Outcome } from "./job-facts.ts";
import type { Journal } from "./journal.ts";

/** What a delegated job was granted. */
export interface DelegationAccepted {
  readonly jobId: JobId;
  readonly lease: Lease;
  readonly leaseConstraints: LeaseConstraints;
}

/** The end of a delegated job that succeeded. A streamed result is named; its chunks are among the events. */
export interface DelegationResult {
  readonly jobId: JobId;
  readonly result?: unknown;
  readonly resultId?: string;
  /** Bytes. */
  readonly resultSize?: number;
}

/** An event of a delegated job, as its watchers see it (§8.1). */
export interface DelegatedEvent {
  readonly kind: string;
  /** RFC 3339. */
  readonly ts: string;
  readonly body: JsonObject;
}

/** A delegated job, as the agent that delegated sees it. What it rejects with need not be handled. */
export interface DelegatedJob {
  readonly delegateId: string;
  /** Resolves when the child is accepted and that is durable; rejects with why it was refused. */
  readonly accepted: Promise<DelegationAccepted>;
  /** Resolves with the child's result; rejects with its error, or with why it was refused. */
  readonly done: Promise<DelegationResult>;
  /** The child's events from the first on, in order; it ends with the child. Throws if the child was refused. */
  events(): AsyncIterable<DelegatedEvent>;
  /** Tells the child to stop. Does nothing if it has ended or was refused. */
  cancel(reason?: string): void;
}

/**
 * What `ctx.delegate` returns. As a promise it is that of an emitter: it resolves when the `delegate` event is written,
 * and a refusal, which the journal shows as a `tool_result`, does not reject it.
 */
export type Delegation = Promise<void> & DelegatedJob;

/** What came of a child: its result, or the payload of its error. */
export type DelegationEnd = { readonly result: DelegationResult } | { readonly error: ErrorPayload };

/** What is seen of a delegated job. */
export type Child = Pick<
  Job,
  | "id"
  | "lease"
  | "leaseConstraints"
  | "outcome"
  | "lastN"
  | "isTerminal"
  | "isCancelling"
  | "whenEnded"
  | "writtenAfter"
  | "cancel"
> & { audit(action: "job.cancelled", facts: AuditFacts["job.cancelled"]): void };

/** Entries of a child that are in memory at once. */
const EVENTS_READ = 256;

export interface DelegatedJobTools {
  readonly journal: Pick<Journal, "flush">;
  readonly store: Pick<Store, "readJournal">;
  readonly cancelGraceMs: number;
}

/** The delegation of that id, to a child that is accepted when `child` resolves. */
export function delegatedJob(delegateId: string, child: Promise<Child>, tools: DelegatedJobTools): DelegatedJob {
  const { journal, cancelGraceMs } = tools;
  const accepted = child.then(async (job): Promise<DelegationAccepted> => {
    await journal.flush();
    return { jobId: job.id, lease: job.lease, leaseConstraints: job.leaseConstraints ?? {} };
  });
  const done = child.then(async (job): Promise<DelegationResult> => {
    await ended(job);
    await journal.flush();
    return resultOf(job);
  });
  for (const promise of [accepted, done]) promise.catch(() => {});
  return {
    delegateId,
    accepted,
    done,
    events: () => eventsOf(child, tools),
    cancel: (reason) => {
      child.then(
        (job) => {
          if (!job.isTerminal && !job.isCancelling) job.audit("job.cancelled", { by: "parent" });
          job.cancel(reason ?? "cancelled by the agent that delegated", cancelGraceMs);
        },
        () => {},
      );
    },
  };
}

async function* eventsOf(child: Promise<Child>, { journal, store }: DelegatedJobTools): AsyncIterable<DelegatedEvent> {
  const job = await child;
  for (let n = 0; ; ) {
    const { lastN, isTerminal: hasEnded } = job;
    await journal.flush();
    while (n < lastN) {
      const entries = await store.readJournal(job.id, n + 1, Math.min(n + EVENTS_READ, lastN));
      if (entries.length === 0) return;
      for (const entry of entries) {
        n = entry.n;
        if (!isTerminal(entry.code)) yield JSON.parse(entry.payload) as DelegatedEvent;
      }
    }
    if (hasEnded) return;
    await job.writtenAfter(n);
  }
}

/** A child that ended before its parent was gone on with. */
export function endedChild({ id, lease, leaseConstraints, lastN }: JobRecord, end: Entry): Child {
  const outcome = outcomeOf(end);
  return {
    ...{ id, lease, lastN, outcome, isTerminal: true, isCancelling: false },
    audit: () => {},
    leaseConstraints: leaseConstraints ?? undefined,
    whenEnded: (task) => task(),
    writtenAfter: () => Promise.resolve(),
    cancel: () => false,
  };
}

/** A child of which nothing is left but what its parent has on record. */
export function forgottenChild(id: JobId, end: DelegationEnd): Child {
  const {
    jobId: _id,
    resultId: result_id,
    resultSize: result_size,
    ...result
  } = "result" in end ? end.result : { jobId: id };
  const outcome: Outcome =
    "error" in end
      ? { status: "error", error: errorFromWire(end.error) }
      : { status: "success", members: jsonOf({ ...result, result_id, result_size }).slice(1, -1) };
  return {
    ...{ id, lease: {}, leaseConstraints: undefined, lastN: 0, outcome, isTerminal: true, isCancelling: false },
    audit: () => {},
    whenEnded: (task) => task(),
    writtenAfter: () => Promise.resolve(),
    cancel: () => false,
  };
}

/** A delegation that was never announced. */
export function refusedDelegation(error: unknown): Delegation {
  const refused = <Value>(): Promise<Value> => {
    const promise = Promise.reject<Value>(error);
    promise.catch(() => {});
    return promise;
  };
  return Object.assign(refused<void>(), {
    delegateId: "",
    accepted: refused<DelegationAccepted>(),
    done: refused<DelegationResult>(),
    // biome-ignore lint/correctness/useYield: there is nothing to tell of.
    async *events(): AsyncIterable<DelegatedEvent> {
      throw error;
    },
    cancel(): void {},
  });
}

const ended = (job: Child): Promise<void> => new Promise((resolve) => job.whenEnded(resolve));

function resultOf({ id, outcome }: Child): DelegationResult {
  if (outcome?.status !== "success") throw outcome?.error ?? new InternalError("the delegated job has not ended");
  const { result_id, result_size, ...members } = JSON.parse(`{${outcome.members}}`) as JsonObject;
  return {
    jobId: id,
    ...("result" in members && { result: members["result"] }),
    ...(typeof result_id === "string" && { resultId: result_id }),
    ...(typeof result_size === "number" && { resultSize: result_size }),
  };
}
