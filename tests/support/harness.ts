/** A real server and real clients over any carrier, with a check that nothing was left behind. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { PassThrough } from "node:stream";
import { ARCPClient, type ClientOptions, type ConnectOptions } from "@arcp/client";
import {
  connectSocket,
  createLogger,
  HttpTransport,
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
import { type HttpHost, type HttpHostOptions, httpHosts, type RunningHttpHost } from "../adapters/http-hosts.ts";
import { type Certificate, createCertificate } from "../operations/certificate.ts";
import { ALL_FEATURES, RawClient } from "./raw-client.ts";
import { RawClient10 } from "./raw-client-10.ts";

export type Carrier = "memory" | "websocket" | "stdio" | "socket" | "http" | "wss" | "compressed" | "process";
/** One of each kind: what is particular to each is in the way they frame. On Windows sockets are named pipes. */
export const CARRIERS: readonly Carrier[] = ["memory", "websocket", "stdio", "socket", "http"];
/** The same kinds in other surroundings: with TLS, compressed, and through the standard streams of another process. */
export const OTHER_CARRIERS: readonly Carrier[] = ["wss", "compressed", "process"];

/** The tokens of every test: each is its principal's name. */
const TOKENS = ["alice", "bob", "mallory", "oscar"];

export interface HarnessOptions {
  /** Default: memory. A host carries WebSockets, or HTTP. */
  readonly carrier?: Carrier | Host | HttpHost;
  readonly agents?: Readonly<Record<string, AgentHandler>>;
  readonly server?: Partial<ARCPServerOptions>;
  /** Of connections over HTTP. */
  readonly http?: Partial<HttpHostOptions>;
  /** Faults of connections over memory: of the client's end, and of the server's. */
  readonly faults?: () => { readonly left?: MemoryTransportOptions; readonly right?: MemoryTransportOptions };
}

export class Harness implements AsyncDisposable {
  readonly server: ARCPServer;
  /** Log records of level error, as JSON: `invariant` among them fails the test at disposal. */
  readonly errors: string[] = [];
  readonly #carrier: Exclude<Carrier, "http"> | Host | HttpHost;
  readonly #faults: HarnessOptions["faults"];
  readonly #transports: Transport[] = [];
  readonly #clients: ARCPClient[] = [];
  #listener: RunningWebSocketServer | undefined;
  #certificate: Certificate | undefined;
  #socketListener: Promise<RunningSocketServer> | undefined;
  /** The clients' ends of connections over HTTP, in the order of their making. */
  readonly #overHttp: Transport[] = [];
  readonly #httpOptions: HarnessOptions["http"];
  #http: Promise<RunningHttpHost> | undefined;
  #host: Promise<RunningHost> | undefined;
  /** The server's end by the client's. */
  readonly #serverEnds = new Map<Transport, Transport>();
  #accepted: Transport | undefined;

  constructor(options: HarnessOptions) {
    const { carrier = "memory" } = options;
    this.#carrier = carrier === "http" ? httpHosts.http : carrier;
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
    if (isHost(this.#carrier)) {
      const onTransport = (transport: Transport): Promise<void> => this.#accept(transport);
      this.#host ??= this.#carrier.start([{ path: "/arcp", onTransport }]);
      return `${(await this.#host).origin.replace("http", "ws")}/arcp`;
    }
    if (this.#carrier === "wss") this.#certificate ??= createCertificate("localhost");
    this.#listener ??= await startWebSocketServer({
      onTransport: (transport) => void this.#accept(transport),
      ...(this.#certificate && { tls: { ...this.#certificate } }),
      ...(this.#carrier === "compressed" && { compression: EVERY_FRAME }),
    });
    return this.#listener.url.replace("wss://127.0.0.1", "wss://localhost");
  }

  /** The URL of the endpoint for connections over HTTP, which is opened on first use. */
  async httpUrl(): Promise<string> {
    return (await this.#httpHost()).url;
  }

  #httpHost(): Promise<RunningHttpHost> {
    const host = isHttpHost(this.#carrier) ? this.#carrier : httpHosts.http;
    this.#http ??= host.startHttp({
      ...this.#httpOptions,
      onTransport: async (transport, { headers }) => {
        await this.#accept(transport);
        const client = this.#overHttp[Number(headers["x-test-connection"])];
        if (client !== undefined) this.#serverEnds.set(client, transport);
      },
    });
    return this.#http;
  }

  /** The path of the Unix socket, or named pipe, which is made on first use. */
  async socketPath(): Promise<string> {
    this.#socketListener ??= startSocketServer({
      path: socketPath(),
      onTransport: (transport) => void this.#accept(transport),
    });
    return (await this.#socketListener).path;
  }

  /** A new connection to the server: the client's end. */
  async transport(): Promise<Transport> {
    const transport = await this.#connect();
    this.#transports.push(transport);
    if (this.#accepted && !isHttpHost(this.#carrier)) this.#serverEnds.set(transport, this.#accepted);
    return transport;
  }

  async #accept(transport: Transport): Promise<void> {
    this.#accepted = transport;
    await this.server.accept(transport);
  }

  async #connect(): Promise<Transport> {
    if (isHttpHost(this.#carrier)) {
      // The server learns of a connection by its first frame.
      const headers = { "x-test-connection": String(this.#overHttp.length) };
      const { url, fetch } = await this.#httpHost();
      const transport = await HttpTransport.connect(url, { headers, ...(fetch && { fetch }) });
      this.#overHttp.push(transport);
      return transport;
    }
    if (this.#carrier === "socket") return this.#connected(async () => connectSocket(await this.socketPath()));
    if (this.#carrier === "process") {
      const path = await this.socketPath();
      return this.#connected(() => StdioTransport.spawn(process.execPath, ["-e", RELAY, path]));
    }
    if (isHost(this.#carrier) || isWebSocket(this.#carrier)) {
      const url = await this.url();
      const tls = this.#certificate && { tls: { ca: this.#certificate.cert } };
      const compression = this.#carrier === "compressed" && EVERY_FRAME;
      return this.#connected(() => WebSocketTransport.connect(url, { ...tls, compression }));
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
    await (await this.#http)?.close();
    await (await this.#host)?.close();
    const socketListener = await this.#socketListener;
    await socketListener?.close();
    if (socketListener && !IS_WINDOWS) rmSync(dirname(socketListener.path), { recursive: true });
    const broken = this.errors.filter((line) => line.includes('"invariant":true'));
    if (broken.length > 0) throw new Error(`invariants were broken:\n${broken.join("\n")}`);
    if (this.server.runningJobs !== 0) throw new Error(`${this.server.runningJobs} jobs were left`);
  }
}

const EVERY_FRAME = { thresholdBytes: 1 };
const isWebSocket = (carrier: Carrier | HttpHost): boolean =>
  carrier === "websocket" || carrier === "wss" || carrier === "compressed";
const isHttpHost = (carrier: string | Host | HttpHost): carrier is HttpHost =>
  typeof carrier === "object" && "startHttp" in carrier;
const isHost = (carrier: string | Host | HttpHost): carrier is Host =>
  typeof carrier === "object" && "start" in carrier;

const IS_WINDOWS = process.platform === "win32";

function socketPath(): string {
  const directory = mkdtempSync(join(tmpdir(), "arcp-"));
  if (!IS_WINDOWS) return join(directory, "socket");
  rmSync(directory, { recursive: true });
  return `\\\\.\\pipe\\${basename(directory)}`;
}

/** A process whose standard streams are a connection to the socket that it is told. */
const RELAY = `
  const socket = require("node:net").connect(process.argv[1]);
  process.stdin.pipe(socket).pipe(process.stdout);
  socket.on("error", () => {});
  socket.on("close", () => process.exit());
`;

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
