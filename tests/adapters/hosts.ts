/** Every host that an adapter is for, with the same pages beside the runtimes: `GET /hello`, `POST /echo`. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { CompressionOptions, FetchUpgradeOptions, Transport } from "@arcp/core";
import { attachArcpToExpress } from "@arcp/express";
import { arcp, attachArcpToFastify } from "@arcp/fastify";
import { attachArcpToHono, createArcpHonoApp } from "@arcp/hono";
import { createArcpRoute } from "@arcp/hono/fetch";
import { attachArcpUpgrade } from "@arcp/node";
import { createAdaptorServer, upgradeWebSocket, type WebSocketServerLike } from "@hono/node-server";
import createExpress5, { type Express } from "express";
import createExpress4 from "express-4";
import { fastify } from "fastify";
import { Hono } from "hono";
import { WebSocketServer } from "ws";
import { bunPath, startBun } from "./bun-host.ts";

/** What is asked of an adapter for one runtime: options that all of them have. */
export interface AppOptions extends Omit<FetchUpgradeOptions, "onTransport"> {
  readonly path: string;
  readonly compression?: boolean | CompressionOptions;
  /** `headers`: of the request that made it, where it came over HTTP. */
  readonly onTransport: (transport: Transport, headers?: Readonly<Record<string, string>>) => unknown;
}

export interface AppHandle {
  connections(): number | Promise<number>;
  close(): Promise<void>;
}

export interface RunningHost {
  /** `http://127.0.0.1:<port>`. */
  readonly origin: string;
  /** Memory of its process, where it has one of its own. */
  rssBytes?(): Promise<number>;
  /** In the order of the options. */
  readonly apps: readonly AppHandle[];
  /** Stops the host itself, as its users would. Resolves when it has stopped. */
  close(): Promise<void>;
}

export interface Host {
  readonly name: string;
  start(apps: readonly AppOptions[]): Promise<RunningHost>;
}

const LOOPBACK = "127.0.0.1";

async function listening(server: Server, apps: readonly AppHandle[], close?: () => Promise<unknown>) {
  if (!server.listening) {
    server.listen(0, LOOPBACK);
    await once(server, "listening");
  }
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    await (close ?? (() => new Promise((resolve) => server.close(resolve))))();
  };
  return { origin: `http://${LOOPBACK}:${port}`, apps, close: stop };
}

/** Adapters hand over the request, too. */
const optionsOf = ({ onTransport, ...options }: AppOptions) => ({
  ...options,
  onTransport: (transport: Transport) => onTransport(transport),
});

const handleOf = (handle: { readonly connections: number; close(): Promise<void> }): AppHandle => ({
  connections: () => handle.connections,
  close: () => handle.close(),
});

const node: Host = {
  name: "node:http",
  start(apps) {
    const server = createServer(async (request, response) => {
      if (request.url === "/hello") response.end("hello");
      else if (request.url === "/echo") for await (const chunk of request) response.write(chunk);
      else response.writeHead(404);
      response.end();
    });
    return listening(
      server,
      apps.map((app) => handleOf(attachArcpUpgrade(server, optionsOf(app)))),
    );
  },
};

/** Both versions have the same interface where it is used here. */
function startExpress(app: Express, apps: readonly AppOptions[]) {
  app.get("/hello", (_request, response) => void response.send("hello"));
  app.post("/echo", (request, response) => void request.pipe(response));
  const server = createServer(app);
  return listening(
    server,
    apps.map((options) => handleOf(attachArcpToExpress(server, optionsOf(options)))),
  );
}

const express5: Host = { name: "express 5", start: (apps) => startExpress(createExpress5(), apps) };
const express4: Host = { name: "express 4", start: (apps) => startExpress(createExpress4(), apps) };

const fastifyHost: Host = {
  name: "fastify",
  async start(apps) {
    const app = fastify();
    app.get("/hello", () => "hello");
    app.post("/echo", (request) => request.body);
    const handles = apps.map((options) => handleOf(attachArcpToFastify(app, optionsOf(options))));
    await app.listen({ port: 0, host: LOOPBACK });
    return listening(app.server, handles, () => app.close());
  },
};

const fastifyPlugin: Host = {
  name: "fastify, as a plugin",
  async start(apps) {
    const app = fastify();
    app.get("/hello", () => "hello");
    app.post("/echo", (request) => request.body);
    let open = 0;
    for (const options of apps) {
      const onTransport = (transport: Transport): unknown => {
        open += 1;
        void transport.closed.then(() => {
          open -= 1;
        });
        return options.onTransport(transport);
      };
      await app.register(arcp, { ...options, onTransport });
    }
    await app.listen({ port: 0, host: LOOPBACK });
    const close = async (): Promise<void> => app.close();
    return listening(
      app.server,
      apps.map(() => ({ connections: () => open, close })),
      close,
    );
  },
};

function honoPages(app: Hono): Hono {
  return app
    .get("/hello", (context) => context.text("hello"))
    .post("/echo", async (context) => context.text(await context.req.text()));
}

const honoNode: Host = {
  name: "hono on Node",
  start(apps) {
    const server = createAdaptorServer({ fetch: honoPages(createArcpHonoApp()).fetch }) as Server;
    return listening(
      server,
      apps.map((options) => handleOf(attachArcpToHono(server, optionsOf(options)))),
    );
  },
};

const honoFetch: Host = {
  name: "hono, upgradeWebSocket",
  start(apps) {
    const app = honoPages(new Hono());
    const routes = apps.map((asked) => {
      const { path, ...options } = optionsOf(asked);
      const remoteAddressOf = ({ env }: { readonly env: unknown }): string | undefined =>
        (env as { readonly incoming: { readonly socket: { readonly remoteAddress?: string } } }).incoming.socket
          .remoteAddress;
      const route = createArcpRoute({ ...options, upgradeWebSocket, remoteAddressOf });
      app.get(path, route.handler);
      return handleOf(route);
    });
    const server = new WebSocketServer({
      noServer: true,
      ...{ maxPayload: 1024 * 1024, maxFragments: 64 },
      handleProtocols: (offered) => (offered.has("arcp.v1") ? "arcp.v1" : false),
    }) as WebSocketServerLike;
    return listening(createAdaptorServer({ fetch: app.fetch, websocket: { server } }) as Server, routes);
  },
};

const bun: Host = { name: "bun", start: (apps) => startBun(apps) };

/** Bun takes part where it runs. */
export const hosts = {
  ...{ node, express5, express4, fastify: fastifyHost, fastifyPlugin, honoNode, honoFetch },
  bun: bunPath === undefined ? undefined : bun,
};

export const HOSTS: readonly Host[] = Object.values(hosts).filter((host) => host !== undefined);
