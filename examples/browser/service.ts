/** A runtime, the network that leads to it, and the page. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { ARCPServer, StaticBearerVerifier, startWebSocketServer } from "@arcp/sdk";
import slowCounter, { counter, type Pause } from "./agent.ts";
import { bundle } from "./bundle.ts";
import { Network } from "./network.ts";

export interface Service extends AsyncDisposable {
  /** Of the page. */
  readonly url: string;
}

/** Of a page that is for everybody on this machine. Real ones come from a sign-in: see docs/browser.md. */
const TOKEN = "demo-token";

const TYPES: Readonly<Record<string, string>> = {
  ...{ ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript" },
};

export interface ServiceOptions {
  /** Of the page. Default: any free one. */
  readonly port?: number;
  /** How slowly the agent counts. */
  readonly pause?: Pause;
}

export async function startService({ port = 0, pause }: ServiceOptions = {}): Promise<Service> {
  const files = await bundle(fileURLToPath(new URL("page", import.meta.url)));
  await using stack = new AsyncDisposableStack();
  const server = stack.use(
    new ARCPServer({
      runtime: { name: "counting-house", version: "1.0.0" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: new StaticBearerVerifier(new Map([[TOKEN, { principal: "demo" }]])),
    }),
  );
  server.registerAgent("counter", pause === undefined ? slowCounter : counter(pause));

  const pages = createServer((request, response) => {
    respond(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => pages.listen(port, "127.0.0.1", resolve));
  stack.defer(() => {
    pages.closeAllConnections();
    pages.close();
  });
  const origin = `http://127.0.0.1:${(pages.address() as AddressInfo).port}`;

  const runtime = await startWebSocketServer({
    onTransport: (transport) => void server.accept(transport),
    // The page comes from another port, which is another origin.
    allowedOrigins: [origin],
  });
  stack.defer(() => runtime.close());
  const network = stack.use(await Network.listen(runtime.port));
  const runtimeUrl = `ws://127.0.0.1:${network.port}/arcp`;
  const policy = `default-src 'self'; connect-src 'self' ${new URL(runtimeUrl).origin}; img-src data:`;

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url === "/" ? "/index.html" : (request.url ?? "");
    const content = files.get(path);
    if (content !== undefined) {
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      response.writeHead(200, { "content-type": type, "content-security-policy": policy }).end(content);
    } else if (path === "/settings") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ runtimeUrl, token: TOKEN }));
    } else if (path === "/network" && request.method === "PUT" && request.headers.origin === origin) {
      network.isUp = (await text(request)) === "up";
      response.writeHead(204).end();
    } else response.writeHead(404).end();
  }

  const owned = stack.move();
  return { url: origin, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
