/** The runtime of this repository as a measured server: the same three agents, everything switched on. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { StaticBearerVerifier, silentLogger, startWebSocketServer } from "@arcp/core";
import { postgres } from "@arcp/postgres";
import { ARCPServer, sqliteStore } from "@arcp/runtime";
import { type ChunksInput, Gate, type StreamInput, serveControl, serverSettings } from "./server-control.ts";
import { BENCH_TOKEN } from "./wire-client.ts";

const { directory, synchronous, database } = serverSettings();
const gate = new Gate();

const server = new ARCPServer({
  runtime: { name: "product", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([[BENCH_TOKEN, { principal: "bench" }]])),
  eventLog: database ? postgres(database) : sqliteStore({ path: join(directory, "product.db"), synchronous }),
  logger: silentLogger,
  // One bearer opens more sessions here than one principal usually may.
  principalCaps: { maxSessions: 20_000 },
});

server.registerAgent("echo@1.0.0", async (input) => ({ echoed: input }));

server.registerAgent("stream@1.0.0", async (input, ctx) => {
  const { count, bytes, gated } = input as StreamInput;
  if (gated === true) await new Promise<void>((resolve) => gate.wait(resolve));
  const text = "x".repeat(bytes);
  for (let sent = 0; sent < count; sent += 1) {
    ctx.signal.throwIfAborted();
    await ctx.log("info", text);
  }
  return { sent: count };
});

const EVENTS_PER_STEP = 1_000;
server.registerAgent(
  "durable-stream@1.0.0",
  async (input, ctx) => {
    const { count, bytes } = input as StreamInput;
    const text = "x".repeat(bytes);
    for (let sent = 0; sent < count; ) {
      const upTo = Math.min(sent + EVENTS_PER_STEP, count);
      for (; sent < upTo; sent += 1) await ctx.log("info", text);
      await ctx.step("a thousand", () => sent);
    }
    return { sent: count };
  },
  { durable: true },
);

server.registerAgent("paced@1.0.0", async (input, ctx) => {
  const { count, perSecond = 1 } = input as StreamInput;
  const startedAt = performance.now();
  for (let sent = 0; sent < count; sent += 1) {
    const wait = startedAt + (sent * 1_000) / perSecond - performance.now();
    if (wait > 0) await delay(wait);
    await ctx.log("info", String(Date.now()));
  }
  return { sent: count };
});

server.registerAgent("chunks@1.0.0", async (input, ctx) => {
  const { chunks, chunkBytes } = input as ChunksInput;
  const bytes = new Uint8Array(chunkBytes).fill(0xa5);
  const result = ctx.streamResult({});
  for (let sent = 0; sent < chunks; sent += 1) await result.write(bytes, { encoding: "base64" });
  await result.finalize(undefined, { summary: `${chunks} chunks` });
});

const listener = await startWebSocketServer({ onTransport: (transport) => server.accept(transport) });
serveControl(listener.url, gate);
