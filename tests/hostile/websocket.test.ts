import {
  type RunningWebSocketServer,
  startWebSocketServer,
  type Transport,
  type WebSocketServerOptions,
} from "@arcp/core";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { cpuMs } from "../support/cpu-time.ts";
import { startHarness } from "../support/harness.ts";
import { startCanary } from "./canary.ts";
import { AGENTS } from "./hostile-client.ts";
import { envelope } from "./malformed-frames.ts";
import { fragments, RawSocket, statusOf, upgradeRequest, webSocketFrame } from "./raw-socket.ts";
import { MIB, ping, REFUSED_UPGRADES, VIOLATIONS } from "./websocket-violations.ts";

/** A harness with a listener of its own, whose server-side transports can be looked at. */
async function startListening(options: Partial<WebSocketServerOptions> = {}) {
  const harness = startHarness({ carrier: "websocket", agents: AGENTS });
  const transports: Transport[] = [];
  const listener: RunningWebSocketServer = await startWebSocketServer({
    ...options,
    onTransport: (transport) => {
      transports.push(transport);
      void harness.server.accept(transport);
    },
  });
  return {
    harness,
    transports,
    url: listener.url,
    [Symbol.asyncDispose]: async () => {
      await listener.close();
      await harness[Symbol.asyncDispose]();
    },
  };
}

test.each(VIOLATIONS)("%s closes the connection", async (_name, bytes, code) => {
  covers("V11-4.1-02", "V11-5.2-02");
  await using listening = await startListening();
  const canary = await startCanary(listening.harness);
  using socket = await RawSocket.open(listening.url);
  await socket.hello();
  const before = process.memoryUsage().rss;
  socket.write(bytes);
  expect(await socket.closeCode()).toBe(code);
  expect(process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
  const [error] = socket.messages.filter(({ type }) => type === "session.error");
  // Best effort: after some violations nothing more is sent.
  if (error !== undefined) expect(error.payload.code).toBe("INVALID_REQUEST");
  await canary.completes();
});

test.each(VIOLATIONS)("%s closes the connection before hello too", async (_name, bytes, code) => {
  await using listening = await startListening();
  const canary = await startCanary(listening.harness);
  using socket = await RawSocket.open(listening.url);
  socket.write(bytes);
  // A binary frame is answered as any other message that is not hello.
  expect(await socket.closeCode()).toBe(code === 1003 ? 4400 : code);
  await canary.completes();
});

test("fifty connections that announce 100 MiB each cost less than 16 MiB", async () => {
  await using listening = await startListening();
  const canary = await startCanary(listening.harness);
  const before = process.memoryUsage().rss;
  const sockets = await Promise.all(Array.from({ length: 50 }, () => RawSocket.open(listening.url)));
  for (const socket of sockets) socket.write(webSocketFrame("x", { announcedBytes: 100 * MIB }));
  for (const socket of sockets) expect(await socket.closeCode()).toBe(1009);
  expect(process.memoryUsage().rss - before).toBeLessThan(16 * MIB);
  for (const socket of sockets) socket[Symbol.dispose]();
  await canary.completes();
});

test("a frame of exactly 1 MiB is read, in 64 fragments as well", async () => {
  await using listening = await startListening();
  using socket = await RawSocket.open(listening.url);
  await socket.hello();
  const empty = envelope("session.ping", {}, { pad: "" });
  const text = envelope("session.ping", {}, { pad: "x".repeat(MIB - empty.length) });
  socket.write(webSocketFrame(text));
  expect((await socket.message("session.pong")).payload.request_id).toBe("msg_hostile");
  socket.messages.length = 0;
  const small = envelope("session.ping", {}).padEnd(100, " ");
  const rest = webSocketFrame(small.slice(63), { opcode: 0x0 });
  socket.write(Buffer.concat([fragments(small.slice(0, 63), 63, false), rest]));
  await socket.message("session.pong");
});

test("deflate is not negotiated", async () => {
  await using listening = await startListening();
  const headers = [["Sec-WebSocket-Extensions", "permessage-deflate"]] as const;
  const socket = await RawSocket.open(listening.url);
  expect(socket.head).not.toMatch(/extensions/i);
  socket[Symbol.dispose]();
  const offered = await RawSocket.open(listening.url, { headers });
  expect(offered.head).not.toMatch(/extensions/i);
  offered[Symbol.dispose]();
});

test("a client that sends one byte at a time is cut off", async () => {
  await using listening = await startListening({ frameTimeoutMs: 50 });
  const canary = await startCanary(listening.harness);
  using socket = await RawSocket.open(listening.url);
  await socket.hello();
  const bytes = webSocketFrame(envelope("session.ping", {}));
  for (const byte of bytes.subarray(0, 5)) socket.write(Buffer.of(byte));
  expect([1006, 1008]).toContain(await socket.closeCode());
  await canary.completes();
});

test("a client that pings and does not read is cut off, with little kept for it", async () => {
  await using listening = await startListening();
  const canary = await startCanary(listening.harness);
  using socket = await RawSocket.open(listening.url);
  await socket.hello();
  socket.socket.pause();
  const [transport] = listening.transports;
  let most = 0;
  const burst = Buffer.concat(Array.from({ length: 1_000 }, () => ping()));
  for (let n = 0; n < 400 && transport?.isClosed === false; n += 1) {
    await socket.pump(burst, 1);
    most = Math.max(most, transport.bufferedBytes);
  }
  socket.socket.resume();
  expect(await socket.closeCode()).toBe(1008);
  expect(most).toBeLessThan(MIB);
  await canary.completes();
});

test("a client that pings while much is on its way to it is not cut off", async () => {
  await using listening = await startListening();
  listening.harness.server.registerAgent("big", async (_input, context) => {
    for (let n = 0; n < 40; n += 1) await context.log("info", "x".repeat(200_000));
    return "done";
  });
  using socket = await RawSocket.open(listening.url);
  await socket.hello("alice");
  socket.socket.pause();
  socket.sendJson({ arcp: "1.1", id: "msg_1", type: "job.submit", payload: { agent: "big", input: null } });
  const [transport] = listening.transports;
  while ((transport?.bufferedBytes ?? 0) < 256 * 1024) await new Promise((resolve) => setImmediate(resolve));
  socket.write(ping(4));
  socket.write(ping(4));
  socket.socket.resume();
  expect((await socket.message("job.result")).payload.result).toBe("done");
});

test("more connections from one address than allowed are refused", async () => {
  await using listening = await startListening({ maxConnectionsPerAddress: 2 });
  using first = await RawSocket.open(listening.url);
  using second = await RawSocket.open(listening.url);
  expect(await statusOf(listening.url, upgradeRequest(listening.url))).toBe(503);
  await first.hello("alice");
  await second.hello("bob");
});

test.each(REFUSED_UPGRADES)("an upgrade with %s is refused", async (_name, request, status) => {
  covers("V11-4.1-04");
  await using listening = await startListening();
  const canary = await startCanary(listening.harness);
  const before = cpuMs();
  expect(await statusOf(listening.url, request(listening.url))).toBe(status);
  expect(cpuMs() - before).toBeLessThan(500);
  expect(listening.transports).toEqual([]);
  await canary.completes();
});
