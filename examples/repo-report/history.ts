/** What the commits say: which files change often, which changed last, and by how many people. */
import { GitError, gitLines, gitRecords } from "./git.ts";
import type { Narrator } from "./narration.ts";

const MAX_COMMITS = 5_000;
const TIME_LIMIT_MS = 20_000;
/** A commit that changes more files than this is a move or a reformatting: it does not say what belongs together. */
const MAX_CHANGE_SET = 20;
const COMMIT_START = "\u0001";
const FIELD_END = "\u0002";

export interface FileHistory {
  commits: number;
  linesAdded: number;
  linesRemoved: number;
  /** Seconds since 1970. */
  lastChangedAt: number;
}

export interface History {
  /** Merges are not counted. */
  readonly commits: number;
  /** Distinct addresses of authors. Only their number leaves this module. */
  readonly contributors: number;
  /** Seconds since 1970; 0 if there is no commit. */
  readonly firstAt: number;
  readonly lastAt: number;
  readonly files: ReadonlyMap<string, FileHistory>;
  /** Per commit of a handful of files: which. */
  readonly changeSets: readonly (readonly string[])[];
  /** Why older commits are missing, if they are. */
  readonly cutShort?: string;
}

export async function readHistory(root: string, narrator: Narrator): Promise<History> {
  const total = Math.min(await countCommits(root, narrator.signal), MAX_COMMITS);
  const reading = new HistoryReading();
  const args = [
    ...["log", "-z", "--numstat", "--no-merges", "--no-renames", "--no-ext-diff", "--no-textconv", "--relative"],
    ...[`--max-count=${MAX_COMMITS}`, "--format=format:%x01%ct%x02%aE", "HEAD", "--", "."],
  ];
  const call = { root, args, signal: narrator.signal, timeLimitMs: TIME_LIMIT_MS, separator: "\0" } as const;
  try {
    for await (const record of gitRecords(call)) {
      if (reading.add(record)) await narrator.progress(reading.commits, { total, units: "commits" });
    }
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    return reading.end(`${error.message}; newest commits first`);
  }
  return reading.end(reading.commits === MAX_COMMITS ? `only the newest ${MAX_COMMITS} commits were read` : undefined);
}

async function countCommits(root: string, signal: AbortSignal): Promise<number> {
  const args = ["rev-list", "--count", "--no-merges", `--max-count=${MAX_COMMITS}`, "HEAD", "--", "."];
  try {
    return Number((await gitLines({ root, args, signal, timeLimitMs: TIME_LIMIT_MS }))[0]);
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    return MAX_COMMITS;
  }
}

/** Adds up the records of `git log -z --numstat`: a commit's header, then a record for each file it changed. */
class HistoryReading {
  commits = 0;
  readonly #authors = new Set<string>();
  readonly #files = new Map<string, FileHistory>();
  readonly #changeSets: string[][] = [];
  #changeSet: string[] = [];
  #commitAt = 0;
  #firstAt = 0;
  #lastAt = 0;

  /** True if the record starts a commit. */
  add(record: string): boolean {
    if (!record.startsWith(COMMIT_START)) {
      this.#addFile(record);
      return false;
    }
    // git ends the header with a newline and puts the first file into the same record.
    const headerEnd = record.indexOf("\n");
    this.#addCommit(headerEnd < 0 ? record : record.slice(0, headerEnd));
    if (headerEnd >= 0) this.#addFile(record.slice(headerEnd + 1));
    return true;
  }

  end(cutShort: string | undefined): History {
    const counted = { commits: this.commits, contributors: this.#authors.size, files: this.#files };
    const changeSets = this.#changeSets.filter((set) => set.length > 1 && set.length <= MAX_CHANGE_SET);
    const history = { ...counted, changeSets, firstAt: this.#firstAt, lastAt: this.#lastAt };
    return cutShort === undefined ? history : { ...history, cutShort };
  }

  #addCommit(header: string): void {
    const [time = "", author = ""] = header.slice(COMMIT_START.length).split(FIELD_END, 2);
    this.commits += 1;
    this.#commitAt = Number(time);
    this.#firstAt = this.commits === 1 ? this.#commitAt : Math.min(this.#firstAt, this.#commitAt);
    this.#lastAt = Math.max(this.#lastAt, this.#commitAt);
    this.#authors.add(author.toLowerCase());
    this.#changeSet = [];
    this.#changeSets.push(this.#changeSet);
  }

  /** `added TAB removed TAB path`, with `-` for both numbers of a binary file. */
  #addFile(record: string): void {
    const match = /^(\d+|-)\t(\d+|-)\t(.+)$/s.exec(record);
    const path = match?.[3];
    if (path === undefined) return;
    const file = this.#files.get(path) ?? { commits: 0, linesAdded: 0, linesRemoved: 0, lastChangedAt: 0 };
    file.commits += 1;
    file.linesAdded += Number(match?.[1]) || 0;
    file.linesRemoved += Number(match?.[2]) || 0;
    file.lastChangedAt = Math.max(file.lastChangedAt, this.#commitAt);
    this.#files.set(path, file);
    if (this.#changeSet.length <= MAX_CHANGE_SET) this.#changeSet.push(path);
  }
}
