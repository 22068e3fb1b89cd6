/** Artifacts over a real database and real files, with a check that nothing was left behind. */
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { createLogger, type SessionId } from "@arcp/core";
import { type Store, sqliteStore } from "@arcp/runtime";
import type { ArtifactRef } from "../../packages/runtime/src/engine/artifacts/artifact.ts";
import { Artifacts, type ArtifactsOptions } from "../../packages/runtime/src/engine/artifacts/artifacts.ts";
import { DEFAULT_ARTIFACT_CAPS, DEFAULT_ARTIFACT_RETENTION } from "../../packages/runtime/src/engine/artifacts/caps.ts";
import type { PutArtifact } from "../../packages/runtime/src/engine/artifacts/request.ts";
import { Audit, DEFAULT_AUDIT_POLICY } from "../../packages/runtime/src/engine/audit/audit.ts";
import { Journal } from "../../packages/runtime/src/engine/journal.ts";
import type { BlobStore } from "../../packages/runtime/src/store/blobs.ts";
import { fileBlobs } from "../../packages/runtime/src/store/blobs-files.ts";
import type { StoredRecord } from "../../packages/runtime/src/store/store.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { bytesOf, collected } from "./content.ts";

export const SESSION = "sess_1" as SessionId;

export const NOT_FOUND = { code: "JOB_NOT_FOUND", retryable: false };

/** Files of `directory` that this process has open. */
export function openFiles(directory: string): string[] {
  if (process.platform !== "linux") return [];
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(`${directory}/`) ? [path] : [];
    } catch {
      return []; // The descriptor that the list was read through.
    }
  });
}

export interface ShelfOptions {
  /** Where the database and the contents are. Another shelf finds them there. */
  readonly directory: string;
  readonly clock?: ManualClock;
  readonly caps?: Partial<ArtifactsOptions["caps"]>;
  readonly retention?: ArtifactsOptions["retention"];
  readonly mayRead?: ArtifactsOptions["mayRead"];
  /** What stands between the artifacts and their contents. It is closed with the shelf. */
  readonly through?: (blobs: BlobStore) => BlobStore;
  /** What stands between the artifacts and their records. */
  readonly throughStore?: (store: Store) => ArtifactsOptions["store"];
}

export class Shelf implements AsyncDisposable {
  readonly directory: string;
  readonly contents: string;
  readonly clock: ManualClock;
  readonly store: Store;
  readonly journal: Journal;
  readonly blobs: BlobStore;
  readonly artifacts: Artifacts;
  readonly #through: BlobStore;
  /** Log records of level warn and above, as JSON. */
  readonly logged: string[] = [];

  constructor(options: ShelfOptions) {
    this.directory = options.directory;
    this.contents = join(this.directory, "contents");
    this.clock = options.clock ?? new ManualClock();
    const logger = createLogger((line) => this.logged.push(line), "warn");
    this.store = sqliteStore({ path: join(this.directory, "journal.db") });
    this.journal = new Journal({ store: this.store, clock: this.clock, logger, onFailure: () => {} });
    this.blobs = fileBlobs({ directory: this.contents });
    this.#through = options.through?.(this.blobs) ?? this.blobs;
    const audit = new Audit({
      ...{ journal: this.journal, clock: this.clock, policy: DEFAULT_AUDIT_POLICY },
      runtime: { name: "test", version: "1" },
    });
    this.artifacts = new Artifacts({
      ...{ journal: this.journal, audit, clock: this.clock, logger, blobs: this.#through },
      store: options.throughStore?.(this.store) ?? this.store,
      caps: { ...DEFAULT_ARTIFACT_CAPS, ...options.caps },
      retention: options.retention ?? DEFAULT_ARTIFACT_RETENTION,
      mayRead: options.mayRead,
    });
  }

  /** The names of the files that hold contents, whole and begun. */
  get files(): string[] {
    return readdirSync(this.contents).sort();
  }

  /** Bytes on disk. */
  get bytes(): number {
    return this.files.reduce((sum, name) => sum + statSync(join(this.contents, name)).size, 0);
  }

  records(): Promise<readonly StoredRecord[]> {
    return this.store.listRecords({ kind: "artifact", limit: 10_000 });
  }

  put(data: PutArtifact["data"] | string, request: Partial<PutArtifact> = {}): Promise<ArtifactRef> {
    return this.artifacts.put({
      ...{ principal: "alice", sessionId: SESSION, mediaType: "text/plain" },
      data: typeof data === "string" ? bytesOf(data) : data,
      ...request,
    });
  }

  async fetched(artifactId: string, principal = "alice"): Promise<Buffer> {
    const { data } = await this.artifacts.fetch(principal, artifactId);
    return collected(data);
  }

  /** The text of an artifact. */
  async text(artifactId: string, principal = "alice"): Promise<string> {
    return (await this.fetched(artifactId, principal)).toString("utf8");
  }

  async close(): Promise<void> {
    await this.artifacts.close();
    await this.#through.close();
    await this.blobs.close();
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    const broken = this.logged.filter((line) => line.includes('"invariant":true'));
    if (broken.length > 0) throw new Error(`invariants were broken:\n${broken.join("\n")}`);
    const open = openFiles(this.directory);
    if (open.length > 0) throw new Error(`files were left open:\n${open.join("\n")}`);
    const begun = this.files.filter((name) => name.endsWith(".partial"));
    if (begun.length > 0) throw new Error(`contents were left unfinished:\n${begun.join("\n")}`);
  }
}
