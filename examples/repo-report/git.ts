/**
 * Runs git to read a repository, never to change it. The repository is not trusted: its own configuration may name
 * programs to run, so everything of that kind is switched off.
 */
import { spawn } from "node:child_process";
import { devNull } from "node:os";
import { dirname } from "node:path";

const SAFE_OPTIONS = [
  "--no-pager",
  ...["core.fsmonitor=false", `core.hooksPath=${devNull}`, "core.quotePath=false"].flatMap(asConfig),
  ...["log.showSignature=false", "blame.ignoreRevsFile=", "protocol.allow=never"].flatMap(asConfig),
];

function asConfig(setting: string): string[] {
  return ["-c", setting];
}

export class GitError extends Error {
  readonly reason: "not installed" | "failed" | "out of time";

  constructor(reason: GitError["reason"], message: string) {
    super(message);
    this.name = "GitError";
    this.reason = reason;
  }
}

export interface GitCall {
  readonly root: string;
  readonly args: readonly string[];
  readonly signal: AbortSignal;
  readonly timeLimitMs: number;
  /** What ends a record of the output. */
  readonly separator: "\0" | "\n";
}

/**
 * The records that git writes, as it writes them. Throws {@link GitError} after the records read so far; throws the
 * signal's reason when that fires. Leaving the loop early ends git.
 */
export async function* gitRecords(call: GitCall): AsyncGenerator<string, void, undefined> {
  const limit = AbortSignal.timeout(call.timeLimitMs);
  const child = spawn("git", [...SAFE_OPTIONS, "-C", call.root, ...call.args], {
    // Windows looks for programs in the working directory first: do not stand in the directory under analysis.
    cwd: dirname(process.execPath),
    env: environment(),
    stdio: ["ignore", "pipe", "ignore"],
    signal: AbortSignal.any([call.signal, limit]),
    windowsHide: true,
  });
  const ended = new Promise<number | Error>((settle) => {
    child.once("error", settle);
    child.once("close", (code) => settle(code ?? -1));
  });
  try {
    yield* records(child.stdout, call.separator);
    const end = await ended;
    call.signal.throwIfAborted();
    if (limit.aborted) throw new GitError("out of time", `git ${call.args[0]} took over ${call.timeLimitMs} ms`);
    if (end !== 0) throw failure(call, end);
  } finally {
    child.kill();
  }
}

/** All records at once: for calls whose output is small. */
export async function gitLines(call: Omit<GitCall, "separator">): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of gitRecords({ ...call, separator: "\n" })) lines.push(line);
  return lines;
}

async function* records(output: AsyncIterable<Buffer>, separator: string): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of output) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split(separator);
    rest = parts.pop() ?? "";
    yield* parts;
  }
  if (rest !== "") yield rest;
}

function failure(call: GitCall, end: number | Error): GitError {
  if (end instanceof Error && "code" in end && end.code === "ENOENT") {
    return new GitError("not installed", "git is not installed");
  }
  return new GitError("failed", `git ${call.args[0]} failed`);
}

/** This process's environment, without the variables that would point git at another repository. */
function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(([name]) => !name.toUpperCase().startsWith("GIT_"));
  return {
    ...Object.fromEntries(inherited),
    GIT_TERMINAL_PROMPT: "0",
    GIT_OPTIONAL_LOCKS: "0",
    GIT_NO_LAZY_FETCH: "1",
    LC_ALL: "C",
  };
}
