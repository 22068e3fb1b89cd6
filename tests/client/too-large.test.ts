/** Messages that are larger than their receiver reads: nobody sends them again and again. */
import { ARCPClient, ARCPToolClient, FrameTooLargeError } from "@arcp/client";
import {
  connectSocket,
  HttpTransport,
  InvalidRequestError,
  silentLogger,
  type Transport,
  WebSocketTransport,
} from "@arcp/core";
import { describe, expect, test, vi } from "vitest";
import { type Harness, startHarness } from "../support/harness.ts";

const maxFrameBytes = 16 * 1024;
const LARGE = "x".repeat(2 * maxFrameBytes);
const MIB = 1024 * 1024;
const OPTIONS = { token: "alice", logger: silentLogger, reconnect: { initialDelayMs: 0, maxDelayMs: 1 } };

const CARRIERS: readonly [string, (harness: Harness) => Promise<Transport>][] = [
  ["WebSocket", async (harness) => WebSocketTransport.connect(await harness.url(), { maxFrameBytes })],
  ["socket", async (harness) => connectSocket(await harness.socketPath(), { maxFrameBytes })],
  ["HTTP", async (harness) => HttpTransport.connect(await harness.httpUrl(), { maxFrameBytes })],
];

const start = (): Harness =>
  startHarness({
    carrier: "websocket",
    agents: {
      large: async (_input, context) => {
        await context.log("info", LARGE);
      },
    },
  });

describe.each(CARRIERS)("what a runtime sends over %s", (_carrier, connect) => {
  test("ends a client of wire 1.1 for good", async () => {
    await using harness = start();
    const dial = vi.fn(() => connect(harness));
    const client = await ARCPClient.connect(dial, OPTIONS);
    const ended = expect(client.closed).rejects.toThrow(FrameTooLargeError);
    const job = await client.submit({ agent: "large" });
    await expect(job.done).rejects.toThrow("1009");
    await ended;
    await expect(client.submit({ agent: "large" })).rejects.toThrow(FrameTooLargeError);
    expect(dial).toHaveBeenCalledOnce();
  });

  test("ends a client of wire 1.0 for good", async () => {
    await using harness = start();
    const dial = vi.fn(() => connect(harness));
    const client = await ARCPToolClient.open(dial, OPTIONS);
    const ended = expect(client.closed).rejects.toThrow(FrameTooLargeError);
    await expect(client.invoke("large").done).rejects.toThrow("1009");
    await ended;
    expect(dial).toHaveBeenCalledOnce();
  });
});

test("a request that the runtime would not read is refused before it is sent, and nothing else is", async () => {
  await using harness = startHarness({ carrier: "websocket", agents: { echo: async (input) => input } });
  const client = await harness.persistentClient();
  const states: string[] = [];
  client.on("state", ({ phase }) => states.push(phase));
  const refused = client.submit({ agent: "echo", input: "x".repeat(MIB) });
  await expect(refused).rejects.toThrow(InvalidRequestError);
  await expect(refused).rejects.toMatchObject({ details: { max: MIB } });
  const job = await client.submit({ agent: "echo", input: "x".repeat(MIB - 1024) });
  expect((await job.done).result).toHaveLength(MIB - 1024);
  expect(states).toEqual([]);
});

test("a runtime that reads less than it is said to ends the client, which does not ask again", async () => {
  await using harness = startHarness({ carrier: "websocket", agents: { echo: async (input) => input } });
  const client = await harness.persistentClient({ maxFrameBytes: 4 * MIB });
  client.closed.catch(() => {});
  await expect(client.submit({ agent: "echo", input: "x".repeat(2 * MIB) })).rejects.toThrow(FrameTooLargeError);
});
