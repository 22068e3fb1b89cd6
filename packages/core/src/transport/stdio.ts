import { Console } from "node:console";
import type { Readable, Writable } from "node:stream";
import { CLIENT_FRAME_LIMITS } from "../limits.ts";
import { LineTransport } from "./lines.ts";

export interface StdioTransportOptions {
  /** Where frames come from. Default: the process's standard input. */
  readonly input?: Readable;
  /** Where frames go. Default: the process's standard output; `console` then writes to standard error (§4.2). */
  readonly output?: Writable;
  /** Bytes of one line. A longer line ends the connection. Default: 1 MiB. */
  readonly maxFrameBytes?: number;
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
}
