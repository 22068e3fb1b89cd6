/**
 * A real terminal for tests: a window of a tmux server of their own, which knows what a person would see. Without tmux these
 * tests are skipped and say why; with CI=true they fail.
 */
import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const NO_TMUX = "tmux is not installed (Debian: apt-get install tmux)";
const LONG_MS = 60_000;
const LOOK_MS = 50;
const run = promisify(execFile);

/** Why there is no terminal; `undefined` if there is one. For `describe.skipIf(reasonForNoTmux() !== undefined)`. */
export function reasonForNoTmux(): string | undefined {
  try {
    execFileSync("tmux", ["-V"], { stdio: "ignore" });
    return undefined;
  } catch {
    if (process.env["CI"] === "true") throw new Error(NO_TMUX);
    console.warn(`skipped: ${NO_TMUX}`);
    return NO_TMUX;
  }
}

export interface TmuxOptions {
  readonly columns: number;
  readonly rows: number;
  readonly env: Readonly<Record<string, string>>;
}

/** A shell in a window. Ends with everything in it. */
export class Tmux implements AsyncDisposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start({ columns, rows, env }: TmuxOptions): Promise<Tmux> {
    const terminal = new Tmux(await mkdtemp(join(tmpdir(), "arcp-tmux-")));
    const { HOME = "/", PATH = "" } = process.env;
    const shell = [
      "env",
      "-i",
      ...Object.entries({ HOME, PATH, TERM: "screen-256color", PS1: "$ ", ...env }).map((pair) => pair.join("=")),
    ];
    const size = ["-x", String(columns), "-y", String(rows)];
    await terminal.#tmux("-f", "/dev/null", "new-session", "-d", ...size, ...shell, "sh");
    await terminal.#tmux("set", "-g", "history-limit", "5000");
    return terminal;
  }

  /** What is seen, without the blanks at the right. */
  async screen(): Promise<string> {
    return trimmed(await this.#tmux("capture-pane", "-p"));
  }

  /** With everything that has scrolled out at the top; lines that the window has broken are whole. */
  async scrollback(): Promise<string> {
    return trimmed(await this.#tmux("capture-pane", "-p", "-J", "-S", "-"));
  }

  /** Resolves with the screen when it has that. */
  async shows(wanted: string | RegExp): Promise<string> {
    return this.#until(
      (screen) => (typeof wanted === "string" ? screen.includes(wanted) : wanted.test(screen)),
      wanted,
    );
  }

  /** Resolves with the screen when it no longer has that. */
  async hides(unwanted: string): Promise<string> {
    return this.#until((screen) => !screen.includes(unwanted), `no ${unwanted}`);
  }

  /** Names of keys as tmux has them (`Enter`, `Down`, `C-c`), or single characters. */
  async press(...keys: readonly string[]): Promise<void> {
    await this.#tmux("send-keys", ...keys);
  }

  /** Types a line and Enter. */
  async type(text: string): Promise<void> {
    await this.#tmux("send-keys", "-l", text);
    await this.press("Enter");
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** A fact of tmux's about the window, such as `#{cursor_flag}`. */
  async fact(format: string): Promise<string> {
    return (await this.#tmux("display-message", "-p", format)).trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux("kill-server").catch(() => {
      // It has ended with its last window.
    });
    // tmux leaves its socket behind.
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #until(isThere: (screen: string) => boolean, wanted: unknown): Promise<string> {
    for (const deadline = Date.now() + LONG_MS; ; ) {
      const screen = await this.screen();
      if (isThere(screen)) return screen;
      if (Date.now() > deadline) throw new Error(`waited for ${wanted}, and there was\n${screen}`);
      await delay(LOOK_MS);
    }
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const env = { ...process.env, LC_ALL: "C.UTF-8" };
    return (await run("tmux", ["-u", "-S", join(this.#directory, "socket"), ...args], { env })).stdout;
  }
}

const trimmed = (text: string): string =>
  text
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
