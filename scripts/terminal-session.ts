/** Commands in a terminal: what a person would see of them. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { Screen } from "../tests/cli/screen.ts";

const COLUMNS = 110;

export interface TerminalOptions {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

/** One command that runs in a pseudo-terminal, which `script` of util-linux makes. */
export class TerminalCommand {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<unknown>;
  #output = "";
  #wake = (): void => {};

  constructor(command: string, { cwd, env }: TerminalOptions) {
    const line = `stty cols ${COLUMNS} rows 40; ${command}`;
    const settings = { ...env, SHELL: "/bin/bash", TERM: "xterm", NO_COLOR: "1" };
    this.#process = spawn("script", ["--quiet", "--return", "--flush", "--command", line, "/dev/null"], {
      cwd,
      env: settings,
    });
    this.#closed = once(this.#process, "close");
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.on("data", (chunk) => {
        this.#output += String(chunk);
        this.#wake();
      });
    }
    void this.#closed.then(() => this.#wake());
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** What is on the screen, line by line, without what npm says of itself. */
  get lines(): readonly string[] {
    const screen = new Screen(COLUMNS);
    // Modes and colours that show nothing.
    screen.write(this.#output.replaceAll(/\u001b\[(?:\d*[GK]|[\d;]*m|\?\d+[hl])|\u001b[=>]/g, ""));
    return screen.text.split("\n").filter((line) => !/^npm (?:warn|notice)\b/.test(line));
  }

  /** Resolves when `isShown` says so of the screen, or the command has ended. Rejects after `limitMs`. */
  async shows(isShown: (lines: readonly string[]) => boolean, limitMs: number): Promise<void> {
    const deadline = Date.now() + limitMs;
    while (!isShown(this.lines) && !this.hasEnded) {
      if (Date.now() > deadline) throw new Error(`it did not come in ${limitMs / 1000} s`);
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, 1_000);
      await promise;
      clearTimeout(timer);
    }
  }

  /** Resolves with its exit code. Ends it, and resolves with 124, after `limitMs`. */
  async ended(limitMs: number): Promise<number> {
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), limitMs);
    await this.#closed;
    clearTimeout(timer);
    return this.#process.exitCode ?? 124;
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.#process.stdin.write("\u0003");
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}
