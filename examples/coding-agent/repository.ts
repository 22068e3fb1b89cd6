/** A small repository with a test that fails, in a directory that goes with it. */
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const FILES = {
  "package.json": `{ "name": "slugs", "version": "1.0.0", "type": "module" }\n`,
  "README.md": "# slugs\n\nA title as a part of a URL: in lower case, its first space a hyphen.\n",
  "src/slug.js": `/** A title as a part of a URL. */
export function slug(title) {
  return title.toLowerCase().replace(" ", "-");
}
`,
  "test/slug.test.js": `import assert from "node:assert/strict";
import { test } from "node:test";
import { slug } from "../src/slug.js";

test("a title of two words", () => assert.equal(slug("Good morning"), "good-morning"));
test("a title of many words", () => assert.equal(slug("The day after"), "the-day-after"));
test("a title with accents", () => assert.equal(slug("Crème brûlée"), "creme-brulee"));
`,
};

export interface Repository extends AsyncDisposable {
  readonly directory: string;
  /** Runs git there, and returns what it prints. */
  git(...args: readonly string[]): string;
}

export async function makeRepository(): Promise<Repository> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-coding-")));
  for (const [path, text] of Object.entries(FILES)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  const identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
  // What somebody has configured for their own work says nothing here.
  const env = { PATH: process.env["PATH"], GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };
  const git = (...args: readonly string[]): string =>
    execFileSync("git", ["-C", directory, ...identity, ...args], { encoding: "utf8", env });
  git("init", "--quiet");
  git("add", "--all");
  git("commit", "--quiet", "--message", "slugs");
  return { directory, git, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}
