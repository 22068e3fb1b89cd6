/** Ways to a runtime, each in its own code: what is asked is whether the bytes are right. */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import WebSocket from "ws";

/** What becomes of a connection is told to its one reader. */
export interface ConnectionReader {
  /** A frame of text, as it was. */
  onText(text: string): void;
  onBinary(byteLength: number): void;
  /** Nothing comes after this. */
  onEnd(why: string): void;
}

/** One connection to a runtime. */
export interface Connection {
  send(text: string): void;
  /** Sends a binary frame; only on connections that have such. */
  sendBinary?(bytes: Uint8Array): void;
  /** Sends bytes as they are, which need not be whole frames; only on streams of bytes. */
  sendBytes?(bytes: Uint8Array): void;
  /** Ends it without a word, as a cable that is pulled does. */
  cut(): void;
}

/** How the suite reaches a runtime (§4). */
export type TransportKind = "websocket" | "stdio" | "http" | "memory";

/** The runtime that is asked, as something to connect to. */
export interface Target {
  readonly kind: TransportKind;
  /** Whether two connections reach the same runtime: a command is started for each. */
  readonly isShared: boolean;
  /** Where it is, for people. */
  readonly name: string;
  /** The path of its address, if that is one with a path. */
  readonly path?: string;
  /** Another path of the same listener, where nothing should be. */
  elsewhere?(path: string): Target;
  dial(reader: ConnectionReader, signal: AbortSignal): Promise<Connection>;
}

const MAX_FRAME_BYTES = 64 * 1024 * 1024;

/** A runtime that listens for WebSockets at `url`. */
export function webSocketTarget(url: string): Target {
  return {
    kind: "websocket",
    isShared: true,
    name: url,
    path: new URL(url).pathname,
    elsewhere: (path) => webSocketTarget(new URL(path, url).href),
    dial: async (reader, signal) => {
      const socket = new WebSocket(url, { maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false });
      const opened = Promise.withResolvers<void>();
      socket.once("open", () => opened.resolve());
      socket.on("error", (error) => opened.reject(error));
      socket.on("close", (code, reason) => {
        opened.reject(new Error(`closed with ${code} before it was open`));
        reader.onEnd(`closed with ${code}${reason.length === 0 ? "" : ` (${reason.toString("utf8")})`}`);
      });
      socket.on("message", (data, isBinary) => {
        const bytes = Buffer.isBuffer(data) ? data : Buffer.concat(data as Buffer[]);
        if (isBinary) reader.onBinary(bytes.length);
        else reader.onText(bytes.toString("utf8"));
      });
      const onAbort = (): void => socket.terminate();
      signal.addEventListener("abort", onAbort, { once: true });
      await opened.promise;
      return {
        send: (text) => socket.send(text),
        sendBinary: (bytes) => socket.send(bytes, { binary: true }),
        sendBytes: (bytes) => socket.send(bytes, { binary: false }),
        cut: () => {
          signal.removeEventListener("abort", onAbort);
          socket.terminate();
        },
      };
    },
  };
}

/** What is known of a runtime that is started by a command. */
export interface CommandOptions {
  /** Whether the command leads to one runtime, however often it is started. Default: false, it is one. */
  readonly isShared?: boolean;
}

/** A runtime that a command is, on its standard input and output. Each connection starts the command. */
export function commandTarget(command: readonly string[], { isShared = false }: CommandOptions = {}): Target {
  const [program, ...args] = command;
  if (program === undefined) throw new RangeError("an empty command");
  return {
    kind: "stdio",
    isShared,
    name: command.join(" "),
    dial: async (reader, signal) => {
      const child = spawn(program, args, { stdio: "pipe" });
      await started(child);
      child.stdin.on("error", () => {
        // A program that has ended says so by its exit.
      });
      child.stderr.resume();
      readLines(child, reader);
      const cut = (): void => {
        signal.removeEventListener("abort", cut);
        child.kill("SIGKILL");
      };
      signal.addEventListener("abort", cut, { once: true });
      return {
        send: (text) => void child.stdin.write(`${text}\n`),
        sendBytes: (bytes) => void child.stdin.write(bytes),
        cut,
      };
    },
  };
}

function started(child: ChildProcessWithoutNullStreams): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
}

function readLines(child: ChildProcessWithoutNullStreams, reader: ConnectionReader): void {
  let rest = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) reader.onText(line);
  });
  child.on("close", (code, signal) => {
    if (rest !== "") reader.onText(rest);
    reader.onEnd(signal === null ? `the program ended with exit code ${code}` : `the program ended by ${signal}`);
  });
}
