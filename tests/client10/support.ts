/** A client of wire 1.0 for a harness, closed with it. */
import { ARCPToolClient, type ToolEvent, type ToolOpenOptions } from "@arcp/client";
import { silentLogger } from "@arcp/core";
import type { Harness } from "../support/harness.ts";

/** The real client against the harness's server. It connects again by itself. */
export async function toolClient(
  harness: Harness,
  options: ToolOpenOptions = {},
): Promise<ARCPToolClient & AsyncDisposable> {
  const client = await ARCPToolClient.open(() => harness.transport(), {
    token: "alice",
    logger: silentLogger,
    ...options,
    reconnect: { initialDelayMs: 0, maxDelayMs: 1, ...options.reconnect },
  });
  client.closed.catch(() => {});
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
