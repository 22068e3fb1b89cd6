import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the checkout, with no trailing slash. */
export const repositoryRoot = fileURLToPath(new URL("..", import.meta.url)).replace(/[\\/]$/, "");

/** Every file that is or could be committed, relative to the root: tracked, or new and not ignored. */
export function repositoryFiles(): string[] {
  const listing = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: repositoryRoot,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  const files = new Set(listing.split("\0").filter((file) => file !== ""));
  return [...files].filter((file) => existsSync(join(repositoryRoot, file))).sort();
}
