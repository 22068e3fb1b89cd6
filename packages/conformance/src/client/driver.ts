/** The client under test, behind its driver: a program that is told what to do line by line, and says what came of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { readLines } from "./lines.ts";
import type { JsonObject } from "./stage.ts";

/** What a driver can be told to do. The contract is docs/conformance-client.md. */
export type StepName =
  | "connect"
  | "submit"
  | "wait"
  | "cancel"
  | "list"
  | "subscribe"
  | "unsubscribe"
  | "credentials"
  | "ended"
  | "close"
  | "ping"
  | "interrupt"
  | "schedule"
  | "refresh"
  | "heard"
  | "put"
  | "fetch"
  | "release"
  | "extension"
  | "drop";

/** What a driver says of a step. */
export type StepAnswer =
  | { readonly ok: JsonObject }
  | { readonly error: { readonly code?: string; readonly message?: string } }
  /** The client cannot do that. */
  | { readonly unsupported: string };

export interface DriverPort {
  /** Tells the driver to do a step for one of its clients. Rejects when the driver is gone, or says what is no answer. */
  tell(client: string, step: StepName, terms: JsonObject): Promise<StepAnswer>;
  /** What the driver has written beside its answers: its logs. The last few megabytes. */
  readonly written: string;
}

interface Asked {
  readonly resolve: (answer: StepAnswer) => void;
  readonly reject: (error: Error) => void;
}

const MAX_KEPT_CHARACTERS = 4 * 1024 * 1024;

/** A driver as a child process. */
export class Driver implements DriverPort, AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #asked = new Map<number, Asked>();
  readonly #exited: Promise<void>;
  #made = 0;
  #written: string[] = [];
  #writtenLength = 0;
  #gone: Error | undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        this.#fail(new Error(`the driver has ended (${signal ?? `exit code ${code}`})`));
        resolve();
      });
    });
    child.once("error", (error) => this.#fail(error));
    child.stdin?.on("error", () => {
      // The end of the process follows, which says the same.
    });
    if (child.stdout) readLines(child.stdout, (line) => this.#onLine(line));
    child.stderr?.on("data", (data: Buffer) => this.#keep(data.toString("utf8")));
  }

  /** Starts a driver: no shell reads `command`. */
  static start(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Driver {
    return new Driver(spawn(command, args, { stdio: ["pipe", "pipe", "pipe"], env }));
  }

  get written(): string {
    return this.#written.join("");
  }

  tell(client: string, step: StepName, terms: JsonObject): Promise<StepAnswer> {
    if (this.#gone) return Promise.reject(this.#gone);
    this.#made += 1;
    const id = this.#made;
    const { promise, resolve, reject } = Promise.withResolvers<StepAnswer>();
    this.#asked.set(id, { resolve, reject });
    this.#child.stdin?.write(`${lineOf({ id, client, step, with: terms })}\n`);
    return promise;
  }

  /** Ends the driver's input, upon which it ends; after five seconds it is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5_000);
    await this.#exited;
    clearTimeout(timer);
  }

  #onLine(line: string): void {
    if (line.trim() === "") return;
    let said: { readonly id?: unknown } & Partial<Record<"ok" | "error" | "unsupported", unknown>>;
    try {
      said = JSON.parse(line) as typeof said;
    } catch {
      this.#fail(new Error(`the driver wrote what is no JSON: ${line.slice(0, 200)}`));
      return;
    }
    const asked = typeof said.id === "number" ? this.#asked.get(said.id) : undefined;
    if (asked === undefined) return;
    this.#asked.delete(said.id as number);
    if (said.ok !== undefined || said.error !== undefined || said.unsupported !== undefined) {
      asked.resolve(said as StepAnswer);
    } else asked.reject(new Error(`the driver wrote what is no answer: ${line.slice(0, 200)}`));
  }

  #keep(text: string): void {
    this.#written.push(text);
    this.#writtenLength += text.length;
    while (this.#writtenLength > MAX_KEPT_CHARACTERS) this.#writtenLength -= this.#written.shift()?.length ?? 0;
  }

  #fail(error: Error): void {
    this.#gone ??= error;
    for (const { reject } of this.#asked.values()) reject(this.#gone);
    this.#asked.clear();
  }
}

/** Many languages end a line at these, too: they are escaped, so that a driver may read lines as it is used to. */
const lineOf = (step: object): string =>
  JSON.stringify(step).replace(
    /[\u0085\u2028\u2029]/g,
    (separator) => `\\u${separator.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
