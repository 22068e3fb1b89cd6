/**
 * Artifacts: contents of any size, kept for a time, read by whom they belong to (RFC §16).
 *
 * The content is a blob and what is known of it a record. A blob is durable before the record that names it, and a
 * record is gone before its blob: wherever a process ends, an artifact is whole or not there, and what is left over has
 * no record.
 */
import {
  ARCPError,
  type Clock,
  DuplicateKeyError,
  InternalError,
  InvalidRequestError,
  JobNotFoundError,
  type Logger,
  ulid,
} from "@arcp/core";
import { BlobError, type BlobRange, type BlobStore, type StoredBlob } from "../../store/blobs.ts";
import type { Store, StoredRecord } from "../../store/store.ts";
import type { Audit, AuditSubject } from "../audit/audit.ts";
import { isLonger, jsonOf } from "../entry-text.ts";
import type { Journal } from "../journal.ts";
import {
  ARTIFACT_KIND,
  type Artifact,
  type ArtifactRef,
  type ArtifactView,
  artifactOf,
  recordIdOf,
  recordOf,
  refOf,
} from "./artifact.ts";
import { type ArtifactCaps, type ArtifactRetention, exhausted } from "./caps.ts";
import { Quotas, type Room } from "./quota.ts";
import {
  type ArtifactRange,
  assertArtifactId,
  assertPut,
  lifetimeOf,
  type PutArtifact,
  rangeWithin,
} from "./request.ts";
import { piecesOf } from "./source.ts";
import { ArtifactSweep } from "./sweep.ts";

/**
 * May `principal` read `artifact`? Asked only about other principals' artifacts: one's own can always be read. Only those
 * whose id the runtime made are ever asked about, because the others' ids mean nothing to anybody else.
 */
export type ArtifactReadPolicy = (artifact: ArtifactView, principal: string) => boolean | Promise<boolean>;

/** Where it was asked for, as it is recorded. */
type AskedFrom = Pick<AuditSubject, "sessionId" | "remoteAddress">;

/** Who reads, and what their credentials show them besides what is their own. */
type Reader = AskedFrom & { readonly seesAllOf?: (owner: string) => boolean };

export interface ArtifactsOptions {
  readonly journal: Pick<Journal, "putRecord" | "flush">;
  readonly store: Pick<Store, "findRecord" | "listRecords">;
  /** Belongs to this store alone: blobs that it does not know are removed. Stays open. */
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly audit: Audit;
  readonly caps: ArtifactCaps;
  readonly retention: ArtifactRetention;
  /** `undefined`: nobody reads other principals' artifacts. */
  readonly mayRead: ArtifactReadPolicy | undefined;
}

export interface FetchedArtifact {
  readonly ref: ArtifactRef;
  /** Where the range that was asked for begins, in bytes. */
  readonly offset: number;
  /** Its bytes. */
  readonly length: number;
  /**
   * The content of the range. To be read once; nothing is open before that. Throws {@link JobNotFoundError} if the
   * artifact has gone before the first piece was asked for; {@link InternalError} beyond the cap of transfers; DATA_LOSS if
   * the content is not what was put: a whole one is compared before its last piece is given out.
   */
  readonly data: AsyncIterable<Uint8Array>;
}

export interface ReferenceOptions extends Omit<PutArtifact, "data" | "mediaType" | "sha256" | "size"> {
  /** The longest JSON, in bytes, that stays where it is. */
  readonly maxInlineBytes: number;
}

const PAGE = 512;
const MAX_READERS = 10_000;

export class Artifacts {
  readonly #options: ArtifactsOptions;
  readonly #quotas: Quotas;
  readonly #sweep: ArtifactSweep;
  readonly #stop = new AbortController();
  /** Records that somebody is about to make or to delete. */
  readonly #claimed = new Set<string>();
  /** Artifacts that each principal puts or reads at this moment. */
  readonly #transfers = new Map<string, number>();
  readonly #puts = new Set<Promise<unknown>>();
  /** Who has read whose artifact, as far as that is on record. */
  readonly #readers = new Set<string>();

  constructor(options: ArtifactsOptions) {
    this.#options = options;
    const { store, blobs, clock, logger, caps } = options;
    this.#quotas = new Quotas({ caps, sizesOf: (principal) => this.#sizesOf(principal) });
    this.#sweep = new ArtifactSweep({
      ...{ store, blobs, clock, logger },
      isClaimed: (recordId) => this.#claimed.has(recordId),
      remove: (records) => this.#removeUnclaimed(records),
    });
  }

  /** What `capabilities.artifact_retention` declares (RFC §16.3). */
  get retention(): ArtifactRetention {
    return this.#options.retention;
  }

  /** Collects what a dead process has left behind, and removes what expires from then on. */
  start(): void {
    this.#sweep.start();
  }

  /** Removes at once what has expired. */
  removeExpired(): Promise<void> {
    return this.#sweep.removeExpired();
  }

  /** Removes contents that no artifact has. What is being put is left alone. */
  collectOrphans(): Promise<void> {
    return this.#sweep.collectOrphans();
  }

  /** Gives up what is being put and read. Resolves when nothing of it is left. Idempotent. */
  async close(): Promise<void> {
    this.abort();
    await Promise.allSettled(this.#puts);
    await this.#sweep.stop();
  }

  /** The same without waiting for anything. */
  abort(): void {
    this.#stop.abort(new InternalError("the runtime is shutting down", { details: { reason: "runtime_shutdown" } }));
    void this.#sweep.stop();
  }

  /**
   * Keeps a content. Resolves when it is durable, with the reference to it.
   *
   * @throws InvalidRequestError for a malformed request, and for a content that is not of the size or digest that it was
   * said to be; DuplicateKeyError for an id that the principal has given to another artifact; InternalError beyond a cap
   * (`details.limit`) or when there is no space. Nothing is kept then.
   */
  put(request: PutArtifact): Promise<ArtifactRef> {
    const put = this.#put(request);
    this.#puts.add(put);
    const over = (): void => void this.#puts.delete(put);
    put.then(over, over);
    return put;
  }

  /**
   * An artifact and a range of its content, for its owner and whoever credentials or the policy let read it.
   *
   * @throws JobNotFoundError for an artifact that is not there, has expired, or that the principal may not know of;
   * InvalidRequestError for what is no id or no range, with `details.code` OUT_OF_RANGE for one that begins beyond the end.
   */
  async fetch(
    principal: string,
    artifactId: string,
    range: ArtifactRange = {},
    from: Reader = {},
  ): Promise<FetchedArtifact> {
    assertArtifactId(artifactId);
    const { seesAllOf, ...asked } = from;
    const artifact = await this.#visible(principal, artifactId, seesAllOf);
    if (artifact === undefined) throw await this.#refused("fetch", artifactId, { principal, ...asked });
    const part = rangeWithin(artifact.blob.size, range);
    if (artifact.owner !== principal) await this.#recordReader({ principal, ...asked }, artifact);
    return { ref: refOf(artifact), ...part, data: this.#read(principal, artifact, part) };
  }

  /**
   * Removes an artifact of the principal's own. Resolves when nobody can fetch it any more; whoever is reading it may
   * read on to the end.
   *
   * @throws JobNotFoundError and InvalidRequestError as {@link fetch} does.
   */
  async release(principal: string, artifactId: string, from: AskedFrom = {}): Promise<void> {
    assertArtifactId(artifactId);
    const subject = { principal, ...from };
    const found = await this.#ownRecord(principal, artifactId);
    if (found === undefined) throw await this.#refused("release", artifactId, subject);
    const told = ({ owner, jobId }: Artifact): void => {
      const about = { ...subject, ...(jobId !== null && { jobId }) };
      this.#options.audit.record("artifact.released", about, { artifact_id: artifactId, owner });
    };
    if ((await this.#removeUnclaimed([found], told)) === 0) throw notFound(artifactId);
  }

  /**
   * The artifact that stands for a value too large to be sent as it is, as `application/json`; `undefined` for one that is
   * not (RFC §16.1). Rejects as {@link put} does, and with {@link InvalidRequestError} for what is no JSON.
   */
  async reference(value: unknown, { maxInlineBytes, ...request }: ReferenceOptions): Promise<ArtifactRef | undefined> {
    const text = jsonOf(value);
    if (!isLonger(text, maxInlineBytes)) return undefined;
    return this.put({ ...request, mediaType: "application/json", data: Buffer.from(text) });
  }

  async #put(request: PutArtifact): Promise<ArtifactRef> {
    const { caps, clock, retention, journal } = this.#options;
    assertPut(request, caps);
    const { principal, sessionId, jobId = null, mediaType } = request;
    const signal = AbortSignal.any([this.#stop.signal, ...(request.signal ? [request.signal] : [])]);
    signal.throwIfAborted();
    using _transfer = this.#transfer(principal);
    using room = await this.#quotas.room(principal);
    const artifactId = request.artifactId ?? `art_${ulid(clock.now())}`;
    const recordId = recordIdOf(request.artifactId === undefined ? null : principal, artifactId);
    using _claim = this.#claim(recordId, artifactId);
    if (request.artifactId !== undefined) await this.#assertFree(principal, artifactId, recordId);
    const blob = await this.#storeContent(request, recordId, room, signal);
    const expiresAt = clock.now() + lifetimeOf(request.ttlSeconds, retention);
    const artifact = { artifactId, owner: principal, sessionId, jobId, mediaType, blob, expiresAt };
    // Whether a commit that fails has taken place is not known: what to make of the blob is for the next start to see.
    room.keep(blob.size);
    journal.putRecord(recordOf(recordId, artifact));
    const subject = { principal, sessionId, ...(jobId !== null && { jobId }) };
    this.#options.audit.record("artifact.put", subject, {
      ...{ artifact_id: artifactId, owner: principal, media_type: mediaType, size: blob.size, sha256: blob.sha256 },
    });
    await journal.flush();
    return refOf(artifact);
  }

  /** The content, durable, compared with what was said of it. */
  async #storeContent(request: PutArtifact, name: string, room: Room, signal: AbortSignal): Promise<StoredBlob> {
    const { data, size, sha256 } = request;
    const { maxArtifactBytes } = this.#options.caps;
    if (size !== undefined) room.fit(size);
    await using writer = await stored(this.#options.blobs.create(name));
    let bytes = 0;
    for await (const piece of piecesOf(data, signal)) {
      bytes += piece.length;
      if (size !== undefined && bytes > size) throw mismatch("size");
      if (bytes > maxArtifactBytes) throw exhausted("maxArtifactBytes", maxArtifactBytes, "never");
      room.fit(bytes);
      await stored(writer.write(piece));
    }
    if (size !== undefined && bytes !== size) throw mismatch("size");
    signal.throwIfAborted();
    // Awaited here: the writer is disposed of when this returns.
    return await stored(writer.finish(sha256?.toLowerCase()));
  }

  /** Before anything of it is given out. Ranges of one content are one reading. */
  async #recordReader(reader: AuditSubject, { artifactId, owner, jobId }: Artifact): Promise<void> {
    const { audit, journal } = this.#options;
    const reading = JSON.stringify([reader.principal, owner, artifactId]);
    if (this.#readers.has(reading)) return;
    this.#readers.add(reading);
    const oldest = this.#readers.size > MAX_READERS ? this.#readers.values().next().value : undefined;
    if (oldest !== undefined) this.#readers.delete(oldest);
    const subject = { ...reader, ...(jobId !== null && { jobId }) };
    audit.record("artifact.fetched", subject, { artifact_id: artifactId, owner });
    await journal.flush();
  }

  /** What is said of an artifact that is another's, as of one that is not there. */
  async #refused(act: "fetch" | "release", artifactId: string, subject: AuditSubject): Promise<JobNotFoundError> {
    const owner = (await this.#record(recordIdOf(null, artifactId)))?.principal;
    if (owner !== undefined && owner !== subject.principal) {
      this.#options.audit.record("artifact.refused", subject, { artifact_id: artifactId, owner, act });
    }
    return notFound(artifactId);
  }

  async *#read(principal: string, artifact: Artifact, range: BlobRange): AsyncIterable<Uint8Array> {
    using _transfer = this.#transfer(principal);
    try {
      for await (const piece of this.#options.blobs.read(artifact.blob, range)) {
        this.#stop.signal.throwIfAborted();
        yield piece;
      }
    } catch (error) {
      throw error instanceof BlobError ? await this.#readFailure(error, artifact) : error;
    }
  }

  async #readFailure(error: BlobError, { artifactId, blob, owner }: Artifact): Promise<Error> {
    const { blobs, logger } = this.#options;
    if (error.reason !== "missing" && error.reason !== "corrupt") {
      return new InternalError("the artifact could not be read", { cause: error });
    }
    // It went with the process that had it.
    if (error.reason === "missing" && !blobs.isDurable) return notFound(artifactId);
    // It was released, or has expired, before it was opened.
    if ((await this.#visible(owner, artifactId))?.blob.id !== blob.id) return notFound(artifactId);
    logger.error({ err: error, artifactId, blob: blob.id }, "the content of an artifact is damaged");
    const details = { artifact_id: artifactId };
    return new ARCPError("DATA_LOSS", "the content of the artifact is damaged", { cause: error, details });
  }

  async #visible(
    principal: string,
    artifactId: string,
    seesAllOf: NonNullable<Reader["seesAllOf"]> = () => false,
  ): Promise<Artifact | undefined> {
    const record =
      (await this.#record(recordIdOf(principal, artifactId))) ?? (await this.#record(recordIdOf(null, artifactId)));
    if (record === undefined) return undefined;
    const artifact = artifactOf(record);
    if (artifact.owner === principal) return artifact;
    if (seesAllOf(artifact.owner)) return artifact;
    return (await this.#options.mayRead?.(artifact, principal)) ? artifact : undefined;
  }

  async #ownRecord(principal: string, artifactId: string): Promise<StoredRecord | undefined> {
    const chosen = await this.#record(recordIdOf(principal, artifactId));
    const record = chosen ?? (await this.#record(recordIdOf(null, artifactId)));
    return record?.principal === principal ? record : undefined;
  }

  /** The record of an artifact whose time is not over. */
  async #record(recordId: string): Promise<StoredRecord | undefined> {
    const { store, clock } = this.#options;
    const record = await store.findRecord(ARTIFACT_KIND, recordId);
    return record === undefined || (record.dueAt ?? 0) <= clock.now() ? undefined : record;
  }

  /** An id whose artifact has expired is free, when that has been removed. */
  async #assertFree(principal: string, artifactId: string, recordId: string): Promise<void> {
    if ((await this.#ownRecord(principal, artifactId)) !== undefined) throw taken(artifactId);
    const expired = await this.#options.store.findRecord(ARTIFACT_KIND, recordId);
    if (expired !== undefined) await this.#remove([expired]);
  }

  #claim(recordId: string, artifactId: string): Disposable {
    if (this.#claimed.has(recordId)) throw taken(artifactId);
    this.#claimed.add(recordId);
    return { [Symbol.dispose]: () => void this.#claimed.delete(recordId) };
  }

  /** Removes those of the artifacts that nobody else is about to change. Returns how many. */
  async #removeUnclaimed(records: readonly StoredRecord[], onRemoved?: (artifact: Artifact) => void): Promise<number> {
    const mine = records.filter(({ id }) => !this.#claimed.has(id));
    for (const { id } of mine) this.#claimed.add(id);
    try {
      // Whoever had claimed one meanwhile may have removed it, and put another in its place.
      const there = await Promise.all(mine.map(({ kind, id }) => this.#options.store.findRecord(kind, id)));
      const same = mine.filter(({ data }, index) => there[index]?.data === data);
      await this.#remove(same, onRemoved);
      return same.length;
    } finally {
      for (const { id } of mine) this.#claimed.delete(id);
    }
  }

  /**
   * Records first, in one batch, then contents. The records are claimed. `onRemoved` is called for the batch in which one
   * goes.
   */
  async #remove(records: readonly StoredRecord[], onRemoved?: (artifact: Artifact) => void): Promise<void> {
    const { journal, blobs, logger } = this.#options;
    const removed: Artifact[] = [];
    for (const record of records) {
      const artifact = artifactOf(record);
      for (;;) {
        const loading = this.#quotas.loading(artifact.owner);
        if (loading === undefined) break;
        await loading;
      }
      journal.putRecord({ ...record, data: null });
      onRemoved?.(artifact);
      this.#quotas.giveBack(artifact.owner, artifact.blob.size);
      removed.push(artifact);
    }
    await journal.flush();
    for (const { blob } of removed) {
      await blobs.remove(blob.id).catch((error) => {
        // It is collected later, as what no record names.
        logger.warn({ err: error, blob: blob.id }, "the content of an artifact could not be removed");
      });
    }
  }

  #transfer(principal: string): Disposable {
    const { maxConcurrentTransfers } = this.#options.caps;
    const count = this.#transfers.get(principal) ?? 0;
    if (count >= maxConcurrentTransfers) {
      throw exhausted("maxConcurrentTransfers", maxConcurrentTransfers, "after_capacity");
    }
    this.#transfers.set(principal, count + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#transfers.get(principal) ?? 1) - 1;
        if (left > 0) this.#transfers.set(principal, left);
        else this.#transfers.delete(principal);
      },
    };
  }

  async *#sizesOf(principal: string): AsyncIterable<number> {
    const { journal, store } = this.#options;
    // What was removed a moment ago must be gone from what is read.
    await journal.flush();
    let after: string | undefined;
    for (;;) {
      const query = { kind: ARTIFACT_KIND, principal, limit: PAGE };
      const page = await store.listRecords(after === undefined ? query : { ...query, after });
      for (const record of page) yield artifactOf(record).blob.size;
      after = page.at(-1)?.id;
      if (page.length < PAGE) return;
    }
  }
}

/** What a blob store refuses, as an error of the engine's. */
async function stored<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof BlobError)) throw error;
    if (error.reason === "corrupt") throw mismatch("sha256");
    if (error.reason !== "no_space") throw new InternalError("the artifact could not be stored", { cause: error });
    const details = { code: "RESOURCE_EXHAUSTED", reason: "no_space", retry: "after_capacity" };
    throw new InternalError("there is no space for the artifact", { cause: error, details });
  }
}

/** The one class for what is not there; wire 1.0 says NOT_FOUND of any of it. */
const notFound = (artifactId: string): JobNotFoundError =>
  new JobNotFoundError("there is no such artifact", { details: { artifact_id: artifactId } });

const taken = (artifactId: string): DuplicateKeyError =>
  new DuplicateKeyError("there is an artifact of that id", { details: { artifact_id: artifactId } });

const mismatch = (member: "size" | "sha256"): InvalidRequestError =>
  new InvalidRequestError(`the content is not of the ${member} that was declared`, { details: { member } });
