/** What `permessage-deflate` changes for who sends and who waits: nothing but the bytes on the way. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { type CompressionOptions, startWebSocketServer, type Transport, WebSocketTransport } from "@arcp/core";
import { expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";

type Choice = boolean | CompressionOptions;

/** Both ends of a connection, and the server's socket beneath. */
async function connected(client: Choice, server: Choice) {
  const accepted = Promise.withResolvers<{ readonly far: Transport; readonly socket: Socket }>();
  const listener = await startWebSocketServer({
    compression: server,
    onTransport: (far, { socket }) => accepted.resolve({ far, socket }),
  });
  const near = await WebSocketTransport.connect(listener.url, { compression: client });
  const { far, socket } = await accepted.promise;
  return {
    ...{ near, far, socket },
    async [Symbol.asyncDispose]() {
      near.abort();
      await listener.close();
    },
  };
}

/** Collects what arrives; `until` resolves with it when there are so many. */
function collect(transport: Transport) {
  const all: (string | Uint8Array)[] = [];
  let wake = (): void => {};
  const take = (frame: string | Uint8Array): void => {
    all.push(frame);
    wake();
  };
  transport.onBinary(take);
  transport.onFrame(take);
  return async (count: number): Promise<readonly (string | Uint8Array)[]> => {
    while (all.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return all;
  };
}

const LARGE = "so much of the same ".repeat(10_000);

test.each([
  [true, true, true],
  [true, false, false],
  [false, true, false],
  [false, false, false],
] as const)(
  "the client offers it: %s, the server takes it: %s, compressed: %s",
  async (client, server, isCompressed) => {
    await using pair = await connected(client, server);
    const [up, down] = [collect(pair.far), collect(pair.near)];
    pair.near.send(LARGE);
    expect(await up(1)).toEqual([LARGE]);
    pair.far.send(LARGE);
    expect(await down(1)).toEqual([LARGE]);
    for (const bytes of [pair.socket.bytesRead, pair.socket.bytesWritten]) {
      if (isCompressed) expect(bytes).toBeLessThan(10_000);
      else expect(bytes).toBeGreaterThan(LARGE.length);
    }
  },
);

test("frames that are compressed, those that are too short, and binary ones keep their order", async () => {
  await using pair = await connected(true, true);
  const frames = Array.from({ length: 300 }, (_, n) => {
    if (n % 7 === 0) return new Uint8Array(randomBytes(n * 40));
    return n % 3 === 0 ? `${n} ${LARGE.slice(0, n * 300)}` : `${n}`;
  });
  for (const [from, arrived] of [
    [pair.near, collect(pair.far)],
    [pair.far, collect(pair.near)],
  ] as const) {
    for (const [n, frame] of frames.entries()) {
      if (typeof frame === "string") from.send(frame);
      else from.sendBinary(frame);
      // In many tasks: short ones are to be written while others are being compressed.
      if (n % 10 !== 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await arrived(frames.length)).map((frame) => Buffer.from(frame as string).toString("base64"))).toEqual(
      frames.map((frame) => Buffer.from(frame as string).toString("base64")),
    );
  }
});

test("what waits to be compressed, or to be read, is buffered, and it is waited for", async () => {
  await using pair = await connected(true, true);
  const arrived = collect(pair.near);
  pair.near.pause();
  // More than systems keep for a socket.
  const frame = new Uint8Array(randomBytes(1024 * 1024));
  const count = 24;
  for (let n = 0; n < count; n += 1) pair.far.sendBinary(frame);
  expect(pair.far.bufferedBytes).toBe(count * frame.length);
  let isDrained = false;
  const drained = pair.far.drained().then(() => {
    isDrained = true;
  });
  // Until all that is left is compressed, and waits for the reader.
  await expect.poll(() => pair.far.bufferedBytes - pair.socket.writableLength, { timeout: 60_000 }).toBe(0);
  expect(isDrained).toBe(false);
  pair.near.resume();
  await drained;
  expect(pair.far.bufferedBytes).toBeLessThanOrEqual(64 * 1024);
  expect((await arrived(count)).every((one) => Buffer.compare(one as Uint8Array, frame) === 0)).toBe(true);
});

test("nobody waits for what a connection that is over has not sent", async () => {
  await using pair = await connected(true, true);
  pair.near.pause();
  const frame = randomBytes(8 * 1024 * 1024).toString("base64");
  for (let n = 0; n < 4; n += 1) pair.far.send(frame);
  const drained = pair.far.drained();
  pair.far.abort();
  await drained;
});

test("a close comes after what was sent before it", async () => {
  await using pair = await connected(true, true);
  const arrived = collect(pair.near);
  for (let n = 0; n < 20; n += 1) pair.far.send(`${n} ${LARGE}`);
  pair.far.close(1000, "that was all");
  expect(await pair.near.closed).toEqual({ code: 1000, reason: "that was all" });
  expect(await arrived(20)).toHaveLength(20);
});

test("where contexts are kept, short frames that resemble those before shrink, too", async () => {
  const bytesOf = async (keepsContext: boolean): Promise<number> => {
    const choice = { thresholdBytes: 1, keepsContext };
    await using pair = await connected(choice, choice);
    const arrived = collect(pair.near);
    const event = (n: number): object => ({
      ...{
        arcp: "1.1",
        id: `msg_${n}`,
        type: "job.event",
        session_id: "sess_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        event_seq: n,
      },
      payload: { kind: "log", ts: "2026-01-01T00:00:00.000Z", body: { level: "info", message: `step ${n}` } },
    });
    for (let n = 0; n < 200; n += 1) pair.far.send(JSON.stringify(event(n)));
    await arrived(200);
    return pair.socket.bytesWritten;
  };
  expect(await bytesOf(true)).toBeLessThan((await bytesOf(false)) / 3);
});

interface Streams {
  readonly _deflate: unknown;
  readonly _inflate: unknown;
}

test.each([
  { keepsContext: false, kept: "nothing" },
  { keepsContext: true, kept: "what earlier frames held" },
])("a connection on which nothing is on its way keeps $kept", async ({ keepsContext }) => {
  const sockets = new WebSocketServer({
    port: 0,
    host: "127.0.0.1",
    perMessageDeflate: { serverNoContextTakeover: !keepsContext, clientNoContextTakeover: !keepsContext },
  });
  const accepted = once(sockets, "connection");
  await once(sockets, "listening");
  const { port } = sockets.address() as AddressInfo;
  const near = await WebSocketTransport.connect(`ws://127.0.0.1:${port}`, { compression: { keepsContext } });
  const [socket] = (await accepted) as [WebSocket];
  const far = new WebSocketTransport(socket, near.peer, { thresholdBytes: 1024, keepsContext });
  const [up, down] = [collect(far), collect(near)];
  near.send(LARGE);
  await up(1);
  far.send(LARGE);
  await down(1);
  // ws has them in fields of its own.
  const { _extensions } = socket as unknown as { readonly _extensions: Readonly<Record<string, Streams>> };
  const { _deflate, _inflate } = _extensions["permessage-deflate"] as Streams;
  if (keepsContext) expect([Boolean(_deflate), Boolean(_inflate)]).toEqual([true, true]);
  else {
    const left = (): unknown[] => Object.values(_extensions).map((one) => one._deflate ?? one._inflate);
    await expect.poll(left, { timeout: 60_000 }).toEqual([null]);
  }
  near.abort();
  await far.closed;
  await new Promise((resolve) => sockets.close(resolve));
});
