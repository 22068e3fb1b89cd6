import { PassThrough } from "node:stream";
import {
  InternalError,
  pairMemoryTransports,
  StdioTransport,
  startWebSocketServer,
  type Transport,
  type WebSocketServerOptions,
  WebSocketTransport,
} from "@arcp/core";
import { describe, expect, test } from "vitest";
import { WebSocketTransport as PageTransport } from "../../packages/core/src/transport/websocket.browser.ts";
import { BINARY, PING, RawSocket, webSocketFrame } from "../hostile/raw-socket.ts";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { settle } from "../support/puppet.ts";

const MIB = 1024 * 1024;
const CONTINUATION = 0x0;

type Arrival = string | Uint8Array;

/** What arrives on one end: text as it is, bytes as their own copy. */
class Arrivals {
  readonly list: Arrival[] = [];
  readonly problems: string[] = [];
  #wake: (() => void)[] = [];

  constructor(transport: Transport, takes: "text and bytes" | "text") {
    transport.onMalformed((problem) => this.problems.push(problem));
    if (takes === "text and bytes") transport.onBinary((bytes) => this.#add(bytes));
    transport.onFrame((frame) => this.#add(frame));
  }

  async first(count: number): Promise<readonly Arrival[]> {
    while (this.list.length < count) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.list;
  }

  #add(arrival: Arrival): void {
    this.list.push(arrival);
    for (const wake of this.#wake.splice(0)) wake();
  }
}

interface Listening extends AsyncDisposable {
  readonly url: string;
  /** The runtime's end of the next connection. */
  accepted(): Promise<Transport>;
}

async function startListening(options: Partial<WebSocketServerOptions> = {}): Promise<Listening> {
  const transports: Transport[] = [];
  let wake = (): void => {};
  const listener = await startWebSocketServer({
    ...options,
    onTransport: (transport) => {
      transports.push(transport);
      wake();
    },
  });
  return {
    url: listener.url,
    async accepted() {
      while (transports.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      return transports.shift() as Transport;
    },
    [Symbol.asyncDispose]: () => listener.close(),
  };
}

interface Pair extends AsyncDisposable {
  readonly client: Transport;
  readonly runtime: Transport;
}

async function overWebSocket(connect: (url: string) => Promise<Transport>): Promise<Pair> {
  const listening = await startListening();
  const client = await connect(listening.url);
  const runtime = await listening.accepted();
  return { client, runtime, [Symbol.asyncDispose]: () => listening[Symbol.asyncDispose]() };
}

async function overMemory(): Promise<Pair> {
  const [client, runtime] = pairMemoryTransports();
  return { client, runtime, [Symbol.asyncDispose]: async () => client.abort() };
}

const CARRIERS: readonly (readonly [name: string, connect: () => Promise<Pair>])[] = [
  ["memory", overMemory],
  ["WebSocket", () => overWebSocket((url) => WebSocketTransport.connect(url))],
  ["a page's WebSocket", () => overWebSocket((url) => PageTransport.connect(url))],
];

/** Bytes that are no text, of every length that a frame's header can announce in its own way. */
const BYTES = [0, 1, 125, 126, 65_535, 65_536, 300_000].map((length) =>
  Uint8Array.from({ length }, (_, index) => 0xff - (index % 251)),
);

describe.each(CARRIERS)("over %s", (_name, connect) => {
  test("bytes and text arrive as they are and in the order in which they were sent, both ways", async () => {
    covers("V10-11.3-03", "V10-22-03", "V10-22-04");
    await using pair = await connect();
    const sent = BYTES.flatMap((bytes): Arrival[] => [`{"sequence":${bytes.length}}`, bytes, "é"]);
    for (const [from, to] of [
      [pair.client, pair.runtime],
      [pair.runtime, pair.client],
    ] as const) {
      expect(from.carriesBinary).toBe(true);
      const arrivals = new Arrivals(to, "text and bytes");
      for (const frame of sent) {
        if (typeof frame === "string") from.send(frame);
        else from.sendBinary(frame);
      }
      const received = await arrivals.first(sent.length);
      expect(received.map((frame) => (typeof frame === "string" ? frame : frame.length))).toEqual(
        sent.map((frame) => (typeof frame === "string" ? frame : frame.length)),
      );
      // Not toEqual: it would compare every element of large arrays, slowly.
      const isSame = received.every((frame, index) => {
        const expected = sent[index];
        return typeof frame === "string" || Buffer.compare(frame, expected as Uint8Array) === 0;
      });
      expect(isSame).toBe(true);
      expect(arrivals.problems).toEqual([]);
    }
  });

  test("bytes are the sender's again as soon as they are sent, and a part of a buffer is that part", async () => {
    await using pair = await connect();
    for (const [from, to] of [
      [pair.client, pair.runtime],
      [pair.runtime, pair.client],
    ] as const) {
      const arrivals = new Arrivals(to, "text and bytes");
      const buffer = Buffer.from("..bytes..");
      from.sendBinary(buffer.subarray(2, 7));
      buffer.fill("x");
      const [received] = await arrivals.first(1);
      expect(Buffer.from(received as Uint8Array).toString()).toBe("bytes");
    }
  });

  test("a reader that pauses misses nothing, and has it in order", async () => {
    await using pair = await connect();
    const { client, runtime } = pair;
    for (const [from, to] of [
      [client, runtime],
      [runtime, client],
    ] as const) {
      to.pause();
      from.send("before anybody listens");
      from.sendBinary(Uint8Array.of(1));
      await settle();
      const arrivals = new Arrivals(to, "text and bytes");
      await settle();
      expect(arrivals.list).toEqual([]);
      to.resume();
      await arrivals.first(2);
      to.pause();
      from.sendBinary(Uint8Array.of(2));
      from.send("between");
      from.sendBinary(Uint8Array.of(3));
      await settle();
      expect(arrivals.list).toHaveLength(2);
      to.resume();
      expect((await arrivals.first(5)).map((frame) => (typeof frame === "string" ? frame : [...frame]))).toEqual([
        ...["before anybody listens", [1]],
        ...[[2], "between", [3]],
      ]);
    }
  });

  test("a handler that takes bytes from the frame before them on has them", async () => {
    await using pair = await connect();
    const seen = Promise.withResolvers<Uint8Array>();
    pair.client.onFrame(() => pair.client.onBinary(seen.resolve));
    pair.runtime.send("bytes may follow");
    pair.runtime.sendBinary(Uint8Array.of(7));
    expect([...(await seen.promise)]).toEqual([7]);
  });

  test("bytes that wait to be sent are counted, and none are sent after the end", async () => {
    await using pair = await connect();
    for (const from of [pair.runtime, pair.client]) {
      const before = from.bufferedBytes;
      from.sendBinary(new Uint8Array(1_000));
      expect(from.bufferedBytes - before).toBeGreaterThanOrEqual(1_000);
    }
    pair.client.close();
    await Promise.all([pair.client.closed, pair.runtime.closed]);
    for (const from of [pair.runtime, pair.client]) {
      const before = from.bufferedBytes;
      from.sendBinary(new Uint8Array(1_000));
      expect(from.bufferedBytes).toBe(before);
    }
  });

  test("bytes to a runtime that takes text alone end the connection, after the text before them", async () => {
    covers("V11-4.1-02");
    await using pair = await connect();
    const arrivals = new Arrivals(pair.runtime, "text");
    pair.runtime.pause();
    pair.client.send("text");
    pair.client.sendBinary(Uint8Array.of(1));
    await settle();
    pair.runtime.resume();
    expect(await pair.client.closed).toMatchObject({ code: 1003 });
    expect(arrivals.list).toEqual(["text"]);
    expect(arrivals.problems).toEqual(["a binary frame"]);
  });

  test("there is one consumer of bytes", async () => {
    await using pair = await connect();
    pair.runtime.onBinary(() => {});
    expect(() => pair.runtime.onBinary(() => {})).toThrow("one consumer");
  });
});

test("bytes to a page that takes text alone are reported, and the page decides", async () => {
  await using pair = await overWebSocket((url) => PageTransport.connect(url));
  const arrivals = new Arrivals(pair.client, "text");
  pair.runtime.sendBinary(Uint8Array.of(1));
  pair.runtime.send("text");
  await arrivals.first(1);
  expect(arrivals.problems).toEqual(["a binary frame"]);
  expect(pair.client.isClosed).toBe(false);
});

test("lines carry no bytes, and say so", () => {
  covers("V10-22-05");
  const transport = new StdioTransport({ input: new PassThrough(), output: new PassThrough() });
  expect(transport.carriesBinary).toBe(false);
  expect(() => transport.sendBinary()).toThrow(InternalError);
  transport.abort();
});

test("faults of a connection in memory are planned for bytes too", async () => {
  const seen: [number, number[]][] = [];
  const [client, runtime] = pairMemoryTransports({
    left: {
      onSendBinary: (bytes, index) => {
        seen.push([index, [...bytes]]);
        return (["deliver", "drop", "duplicate", "cut"] as const)[bytes[0] as number] ?? "deliver";
      },
    },
  });
  const arrivals = new Arrivals(runtime, "text and bytes");
  client.send("text");
  for (const fate of [0, 1, 2]) client.sendBinary(Uint8Array.of(fate));
  expect((await arrivals.first(4)).slice(1).map((bytes) => [...(bytes as Uint8Array)])).toEqual([[0], [2], [2]]);
  client.sendBinary(Uint8Array.of(3));
  expect((await runtime.closed).code).toBe(1006);
  expect(seen).toEqual([
    [1, [0]],
    [2, [1]],
    [3, [2]],
    [4, [3]],
  ]);
});

describe("a hostile peer of a runtime that takes bytes", () => {
  const binary = (payload: Uint8Array, shape: object = {}): Buffer =>
    webSocketFrame(payload, { opcode: BINARY, ...shape });
  const pieces = (count: number): Buffer =>
    Buffer.concat(
      Array.from({ length: count }, (_, index) =>
        webSocketFrame(Uint8Array.of(index), {
          opcode: index === 0 ? BINARY : CONTINUATION,
          isFinal: index === count - 1,
        }),
      ),
    );

  test.each([
    ["1,048,577 bytes", binary(new Uint8Array(MIB + 1)), 1009],
    ["an announced length of 100 MiB", binary(Uint8Array.of(1), { announcedBytes: 100 * MIB }), 1009],
    ["an announced length beyond 2^53", binary(Uint8Array.of(1), { announcedBytes: 2 ** 53 }), 1009],
    [
      "two halves that are too long together",
      Buffer.concat([
        binary(new Uint8Array(MIB), { isFinal: false }),
        webSocketFrame(Uint8Array.of(1), { opcode: CONTINUATION }),
      ]),
      1009,
    ],
    ["65 fragments", pieces(65), 1008],
    ["bytes that are not masked", binary(Uint8Array.of(1), { isMasked: false }), 1002],
    ["RSV1, as if it were compressed", binary(Uint8Array.of(1), { reserved: 0x40 }), 1002],
    [
      "bytes inside a text that is not finished",
      Buffer.concat([webSocketFrame("{", { isFinal: false }), binary(Uint8Array.of(1))]),
      1002,
    ],
    [
      "a text inside bytes that are not finished",
      Buffer.concat([binary(Uint8Array.of(1), { isFinal: false }), webSocketFrame("{}")]),
      1002,
    ],
  ] as const)("%s: the end, and nothing is delivered", async (_name, bytes, code) => {
    await using listening = await startListening();
    using socket = await RawSocket.open(listening.url);
    const arrivals = new Arrivals(await listening.accepted(), "text and bytes");
    const before = process.memoryUsage().rss;
    socket.write(bytes);
    expect(await socket.closeCode()).toBe(code);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
    expect(arrivals.list).toEqual([]);
  });

  test("exactly 1 MiB, and 64 fragments with pings between them, are taken", async () => {
    await using listening = await startListening();
    using socket = await RawSocket.open(listening.url);
    const arrivals = new Arrivals(await listening.accepted(), "text and bytes");
    socket.write(binary(new Uint8Array(MIB)));
    for (let n = 0; n < 64; n += 1) {
      socket.write(webSocketFrame(Uint8Array.of(n), { opcode: n === 0 ? BINARY : CONTINUATION, isFinal: n === 63 }));
      socket.write(webSocketFrame("ping", { opcode: PING }));
    }
    const [first, second] = (await arrivals.first(2)) as readonly Uint8Array[];
    expect(first).toHaveLength(MIB);
    expect([...(second ?? [])]).toEqual(Array.from({ length: 64 }, (_, n) => n));
  });

  test("bytes that come one at a time are cut off", async () => {
    await using listening = await startListening({ frameTimeoutMs: 50 });
    using socket = await RawSocket.open(listening.url);
    const arrivals = new Arrivals(await listening.accepted(), "text and bytes");
    for (const byte of binary(new Uint8Array(100)).subarray(0, 20)) socket.write(Buffer.of(byte));
    expect([1006, 1008]).toContain(await socket.closeCode());
    expect(arrivals.list).toEqual([]);
  });

  test("a flood of bytes towards a runtime that does not read stays in the network", async () => {
    await using listening = await startListening();
    using socket = await RawSocket.open(listening.url);
    const runtime = await listening.accepted();
    const arrivals = new Arrivals(runtime, "text and bytes");
    runtime.pause();
    const before = process.memoryUsage().rss;
    const frame = binary(new Uint8Array(MIB));
    for (let n = 0; n < 64; n += 1) socket.write(frame);
    await settle(100);
    expect(arrivals.list).toEqual([]);
    // What the kernel took is little beside what waits here.
    expect(socket.socket.writableLength).toBeGreaterThan(32 * MIB);
    expect(process.memoryUsage().rss - before).toBeLessThan(32 * MIB);
    runtime.resume();
    await arrivals.first(64);
  });
});

test.each(["before", "right after"])("bytes %s the hello are no message to the draft's wire", async (place) => {
  covers("V11-4.1-02");
  await using harness = startHarness({ carrier: "websocket" });
  using socket = await RawSocket.open(await harness.url());
  const message = {
    arcp: "1.1",
    id: "hello",
    type: "session.hello",
    payload: { auth: { scheme: "bearer", token: "alice" } },
  };
  const hello = Buffer.from(JSON.stringify(message));
  const text = place === "before" ? [] : [webSocketFrame(hello)];
  socket.write(Buffer.concat([...text, webSocketFrame(hello, { opcode: BINARY })]));
  expect(await socket.closeCode()).toBe(4400);
  expect(socket.messages.map(({ type }) => type)).toEqual(["session.error"]);
});
