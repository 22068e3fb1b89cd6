/** The runtime of `stdio-runtime.ts`, spawned, with every byte of its output kept. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Frame } from "./raw-client.ts";

const sources = new URL("./sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./stdio-runtime.ts", import.meta.url));

export class ChildRuntime implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #stdout = Buffer.alloc(0);
  #wake: (() => void)[] = [];
  stderr = "";

  constructor() {
    this.#process = spawn(process.execPath, ["--import", sources, program], { stdio: "pipe" });
    this.#exited = once(this.#process, "exit");
    this.#process.stdin.on("error", () => {
      // A child that has ended says so by its exit.
    });
    this.#process.stderr.on("data", (chunk) => {
      this.stderr += String(chunk);
    });
    this.#process.stdout.on("data", (chunk: Buffer) => {
      this.#stdout = Buffer.concat([this.#stdout, chunk]);
      this.#awake();
    });
    this.#process.on("exit", () => this.#awake());
  }

  #awake(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  get hasExited(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Writes bytes to its standard input, as one chunk that has left this process. */
  async write(bytes: string | Buffer): Promise<void> {
    await new Promise<void>((resolve) => this.#process.stdin.write(bytes, () => resolve()));
  }

  /** Its standard output up to the last line end, line by line. */
  get lines(): readonly string[] {
    return this.#stdout.toString("utf8").split("\n").slice(0, -1);
  }

  /** The first line that `matches`, as JSON, now or later. Rejects when the child ends without one. */
  async sees(matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const found = this.lines.map((line) => JSON.parse(line) as Frame).find(matches);
      if (found !== undefined) return found;
      if (this.hasExited) throw new Error(`the child ended: ${this.stderr}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Closes its standard input, and resolves when it has ended by itself. */
  async end(): Promise<void> {
    this.#process.stdin.end();
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill();
    await this.#exited;
  }
}
