/** A node: `arcp serve` in a process of its own, which is started again on the same port when it was killed. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ARCP = fileURLToPath(new URL("../../packages/sdk/bin/arcp.js", import.meta.url));
const AGENT = join(import.meta.dirname, "agent.ts");
/** After so long a silence the others take a node's jobs. */
const TTL_SECONDS = "2";

/** A line of the log of `arcp serve`. */
export interface LogRecord {
  readonly level: string;
  readonly msg: string;
  readonly [fact: string]: unknown;
}

export interface NodeProcessOptions {
  readonly name: string;
  /** With its password: it goes by the environment. */
  readonly database: string;
  /** `TOKEN=PRINCIPAL` */
  readonly token: string;
  /** Where it runs; nothing is written there. */
  readonly directory: string;
  readonly port?: number;
  readonly onLog: (record: LogRecord) => void;
  readonly onBack: () => void;
}

export class NodeProcess implements AsyncDisposable {
  readonly #options: NodeProcessOptions;
  #child: ChildProcess | undefined;
  #isClosed = false;
  port: number;

  private constructor(options: NodeProcessOptions) {
    this.#options = options;
    this.port = options.port ?? 0;
  }

  /** Resolves when clients can connect. Rejects with what `arcp serve` complains about. */
  static async start(options: NodeProcessOptions): Promise<NodeProcess> {
    const node = new NodeProcess(options);
    await node.#start();
    return node;
  }

  get name(): string {
    return this.#options.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** `kill -9`. It is started again by itself, as a supervisor would. */
  kill(): void {
    const child = this.#child;
    child?.kill("SIGKILL");
    child?.once("exit", () => {
      if (!this.#isClosed) void this.#start().then(this.#options.onBack, () => {});
    });
  }

  async #start(): Promise<void> {
    const { name, database, token, directory, onLog } = this.#options;
    const args = ["serve", "--json", "--agent", `mailing=${AGENT}`, "--port", String(this.port)];
    const child = spawn(process.execPath, [ARCP, ...args, "--node-name", name, "--node-ttl", TTL_SECONDS], {
      cwd: directory,
      env: { ...process.env, ARCP_DB: database, ARCP_TOKEN: token },
      stdio: ["ignore", "pipe", "pipe"],
      // Ctrl-C is for whoever has started it, and ends it.
      detached: true,
    });
    this.#child = child;
    let complaint = "";
    createInterface(child.stderr).on("line", (line) => {
      if (line.startsWith("{")) onLog(JSON.parse(line) as LogRecord);
      else complaint = line;
    });
    const [line] = (await Promise.race([
      once(createInterface(child.stdout), "line"),
      once(child, "exit").then(() => []),
    ])) as [string?];
    if (line === undefined) throw new Error(`node ${name} does not start: ${complaint}`);
    this.port = Number(new URL((JSON.parse(line) as { readonly url: string }).url).port);
  }

  /** Lets it stop as it should; what still runs after that is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await once(child, "exit");
    clearTimeout(late);
  }
}
