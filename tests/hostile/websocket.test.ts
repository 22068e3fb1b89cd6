import {
  type RunningWebSocketServer,
  startWebSocketServer,
  type Transport,
  type WebSocketServerOptions,
} from "@arcp/core";
import { expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { startCanary } from "./canary.ts";
import { AGENTS, envelope } from "./hostile-client.ts";
import { BINARY, fragments, PING, RawSocket, statusOf, upgradeRequest, webSocketFrame } from "./raw-socket.ts";

const MIB = 1024 * 1024;

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

const ping = (size = 125): Buffer => webSocketFrame("p".repeat(size), { opcode: PING });

/** Bytes that no client may send, with the code of the close that follows. */
const VIOLATIONS: readonly (readonly [name: string, bytes: Buffer, code: number])[] = [
  ["a text frame of 1,048,577 bytes", webSocketFrame("x".repeat(MIB + 1)), 1009],
  ["a million pairs of brackets", webSocketFrame("[".repeat(1_000_000) + "]".repeat(1_000_000)), 1009],
  [
    "200,000 members",
    webSocketFrame(`{${Array.from({ length: 200_000 }, (_, n) => `"member ${n}":0`).join(",")}}`),
    1009,
  ],
  ["an announced length of 100 MiB", webSocketFrame("x", { announcedBytes: 100 * MIB }), 1009],
  ["an announced length beyond 2^53", webSocketFrame("x", { announcedBytes: 2 ** 53 }), 1009],
  ["65 fragments, unfinished", fragments("x".repeat(65), 65, false), 1008],
  ["131,070 fragments", fragments("", 131_070, true), 1008],
  ["a frame that is not masked", webSocketFrame(envelope("session.ping", {}), { isMasked: false }), 1002],
  ["RSV1", webSocketFrame(envelope("session.ping", {}), { reserved: 0x40 }), 1002],
  ["RSV2", webSocketFrame(envelope("session.ping", {}), { reserved: 0x20 }), 1002],
  ["RSV3", webSocketFrame(envelope("session.ping", {}), { reserved: 0x10 }), 1002],
  ["an unknown opcode", webSocketFrame("x", { opcode: 0x3 }), 1002],
  ["an unknown control opcode", webSocketFrame("x", { opcode: 0xb }), 1002],
  ["a ping of 126 bytes", ping(126), 1002],
  ["a fragmented ping", webSocketFrame("x", { opcode: PING, isFinal: false }), 1002],
  ["a continuation of nothing", webSocketFrame("x", { opcode: 0x0 }), 1002],
  ["text that is not UTF-8", webSocketFrame(Buffer.from([0xc0, 0xae, 0xc0, 0xae, 0x2f])), 1007],
  ["an encoded surrogate", webSocketFrame(Buffer.from([0xed, 0xa0, 0x80])), 1007],
  ["a binary frame", webSocketFrame(envelope("session.ping", {}), { opcode: BINARY }), 1003],
];

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

const spaces = (count: number) => [["Sec-WebSocket-Protocol", `a${" ".repeat(count)}b`]] as const;
const many = (count: number) => Array.from({ length: count }, (_, n) => [`X-${n}`, "a"] as const);

/** Upgrade requests that are refused, with the status. */
const REFUSED_UPGRADES: readonly (readonly [name: string, request: (url: string) => string, status: number])[] = [
  ["2,500 headers", (url) => upgradeRequest(url, { headers: many(2_500) }), 431],
  ["a header of 20 KiB", (url) => upgradeRequest(url, { headers: [["X-Big", "a".repeat(20 * 1024)]] }), 431],
  ["50,000 spaces in the subprotocol", (url) => upgradeRequest(url, { headers: spaces(50_000) }), 431],
  ["10,000 spaces in the subprotocol", (url) => upgradeRequest(url, { headers: spaces(10_000) }), 400],
  ["a foreign Host", (url) => upgradeRequest(url, { headers: [["Host", "evil.test"]] }), 421],
  ["a Host that begins like ours", (url) => upgradeRequest(url, { headers: [["Host", "localhost.evil.test"]] }), 421],
  [
    "two Hosts",
    (url) =>
      upgradeRequest(url, {
        headers: [
          ["Host", "localhost"],
          ["Host", "evil.test"],
        ],
      }),
    400,
  ],
  ["a foreign Origin", (url) => upgradeRequest(url, { headers: [["Origin", "https://evil.test"]] }), 403],
  ["the Origin null", (url) => upgradeRequest(url, { headers: [["Origin", "null"]] }), 403],
  ["an Origin of another port", (url) => upgradeRequest(url, { headers: [["Origin", "http://127.0.0.1:1"]] }), 403],
  ["another path", (url) => upgradeRequest(url, { path: "/" }), 404],
  ["a path below ours", (url) => upgradeRequest(url, { path: "/arcp/../arcp" }), 404],
  ["a path in another spelling", (url) => upgradeRequest(url, { path: "/%61rcp" }), 404],
  ["a short key", (url) => upgradeRequest(url, { headers: [["Sec-WebSocket-Key", "abc"]] }), 400],
  ["an old version", (url) => upgradeRequest(url, { headers: [["Sec-WebSocket-Version", "7"]] }), 400],
  [
    "two kinds of length",
    (url) =>
      upgradeRequest(url, {
        headers: [
          ["Transfer-Encoding", "chunked"],
          ["Content-Length", "5"],
        ],
      }),
    400,
  ],
  ["a folded header", (url) => upgradeRequest(url, { headers: [["X-Folded", "a\r\n b"]] }), 400],
  ["bare line feeds", (url) => upgradeRequest(url).replaceAll("\r\n", "\n"), 400],
  ["no HTTP at all", () => "\u0016\u0003\u0001\r\n\r\n", 400],
  [
    "a POST",
    (url) =>
      upgradeRequest(url)
        .replace("GET", "POST")
        .replace("Upgrade: websocket\r\n", "Content-Type: text/plain\r\nContent-Length: 0\r\n"),
    426,
  ],
];

test.each(REFUSED_UPGRADES)("an upgrade with %s is refused", async (_name, request, status) => {
  covers("V11-4.1-04");
  await using listening = await startListening();
  const canary = await startCanary(listening.harness);
  const before = performance.now();
  expect(await statusOf(listening.url, request(listening.url))).toBe(status);
  expect(performance.now() - before).toBeLessThan(250);
  expect(listening.transports).toEqual([]);
  await canary.completes();
});
