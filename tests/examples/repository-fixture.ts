/** Directories for tests: made in the system's temporary directory, and removed with the fixture. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export class DirectoryFixture implements Disposable {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "arcp-example-")));

  write(files: Readonly<Record<string, string | Uint8Array>>): this {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(this.root, path)), { recursive: true });
      writeFileSync(join(this.root, path), content);
    }
    return this;
  }

  git(...args: string[]): this {
    execFileSync("git", ["-C", this.root, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", ...args], {
      stdio: "pipe",
    });
    return this;
  }

  /** Commits everything, as `author`, at noon of `day`. */
  commit(day: string, author: string): this {
    const date = `${day}T12:00:00Z`;
    this.git("add", "--all");
    const env = { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date };
    const identity = ["-c", `user.name=${author}`, "-c", `user.email=${author.toLowerCase()}@example.org`];
    execFileSync("git", ["-C", this.root, ...identity, "commit", "--quiet", "--no-gpg-sign", "-m", `on ${day}`], {
      stdio: "pipe",
      env,
    });
    return this;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
