/** Is the directory under git, and what does git know of it? */
import { GitError, gitLines } from "./git.ts";

/** What the report can take from git; `none` says in words why there is nothing to take. */
export type WorkTree =
  | { readonly kind: "git"; readonly hasCommits: boolean; readonly isShallow: boolean }
  | { readonly kind: "none"; readonly why: string };

const TIME_LIMIT_MS = 5_000;

export async function openWorkTree(root: string, signal: AbortSignal): Promise<WorkTree> {
  const ask = (...args: string[]) => gitLines({ root, args, signal, timeLimitMs: TIME_LIMIT_MS });
  try {
    const [inside, shallow] = await ask("rev-parse", "--is-inside-work-tree", "--is-shallow-repository");
    if (inside !== "true") return { kind: "none", why: "it is inside a .git directory" };
    if (await succeeds(() => ask("check-ignore", "--quiet", "."))) {
      return { kind: "none", why: "the repository around it ignores it" };
    }
    const hasCommits = await succeeds(() => ask("rev-parse", "--quiet", "--verify", "HEAD"));
    return { kind: "git", hasCommits, isShallow: shallow === "true" };
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    return { kind: "none", why: error.reason === "failed" ? "it is not in a git work tree" : error.message };
  }
}

/** git answers some questions with its exit code alone. */
async function succeeds(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call();
    return true;
  } catch (error) {
    if (error instanceof GitError && error.reason === "failed") return false;
    throw error;
  }
}
