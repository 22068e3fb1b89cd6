/** The load process's end of a measured server: starts it, asks it, ends it. */
import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { ControlReply, ControlRequest, ServerSettings, Usage } from "./server-control.ts";

export type ServerName = "limit" | "product";
export const SERVER_NAMES: readonly ServerName[] = ["limit", "product"];

const PRODUCT_ENTRY = new URL("../packages/runtime/dist/index.js", import.meta.url);
const START_TIMEOUT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const KEPT_STDERR_CHARS = 4_000;

export class ServerProcess {
  readonly url: string;
  /** Rejects when the process ends before {@link stop} was called. Never resolves. */
  readonly crashed: Promise<never>;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (usage: Usage) => void>();
  #nextRequestId = 1;
  #isStopping = false;

  private constructor(child: ChildProcess, url: string, exited: Promise<string>) {
    this.#child = child;
    this.url = url;
    this.crashed = exited.then((how) =>
      this.#isStopping ? new Promise<never>(() => {}) : Promise.reject(new Error(how)),
    );
    this.crashed.catch(() => {});
    child.on("message", (reply: ControlReply) => {
      this.#waiting.get(reply.requestId)?.(reply.usage);
      this.#waiting.delete(reply.requestId);
    });
  }

  /** Starts a server. Rejects with what the child wrote to its standard error when it does not come up. */
  static async start(name: ServerName, settings: ServerSettings, nodeFlags: readonly string[]): Promise<ServerProcess> {
    if (name === "product" && !existsSync(PRODUCT_ENTRY)) {
      throw new Error("the packages are not built: npm run build");
    }
    const program = fileURLToPath(new URL(`./${name}-server.ts`, import.meta.url));
    const child = fork(program, [JSON.stringify(settings)], {
      execArgv: ["--expose-gc", ...nodeFlags],
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let complaint = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-KEPT_STDERR_CHARS);
    });
    const exited = new Promise<string>((resolve) => {
      child.once("error", (error) => resolve(`the ${name} server did not start: ${error.message}`));
      child.once("close", (code, signal) => {
        resolve(`the ${name} server ended with ${signal ?? `code ${code}`}\n${complaint}`.trimEnd());
      });
    });
    const line = new Promise<string>((resolve) => {
      let text = "";
      child.stdout?.setEncoding("utf8").on("data", (part: string) => {
        text += part;
        if (text.includes("\n")) resolve(text);
      });
    });
    const deadline = timeout(START_TIMEOUT_MS, `the ${name} server printed no URL in ${START_TIMEOUT_MS} ms`);
    try {
      const first = await Promise.race([line, exited.then((how) => Promise.reject(new Error(how))), deadline.promise]);
      const { url } = JSON.parse(first.slice(0, first.indexOf("\n"))) as { url: string };
      return new ServerProcess(child, url, exited);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    } finally {
      deadline.cancel();
    }
  }

  usage(): Promise<Usage> {
    return this.#request("usage");
  }

  /** The same after a garbage collection, for what is kept rather than what was touched. */
  settledUsage(): Promise<Usage> {
    return this.#request("settled-usage");
  }

  /** Opens the gate for every job that waits behind it. */
  async release(): Promise<void> {
    await this.#request("release");
  }

  /** Ends the server: it exits by itself when the channel closes, and is killed if it does not. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    const killer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    if (this.#child.connected) this.#child.disconnect();
    await gone;
    clearTimeout(killer);
  }

  async #request(ask: ControlRequest["ask"]): Promise<Usage> {
    const requestId = this.#nextRequestId++;
    const answered = new Promise<Usage>((resolve) => this.#waiting.set(requestId, resolve));
    this.#child.send({ ask, requestId } satisfies ControlRequest, () => {});
    const deadline = timeout(ANSWER_TIMEOUT_MS, `the server did not answer "${ask}" in ${ANSWER_TIMEOUT_MS} ms`);
    try {
      return await Promise.race([answered, this.crashed, deadline.promise]);
    } finally {
      deadline.cancel();
      this.#waiting.delete(requestId);
    }
  }
}

/** A promise that rejects after `ms`, and the way to call it off. */
export function timeout(ms: number, message: string): { promise: Promise<never>; cancel: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), ms);
  });
  promise.catch(() => {});
  return { promise, cancel: () => clearTimeout(timer) };
}
