/** Another process that has a database, or wants it. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { SqliteStoreOptions } from "@arcp/runtime";
import { onTestFinished } from "vitest";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./store-process.ts", import.meta.url));

export interface Answer {
  readonly pid: number;
  readonly outcome: "open" | "refused";
  readonly reason?: string;
  readonly message?: string;
}

export class Holder {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answer: Promise<Answer>;

  /** Starts the process; it does nothing until {@link open}. `imports` are loaded before it. */
  constructor(options: SqliteStoreOptions, imports: readonly string[] = []) {
    const preloads = [sources, ...imports].flatMap((url) => ["--import", url]);
    this.#process = spawn(process.execPath, [...preloads, program, JSON.stringify(options)], { stdio: "pipe" });
    let [output, errors] = ["", ""];
    this.#process.stderr.on("data", (chunk) => {
      errors += String(chunk);
    });
    this.#answer = new Promise((resolve, reject) => {
      this.#process.stdout.on("data", (chunk) => {
        output += String(chunk);
        if (output.includes("\n")) resolve(JSON.parse(output) as Answer);
      });
      this.#process.once("close", () => reject(new Error(`it ended without an answer: ${errors}`)));
    });
    this.#answer.catch(() => {}); // Whoever asks is told.
    this.#process.stdin.on("error", () => {}); // Its end says so.
    onTestFinished(() => void this.#process.kill("SIGKILL"));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Has it open the database. Resolves with how that went; rejects if it ends without a word. */
  open(): Promise<Answer> {
    this.#process.stdin.write("now\n");
    return this.#answer;
  }

  /** Resolves when it is gone, without having had time for anything. */
  async kill(): Promise<void> {
    const gone = once(this.#process, "close");
    this.#process.kill("SIGKILL");
    await gone;
  }

  /** Resolves with the signal that ended it. */
  async ended(): Promise<NodeJS.Signals | null> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) await once(this.#process, "close");
    return this.#process.signalCode;
  }
}
