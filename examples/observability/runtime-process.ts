/** `arcp serve` in a process of its own, with its spans and metrics sent to a collector. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../bin/arcp.js", import.meta.resolve("@arcp/sdk")));

export interface RuntimeProcessOptions {
  /** What its spans are told of as. */
  readonly service: string;
  readonly config: string;
  readonly collectorUrl: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class RuntimeProcess implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  /** What it said when it was ready. */
  readonly ready: { readonly url: string; readonly fingerprint: string; readonly healthUrl: string };

  private constructor(process: ChildProcess, exited: Promise<unknown>, ready: RuntimeProcess["ready"]) {
    this.#process = process;
    this.#exited = exited;
    this.ready = ready;
  }

  static async start({ service, config, collectorUrl, env = {} }: RuntimeProcessOptions): Promise<RuntimeProcess> {
    const child = spawn(process.execPath, [program, "serve", "--json", "--config", config, "--metrics", "0"], {
      env: { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: collectorUrl, OTEL_SERVICE_NAME: service, ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    const ended = exited.then(() => {
      throw new Error(`${service} ended before it was ready`);
    });
    ended.catch(() => {});
    const [line] = (await Promise.race([once(createInterface(child.stdout), "line"), ended])) as [string];
    return new RuntimeProcess(child, exited, JSON.parse(line) as RuntimeProcess["ready"]);
  }

  /** Stops it in order: jobs come to their end, and what is to be told of them is sent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGTERM");
    await this.#exited;
  }
}
