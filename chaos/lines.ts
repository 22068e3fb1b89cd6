/** Connections of clients to the runtime under test, with everything that passes written down. */
import { connectTransport, type Transport } from "@arcp/core";
import type { Recorder, Wire } from "./history.ts";
import { overlaid } from "./wrappers.ts";

export interface Caller {
  readonly client: string;
  readonly principal: string;
  readonly wire: Wire;
}

export interface LineMaker {
  /** Connects. Rejects when nobody is there. */
  readonly connect: (caller: Caller, signal?: AbortSignal) => Promise<Transport>;
}

const CONNECT_TIMEOUT_MS = 5_000;

/** Where to connect now. */
export interface Door {
  readonly url: string;
  /** Which process of the runtime is behind it. */
  readonly life: number;
}

export function lineMaker(door: () => Door, recorder: Recorder): LineMaker {
  let made = 0;
  return {
    connect: async (caller, signal) => {
      const { url, life } = door();
      const limit = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
      const transport = await connectTransport(url, { signal: signal ? AbortSignal.any([signal, limit]) : limit });
      made += 1;
      const connection = `${caller.client}#${made}`;
      recorder.write({ kind: "opened", connection, ...caller, life });
      void transport.closed.then(({ code, reason }) => {
        recorder.write({ kind: "closed", connection, reason: `${code} ${reason}` });
      });
      return overlaid(transport, {
        send: (frame) => {
          recorder.write({ kind: "sent", connection, text: frame });
          transport.send(frame);
        },
        onFrame: (handler) =>
          transport.onFrame((frame) => {
            recorder.write({ kind: "received", connection, text: frame });
            handler(frame);
          }),
      });
    },
  };
}
