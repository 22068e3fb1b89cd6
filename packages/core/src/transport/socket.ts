import { chmodSync, lstatSync, type Stats, unlinkSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { isMainThread } from "node:worker_threads";
import { InvalidRequestError } from "../errors.ts";
import { CLIENT_FRAME_LIMITS, RUNTIME_FRAME_LIMITS } from "../limits.ts";
import { LineTransport } from "./lines.ts";
import { type Transport, TransportError, type TransportPeer } from "./transport.ts";

/** Where {@link startSocketServer} listens, and who may connect. */
export interface SocketServerOptions {
  /** Where to listen: a path in the file system, or on Windows the name of a pipe, e.g. `\\.\pipe\arcp`. */
  readonly path: string;
  /** Called for each connection. */
  readonly onTransport: (transport: Transport) => void;
  /** Permissions of the socket file: who may write to it may connect. Not used on Windows. Default: 0o600. */
  readonly mode?: number;
  /** Bytes of one line. A longer line ends the connection. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
  /** Connections at one time. One more is closed at once. Default: 20,000. */
  readonly maxConnections?: number;
}

/** A socket that is listened on. */
export interface RunningSocketServer extends AsyncDisposable {
  readonly path: string;
  /** Stops listening, ends the connections that are left and removes the socket file. Idempotent. */
  close(): Promise<void>;
}

/** How {@link connectSocket} connects. */
export interface SocketConnectOptions {
  /** Gives up connecting when it aborts. */
  readonly signal?: AbortSignal;
  /** Bytes of one line from the runtime. Default: 64 MiB. */
  readonly maxFrameBytes?: number;
}

/** Only processes of this machine get there, and only those that the permissions let in. */
const PEER: TransportPeer = { kind: "socket", isConfidential: true };
const DEFAULT_MODE = 0o600;
const ALL_PERMISSIONS = 0o777;
/** How long the other side may take to read the end. */
const LINGER_MS = 5_000;
/** What it may send meanwhile. */
const LINGER_BYTES = 64 * 1024 * 1024;
const IS_WINDOWS = process.platform === "win32";

/**
 * Listens on a Unix domain socket or a Windows named pipe, with the framing of stdio (§4.2): one envelope per line. A
 * socket file that a dead process left is replaced. Rejects when something else is at `path`, a live listener included,
 * and when it cannot listen.
 */
export async function startSocketServer(options: SocketServerOptions): Promise<RunningSocketServer> {
  const { path, onTransport } = options;
  checkPath(path);
  const mode = options.mode ?? DEFAULT_MODE;
  const maxFrameBytes = options.maxFrameBytes ?? CLIENT_FRAME_LIMITS.maxFrameBytes;
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    onTransport(overSocket(socket, maxFrameBytes));
  });
  server.maxConnections = options.maxConnections ?? 20_000;
  const stale = IS_WINDOWS ? undefined : await findStale(path);
  await listen(server, path, mode, stale);

  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    // Node removes the socket file with the listener.
    closing ??= new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of open) socket.destroy();
    });
    return closing;
  };
  return { path, close, [Symbol.asyncDispose]: close };
}

/**
 * Connects to a Unix domain socket or a Windows named pipe. Rejects with {@link TransportError} when nobody listens
 * there, and with the signal's reason; with {@link InvalidRequestError} for what is no path.
 */
export async function connectSocket(path: string, options: SocketConnectOptions = {}): Promise<Transport> {
  checkPath(path);
  const { signal } = options;
  signal?.throwIfAborted();
  const socket = createConnection({ path });
  const onAbort = (): void => void socket.destroy();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (cause) => reject(new TransportError(`could not connect: ${cause.message}`, { cause })));
      // After an error this comes too late to count.
      socket.once("close", () => reject(signal?.reason));
    });
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
  return overSocket(socket, options.maxFrameBytes ?? RUNTIME_FRAME_LIMITS.maxFrameBytes);
}

/** A name that begins with NUL would be one of Linux's abstract sockets, which have no permissions. */
function checkPath(path: string): void {
  if (path === "" || path.includes("\0")) throw new InvalidRequestError("the socket's path is empty or contains NUL");
}

function overSocket(socket: Socket, maxFrameBytes: number): Transport {
  const transport = new LineTransport({ peer: PEER, input: socket, output: socket, maxFrameBytes });
  void transport.closed.then(() => letGo(socket));
  return transport;
}

/** Reads on without listening, so that the peer can read the end before the connection is gone, but not for long. */
function letGo(socket: Socket): void {
  if (socket.destroyed) return;
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  timer.unref();
  socket.once("close", () => clearTimeout(timer));
  const until = socket.bytesRead + LINGER_BYTES;
  socket.on("data", () => {
    if (socket.bytesRead > until) socket.destroy();
  });
  socket.resume();
}

/** The socket file at `path` that nobody listens on; `undefined` when the path is free. Throws for anything else. */
async function findStale(path: string): Promise<Stats | undefined> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return undefined;
  if (!found.isSocket()) throw new Error(`refused to listen on ${path}: it exists and is not a socket`);
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
    const probe = createConnection({ path }, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.on("error", resolve);
  });
  if (problem === undefined) throw new Error(`refused to listen on ${path}: somebody listens there`);
  if (problem.code === "ENOENT") return undefined;
  if (problem.code === "ECONNREFUSED") return found;
  throw new Error(`refused to listen on ${path}: perhaps somebody listens there`, { cause: problem });
}

function listen(server: Server, path: string, mode: number, stale: Stats | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    if (stale !== undefined) removeStale(path, stale);
    // Node binds and listens within this call: at no time can anybody connect whom the mode keeps out. Only in a worker
    // thread, which may not set the umask, the process's own counts for an instant.
    const before = !IS_WINDOWS && isMainThread ? process.umask(ALL_PERMISSIONS & ~mode) : undefined;
    try {
      // Exclusive: a worker of a cluster listens itself too, and not later through its primary.
      server.listen({ path, exclusive: true }, () => {
        server.off("error", reject);
        resolve();
      });
      if (!IS_WINDOWS && server.listening) chmodSync(path, mode);
    } catch (thrown) {
      server.close();
      throw thrown;
    } finally {
      if (before !== undefined) process.umask(before);
    }
  });
}

/** Removes the file unless somebody took its place since it was looked at. */
function removeStale(path: string, stale: Stats): void {
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now === undefined) return;
  if (now.ino !== stale.ino || now.dev !== stale.dev || now.ctimeMs !== stale.ctimeMs) {
    throw new Error(`refused to listen on ${path}: somebody else began to listen there`);
  }
  unlinkSync(path);
}
