/** Database files of a test, and what is put into them. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newJobId, newTraceId, type SessionId } from "@arcp/core";
import { type Batch, type Entry, type JobRecord, type Store, StoreError } from "@arcp/runtime";
import { onTestFinished } from "vitest";

/** A directory that is removed after the test. */
export function temporaryDirectory(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "arcp-store-")));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The path of a database that is not there yet. */
export const freshPath = (): string => join(temporaryDirectory(), "runtime.db");

export const EMPTY: Batch = {
  ...{ sessions: [], jobs: [], idempotency: [], entries: new Map(), jobChanges: new Map(), runs: new Map() },
  ...{ follows: [], audit: [], credentials: [], records: [] },
};

export function jobRecord(overrides: Partial<JobRecord> = {}): JobRecord {
  return {
    ...{ id: newJobId(), sessionId: "sess_1" as SessionId, principal: "alice", agent: "worker", agentVersion: "1.0.0" },
    ...{ status: "success", createdAt: 1_000, endedAt: 2_000, lease: {}, leaseConstraints: null, parentJobId: null },
    ...{ delegateId: null, traceId: newTraceId(), budget: null, epoch: 1, lastN: 0, lastEventSeq: 0 },
    ...overrides,
  };
}

/** Entries 1 to `count`, the last of them terminal. */
export function entriesOf(count: number, payload = '{"kind":"log"}'): Entry[] {
  return Array.from({ length: count }, (_, index) => ({
    ...{ n: index + 1, ts: 1_000 + index, code: index === count - 1 ? 20 : 0, payload },
  }));
}

/** Stores an ended job with `count` entries, and returns it. */
export async function putJob(store: Store, count: number, overrides: Partial<JobRecord> = {}, payload?: string) {
  const job = jobRecord({ lastN: count, ...overrides });
  const entries = new Map([[job.id, { epoch: job.epoch, list: entriesOf(count, payload) }]]);
  await store.commit({ ...EMPTY, jobs: [job], entries });
  return job;
}

/** The failure of `work`. Throws if there is none, or another one. */
export async function storeFailure(work: () => unknown): Promise<StoreError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof StoreError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}
