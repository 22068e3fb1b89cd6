/** Why a database cannot be used, or has not kept something: SQLite's many codes, as what can be done about them. */

/**
 *   full       no room on the disk: nothing of the batch is stored, and it can be tried again as it is
 *   busy       another program holds the database's write lock: the same
 *   locked     another runtime has the file
 *   read_only  the file, its directory or the disk cannot be written
 *   io         the disk failed: what it holds is not known any more
 *   corrupt    the file is damaged
 *   foreign    it is no database, or another program's
 *   version    it was written by a newer version, or by an older one that only a runtime brings up to date
 *   key        it is encrypted with a key that was not given, or not encrypted although a key was given
 *   unreachable  the server of the database is not there, or not just now
 *   denied     it does not let this program in, or not do this
 *   failed     anything else
 */
export type StoreFailure =
  | "full"
  | "busy"
  | "locked"
  | "read_only"
  | "io"
  | "corrupt"
  | "foreign"
  | "version"
  | "key"
  | "unreachable"
  | "denied"
  | "failed";

/** The failure of a store. `cause` is the database's own error. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly reason: StoreFailure;

  constructor(reason: StoreFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }

  /**
   * Was it something that passes, so that the same batch can be committed later? It is not stored then, or the store knows
   * it again and does not store it twice.
   */
  get isTransient(): boolean {
    return this.reason === "full" || this.reason === "busy" || this.reason === "unreachable";
  }
}

const SENTENCES: Readonly<Record<StoreFailure, string>> = {
  full: "no space is left for the database",
  busy: "another program holds the write lock of the database",
  locked: "another server uses the database",
  read_only: "the database cannot be written: the file, its directory or the disk is read-only",
  io: "the disk of the database failed",
  corrupt: "the database is damaged: `arcp db check` says where, a backup brings it back",
  foreign: "the file is not a database",
  version: "the database is of another version",
  key: "the database is encrypted with another key",
  unreachable: "the database cannot be reached",
  denied: "the database does not let this program in",
  failed: "the database failed",
};

/** A file that grows in memory first, the WAL's index, is told of as an error of its own. */
const FULL = new Set(["SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"]);
const REASONS: readonly (readonly [prefix: string, reason: StoreFailure])[] = [
  ["SQLITE_BUSY", "busy"],
  ["SQLITE_LOCKED", "busy"],
  ["SQLITE_READONLY", "read_only"],
  ["SQLITE_PERM", "read_only"],
  ["SQLITE_IOERR", "io"],
  ["SQLITE_CORRUPT", "corrupt"],
  ["SQLITE_NOTADB", "foreign"],
];

/** What SQLite threw, as the store's error; anything else as it is. */
export function storeErrorOf(error: unknown): unknown {
  const reason = reasonOf(error);
  if (reason === undefined) return error;
  const detail = reason === "failed" ? `: ${(error as Error).message}` : "";
  return new StoreError(reason, `${SENTENCES[reason]}${detail}`, { cause: error });
}

function reasonOf(error: unknown): StoreFailure | undefined {
  if (!(error instanceof Error) || error instanceof StoreError || !("code" in error)) return undefined;
  const code = String(error.code);
  if (!code.startsWith("SQLITE_")) return undefined;
  if (FULL.has(code)) return "full";
  return REASONS.find(([prefix]) => code.startsWith(prefix))?.[1] ?? "failed";
}

export const isFull = (error: unknown): boolean => error instanceof StoreError && error.reason === "full";

/** Runs `work`, and throws what SQLite throws as {@link StoreError}. */
export function guarded<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw storeErrorOf(error);
  }
}
