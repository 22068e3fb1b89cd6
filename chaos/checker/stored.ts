/** What the database says after the run. Read offline, as any tool would. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { SessionId } from "@arcp/core";
import {
  auditRows,
  type BlobStore,
  type CredentialRecord,
  type Entry,
  type JobRecord,
  type Store,
  verifyAudit,
} from "@arcp/runtime";
import Database from "better-sqlite3";
import { openStore, STORE_FILES, type StoreSettings } from "../stores.ts";

export interface StoredItem {
  readonly seq: number;
  readonly job: string;
  readonly n: number;
  /** JSON that can be compared. */
  readonly payload: string;
}

export interface StoredJob {
  readonly id: string;
  readonly principal: string;
  readonly sessionId: string;
  readonly agent: string;
  readonly status: string;
  readonly isDelegated: boolean;
  readonly lastN: number;
  readonly budget: Readonly<Record<string, number>> | null;
  readonly entries: readonly Pick<Entry, "n" | "code" | "payload">[];
}

export interface Stored {
  /** What the database says of its own structure: `ok`, or what is wrong. */
  readonly integrity: string;
  /** What the store itself says of what it could not read. */
  readonly damage: readonly string[];
  readonly jobs: ReadonlyMap<string, StoredJob>;
  /** The numbered items of each session that was asked about, from 1 on. A session that is not there has none. */
  readonly feeds: ReadonlyMap<string, readonly StoredItem[]>;
  readonly audit: {
    /** What is wrong with its chain. */
    readonly broken: string | undefined;
    /** The jobs whose submissions are in it. */
    readonly submitted: ReadonlySet<string>;
  };
  /** The credentials that are to be revoked, and are not known to be dead. */
  readonly outstanding: readonly Pick<CredentialRecord, "alias" | "lastError">[];
  /** Contents of artifacts by their ids: the digests of what was read. */
  readonly artifacts: ReadonlyMap<string, string>;
}

const PAGE = 1_000;
const PAGE_BYTES = 16 * 1024 * 1024;

/**
 * Reads everything of the jobs, and of the sessions with `sessionIds`.
 *
 * @param integrity Of a database that is no file.
 */
export async function readStored(
  settings: StoreSettings,
  sessionIds: Iterable<string>,
  integrity?: string,
): Promise<Stored> {
  const wholeness =
    settings.kind === "sqlite" ? integrityOf(join(settings.directory, STORE_FILES.database)) : integrity;
  const { store, blobs } = openStore(settings, { reader: true, name: "checker" });
  try {
    const damage: string[] = [];
    const whole = async <Value>(read: () => Promise<Value>, instead: Value): Promise<Value> => {
      try {
        return await read();
      } catch (error) {
        damage.push(String(error));
        return instead;
      }
    };
    const jobs = new Map<string, StoredJob>();
    for await (const record of jobsOf(store)) {
      const entries = await whole(() => store.readJournal(record.id, 1, Math.max(record.lastN, 1)), []);
      jobs.set(record.id, storedJob(record, entries));
    }
    const feeds = new Map<string, readonly StoredItem[]>();
    for (const id of sessionIds) feeds.set(id, await whole(() => feedOf(store, id as SessionId), []));
    const outstanding = await store.outstandingCredentials();
    return {
      integrity: wholeness ?? "ok",
      damage,
      jobs,
      feeds,
      audit: await auditOf(store),
      outstanding,
      artifacts: await artifactsOf(store, blobs),
    };
  } finally {
    await store.close();
    await blobs.close();
  }
}

function integrityOf(path: string): string {
  // The last of its writers may have left a log that is to be read with it.
  const db = new Database(path);
  try {
    return String(db.pragma("integrity_check", { simple: true }));
  } finally {
    db.close();
  }
}

async function* jobsOf(store: Store): AsyncIterable<JobRecord> {
  let after: { readonly createdAt: number; readonly id: string } | undefined;
  for (;;) {
    const page = await store.listJobs({ principal: null, limit: PAGE, ...(after && { after }) });
    yield* page;
    after = page.at(-1);
    if (after === undefined) return;
  }
}

function storedJob(record: JobRecord, entries: readonly Entry[]): StoredJob {
  const { id, principal, sessionId, agent, status, lastN, budget } = record;
  const isDelegated = record.parentJobId !== null;
  return { id, principal, sessionId, agent, status, isDelegated, lastN, budget, entries };
}

async function feedOf(store: Store, id: SessionId): Promise<readonly StoredItem[]> {
  const items: StoredItem[] = [];
  for (;;) {
    const page = await store.readFeed(id, items.at(-1)?.seq ?? 0, PAGE, PAGE_BYTES);
    if (page.length === 0) return items;
    for (const { seq, jobId, entry } of page) {
      items.push({ seq, job: jobId, n: entry.n, payload: JSON.stringify(JSON.parse(entry.payload)) });
    }
  }
}

async function auditOf(store: Store): Promise<Stored["audit"]> {
  const submitted = new Set<string>();
  for await (const { action, jobId } of auditRows(store)) {
    if (action === "job.submitted" && jobId !== undefined) submitted.add(jobId);
  }
  const { broken } = await verifyAudit(store);
  return { broken: broken && `row ${broken.seq}: ${broken.reason}`, submitted };
}

async function artifactsOf(store: Store, blobs: BlobStore): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  let after: string | undefined;
  for (;;) {
    const page = await store.listRecords({ kind: "artifact", limit: PAGE, ...(after !== undefined && { after }) });
    for (const { data } of page) {
      const facts = JSON.parse(data ?? "{}") as Readonly<Record<string, unknown>>;
      const blob = facts["blob"] as Blob;
      digests.set(String(facts["artifactId"]), await digestOf(blobs, blob));
    }
    after = page.at(-1)?.id;
    if (after === undefined) return digests;
  }
}

type Blob = Parameters<BlobStore["read"]>[0];

async function digestOf(blobs: BlobStore, blob: Blob): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const piece of blobs.read(blob)) hash.update(piece);
    return hash.digest("hex");
  } catch (error) {
    return `unreadable: ${String(error)}`;
  }
}
