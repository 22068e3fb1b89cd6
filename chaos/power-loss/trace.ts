/** What a process has done to files, from the system calls that `strace` has seen. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname } from "node:path";

/** Times are milliseconds since the epoch. What is done at `at` may be on disk from then on, in part or not at all. */
export type FileOperation =
  | { readonly at: number; readonly kind: "create"; readonly path: string }
  | {
      readonly at: number;
      readonly kind: "write";
      readonly path: string;
      readonly offset: number;
      readonly data: Buffer;
    }
  | { readonly at: number; readonly kind: "truncate"; readonly path: string; readonly size: number }
  | { readonly at: number; readonly kind: "rename"; readonly path: string; readonly to: string }
  | { readonly at: number; readonly kind: "unlink"; readonly path: string }
  /** Everything that was done to the file, or to the names in the directory, before `at` is on disk from `endedAt` on. */
  | { readonly at: number; readonly kind: "sync"; readonly path: string; readonly endedAt: number };

const CALLS =
  "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range," +
  "rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,link,linkat,msync,copy_file_range,sendfile";
/** Calls that would have to be understood, and are not expected. */
const FOREIGN = new Set([
  "pwritev",
  "pwritev2",
  "truncate",
  "fallocate",
  "link",
  "linkat",
  "copy_file_range",
  "sendfile",
]);

/** Put before a command: its calls, with all their bytes, go to `file`. The command itself is the child, and its tracer none of ours. */
export const tracing = (file: string): readonly string[] => [
  ...["strace", "-D", "-f", "-qq", "-y", "-ttt", "-T", "-xx", "-s", "2097152", "-o", file],
  ...["-e", `trace=${CALLS}`, "-e", "signal=none"],
];

/** Why nothing can be traced here; `undefined` if it can. */
export function whyNoTrace(): string | undefined {
  try {
    execFileSync("strace", ["-D", "-f", "-o", "/dev/null", "true"], { stdio: "ignore", timeout: 10_000 });
    return undefined;
  } catch (error) {
    return `strace cannot be run here: ${(error as Error).message.split("\n")[0]}`;
  }
}

const MS = 1_000;

/** The operations below `directory`, in their order. */
export function readTrace(file: string, directory: string): readonly FileOperation[] {
  const reader = new TraceReader(directory);
  const unfinished = new Map<string, string>();
  for (const line of readFileSync(file, "latin1").split("\n")) {
    const [, pid = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const begun = / <unfinished \.\.\.>$/.exec(rest);
    if (begun !== null) {
      unfinished.set(pid, rest.slice(0, begun.index));
      continue;
    }
    const resumed = /^[\d.]+ <\.\.\. \w+ resumed>(.*)$/.exec(rest);
    const whole = resumed === null ? rest : `${unfinished.get(pid) ?? ""}${resumed[1]}`;
    reader.read(whole);
  }
  return reader.operations;
}

class TraceReader {
  readonly operations: FileOperation[] = [];
  readonly #directory: string;
  /** What descriptors lead to, as far as anybody opened them, and where the next `write` goes. */
  readonly #paths = new Map<number, string>();
  readonly #offsets = new Map<number, number>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** One whole call: `<time> <name>(<arguments>) = <result> <<seconds>>`. */
  read(call: string): void {
    const [, time, name = "", args = "", result = "", seconds] =
      /^([\d.]+) (\w+)\((.*)\) += (-?\d+)\S*.*<([\d.]+)>$/s.exec(call) ?? [];
    if (Number(result) < 0 || time === undefined) return;
    const at = Number(time) * MS;
    const descriptor = Number(/^\d+/.exec(args)?.[0] ?? Number.NaN);
    const path = decoded(/^\d+<([^>]*)>/.exec(args)?.[1] ?? "");
    if (name === "openat" || name === "open" || name === "creat") this.#open(at, call, args, Number(result));
    else if (name === "mkdir" || name === "mkdirat") return;
    else if (name.startsWith("rename") || name.startsWith("unlink")) this.#rename(at, name, args);
    else if (!this.#isMine(path)) return;
    else if (name === "write" || name === "writev")
      this.#write(at, path, this.#advance(descriptor, Number(result)), args);
    else if (name === "pwrite64") this.#write(at, path, Number(/, (\d+)$/.exec(args)?.[1]), args);
    else if (name === "ftruncate") {
      this.operations.push({ at, kind: "truncate", path, size: Number(/, (\d+)$/.exec(args)?.[1]) });
    } else if (name === "fsync" || name === "fdatasync") {
      this.operations.push({ at, kind: "sync", path, endedAt: at + Number(seconds) * MS });
    } else if (FOREIGN.has(name)) throw new Error(`the trace has a call that is not understood: ${name} of ${path}`);
  }

  #open(at: number, call: string, args: string, descriptor: number): void {
    const path = decoded(/\) += \d+<([^>]*)>/.exec(call)?.[1] ?? "");
    this.#paths.set(descriptor, path);
    this.#offsets.set(descriptor, 0);
    if (!this.#isMine(path) || !args.includes("O_CREAT")) return;
    this.operations.push({ at, kind: "create", path });
    if (args.includes("O_TRUNC")) this.operations.push({ at, kind: "truncate", path, size: 0 });
  }

  #rename(at: number, name: string, args: string): void {
    const [from, to] = [...args.matchAll(/"([^"]*)"/g)].map(([, text = ""]) => this.#resolved(decoded(text)));
    if (from === undefined || !this.#isMine(from)) return;
    if (name.startsWith("unlink")) this.operations.push({ at, kind: "unlink", path: from });
    else if (to !== undefined) this.operations.push({ at, kind: "rename", path: from, to });
  }

  #write(at: number, path: string, offset: number, args: string): void {
    const data = Buffer.concat([...args.matchAll(/"([^"]*)"/g)].map(([, text = ""]) => bytesOf(text)));
    this.operations.push({ at, kind: "write", path, offset, data });
  }

  /** Where a descriptor was, before it went on by so much. */
  #advance(descriptor: number, by: number): number {
    const offset = this.#offsets.get(descriptor) ?? 0;
    this.#offsets.set(descriptor, offset + by);
    return offset;
  }

  /** A name in a directory that is held by a descriptor. */
  #resolved(path: string): string {
    return path.replace(
      /^\/proc\/self\/fd\/(\d+)/,
      (_, descriptor: string) => this.#paths.get(Number(descriptor)) ?? "",
    );
  }

  #isMine(path: string): boolean {
    return path === this.#directory || dirname(path).startsWith(this.#directory);
  }
}

const bytesOf = (escaped: string): Buffer => Buffer.from(escaped.replaceAll("\\x", ""), "hex");
const decoded = (escaped: string): string => (escaped.includes("\\x") ? bytesOf(escaped).toString() : escaped);
