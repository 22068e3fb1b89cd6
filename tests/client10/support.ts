/** A client of wire 1.0 for a harness, and what tests look at. */
import { ARCPToolClient, type ToolEvent, type ToolOpenOptions } from "@arcp/client";
import { silentLogger, type Transport } from "@arcp/core";
import type { Harness } from "../support/harness.ts";

/** The real client against the harness's server. It connects again by itself, at once. */
export async function toolClient(
  harness: Harness,
  options: ToolOpenOptions = {},
  dial: () => Promise<Transport> = () => harness.transport(),
): Promise<ARCPToolClient> {
  const client = await ARCPToolClient.open(dial, {
    token: "alice",
    logger: silentLogger,
    ...options,
    reconnect: { initialDelayMs: 0, maxDelayMs: 1, ...options.reconnect },
  });
  client.closed.catch(() => {
    // What ends a client is looked at where it is expected.
  });
  return client;
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** The texts of the logs among `events`. */
export const logsOf = (events: readonly ToolEvent[]): string[] =>
  events.flatMap((event) => (event.kind === "log" ? [event.body.message] : []));
