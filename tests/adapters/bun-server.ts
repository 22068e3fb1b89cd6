/** Runs under Bun: connections are taken here, and handed to the process that started this one. */
import { createInterface } from "node:readline";
import { type ArcpHandlers, createArcpHandlers } from "@arcp/bun";
import { connectSocket, type HttpTransportHandler, httpTransport, type Transport } from "@arcp/core";
import { type RestHandler, restApi } from "@arcp/runtime";
import type { BunConnection, BunInstructions } from "./bun-host.ts";
import { relay } from "./relay.ts";

/** The part of Bun that is used here without an adapter. */
interface Bun {
  serve(options: object): { readonly port: number; stop(force?: boolean): Promise<void> };
}
const { Bun: bun } = globalThis as unknown as { readonly Bun: Bun };

const { apps, linePath } = JSON.parse(process.argv[2] ?? "") as BunInstructions;
const handlers: ArcpHandlers[] = apps.map((options, app) =>
  createArcpHandlers({
    ...options,
    onTransport: (transport) => handOver(transport, { app, peer: transport.peer }),
  }),
);
const doors: HttpTransportHandler[] = apps.map(({ path, http }, app) =>
  httpTransport({
    ...{ ...http, path: `${path}/http` },
    onTransport: (transport, { headers }) =>
      handOver(transport, { app, peer: transport.peer, headers: headers as Record<string, string> }),
  }),
);

const rests: RestHandler[] = apps.map((_, app) =>
  restApi({ accept: (transport) => handOver(transport, { app, peer: transport.peer }) }),
);

async function handOver(transport: Transport, connection: BunConnection): Promise<void> {
  const line = await connectSocket(linePath);
  line.send(JSON.stringify(connection));
  line.onFrame(relay(transport, line));
}

const server = bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  websocket: handlers[0]?.websocket,
  async fetch(request: Request, self: Parameters<ArcpHandlers["upgrade"]>[1]) {
    const door = [...doors, ...rests].find((candidate) => candidate.has(request));
    if (door !== undefined) return door.fetch(request, { remoteAddress: self.requestIP(request)?.address });
    const handler = handlers.find((candidate) => candidate.has(request));
    if (handler !== undefined) return handler.upgrade(request, self);
    const { pathname } = new URL(request.url, "http://localhost");
    if (pathname === "/hello") return new Response("hello");
    if (pathname === "/echo") return new Response(await request.text());
    return new Response("not found", { status: 404 });
  },
});

const say = (answer: unknown): void => console.log(JSON.stringify(answer));
say(server.port);
for await (const question of createInterface({ input: process.stdin })) {
  const [verb, index] = question.split(" ");
  const handler = handlers[Number(index)];
  if (verb === "rss") say(process.memoryUsage().rss);
  else if (verb === "connections") say(handler?.connections);
  else if (verb === "close") say(await handler?.close().then(() => "closed"));
  else break;
}
await server.stop(true);
process.exit(0);
