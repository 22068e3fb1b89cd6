import { type ChildProcess, spawn } from "node:child_process";
import { Console } from "node:console";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { CLIENT_FRAME_LIMITS, RUNTIME_FRAME_LIMITS } from "../limits.ts";
import { LineTransport } from "./lines.ts";
import { CLOSE_ABNORMAL, CLOSE_NORMAL, TransportError } from "./transport.ts";

/** Which streams carry the frames (§4.2). */
export interface StdioTransportOptions {
  /** Where frames come from. Default: the process's standard input. */
  readonly input?: Readable;
  /** Where frames go. Default: the process's standard output; `console` then writes to standard error (§4.2). */
  readonly output?: Writable;
  /** Bytes of one line. A longer line ends the connection. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
}

/** How {@link StdioTransport.spawn} starts its process, and how it ends it. */
export interface StdioSpawnOptions {
  /** Default: this process's. */
  readonly cwd?: string;
  /** Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Called for each line that the process writes to its standard error. Default: this process's standard error gets it. */
  readonly onStderr?: (line: string) => void;
  /** Bytes of one line from the process. Default: 64 MiB. */
  readonly maxFrameBytes?: number;
  /** Milliseconds that the process may take to end when its input has: then it gets SIGTERM, then SIGKILL. Default: 5,000. */
  readonly exitTimeoutMs?: number;
  /** Gives up starting the process when it aborts. */
  readonly signal?: AbortSignal;
}

/** Lines over the standard streams of a process (§4.2), or over any other pair. */
export class StdioTransport extends LineTransport {
  constructor(options: StdioTransportOptions = {}) {
    if (options.output === undefined) globalThis.console = new Console(process.stderr);
    super({
      peer: { kind: "stdio", isConfidential: true },
      input: options.input ?? process.stdin,
      output: options.output ?? process.stdout,
      maxFrameBytes: options.maxFrameBytes ?? CLIENT_FRAME_LIMITS.maxFrameBytes,
    });
  }

  /**
   * Starts a process and connects to its standard streams: the parent's side. No shell reads `command`.
   *
   * Closing the transport ends the process's input, upon which a runtime ends by itself; aborting kills it. `closed`
   * resolves when the process has ended, and says how if nobody here asked for it: 1000 for exit code 0, otherwise 1006.
   * Rejects with {@link TransportError} when the process cannot be started, and with the signal's reason.
   */
  static async spawn(
    command: string,
    args: readonly string[] = [],
    options: StdioSpawnOptions = {},
  ): Promise<SpawnedTransport> {
    const { cwd, env, onStderr, signal } = options;
    signal?.throwIfAborted();
    const child = spawn(command, args, {
      stdio: ["pipe", "pipe", onStderr === undefined ? "inherit" : "pipe"],
      ...(cwd !== undefined && { cwd }),
      ...(env !== undefined && { env }),
      windowsHide: true,
    });
    try {
      await once(child, "spawn");
    } catch (cause) {
      throw new TransportError(`could not start ${command}: ${(cause as Error).message}`, { cause, retryable: false });
    }
    if (onStderr !== undefined && child.stderr !== null) tellLines(child.stderr, onStderr);
    const transport = new SpawnedTransport(child, options);
    if (signal?.aborted) {
      transport.abort("given up");
      throw signal.reason;
    }
    return transport;
  }
}

/** How a process has ended: by itself, with a code, or by a signal. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const EXIT_TIMEOUT_MS = 5_000;

/** Lines over the standard streams of a process that was started for this: {@link StdioTransport.spawn}. */
export class SpawnedTransport extends LineTransport {
  /** Resolves when the process has ended. */
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  readonly #exitTimeoutMs: number;
  #hasAsked = false;
  #isOver = false;

  constructor(child: ChildProcess, { maxFrameBytes, exitTimeoutMs }: StdioSpawnOptions) {
    super({
      peer: { kind: "stdio", isConfidential: true },
      input: child.stdout as Readable,
      output: child.stdin as Writable,
      maxFrameBytes: maxFrameBytes ?? RUNTIME_FRAME_LIMITS.maxFrameBytes,
    });
    this.#child = child;
    this.#exitTimeoutMs = exitTimeoutMs ?? EXIT_TIMEOUT_MS;
    this.exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    void this.exited.then(() => {
      // What it has written is read to its end, unless somebody whom it started keeps that open.
      const timer = setTimeout(() => this.ended(CLOSE_ABNORMAL, "the process has ended"), this.#exitTimeoutMs);
      void this.closed.then(() => clearTimeout(timer));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  override close(code?: number, reason?: string): void {
    if (!this.#isOver) this.#hasAsked = true;
    super.close(code, reason);
  }

  override abort(reason?: string): void {
    if (!this.#isOver) this.#hasAsked = true;
    this.#child.kill("SIGKILL");
    super.abort(reason);
  }

  protected override ended(code: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Its input is over, or it has closed its output: it has to go.
    this.#child.stdin?.end();
    const timers = (["SIGTERM", "SIGKILL"] as const).map((signal, index) =>
      setTimeout(() => this.#child.kill(signal), (index + 1) * this.#exitTimeoutMs),
    );
    void this.exited.then((exit) => {
      for (const timer of timers) clearTimeout(timer);
      if (this.#hasAsked) super.ended(code, reason);
      else super.ended(exit.code === 0 ? CLOSE_NORMAL : CLOSE_ABNORMAL, `the process ${toldExit(exit)}`);
    });
  }
}

const toldExit = ({ code, signal }: ProcessExit): string =>
  signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;

/** What a line may have before it is told in pieces. */
const MAX_LINE_CHARS = 64 * 1024;

function tellLines(stream: Readable, tell: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop() ?? "";
    for (const line of lines) tell(line);
    if (rest.length <= MAX_LINE_CHARS) return;
    tell(rest);
    rest = "";
  });
  stream.on("error", () => {});
  stream.on("end", () => rest !== "" && tell(rest));
}
