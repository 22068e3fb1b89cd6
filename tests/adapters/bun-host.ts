/** The real Bun, in a process of its own, whose connections arrive here. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import {
  type HttpTransportOptions,
  pairMemoryTransports,
  startSocketServer,
  type Transport,
  type TransportPeer,
} from "@arcp/core";
import type { AppOptions, RunningHost } from "./hosts.ts";
import { relay } from "./relay.ts";

/** A runtime that takes connections over HTTP, too. */
export interface BunAppOptions extends AppOptions {
  readonly http?: Partial<Omit<HttpTransportOptions, "onTransport">>;
}

/** What the process is told. */
export interface BunInstructions {
  readonly apps: readonly Omit<BunAppOptions, "onTransport">[];
  /** The Unix socket that connections are handed over on. */
  readonly linePath: string;
}

/** What is said of a connection that is handed over. */
export interface BunConnection {
  readonly app: number;
  readonly peer: TransportPeer;
  /** Of the request, where it came over HTTP. */
  readonly headers?: Readonly<Record<string, string>>;
}

const SERVER = fileURLToPath(new URL("bun-server.ts", import.meta.url));

/** Where Bun is; `undefined` if it does not run on this machine. */
export const bunPath: string | undefined = findBun();

function findBun(): string | undefined {
  const architecture = process.arch === "arm64" ? "aarch64" : process.arch;
  try {
    const manifest = createRequire(import.meta.url).resolve(
      `@oven/bun-${process.platform}-${architecture}/package.json`,
    );
    const path = join(dirname(manifest), "bin", "bun");
    // It needs a processor of the last ten years.
    return spawnSync(path, ["--version"]).status === 0 ? path : undefined;
  } catch {
    // Not installed: an optional dependency.
    return undefined;
  }
}

export async function startBun(apps: readonly BunAppOptions[]): Promise<RunningHost> {
  const directory = mkdtempSync(join(tmpdir(), "arcp-bun-"));
  const line = await startSocketServer({
    path: join(directory, "line"),
    maxFrameBytes: 64 * 1024 * 1024,
    onTransport: (transport) => receive(transport, apps),
  });
  const instructions: BunInstructions = {
    apps: apps.map(({ onTransport: _, ...options }) => options),
    linePath: line.path,
  };
  const child = spawn(bunPath ?? "bun", [SERVER, JSON.stringify(instructions)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async (): Promise<unknown> => JSON.parse((await answers.next()).value ?? "null");
  let last: Promise<unknown> = Promise.resolve();
  // One question at a time: answers carry no name.
  const ask = (question: string): Promise<unknown> => {
    last = last.then(() => {
      child.stdin.write(`${question}\n`);
      return answer();
    });
    return last;
  };
  const port = (await answer()) as number;
  return {
    origin: `http://127.0.0.1:${port}`,
    rssBytes: () => ask("rss") as Promise<number>,
    apps: apps.map((_, index) => ({
      connections: () => ask(`connections ${index}`) as Promise<number>,
      close: () => ask(`close ${index}`) as Promise<never>,
    })),
    async close() {
      child.stdin.end("stop\n");
      if (child.exitCode === null) await once(child, "exit");
      await line.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** The first frame says what connection this is. */
function receive(line: Transport, apps: readonly BunAppOptions[]): void {
  const [near, far] = pairMemoryTransports();
  const take = relay(near, line);
  let hasBegun = false;
  line.onFrame((frame) => {
    if (hasBegun) return take(frame);
    hasBegun = true;
    const { app, peer, headers } = JSON.parse(frame) as BunConnection;
    Object.defineProperty(far, "peer", { value: peer });
    // One that comes when the runtime has closed has been told so.
    Promise.resolve(apps[app]?.onTransport(far, headers)).catch(() => far.abort());
  });
}
