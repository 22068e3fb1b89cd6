/** A real server and real clients over any carrier, with a check that nothing was left behind. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { ARCPClient, type ClientOptions, type ConnectOptions } from "@arcp/client";
import {
  connectSocket,
  createLogger,
  HttpTransport,
  type HttpTransportHandler,
  type HttpTransportOptions,
  httpTransport,
  type MemoryTransportOptions,
  pairMemoryTransports,
  type RunningSocketServer,
  type RunningWebSocketServer,
  StaticBearerVerifier,
  StdioTransport,
  silentLogger,
  startSocketServer,
  startWebSocketServer,
  type Transport,
  WebSocketTransport,
} from "@arcp/core";
import { type AgentHandler, ARCPServer, type ARCPServerOptions } from "@arcp/runtime";
import type { Host, RunningHost } from "../adapters/hosts.ts";
import { ALL_FEATURES, RawClient } from "./raw-client.ts";
import { RawClient10 } from "./raw-client-10.ts";

export type Carrier = "memory" | "websocket" | "stdio" | "socket" | "http";
export const CARRIERS: readonly Carrier[] = ["memory", "websocket", "stdio", "socket", "http"];

/** The tokens of every test: each is its principal's name. */
const TOKENS = ["alice", "bob", "mallory", "oscar"];

export interface HarnessOptions {
  /** Default: memory. A host carries WebSockets. */
  readonly carrier?: Carrier | Host;
  readonly agents?: Readonly<Record<string, AgentHandler>>;
  readonly server?: Partial<ARCPServerOptions>;
  /** Faults of connections over memory: of the client's end, and of the server's. */
  /** Of connections over HTTP. */
  readonly http?: Partial<HttpTransportOptions>;
  readonly faults?: () => { readonly left?: MemoryTransportOptions; readonly right?: MemoryTransportOptions };
}

interface HttpEndpoint {
  readonly server: Server;
  readonly handler: HttpTransportHandler;
  readonly url: string;
}

export class Harness implements AsyncDisposable {
  readonly server: ARCPServer;
  /** Log records of level error, as JSON: `invariant` among them fails the test at disposal. */
  readonly errors: string[] = [];
  readonly #carrier: Carrier | Host;
  readonly #faults: HarnessOptions["faults"];
  readonly #transports: Transport[] = [];
  readonly #clients: ARCPClient[] = [];
  #listener: RunningWebSocketServer | undefined;
  #socketListener: Promise<RunningSocketServer> | undefined;
  /** The clients' ends of connections over HTTP, in the order of their making. */
  readonly #overHttp: Transport[] = [];
  readonly #httpOptions: HarnessOptions["http"];
  #http: HttpEndpoint | undefined;
  #host: Promise<RunningHost> | undefined;
  /** The server's end by the client's. */
  readonly #serverEnds = new Map<Transport, Transport>();
  #accepted: Transport | undefined;

  constructor(options: HarnessOptions) {
    this.#carrier = options.carrier ?? "memory";
    this.#faults = options.faults;
    this.#httpOptions = options.http;
    this.server = new ARCPServer({
      runtime: { name: "test-runtime", version: "1.2.3" },
      capabilities: { encodings: ["json"], agents: [] },
      bearer: new StaticBearerVerifier(new Map(TOKENS.map((name) => [name, { principal: name }]))),
      logger: createLogger((line) => this.errors.push(line), "error"),
      ...options.server,
    });
    for (const [name, handler] of Object.entries(options.agents ?? {})) this.server.registerAgent(name, handler);
  }

  /** The server's end of the connection that was accepted last. */
  get accepted(): Transport | undefined {
    return this.#accepted;
  }

  /** The URL of the WebSocket listener, or the host, which is started on first use. */
  async url(): Promise<string> {
    if (typeof this.#carrier === "object") {
      const onTransport = (transport: Transport): Promise<void> => this.#accept(transport);
      this.#host ??= this.#carrier.start([{ path: "/arcp", onTransport }]);
      return `${(await this.#host).origin.replace("http", "ws")}/arcp`;
    }
    this.#listener ??= await startWebSocketServer({ onTransport: (transport) => void this.#accept(transport) });
    return this.#listener.url;
  }

  /** The URL of the endpoint for connections over HTTP, which is opened on first use. */
  async httpUrl(): Promise<string> {
    this.#http ??= await this.#startHttp();
    return this.#http.url;
  }

  async #startHttp(): Promise<HttpEndpoint> {
    const handler = httpTransport({
      ...this.#httpOptions,
      onTransport: async (transport, { headers }) => {
        await this.#accept(transport);
        const client = this.#overHttp[Number(headers["x-test-connection"])];
        if (client !== undefined) this.#serverEnds.set(client, transport);
      },
    });
    const server = createServer((request, response) => {
      if (!handler.handle(request, response)) response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { server, handler, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/arcp/http` };
  }

  /** The path of the Unix socket, which is made on first use. */
  async socketPath(): Promise<string> {
    this.#socketListener ??= startSocketServer({
      path: join(mkdtempSync(join(tmpdir(), "arcp-")), "socket"),
      onTransport: (transport) => void this.#accept(transport),
    });
    return (await this.#socketListener).path;
  }

  /** A new connection to the server: the client's end. */
  async transport(): Promise<Transport> {
    const transport = await this.#connect();
    this.#transports.push(transport);
    if (this.#accepted && this.#carrier !== "http") this.#serverEnds.set(transport, this.#accepted);
    return transport;
  }

  async #accept(transport: Transport): Promise<void> {
    this.#accepted = transport;
    await this.server.accept(transport);
  }

  async #connect(): Promise<Transport> {
    if (this.#carrier === "websocket") return WebSocketTransport.connect(await this.url());
    if (this.#carrier === "http") {
      // The server learns of a connection by its first frame.
      const headers = { "x-test-connection": String(this.#overHttp.length) };
      const transport = await HttpTransport.connect(await this.httpUrl(), { headers });
      this.#overHttp.push(transport);
      return transport;
    }
    if (this.#carrier === "socket") return this.#connected(async () => connectSocket(await this.socketPath()));
    if (typeof this.#carrier === "object") {
      return this.#connected(async () => WebSocketTransport.connect(await this.url()));
    }
    const [left, right] = this.#carrier === "memory" ? pairMemoryTransports(this.#faults?.()) : pairStdio();
    await this.#accept(right);
    return left;
  }

  /** Here the connection can be there before the server has seen it. */
  async #connected(connect: () => Promise<Transport>): Promise<Transport> {
    const before = this.#accepted;
    const transport = await connect();
    while (this.#accepted === before) await new Promise((resolve) => setImmediate(resolve));
    return transport;
  }

  /** A client of single frames, without a session. */
  async raw(): Promise<RawClient> {
    return new RawClient(await this.transport());
  }

  /** A client of single frames, welcomed. */
  async rawSession(features: readonly string[] | undefined = ALL_FEATURES, token = "alice"): Promise<RawClient> {
    const client = await this.raw();
    const answer = await client.hello(features, token);
    if (answer.type !== "session.welcome") throw new Error(`no welcome: ${JSON.stringify(answer.payload)}`);
    return client;
  }

  /** A client of single frames of wire 1.0, without a session. */
  async raw10(): Promise<RawClient10> {
    return new RawClient10(await this.transport());
  }

  /** The same, accepted. */
  async rawSession10(token = "alice", payload: object = {}): Promise<RawClient10> {
    const client = await this.raw10();
    const answer = await client.open({ auth: { scheme: "bearer", token }, ...payload });
    if (answer.type !== "session.accepted") throw new Error(`not accepted: ${JSON.stringify(answer.payload)}`);
    return client;
  }

  /** The real client, connected once; it does not reconnect by itself. */
  async client(options: ClientOptions = {}): Promise<ARCPClient> {
    const client = new ARCPClient({ token: "alice", logger: silentLogger, ...options });
    this.#clients.push(client);
    await client.connect(await this.transport());
    return client;
  }

  /** The real client, which reconnects and resumes by itself. */
  async persistentClient(options: ConnectOptions = {}): Promise<ARCPClient> {
    const client = await ARCPClient.connect(() => this.transport(), {
      token: "alice",
      logger: silentLogger,
      reconnect: { initialDelayMs: 0, maxDelayMs: 1 },
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** Pulls the cable of one connection, and resolves when the server knows. */
  async disconnect({ transport }: { readonly transport: Transport }): Promise<void> {
    transport.abort("cut by the test");
    await this.#serverEnds.get(transport)?.closed;
  }

  /** Cuts every connection that is open. */
  cutAll(): void {
    for (const transport of this.#transports.splice(0)) transport.abort("cut by the test");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) {
      client.closed.catch(() => {});
      await client.close();
    }
    for (const transport of this.#transports) transport.abort("the test is over");
    await this.server.close();
    await this.#listener?.close();
    this.#http?.handler.close();
    this.#http?.server.closeAllConnections();
    this.#http?.server.close();
    await (await this.#host)?.close();
    const socketListener = await this.#socketListener;
    await socketListener?.close();
    if (socketListener) rmSync(dirname(socketListener.path), { recursive: true });
    const broken = this.errors.filter((line) => line.includes('"invariant":true'));
    if (broken.length > 0) throw new Error(`invariants were broken:\n${broken.join("\n")}`);
    if (this.server.runningJobs !== 0) throw new Error(`${this.server.runningJobs} jobs were left`);
  }
}

export const startHarness = (options: HarnessOptions = {}): Harness => new Harness(options);

/** Two stdio transports joined by pipes inside this process: real lines, chunked as streams chunk them. */
function pairStdio(): [Transport, Transport] {
  const up = new PassThrough();
  const down = new PassThrough();
  const maxFrameBytes = 64 * 1024 * 1024;
  return [
    new StdioTransport({ input: down, output: up, maxFrameBytes }),
    new StdioTransport({ input: up, output: down }),
  ];
}
