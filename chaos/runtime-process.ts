/** Keeps a runtime under test alive: starts it, starts it again whenever it dies, and ends it for good. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Recorder } from "./history.ts";
import type { ClockOffset } from "./moved-clock.ts";
import { FILES, type ParentMessage, type RuntimeMessage, type RuntimeSettings } from "./runtime-settings.ts";

const program = fileURLToPath(new URL("./runtime.ts", import.meta.url));

/** Every process that was started here and has not ended. */
const alive = new Set<ChildProcess>();
// Whatever the reason of the supervisor's end: what it started goes with it.
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** A program that has a child killed with its parent, where the machine has one. Also a stopped child, which cannot look. */
const guard: readonly string[] = (() => {
  try {
    execFileSync("setpriv", ["--pdeathsig", "KILL", "true"], { stdio: "ignore" });
    return ["setpriv", "--pdeathsig", "KILL"];
  } catch {
    return [];
  }
})();

export interface RuntimeProcessOptions {
  readonly settings: Omit<RuntimeSettings, "life" | "clock">;
  /** Counts the lives of all runtimes of an episode. Default: there is this one. */
  readonly nextLife?: () => number;
  readonly recorder: Recorder;
  /** Where to connect from now on; `undefined`: nowhere. */
  readonly onPort: (port: number | undefined) => void;
  readonly onProblem: (problem: string) => void;
  /** Put before the command: what limits or watches it. */
  readonly prefix?: readonly string[];
}

/** The ways in which the supervisor ends a process, and its fail-points do. */
const INTENDED: readonly string[] = ["SIGKILL", "SIGTERM"];
/** Lives that end by themselves before they are ready, in a row, after which the runtime is said not to come up. */
const MAX_STILLBORN = 12;
/** A runtime that is not ready by then hangs. */
const READY_TIMEOUT_MS = 45_000;
const RESTART_DELAY_MS = 15;

export class RuntimeProcess implements AsyncDisposable {
  readonly #options: RuntimeProcessOptions;
  readonly #log: WriteStream;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #isOver = false;
  #stillborn = 0;
  #clock: ClockOffset = { wallMs: 0, asleepMs: 0 };
  readonly #failPoints: string[] = [];
  #waiting: (() => void)[] = [];
  #restart: NodeJS.Timeout | undefined;
  /** The number of the process that there is now. */
  life = 0;
  /** How many processes there were. */
  lives = 0;
  isReady = false;
  /** How many were killed by a signal. */
  kills = 0;

  constructor(options: RuntimeProcessOptions) {
    this.#options = options;
    this.#log = createWriteStream(join(options.settings.directory, FILES.log), { flags: "a" });
  }

  /** Starts the first process. Resolves when it is ready. */
  start(): Promise<void> {
    this.#spawn();
    return this.ready();
  }

  /** Resolves when a process is ready; also when it will never be, which is reported. */
  async ready(): Promise<void> {
    while (!this.isReady && !this.#isOver) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Fail-points of the next processes, one each. */
  arm(...plans: readonly string[]): void {
    this.#failPoints.push(...plans);
  }

  disarm(): void {
    this.#failPoints.length = 0;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** From now on the clocks of this process and of those that follow are so far from the machine's. */
  setClock(offset: ClockOffset): void {
    this.#clock = offset;
    this.#tell({ tell: "clock", offset });
  }

  get clock(): ClockOffset {
    return this.#clock;
  }

  /** Ends the runtime, gracefully at first. Resolves when it is gone. Idempotent. */
  async end(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill("SIGCONT");
      child.kill(signal);
      const killer = setTimeout(() => child.kill("SIGKILL"), READY_TIMEOUT_MS);
      await this.#exited;
      clearTimeout(killer);
    }
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    await new Promise<void>((resolve) => this.#log.end(resolve));
  }

  #tell(message: ParentMessage): void {
    if (this.#child?.connected) this.#child.send(message, () => {});
  }

  #spawn(): void {
    const { settings, recorder, prefix = [], nextLife = () => this.lives } = this.#options;
    this.lives += 1;
    this.life = nextLife();
    const { life } = this;
    const own: RuntimeSettings = { ...settings, life, clock: this.#clock };
    const [command = "", ...args] = [...guard, ...prefix, process.execPath, program, JSON.stringify(own)];
    const env = { ...process.env, ARCP_FAILPOINTS: this.#failPoints.shift() ?? "" };
    recorder.write({ kind: "born", life, ...(settings.node !== undefined && { node: settings.node }) });
    const child = spawn(command, args, { env, stdio: ["ignore", "pipe", "pipe", "ipc"] });
    alive.add(child);
    this.#child = child;
    child.stdout?.pipe(this.#log, { end: false });
    child.stderr?.pipe(this.#log, { end: false });
    const hang = setTimeout(() => {
      this.#options.onProblem(`hang: life ${life} was not ready after ${READY_TIMEOUT_MS} ms`);
      child.kill("SIGKILL");
    }, READY_TIMEOUT_MS);
    child.on("message", (message: RuntimeMessage) => {
      if (message.tell === "ready") {
        clearTimeout(hang);
        this.#onReady(life, message.port);
      } else if (message.tell === "memory") {
        const { rssBytes, queuedBytes } = message;
        recorder.write({ kind: "memory", life, rssBytes, queuedBytes });
      } else if (message.tell === "shoot") child.kill("SIGKILL");
      else this.#options.onProblem(`invariant: ${message.line}`);
    });
    this.#exited = new Promise((resolve) => {
      const onEnd = (how: string): void => {
        clearTimeout(hang);
        if (!alive.delete(child)) return;
        this.#onExit(life, how);
        resolve();
      };
      child.once("error", (error) => onEnd(error.message));
      child.once("exit", (code, signal) => {
        if (signal !== null) this.kills += 1;
        onEnd(signal ?? `code ${code}`);
      });
    });
  }

  #onReady(life: number, port: number): void {
    this.#options.recorder.write({ kind: "ready", life });
    this.isReady = true;
    this.#stillborn = 0;
    this.#options.onPort(port);
    this.#wake();
  }

  #onExit(life: number, how: string): void {
    this.#options.recorder.write({ kind: "died", life, how });
    if (!this.isReady && !this.#isOver && !INTENDED.includes(how)) this.#stillborn += 1;
    this.isReady = false;
    this.#options.onPort(undefined);
    if (this.#stillborn >= MAX_STILLBORN) {
      this.#options.onProblem(`crash loop: ${MAX_STILLBORN} processes in a row ended before they were ready: ${how}`);
      this.#isOver = true;
    }
    if (this.#isOver) this.#wake();
    else this.#restart = setTimeout(() => this.#spawn(), RESTART_DELAY_MS);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
