/** Every server that connections over HTTP, and REST, are mounted on as its users would. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2Server, createSecureServer } from "node:http2";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";
import {
  type FetchOrigin,
  type HttpRequest,
  type HttpResponse,
  type HttpTransportOptions,
  httpTransport,
  type Transport,
} from "@arcp/core";
import { restApi } from "@arcp/runtime";
import { createAdaptorServer } from "@hono/node-server";
import createExpress5, { type Express } from "express";
import createExpress4 from "express-4";
import { fastify } from "fastify";
import { Hono } from "hono";
import { Agent, type Dispatcher, H2CClient, Pool, fetch as undiciFetch } from "undici";
import type { HttpHostKind } from "../hostile/http-requests.ts";
import { createCertificate } from "../operations/certificate.ts";
import { bunPath, startBun } from "./bun-host.ts";

export interface HttpHostOptions extends Partial<Omit<HttpTransportOptions, "onTransport" | "path">> {
  readonly onTransport: (transport: Transport, request: Pick<HttpRequest, "headers">) => unknown;
}

export interface RunningHttpHost {
  /** Where connections over HTTP are made. */
  readonly url: string;
  /** What speaks the host's protocol, if the platform's own `fetch` does not. */
  readonly fetch?: typeof globalThis.fetch;
  close(): Promise<void>;
}

export interface HttpHost {
  readonly name: string;
  readonly kind: HttpHostKind;
  startHttp(options: HttpHostOptions): Promise<RunningHttpHost>;
}

/** Both doors of a runtime, as each kind of host calls them. */
interface Doors {
  handle(request: HttpRequest, response: HttpResponse): boolean;
  fetch(request: Request, from: FetchOrigin): Promise<Response>;
  close(): void;
}

function doorsOf(options: HttpHostOptions): Doors {
  const connections = httpTransport(options);
  const { readerTimeoutMs: _, keepAliveMs: __, maxConnections: ___, maxFrameBytes: ____, ...rules } = options;
  const accept = async (transport: Transport): Promise<unknown> => options.onTransport(transport, { headers: {} });
  const rest = restApi({ ...rules, accept });
  return {
    handle: (request, response) => connections.handle(request, response) || rest.handle(request, response),
    fetch: (request, from) => (rest.has(request) ? rest : connections).fetch(request, from),
    close() {
      connections.close();
      rest.close();
    },
  };
}

const LOOPBACK = "127.0.0.1";

interface Serving {
  readonly server: NetServer;
  readonly scheme?: "http" | "https";
  readonly fetch?: typeof globalThis.fetch;
  /** Before the server itself. */
  readonly stop?: () => Promise<unknown>;
}

/** A host that is a server of Node's underneath. */
const onNode = (kind: HttpHostKind, name: string, serve: (doors: Doors) => Serving | Promise<Serving>): HttpHost => ({
  ...{ kind, name },
  async startHttp(options) {
    const doors = doorsOf(options);
    const { server, scheme = "http", fetch, stop } = await serve(doors);
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    if (!server.listening) await once(server.listen(0, LOOPBACK), "listening");
    const name = scheme === "https" ? "localhost" : LOOPBACK;
    return {
      url: `${scheme}://${name}:${(server.address() as AddressInfo).port}/arcp/http`,
      ...(fetch && { fetch }),
      async close() {
        doors.close();
        const closed = new Promise((resolve) => server.close(resolve));
        for (const socket of sockets) socket.destroy();
        await stop?.();
        await closed;
      },
    };
  },
});

/** `fetch` of undici takes what the platform's takes, and has options of its own. */
const fetchBy = (dispatcher: Dispatcher): typeof globalThis.fetch =>
  ((url: URL, init: object) => undiciFetch(url, { ...init, dispatcher })) as unknown as typeof globalThis.fetch;

function overTls(create: (tls: { key: string; cert: string }, doors: Doors) => NetServer, allowH2: boolean) {
  return (doors: Doors): Serving => {
    const certificate = createCertificate("localhost");
    const agent = new Agent({ allowH2, connect: { ca: certificate.cert } });
    const server = create(certificate, doors);
    return { server, scheme: "https", fetch: fetchBy(agent), stop: () => agent.destroy() };
  };
}

const answered =
  ({ handle }: Doors) =>
  (request: HttpRequest, response: HttpResponse) => {
    if (handle(request, response)) return;
    response.statusCode = 404;
    response.end();
  };

function express(app: Express, doors: Doors): Serving {
  app.use((request, response, next) => {
    if (!doors.handle(request, response)) next();
  });
  return { server: createServer(app) };
}

const fetchFor =
  ({ fetch }: Doors) =>
  (request: Request, environment: unknown): Promise<Response> => {
    const { incoming } = environment as { readonly incoming: { readonly socket: Socket } };
    return fetch(request, { remoteAddress: incoming.socket.remoteAddress });
  };

const onBun: HttpHost = {
  ...{ kind: "Bun", name: "bun" },
  async startHttp({ onTransport, ...options }) {
    const connected = (transport: Transport, headers: Readonly<Record<string, string>> = {}): unknown =>
      onTransport(transport, { headers });
    const host = await startBun([{ path: "/arcp", onTransport: connected, http: options }]);
    return { url: `${host.origin}/arcp/http`, close: () => host.close() };
  },
};

export const httpHosts = {
  http: onNode("HTTP/1.1", "node:http", (doors) => ({ server: createServer(answered(doors)) })),
  https: onNode(
    "HTTP/1.1",
    "node:https",
    overTls((tls, doors) => createTlsServer(tls, answered(doors)), false),
  ),
  h2c: onNode("HTTP/2", "node:http2, h2c", (doors) => {
    const server = createHttp2Server(answered(doors));
    // A post waits for whatever else its connection carries, and the event stream does not end: so there are several.
    const one = { maxConcurrentStreams: 1, pipelining: 1 };
    let clients: Pool | undefined;
    const fetch: typeof globalThis.fetch = (url, init) => {
      clients ??= new Pool(new URL(String(url)).origin, { factory: (origin) => new H2CClient(origin, one) });
      return fetchBy(clients)(url, init);
    };
    return { server, fetch, stop: async () => clients?.destroy() };
  }),
  h2: onNode(
    "HTTP/2",
    "node:http2, h2",
    overTls((tls, doors) => createSecureServer(tls, answered(doors)), true),
  ),
  express5: onNode("HTTP/1.1", "express 5", (doors) => express(createExpress5(), doors)),
  express4: onNode("HTTP/1.1", "express 4", (doors) => express(createExpress4(), doors)),
  fastify: onNode("HTTP/1.1", "fastify", async (doors) => {
    const app = fastify({ forceCloseConnections: true });
    // Before Fastify reads the body.
    app.addHook("onRequest", async (request, reply) => {
      if (doors.handle(request.raw, reply.raw)) reply.hijack();
    });
    await app.listen({ port: 0, host: LOOPBACK });
    return { server: app.server, stop: () => app.close() };
  }),
  honoNode: onNode("Fetch", "hono on Node", (doors) => {
    const app = new Hono();
    app.all("*", (context) => fetchFor(doors)(context.req.raw, context.env));
    return { server: createAdaptorServer({ fetch: app.fetch }) as Server };
  }),
  fetch: onNode("Fetch", "a function of the Fetch standard", (doors) => ({
    server: createAdaptorServer({ fetch: fetchFor(doors) as never }) as Server,
  })),
  bun: bunPath === undefined ? undefined : onBun,
};

export const HTTP_HOSTS: readonly HttpHost[] = Object.values(httpHosts).filter((host) => host !== undefined);
