import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { ARCPClient } from "@arcp/client";
import {
  connectSocket,
  connectTransport,
  InvalidRequestError,
  type RunningSocketServer,
  type SocketServerOptions,
  silentLogger,
  socketPathOf,
  socketUrlOf,
  startSocketServer,
  type Transport,
  TransportError,
} from "@arcp/core";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { settle } from "../support/puppet.ts";

const MIB = 1024 * 1024;

/** A directory that is gone after the test. */
function directory(): string {
  const path = mkdtempSync(join(tmpdir(), "arcp-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

interface Listening extends AsyncDisposable {
  readonly server: RunningSocketServer;
  readonly path: string;
  /** The runtime's end of the next connection. */
  accepted(): Promise<Transport>;
}

async function startListening(options: Partial<SocketServerOptions> = {}): Promise<Listening> {
  const transports: Transport[] = [];
  let wake = (): void => {};
  const server = await startSocketServer({
    path: join(directory(), "socket"),
    ...options,
    onTransport: (transport) => {
      transports.push(transport);
      wake();
    },
  });
  return {
    server,
    path: server.path,
    async accepted() {
      while (transports.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return transports.shift() as Transport;
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
}

async function connected(listening: Listening): Promise<{ readonly client: Transport; readonly runtime: Transport }> {
  const client = await connectSocket(listening.path);
  return { client, runtime: await listening.accepted() };
}

/** A connection without anything of this project in it. */
async function plainSocket(path: string): Promise<Socket> {
  const socket = createConnection({ path });
  await once(socket, "connect");
  socket.on("error", () => {});
  onTestFinished(() => void socket.destroy());
  return socket;
}

const permissions = (path: string): number => statSync(path).mode & 0o777;

/** A process of its own that listens at `path`. */
async function listenElsewhere(path: string): Promise<ChildProcess> {
  const code = "require('node:net').createServer().listen(process.argv[1], () => process.stdout.write('listens'))";
  const child = spawn(process.execPath, ["-e", code, path], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout as NodeJS.ReadableStream, "data");
  return child;
}

describe("a listener on a Unix socket", () => {
  test("carries frames both ways, confidentially, and no bytes", async () => {
    covers("V10-4.1-01", "V10-22-03", "V10-11.3-05");
    await using listening = await startListening();
    const { client, runtime } = await connected(listening);
    for (const transport of [client, runtime]) {
      expect(transport.peer).toEqual({ kind: "socket", isConfidential: true });
      expect(transport.carriesBinary).toBe(false);
      expect(() => transport.sendBinary(new Uint8Array(1))).toThrow(/no binary/);
    }
    const texts = ["{}", JSON.stringify("a\nb\u2028c"), "é".repeat(400_000)];
    for (const [from, to] of [
      [client, runtime],
      [runtime, client],
    ] as const) {
      const received: string[] = [];
      const all = new Promise<void>((resolve) =>
        to.onFrame((frame) => {
          received.push(frame);
          if (received.length === texts.length) resolve();
        }),
      );
      for (const text of texts) from.send(text);
      await all;
      expect(received).toEqual(texts);
    }
  });

  test.each([
    [undefined, 0o600],
    [0o660, 0o660],
    [0o666, 0o666],
  ])("has the permissions %o, whatever the process's own mask is", async (mode, expected) => {
    for (const mask of [0o000, 0o077]) {
      const before = process.umask(mask);
      try {
        await using listening = await startListening(mode === undefined ? {} : { mode });
        expect(permissions(listening.path)).toBe(expected);
        expect(process.umask()).toBe(mask);
      } finally {
        process.umask(before);
      }
    }
  });

  test("has its permissions in a worker thread too", async () => {
    const path = join(directory(), "socket");
    const core = new URL("../../packages/core/dist/index.js", import.meta.url).href;
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      import(workerData.core).then(async ({ startSocketServer }) => {
        const server = await startSocketServer({ path: workerData.path, onTransport: () => {} });
        parentPort.postMessage("listens");
        parentPort.once("message", () => server.close());
      });`;
    const worker = new Worker(code, { eval: true, workerData: { core, path } });
    await once(worker, "message");
    expect(permissions(path)).toBe(0o600);
    worker.postMessage("stop");
    await once(worker, "exit");
    expect(existsSync(path)).toBe(false);
  });

  test("takes the place of a listener that was killed", async () => {
    const path = join(directory(), "socket");
    const child = await listenElsewhere(path);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(lstatSync(path).isSocket()).toBe(true);
    await using listening = await startListening({ path });
    expect(permissions(path)).toBe(0o600);
    await connected(listening);
  });

  test("does not take the place of one that lives", async () => {
    await using listening = await startListening();
    await expect(startListening({ path: listening.path })).rejects.toThrow(/somebody listens/);
    // Whoever looked whether somebody listens is seen for a moment.
    await (await listening.accepted()).closed;
    await connected(listening);
    const path = join(directory(), "socket");
    await listenElsewhere(path);
    await expect(startListening({ path })).rejects.toThrow(/somebody listens/);
    await plainSocket(path);
  });

  test.each(["a free path", "a stale socket"])(
    "of two that begin at the same time over %s, one listens",
    async (place) => {
      const path = join(directory(), "socket");
      if (place === "a stale socket") {
        const child = await listenElsewhere(path);
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      const outcomes = await Promise.allSettled([startListening({ path }), startListening({ path })]);
      const [one, ...others] = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      expect(others).toEqual([]);
      await using listening = one as Listening;
      await connected(listening);
    },
  );

  test("removes nothing that is not a socket", async () => {
    const at = directory();
    await using listening = await startListening();
    writeFileSync(join(at, "file"), "precious");
    mkdirSync(join(at, "directory"));
    symlinkSync(listening.path, join(at, "link"));
    symlinkSync(join(at, "nowhere"), join(at, "dangling"));
    for (const name of ["file", "directory", "link", "dangling"]) {
      await expect(startListening({ path: join(at, name) }), name).rejects.toThrow(/is not a socket/);
      expect(lstatSync(join(at, name), { throwIfNoEntry: false }), name).toBeDefined();
    }
    expect(readFileSync(join(at, "file"), "utf8")).toBe("precious");
    await connected(listening);
  });

  test("refuses paths at which nothing can be, and that have no permissions", async () => {
    for (const path of ["", "\0abstract", "/tmp/a\0b"]) {
      await expect(startListening({ path }), JSON.stringify(path)).rejects.toThrow(InvalidRequestError);
      await expect(connectSocket(path), JSON.stringify(path)).rejects.toThrow(InvalidRequestError);
    }
    await expect(startListening({ path: join(directory(), "no such", "socket") })).rejects.toThrow(/ENOENT|EACCES/);
    const long = join(directory(), "x".repeat(150));
    await expect(startListening({ path: long })).rejects.toThrow();
    expect(existsSync(long.slice(0, 107))).toBe(false);
  });

  test("ends its connections and removes its file when it is closed, as often as that is asked", async () => {
    const listening = await startListening();
    const { client, runtime } = await connected(listening);
    await Promise.all([listening.server.close(), listening.server.close(), listening.server[Symbol.asyncDispose]()]);
    await Promise.all([client.closed, runtime.closed]);
    expect(existsSync(listening.path)).toBe(false);
    await using next = await startListening({ path: listening.path });
    await connected(next);
  });

  test("takes so many connections and no more, until one has left", async () => {
    await using listening = await startListening({ maxConnections: 2 });
    const first = await connected(listening);
    await connected(listening);
    const third = await connectSocket(listening.path);
    await third.closed;
    first.client.close();
    await first.runtime.closed;
    await settle();
    await connected(listening);
  });
});

describe("a connection over a Unix socket", () => {
  test("delivers what was sent before it was closed, though the peer still sends", async () => {
    await using listening = await startListening();
    const { client, runtime } = await connected(listening);
    const received: string[] = [];
    client.onFrame((frame) => received.push(frame));
    client.pause();
    for (let n = 0; n < 200; n += 1) {
      runtime.send(`${n}`.padEnd(10_000));
      client.send("x".repeat(10_000));
    }
    runtime.send("the last");
    runtime.close(4401, "the session is over");
    await settle();
    client.resume();
    await client.closed;
    expect((await runtime.closed).code).toBe(4401);
    expect(received).toHaveLength(201);
    expect(received.at(-1)).toBe("the last");
  });

  test("is gone as soon as both sides have ended it", async () => {
    await using listening = await startListening({ maxConnections: 1 });
    const { client, runtime } = await connected(listening);
    client.send("not read any more");
    runtime.close();
    await Promise.all([client.closed, runtime.closed]);
    await settle();
    await connected(listening);
  });

  test("is let go when the peer reads the end and does not end its own side, in five seconds", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    await using listening = await startListening();
    const socket = createConnection({ path: listening.path, allowHalfOpen: true });
    await once(socket, "connect");
    socket.resume();
    const runtime = await listening.accepted();
    runtime.close();
    await Promise.all([runtime.closed, once(socket, "end")]);
    await settle();
    socket.write("still here\n");
    await settle();
    const gone = once(socket, "error");
    vi.advanceTimersByTime(5_000);
    await settle();
    // Only a connection that is gone at the other end refuses what is written.
    socket.write("and here\n");
    await gone;
    socket.destroy();
  });

  test("does not read a line beyond the limit", async () => {
    covers("V11-12-04");
    await using listening = await startListening();
    const socket = await plainSocket(listening.path);
    const runtime = await listening.accepted();
    const frames: string[] = [];
    const problems: string[] = [];
    runtime.onFrame((frame) => frames.push(frame));
    runtime.onMalformed((problem) => problems.push(problem));
    const before = process.memoryUsage().rss;
    const line = Buffer.alloc(64 * 1024, "x");
    for (let n = 0; n < 256; n += 1) socket.write(line);
    expect((await runtime.closed).code).toBe(1009);
    expect(frames).toEqual([]);
    expect(problems).toEqual([`a line is longer than ${MIB} bytes`]);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
  });

  test("ends when the other process is gone", async () => {
    await using listening = await startListening();
    const socket = await plainSocket(listening.path);
    const runtime = await listening.accepted();
    socket.destroy();
    await runtime.closed;
    const { client, runtime: other } = await connected(listening);
    other.abort();
    await client.closed;
  });

  test("cannot be made where nobody listens, and its making can be given up", async () => {
    const path = join(directory(), "socket");
    await expect(connectSocket(path)).rejects.toThrow(TransportError);
    const child = await listenElsewhere(path);
    await expect(connectSocket(path, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow("before");
    const stop = new AbortController();
    const connecting = connectSocket(path, { signal: stop.signal });
    stop.abort(new Error("meanwhile"));
    await expect(connecting).rejects.toThrow("meanwhile");
    child.kill("SIGKILL");
    await once(child, "exit");
    await expect(connectSocket(path)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe("a unix: URL", () => {
  test("takes a client to its runtime, and back to it after a loss", async () => {
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const path = join(directory(), "a socket");
    const serve = (): Promise<Listening> => startListening({ path });
    const accept = async (from: Listening): Promise<Transport> => {
      const transport = await from.accepted();
      await harness.server.accept(transport);
      return transport;
    };
    await using listening = await serve();
    const url = `unix://${path.replaceAll(" ", "%20")}`;
    const options = { token: "alice", logger: silentLogger, reconnect: { initialDelayMs: 0, maxDelayMs: 1 } };
    const [client, runtime] = await Promise.all([ARCPClient.connect(url, options), accept(listening)]);
    const { sessionId } = client.session ?? {};
    const resumed = accept(listening);
    runtime.abort("pulled");
    await resumed;
    const { result } = await (await client.submit({ agent: "echo", input: "hello" })).done;
    expect(result).toBe("hello");
    expect(client.session?.sessionId).toBe(sessionId);
    await client.close();
  });

  test("has no host, no query and no fragment, and is percent-encoded UTF-8", async () => {
    for (const url of ["unix://run/arcp", "unix:arcp", "unix://", "unix:///a?b", "unix:///a#b", "unix:///%ff"]) {
      await expect(connectTransport(url), url).rejects.toThrow(InvalidRequestError);
    }
    await expect(connectTransport("unix:///a%00b")).rejects.toThrow(InvalidRequestError);
    await expect(connectTransport("ftp://localhost/arcp")).rejects.toThrow(/expected a ws: or wss: URL/);
  });
});

test("addresses of sockets and of named pipes name their paths, and back", () => {
  for (const [url, platform, path] of [
    ["unix:///run/arcp%20%C3%A9.sock", "linux", "/run/arcp é.sock"],
    ["UNIX:///run/a", "win32", "/run/a"],
    ["pipe:arcp", "win32", "\\\\.\\pipe\\arcp"],
    ["pipe:a.b_c-1", "win32", "\\\\.\\pipe\\a.b_c-1"],
  ] as const) {
    expect(socketPathOf(url, platform), url).toBe(path);
    expect(socketUrlOf(path)).toBe(url.replace("UNIX", "unix"));
  }
  for (const url of ["pipe:", "pipe:a/b", "pipe:a\\b", "pipe://machine/a", "pipe:..\\x", `pipe:${"a".repeat(201)}`]) {
    expect(() => socketPathOf(url, "win32"), url).toThrow(InvalidRequestError);
  }
  expect(() => socketPathOf("pipe:arcp", "linux")).toThrow(/Windows/);
});
