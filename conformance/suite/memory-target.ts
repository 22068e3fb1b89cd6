/** A runtime in this process as something that the suite can connect to, with a hand on every frame. */
import type { Target } from "@arcp/conformance";
import { pairMemoryTransports } from "@arcp/core";
import type { ARCPServer } from "@arcp/runtime";

/** Sees each frame on its way, and says what goes on in its place. */
export type Tamper = (text: string) => readonly string[];

/** What stands between one client and the runtime. Made for each connection. */
export interface Tampering {
  readonly toRuntime?: Tamper;
  readonly toClient?: Tamper;
}

export function memoryTarget(server: Pick<ARCPServer, "accept">, tampering: () => Tampering = () => ({})): Target {
  return {
    kind: "memory",
    isShared: true,
    name: "our runtime",
    dial: async (reader) => {
      const [ours, theirs] = pairMemoryTransports();
      const { toRuntime = (text) => [text], toClient = (text) => [text] } = tampering();
      ours.onFrame((text) => {
        for (const frame of toClient(text)) reader.onText(frame);
      });
      void ours.closed.then(({ code, reason }) => reader.onEnd(`closed with ${code} (${reason})`));
      await server.accept(theirs);
      return {
        send: (text) => {
          for (const frame of toRuntime(text)) ours.send(frame);
        },
        cut: () => ours.abort("cut by the suite"),
      };
    },
  };
}
