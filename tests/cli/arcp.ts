/** The built `arcp` command in processes and a directory of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const program = fileURLToPath(new URL("../../packages/sdk/bin/arcp.js", import.meta.url));

export type JsonLine = { readonly [member: string]: unknown };

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Standard output, where every line is JSON. */
  readonly lines: readonly JsonLine[];
}

/** One `arcp` that runs. */
export class RunningCommand {
  readonly process: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  #wake: (() => void)[] = [];
  stdout = "";
  stderr = "";

  constructor(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv) {
    this.process = spawn(process.execPath, [program, ...args], { cwd, env: { ...cleanEnvironment(), ...env } });
    // "close" comes when the output has been read to its end.
    this.#exited = once(this.process, "close");
    this.process.stdin.on("error", () => {
      // A command that ends without reading its input says so by its exit.
    });
    this.process.stdout.on("data", (chunk) => {
      this.stdout += String(chunk);
      this.#awake();
    });
    this.process.stderr.on("data", (chunk) => {
      this.stderr += String(chunk);
      this.#awake();
    });
    void this.#exited.then(() => this.#awake());
  }

  get hasEnded(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Standard output so far, line by line, as JSON. */
  get lines(): readonly JsonLine[] {
    return this.stdout
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as JsonLine);
  }

  /** The first JSON line that `matches`, now or later. Rejects when the command ends without one. */
  async sees(matches: (line: JsonLine) => boolean): Promise<JsonLine> {
    return this.#waitFor(() => this.lines.find(matches));
  }

  /** Resolves when standard error has `text`. */
  async complains(text: string): Promise<void> {
    await this.#waitFor(() => (this.stderr.includes(text) ? true : undefined));
  }

  /** Resolves when standard output has `text`. */
  async shows(text: string): Promise<void> {
    await this.#waitFor(() => (this.stdout.includes(text) ? true : undefined));
  }

  async #waitFor<Found>(find: () => Found | undefined): Promise<Found> {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (this.hasEnded) throw new Error(`the command ended: ${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Closes its standard input and waits for its end. */
  async end(input = ""): Promise<Ended> {
    this.process.stdin.end(input);
    await this.#exited;
    const { stdout, stderr } = this;
    const isJson = stdout.startsWith("{");
    return { code: this.process.exitCode, stdout, stderr, lines: isJson ? this.lines : [] };
  }

  async kill(signal: NodeJS.Signals): Promise<Ended> {
    this.process.kill(signal);
    return this.end();
  }

  #awake(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}

/** A directory, and the commands that run in it. What still runs at the end is killed. */
export class Workspace implements AsyncDisposable {
  readonly directory: string;
  readonly #running: RunningCommand[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** With these files, by name. */
  static async create(files: Readonly<Record<string, string>> = {}): Promise<Workspace> {
    const workspace = new Workspace(await mkdtemp(join(tmpdir(), "arcp-cli-")));
    for (const [name, content] of Object.entries(files)) await writeFile(workspace.path(name), content);
    return workspace;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  start(args: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCommand {
    const command = new RunningCommand(args, this.directory, env);
    this.#running.push(command);
    return command;
  }

  /** Runs a command to its end. */
  run(args: readonly string[], options: { readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {}) {
    return this.start(args, options.env).end(options.input);
  }

  /** A runtime that is ready. Without a port, any free one. */
  async serve(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<RunningRuntime> {
    const port = args.includes("--port") ? [] : ["--port", "0"];
    const command = this.start(["serve", "--json", ...port, ...args], env);
    const ready = await command.sees(({ type }) => type === "ready");
    return { command, url: String(ready["url"]), port: Number(new URL(String(ready["url"])).port) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const command of this.#running) if (!command.hasEnded) await command.kill("SIGKILL");
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface RunningRuntime {
  readonly command: RunningCommand;
  readonly url: string;
  readonly port: number;
}

function cleanEnvironment(): NodeJS.ProcessEnv {
  const { ARCP_TOKEN, ARCP_URL, ARCP_DB, ARCP_DEBUG, NODE_OPTIONS, FORCE_COLOR, ...rest } = process.env;
  return rest;
}

/** A way to a port of this machine that can be cut. */
export class FragileLine implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly port: number;
  /** Does it drop whoever comes? */
  isDown = false;

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async to(target: number): Promise<FragileLine> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const line = new FragileLine(server, (server.address() as { port: number }).port);
    server.on("connection", (near) => line.#join(near, target));
    return line;
  }

  #join(near: Socket, target: number): void {
    if (this.isDown) {
      near.destroy();
      return;
    }
    const far = new (near.constructor as typeof Socket)().connect(target, "127.0.0.1");
    for (const socket of [near, far]) {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
  }

  /** Drops every connection without a goodbye. New ones can be made. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
