/** Every message of a principal's sessions, as it is sent (RFC §13). */
import { ARCPToolClient, type ObservedEvent, type ObserverFilter, type ToolConnectionState } from "@arcp/client";
import { connectTransport, decodeFrame, type JsonObject, RUNTIME_FRAME_LIMITS, type Transport } from "@arcp/core";
import { TappedTransport } from "../tapped-transport.ts";
import type { FramePrinter } from "./frame-printer.ts";
import { credentialsFor, RECONNECT, type RuntimeAddress } from "./runtime-address.ts";

export interface Observation {
  readonly filter: ObserverFilter;
  /** Begin with what the runtime still has? */
  readonly history: boolean;
  readonly printer: FramePrinter;
  readonly signal: AbortSignal;
}

/** More than wait to be read, whoever is slow. */
const MAX_ENVELOPES = 16_384;

/** Prints until `signal` aborts. Rejects when nothing more can be learnt. */
export async function observe(
  address: RuntimeAddress,
  { filter, history, printer, signal }: Observation,
): Promise<void> {
  const { initialDelayMs, maxDelayMs } = RECONNECT;
  const credentials = await credentialsFor(address);
  const { allowInsecure = false } = credentials;
  const envelopes = new Envelopes();
  const dial = async (abort: AbortSignal): Promise<Transport> => {
    const transport = await connectTransport(address.url, { signal: abort, allowInsecure });
    return new TappedTransport(transport, (text) => envelopes.take(text));
  };
  await using client = await ARCPToolClient.open(dial, {
    ...credentials,
    ...{ reconnect: { initialDelayMs, maxDelayMs }, signal },
  });
  let isLost = false;
  client.on("state", (state) => {
    isLost = reportState(state, isLost);
  });
  await using subscription = await client.openSubscription(filter, { backfill: history, signal });
  for await (const event of subscription) await printer.print(envelopes.of(event));
}

/** On standard error: what is on standard output are messages. Returns whether there is no connection. */
function reportState(state: ToolConnectionState, wasLost: boolean): boolean {
  if (state.phase === "reconnecting" && !wasLost) process.stderr.write("arcp: connection lost, reconnecting…\n");
  if (state.phase === "connected" && wasLost) process.stderr.write("arcp: connected again\n");
  return state.phase === "reconnecting" || (wasLost && state.phase === "connecting");
}

/** Observed messages, as they came, until the client has gone through them. */
class Envelopes {
  readonly #byId = new Map<string, JsonObject>();

  /** Looks for one in a frame. */
  take(text: string): void {
    if (!text.includes('"subscribe.event"')) return;
    try {
      const { payload } = decodeFrame(text, RUNTIME_FRAME_LIMITS);
      const event = (payload as JsonObject | undefined)?.["event"] as JsonObject | undefined;
      if (typeof event?.["id"] === "string") this.#byId.set(event["id"], event);
    } catch {
      // The client reports it.
      return;
    }
    // What is not asked for was delivered twice.
    const oldest = this.#byId.size > MAX_ENVELOPES ? this.#byId.keys().next().value : undefined;
    if (oldest !== undefined) this.#byId.delete(oldest);
  }

  /** The message that was observed. */
  of({ id, type, payload }: ObservedEvent): { readonly text: string; readonly frame: JsonObject } {
    const frame = this.#byId.get(id) ?? { id, type, payload };
    this.#byId.delete(id);
    return { text: JSON.stringify(frame), frame };
  }
}
