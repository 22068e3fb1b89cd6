/** What the contract cannot ask of every host. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Transport, type TransportPeer, WebSocketTransport } from "@arcp/core";
import { createArcpExpressApp, requireHost } from "@arcp/express";
import { attachArcpToFastify } from "@arcp/fastify";
import { attachArcpToHono, createArcpHonoApp } from "@arcp/hono";
import { type AttachArcpUpgradeOptions, attachArcpUpgrade } from "@arcp/node";
import createExpress4 from "express-4";
import { fastify } from "fastify";
import { describe, expect, test } from "vitest";
import { RawSocket, statusOf, upgradeRequest } from "../hostile/raw-socket.ts";
import { createAuthority, createCertificate } from "../operations/certificate.ts";

/** A server with a runtime on it that keeps its transports. */
async function startServer(options: Partial<AttachArcpUpgradeOptions> = {}, where: string | number = 0) {
  const server = createServer((request, response) => response.end(request.url));
  const transports: Transport[] = [];
  const handle = attachArcpUpgrade(server, {
    onTransport: (transport) => void transports.push(transport),
    ...options,
  });
  if (typeof where === "string") server.listen(where);
  else server.listen(where, "127.0.0.1");
  await once(server, "listening");
  return {
    ...{ server, handle, transports },
    get url() {
      return `ws://127.0.0.1:${(server.address() as AddressInfo).port}${handle.path}`;
    },
    async [Symbol.asyncDispose]() {
      for (const transport of transports) transport.abort();
      await handle.close();
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The first line that comes back over a Unix socket: like a connection from elsewhere, it is none of loopback's. */
async function answerOver(path: string, text: string): Promise<string> {
  const socket = connect(path);
  socket.write(text);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return String(chunk);
}

describe("a connection that does not come from this machine", () => {
  const request = upgradeRequest("ws://agents.example/arcp");

  async function peerOf(options: Partial<AttachArcpUpgradeOptions>): Promise<[string, TransportPeer | undefined]> {
    const directory = mkdtempSync(join(tmpdir(), "arcp-host-"));
    try {
      await using hosted = await startServer(options, join(directory, "http"));
      const answer = await answerOver(join(directory, "http"), request);
      return [answer.split("\r\n")[0] ?? "", hosted.transports[0]?.peer];
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  test("needs TLS", async () => {
    expect(await peerOf({})).toEqual(["HTTP/1.1 403 Forbidden", undefined]);
  });

  test("may be plain where that is asked for, and is not confidential", async () => {
    const [status, peer] = await peerOf({ allowInsecure: true });
    expect(status).toMatch(/ 101 /);
    expect(peer?.isConfidential).toBe(false);
  });

  test("is confidential by way of a proxy that speaks TLS, which may tell its address", async () => {
    const [status, peer] = await peerOf({ isBehindTlsProxy: true, remoteAddressOf: () => "192.0.2.7" });
    expect(status).toMatch(/ 101 /);
    expect(peer).toMatchObject({ isConfidential: true, remoteAddress: "192.0.2.7" });
    expect(await peerOf({ isBehindTlsProxy: () => false })).toEqual(["HTTP/1.1 403 Forbidden", undefined]);
    const [, other] = await peerOf({ isBehindTlsProxy: (address) => address === undefined });
    expect(other?.isConfidential).toBe(true);
  });
});

test("only what comes from the proxy comes by way of it", async () => {
  const asked: unknown[] = [];
  const isBehindTlsProxy = (remoteAddress: string | undefined): boolean => asked.push(remoteAddress) > 2;
  await using hosted = await startServer({ allowedHosts: ["agents.example"], isBehindTlsProxy });
  const headers = [["Host", "agents.example"]] as const;
  // From this machine it is taken in any case, and asked about once.
  for (let n = 0; n < 3; n += 1) (await RawSocket.open(hosted.url, { headers }))[Symbol.dispose]();
  expect(hosted.transports.map(({ peer }) => peer.isConfidential)).toEqual([false, false, true]);
  expect(asked).toEqual(["127.0.0.1", "127.0.0.1", "127.0.0.1"]);
});

test("a connection from a proxy on this machine is not taken for one that stays inside it", async () => {
  await using hosted = await startServer({ allowedHosts: ["agents.example", "127.0.0.1"] });
  for (const header of [
    ["Host", "agents.example"],
    ["X-Forwarded-For", "192.0.2.7"],
    ["Via", "1.1 proxy"],
  ] as const) {
    (await RawSocket.open(hosted.url, { headers: [header] }))[Symbol.dispose]();
  }
  (await RawSocket.open(hosted.url))[Symbol.dispose]();
  expect(hosted.transports.map(({ peer }) => peer.isConfidential)).toEqual([false, false, false, true]);
  expect(hosted.transports.map(({ peer }) => peer.remoteAddress)).toEqual(Array(4).fill("127.0.0.1"));
});

test("more connections from one address than allowed are refused", async () => {
  await using hosted = await startServer({ maxConnectionsPerAddress: 1 });
  const socket = await RawSocket.open(hosted.url);
  expect(await statusOf(hosted.url, upgradeRequest(hosted.url))).toBe(503);
  socket[Symbol.dispose]();
  await expect.poll(() => statusOf(hosted.url, upgradeRequest(hosted.url))).toBe(101);
});

test.each([
  ["rejects", () => Promise.reject(new Error("no"))],
  [
    "throws",
    (): never => {
      throw new Error("no");
    },
  ],
])("a connection is closed if what it is given to %s", async (_how, onTransport) => {
  await using hosted = await startServer({ onTransport });
  using socket = await RawSocket.open(hosted.url);
  expect(await socket.closeCode()).toBe(1011);
  socket.socket.end();
});

test("one path has one runtime", async () => {
  await using hosted = await startServer({ otherPaths: ["/", "/ws"] });
  for (const path of ["/arcp", "/ws"]) {
    expect(() => attachArcpUpgrade(hosted.server, { path, onTransport() {} })).toThrow(TypeError);
  }
  await hosted.handle.close();
  expect(hosted.server.listenerCount("upgrade")).toBe(0);
  attachArcpUpgrade(hosted.server, { onTransport() {} });
});

test("what others take on the same server is left to them", async () => {
  await using hosted = await startServer();
  hosted.server.on("upgrade", (request, socket) => {
    if (request.url === "/other") socket.end("HTTP/1.1 299 Taken\r\n\r\n");
  });
  expect(await statusOf(hosted.url, upgradeRequest(hosted.url, { path: "/other" }))).toBe(299);
  (await RawSocket.open(hosted.url))[Symbol.dispose]();
});

test("a body with an upgrade that nobody takes is not read as something else", async () => {
  await using hosted = await startServer();
  const headers = [
    ["Content-Length", "5"],
    ["Upgrade", "h2c"],
  ] as const;
  expect(await statusOf(hosted.url, `${upgradeRequest(hosted.url, { path: "/x", headers })}hello`)).toBe(400);
});

test("a refused client that does not close its half is cut off", async () => {
  await using hosted = await startServer();
  const { port } = new URL(hosted.url);
  const socket = connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true });
  socket.write(upgradeRequest(hosted.url, { headers: [["Host", "evil.test"]] }));
  await once(socket.resume(), "end");
  const count = () => new Promise((resolve) => hosted.server.getConnections((_, open) => resolve(open)));
  await expect.poll(count).toBe(0);
  socket.destroy();
});

test("connections over TLS are confidential, and clients known by their certificates where that is asked for", async () => {
  const [host, authority] = [createCertificate("localhost"), createAuthority("clients")];
  const alice = authority.issue("alice");
  const server = createTlsServer({ ...host, ca: authority.cert, requestCert: true, rejectUnauthorized: false });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const peers: TransportPeer[] = [];
  const onTransport = ({ peer }: Transport): void => void peers.push(peer);
  const handles = [
    attachArcpUpgrade(server, { onTransport }),
    attachArcpUpgrade(server, { onTransport, path: "/known", usesClientCertificates: true }),
  ];
  const { port } = server.address() as AddressInfo;
  for (const { path } of handles) {
    const client = await WebSocketTransport.connect(`wss://localhost:${port}${path}`, {
      tls: { ...alice, ca: host.cert },
    });
    client.close();
    await client.closed;
  }
  expect(peers).toEqual([
    { kind: "websocket", isConfidential: true, remoteAddress: "127.0.0.1" },
    expect.objectContaining({ isConfidential: true, certificateFingerprint: expect.stringMatching(/^sha256:/) }),
  ]);
  for (const handle of handles) await handle.close();
  server.close();
});

test("a server of HTTP/2 is refused", () => {
  expect(() => attachArcpToHono(createHttp2Server(), { onTransport() {} })).toThrow(/HTTP\/1\.1/);
});

test("Fastify that listens already takes a runtime, which is closed by its handle", async () => {
  const app = fastify();
  await app.listen({ port: 0, host: "127.0.0.1" });
  const handle = attachArcpToFastify(app, { onTransport() {} });
  const url = `ws://127.0.0.1:${(app.server.address() as AddressInfo).port}/arcp`;
  const socket = await RawSocket.open(url);
  const closed = handle.close();
  expect(await socket.closeCode()).toBe(1001);
  socket.socket.end();
  await closed;
  await app.close();
});

describe("pages of an application with allowed hosts", () => {
  async function statusFor(server: Server, host: string): Promise<number> {
    if (!server.listening) await once(server.listen(0, "127.0.0.1"), "listening");
    const url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    return statusOf(url, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
  }

  test.each([
    ["Express 5", () => createArcpExpressApp({ allowedHosts: ["agents.example"] })],
    ["Express 4", () => createExpress4().use(requireHost(["agents.example"]))],
  ])("%s", async (_name, create) => {
    const app = create().get("/", (_request, response) => void response.send("page"));
    const server = createServer(app);
    expect(await statusFor(server, "agents.example:80")).toBe(200);
    expect(await statusFor(server, "evil.test")).toBe(421);
    server.close();
  });

  test("Hono", async () => {
    const app = createArcpHonoApp({ allowedHosts: ["agents.example"] }).get("/", (context) => context.text("page"));
    const get = async (host: string) => (await app.request("/", { headers: { host } })).status;
    expect(await get("agents.example:80")).toBe(200);
    expect(await get("evil.test")).toBe(421);
  });
});
