/** Every message of a principal's sessions, as it is sent (RFC §13). */
import { ARCPToolClient, type ObservedEvent, type ObserverFilter, type ToolConnectionState } from "@arcp/client";
import type { JsonObject } from "@arcp/core";
import type { FramePrinter } from "./frame-printer.ts";
import { credentialsFor, RECONNECT, type RuntimeAddress } from "./runtime-address.ts";

export interface Observation {
  readonly filter: ObserverFilter;
  /** Begin with what the runtime still has? */
  readonly history: boolean;
  readonly printer: FramePrinter;
  readonly signal: AbortSignal;
}

/** Prints until `signal` aborts. Rejects when nothing more can be learnt. */
export async function observe(
  address: RuntimeAddress,
  { filter, history, printer, signal }: Observation,
): Promise<void> {
  const { initialDelayMs, maxDelayMs } = RECONNECT;
  await using client = await ARCPToolClient.open(address.url, {
    ...(await credentialsFor(address)),
    ...{ reconnect: { initialDelayMs, maxDelayMs }, signal },
  });
  let isLost = false;
  client.on("state", (state) => {
    isLost = reportState(state, isLost);
  });
  await using subscription = await client.openSubscription(filter, { backfill: history, signal });
  for await (const event of subscription) await printer.print(receivedOf(event));
}

/** On standard error: what is on standard output are messages. Returns whether there is no connection. */
function reportState(state: ToolConnectionState, wasLost: boolean): boolean {
  if (state.phase === "reconnecting" && !wasLost) process.stderr.write("arcp: connection lost, reconnecting…\n");
  if (state.phase === "connected" && wasLost) process.stderr.write("arcp: connected again\n");
  return state.phase === "reconnecting" || (wasLost && state.phase === "connecting");
}

/** The envelope that was observed. */
function receivedOf(event: ObservedEvent): { readonly text: string; readonly frame: JsonObject } {
  const frame = {
    ...{ arcp: "1.0", id: event.id, type: event.type, timestamp: event.ts, session_id: event.sessionId },
    ...{ job_id: event.jobId, stream_id: event.streamId, trace_id: event.traceId },
    ...{ correlation_id: event.correlationId, causation_id: event.causationId },
    ...(event.priority === "normal" ? {} : { priority: event.priority }),
    payload: event.payload,
  };
  return { text: JSON.stringify(frame), frame };
}
