/** A runtime in a process of its own, which comes back on the same port when it has been killed. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export class RuntimeProcess implements AsyncDisposable {
  readonly #database: string;
  readonly #onBack: (pid: number | undefined, downMs: number) => void;
  #child: ChildProcess | undefined;
  #port = 0;
  #isClosed = false;
  kills = 0;

  private constructor(database: string, onBack: (pid: number | undefined, downMs: number) => void) {
    this.#database = database;
    this.#onBack = onBack;
  }

  /** Rejects if the runtime does not start. */
  static async start(database: string, onBack: (pid: number | undefined, downMs: number) => void) {
    const runtime = new RuntimeProcess(database, onBack);
    await runtime.#start();
    return runtime;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/arcp`;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** `kill -9`, unless it is dead already. It is started again by itself. */
  kill(): void {
    const child = this.#child;
    if (child === undefined || child.killed) return;
    this.kills += 1;
    const killedAt = performance.now();
    child.kill("SIGKILL");
    child.once("exit", async () => {
      if (this.#isClosed) return;
      await this.#start();
      this.#onBack(this.pid, performance.now() - killedAt);
    });
  }

  async #start(): Promise<void> {
    const child = fork(join(import.meta.dirname, "runtime.ts"), [this.#database, String(this.#port)]);
    this.#child = child;
    const [port] = await Promise.race([once(child, "message"), once(child, "exit").then(() => [])]);
    if (typeof port !== "number") throw new Error("the runtime does not start");
    this.#port = port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}
