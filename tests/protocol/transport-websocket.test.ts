import { once } from "node:events";
import { get } from "node:http";
import { ARCPClient } from "@arcp/client";
import { InvalidRequestError, silentLogger, startWebSocketServer, WebSocketTransport } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { covers } from "../support/covers.ts";
import { type HarnessOptions, startHarness } from "../support/harness.ts";

const HELLO = JSON.stringify({
  arcp: "1.1",
  id: "hello",
  type: "session.hello",
  payload: {
    client: { name: "ws", version: "1.0.0" },
    auth: { scheme: "bearer", token: "alice" },
    capabilities: { encodings: ["json"], features: ["result_chunk"] },
  },
});

interface RawMessage {
  readonly data: Buffer;
  readonly isBinary: boolean;
}

/** A WebSocket without anything of this project in it. */
class PlainSocket implements Disposable {
  readonly socket: WebSocket;
  readonly messages: RawMessage[] = [];

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.on("message", (data: Buffer, isBinary) => this.messages.push({ data, isBinary }));
  }

  async seen(type: string): Promise<void> {
    while (!this.messages.some(({ data }) => JSON.parse(String(data)).type === type)) {
      await once(this.socket, "message");
    }
  }

  [Symbol.dispose](): void {
    this.socket.terminate();
  }
}

async function opened(url: string): Promise<PlainSocket> {
  const plain = new PlainSocket(url);
  await once(plain.socket, "open");
  return plain;
}

/** Sizes on both sides of each length that a WebSocket frame header can have. */
const SIZES = [1, 100, 126, 65_000, 70_000, 200_000];

const agents: NonNullable<HarnessOptions["agents"]> = {
  sizes: async (_input, context) => {
    for (const size of SIZES) await context.log("info", "é".repeat(size));
    return "done";
  },
};

function expectOneEnvelopeEach(messages: readonly RawMessage[]): void {
  expect(messages.length).toBeGreaterThan(0);
  for (const { data, isBinary } of messages) {
    expect(isBinary).toBe(false);
    const envelope = JSON.parse(String(data));
    expect(Array.isArray(envelope)).toBe(false);
    expect(envelope.type).toEqual(expect.any(String));
  }
}

describe("the WebSocket transport", () => {
  test("carries the handshake to any WebSocket client", async () => {
    covers("V11-4-01");
    await using harness = startHarness({ carrier: "websocket" });
    using plain = await opened(await harness.url());
    plain.socket.send(HELLO);
    await plain.seen("session.welcome");
  });

  test("carries the runtime and the client of this project", async () => {
    covers("V11-4-04");
    await using harness = startHarness({ carrier: "websocket" });
    const client = await harness.client();
    expect(client.session?.sessionId).toMatch(/^sess_/);
  });

  test("carries each message of the runtime as one envelope in one text frame", async () => {
    covers("V11-4.1-01");
    await using harness = startHarness({ carrier: "websocket", agents });
    using plain = await opened(await harness.url());
    plain.socket.send(HELLO);
    await plain.seen("session.welcome");
    plain.socket.send(
      JSON.stringify({ arcp: "1.1", id: "submit", type: "job.submit", payload: { agent: "sizes", input: null } }),
    );
    await plain.seen("job.result");
    expectOneEnvelopeEach(plain.messages);
    const logs = plain.messages
      .map(({ data }) => JSON.parse(String(data)))
      .filter(({ type }) => type === "job.event")
      .map(({ payload }) => payload.body.message);
    expect(logs).toEqual(SIZES.map((size) => "é".repeat(size)));
  });

  test("carries each message of the client as one envelope in one text frame", async () => {
    covers("V11-4.1-01");
    const listener = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(listener, "listening");
    const { port } = listener.address() as { port: number };
    const messages: RawMessage[] = [];
    const finished = Promise.withResolvers<void>();
    listener.on("connection", (socket) => {
      socket.on("message", (data: Buffer, isBinary) => {
        messages.push({ data, isBinary });
        const { type } = JSON.parse(String(data));
        const send = (reply: object): void => socket.send(JSON.stringify({ arcp: "1.1", id: "x", ...reply }));
        if (type === "session.hello") send({ type: "session.welcome", session_id: "sess_1", payload: {} });
        if (type === "job.submit") finished.resolve();
        if (type === "session.close") send({ type: "session.closed", session_id: "sess_1", payload: {} });
      });
    });
    const client = await ARCPClient.connect(`ws://127.0.0.1:${port}/arcp`, { token: "t", logger: silentLogger });
    const submitting = client.submit({ agent: "a", input: "é".repeat(70_000) });
    await finished.promise;
    await Promise.all([expect(submitting).rejects.toThrow("closed"), client.close()]);
    listener.close();
    expectOneEnvelopeEach(messages);
    expect(messages.map(({ data }) => JSON.parse(String(data)).type)).toEqual([
      "session.hello",
      "job.submit",
      "session.close",
    ]);
  });

  test("ends a connection that sends a binary frame, and no other", async () => {
    covers("V11-4.1-02");
    await using harness = startHarness({ carrier: "websocket" });
    using plain = await opened(await harness.url());
    plain.socket.send(Buffer.from(HELLO), { binary: true });
    await once(plain.socket, "close");
    expect(plain.messages.filter(({ data }) => String(data).includes("session.welcome"))).toEqual([]);
    const other = await harness.rawSession();
    expect(other.sessionId).toMatch(/^sess_/);
  });

  test("is not served on other addresses of the machine without TLS, unless that is asked for", async () => {
    covers("V11-4.1-03");
    const onTransport = (): void => {};
    for (const host of ["0.0.0.0", "::", "192.0.2.1", "runtime.example"]) {
      await expect(startWebSocketServer({ onTransport, host }), host).rejects.toThrow(/without TLS/);
    }
    const insecure = await startWebSocketServer({ onTransport, host: "0.0.0.0", allowInsecure: true });
    await insecure.close();
  });

  test("does not take a token beyond this machine without TLS, unless that is asked for", async () => {
    covers("V11-4.1-03");
    for (const url of ["ws://runtime.example/arcp", "ws://192.0.2.1:7777/arcp", "ws://127.0.0.1.example/arcp"]) {
      expect(() => WebSocketTransport.connect(url), url).toThrow(InvalidRequestError);
      await expect(ARCPClient.connect(url, { token: "secret", logger: silentLogger }), url).rejects.toThrow(
        /in the clear/,
      );
    }
    const asked = AbortSignal.abort(new Error("connecting was begun"));
    const insecure = { allowInsecure: true, signal: asked };
    await expect(WebSocketTransport.connect("ws://runtime.example/arcp", insecure)).rejects.toThrow("was begun");
  });

  test("is found at /arcp and nowhere else", async () => {
    covers("V11-4.1-04");
    await using harness = startHarness({ carrier: "websocket" });
    const url = await harness.url();
    expect(new URL(url).pathname).toBe("/arcp");
    const elsewhere = new PlainSocket(new URL("/elsewhere", url).href);
    const [error] = (await once(elsewhere.socket, "error")) as [Error];
    expect(error.message).toContain("404");
    const plainRequest = get(url.replace("ws:", "http:"));
    const [response] = await once(plainRequest, "response");
    response.resume();
    expect(response.statusCode).toBe(426);
  });

  test("is found where it is configured", async () => {
    covers("V11-4.1-04");
    const opening = Promise.withResolvers<void>();
    const listener = await startWebSocketServer({ onTransport: () => opening.resolve(), path: "/agents/arcp" });
    expect(new URL(listener.url).pathname).toBe("/agents/arcp");
    const transport = await WebSocketTransport.connect(listener.url);
    await opening.promise;
    transport.abort();
    const other = new PlainSocket(new URL("/arcp", listener.url).href);
    await once(other.socket, "error");
    await listener.close();
  });

  test("is found on every path that it was given, and called by the first", async () => {
    covers("V11-4.1-04");
    const listener = await startWebSocketServer({ onTransport: () => {}, otherPaths: ["/", "/ws"] });
    expect(new URL(listener.url).pathname).toBe("/arcp");
    const { origin, host } = new URL(listener.url);
    for (const url of [listener.url, `ws://${host}`, `ws://${host}/ws`, `ws://${host}/ws?a=b`]) {
      using plain = await opened(url);
      expect(plain.socket.readyState).toBe(WebSocket.OPEN);
    }
    for (const path of ["/ws/", "/%77s", "/arcp/"]) {
      const [error] = (await once(new PlainSocket(`${origin}${path}`).socket, "error")) as [Error];
      expect(error.message).toContain("404");
    }
    await listener.close();
  });

  test("ends a connection whose text is not UTF-8, and no other", async () => {
    covers("V11-5.2-02");
    await using harness = startHarness({ carrier: "websocket" });
    using plain = await opened(await harness.url());
    plain.socket.send(HELLO);
    await plain.seen("session.welcome");
    plain.socket.send(Buffer.from([0x7b, 0xff, 0xfe, 0x7d]), { binary: false });
    const [code] = await once(plain.socket, "close");
    expect(code).toBe(1007);
    await (await harness.rawSession()).fence();
  });
});

test("a reason that is longer than a close frame may be is cut between characters", async () => {
  await using harness = startHarness({ carrier: "websocket" });
  const client = await harness.transport();
  const server = harness.accepted;
  client.close(1000, "é".repeat(100));
  expect(await server?.closed).toEqual({ code: 1000, reason: "é".repeat(61) });
});
