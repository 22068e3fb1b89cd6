/** A runtime in this process as something that the suite can connect to, with a hand on everything that is said. */
import type { Connection, Target, TransportKind } from "@arcp/conformance";
import { pairMemoryTransports } from "@arcp/core";
import type { ARCPServer } from "@arcp/runtime";

/** What a hand on the wire can do beside passing on. */
export interface Line {
  /** Says something to the client, as if the runtime had. */
  toClient(text: string): void;
  /** Says something to the runtime, as if the client had. */
  toRuntime(text: string): void;
  /** Ends the connection of the client. */
  hangUp(why: string): void;
}

/** What stands between one client and the runtime. Made for each connection. */
export interface Tampering {
  fromClient?(text: string, line: Line): void;
  fromRuntime?(text: string, line: Line): void;
  /** A frame that is no text, or bytes that are no whole frame. */
  bytesFromClient?(bytes: Uint8Array, line: Line): void;
  /** Keeps the end of the connection to itself. */
  readonly hidesEnd?: boolean;
}

export interface MemoryTargetOptions {
  /** The transport whose cases are asked, too. Default: none has any. */
  readonly kind?: TransportKind;
  readonly tamper?: () => Tampering;
  /** Whether there are sessions at every path. Default: at `/arcp` alone. */
  readonly isEverywhere?: boolean;
}

export function memoryTarget(server: Pick<ARCPServer, "accept">, options: MemoryTargetOptions = {}): Target {
  const { kind = "memory", tamper = (): Tampering => ({}), isEverywhere = false } = options;
  const nowhere = (): Promise<Connection> => Promise.reject(new Error("nothing is here"));
  const target: Target = {
    kind,
    isShared: true,
    name: "our runtime",
    path: "/arcp",
    elsewhere: (path) => ({ ...target, path, ...(isEverywhere ? {} : { dial: nowhere }) }),
    dial: async (reader): Promise<Connection> => {
      const [ours, theirs] = pairMemoryTransports();
      const tampering = tamper();
      const line: Line = {
        toClient: (text) => reader.onText(text),
        toRuntime: (text) => ours.send(text),
        hangUp: (why) => {
          ours.abort(why);
          reader.onEnd(why);
        },
      };
      ours.onFrame((text) => (tampering.fromRuntime ? tampering.fromRuntime(text, line) : line.toClient(text)));
      void ours.closed.then(({ code, reason }) => {
        if (tampering.hidesEnd !== true) reader.onEnd(`closed with ${code} (${reason})`);
      });
      await server.accept(theirs);
      const fromClient = (text: string): void =>
        tampering.fromClient ? tampering.fromClient(text, line) : line.toRuntime(text);
      let rest = Buffer.alloc(0);
      const byLines = (bytes: Uint8Array): void => {
        rest = Buffer.concat([rest, bytes]);
        for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
          fromClient(rest.toString("utf8", 0, end));
          rest = rest.subarray(end + 1);
        }
      };
      return {
        send: fromClient,
        sendBinary: (bytes) => tampering.bytesFromClient?.(bytes, line),
        sendBytes: (bytes) => (tampering.bytesFromClient ? tampering.bytesFromClient(bytes, line) : byLines(bytes)),
        cut: () => ours.abort("cut by the suite"),
      };
    },
  };
  return target;
}
