/** A service with pages and a runtime on one port, behind a network that can be cut. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { httpTransport, type Transport } from "@arcp/core";
import { attachArcpUpgrade } from "@arcp/node";
import { FaultProxy, type LineFault } from "../../chaos/proxy.ts";
import type { Files } from "../../examples/browser/bundle.ts";

export interface SiteOptions {
  readonly files: Files;
  readonly accept: (transport: Transport) => unknown;
  /** Of pages elsewhere. */
  readonly allowedOrigins?: readonly string[];
}

const TYPES: Readonly<Record<string, string>> = { ".html": "text/html", ".js": "text/javascript" };

/** What docs/browser.md recommends. Pages may connect to this machine, so that the runtime's rules decide and no others. */
const POLICY =
  "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src http://127.0.0.1:* ws://127.0.0.1:*; img-src data:";

export class Site implements AsyncDisposable {
  readonly #server: Server;
  readonly #proxy: FaultProxy;
  readonly #stop: () => Promise<void>;
  readonly #faults: LineFault[];

  private constructor(server: Server, proxy: FaultProxy, faults: LineFault[], stop: () => Promise<void>) {
    this.#server = server;
    this.#proxy = proxy;
    this.#faults = faults;
    this.#stop = stop;
  }

  static async start({ files, accept, allowedOrigins = [] }: SiteOptions): Promise<Site> {
    const overHttp = httpTransport({ onTransport: accept, allowedOrigins });
    const server = createServer((request, response) => {
      if (overHttp.handle(request, response)) return;
      const path = request.url === "/" ? "/index.html" : (request.url ?? "");
      const content = files.get(path);
      if (content === undefined) response.writeHead(404).end();
      else {
        const type = TYPES[extname(path)] ?? "application/octet-stream";
        response.writeHead(200, { "content-type": type, "content-security-policy": POLICY }).end(content);
      }
    });
    const upgrades = attachArcpUpgrade(server, { onTransport: accept, allowedOrigins });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const faults: LineFault[] = [];
    const proxy = await FaultProxy.start(() => faults.shift() ?? { kind: "none" });
    const stop = async (): Promise<void> => {
      await proxy[Symbol.asyncDispose]();
      overHttp.close();
      await upgrades.close();
      server.closeAllConnections();
      server.close();
    };
    const site = new Site(server, proxy, faults, stop);
    site.restore();
    return site;
  }

  /** Where pages find it: through the network that can be cut. */
  get origin(): string {
    return `http://127.0.0.1:${this.#proxy.port}`;
  }

  url(carrier: "websocket" | "http"): string {
    return carrier === "websocket" ? `${this.origin.replace("http", "ws")}/arcp` : `${this.origin}/arcp/http`;
  }

  /** Breaks every connection, and refuses new ones until {@link restore}. */
  cut(): void {
    this.#proxy.target = undefined;
    this.#proxy.cutAll("reset");
  }

  restore(): void {
    this.#proxy.target = (this.#server.address() as AddressInfo).port;
  }

  /** How many connections were cut so far. */
  get cuts(): number {
    return this.#proxy.faults;
  }

  /** What happens to the next connections, one after another. */
  disturb(...faults: readonly LineFault[]): void {
    this.#faults.push(...faults);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}
