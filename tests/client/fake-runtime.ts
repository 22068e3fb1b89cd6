import { ARCPClient, type ClientOptions, type ConnectOptions } from "@arcp/client";
import { type MemoryTransport, pairMemoryTransports, silentLogger, type Transport } from "@arcp/core";

/** A message as it is on the wire. */
export interface Frame {
  readonly arcp: string;
  readonly id: string;
  readonly type: string;
  readonly session_id?: string;
  readonly job_id?: string;
  readonly trace_id?: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test reads any member of a payload
  readonly payload: any;
}

const ALL_FEATURES = [
  "heartbeat",
  "ack",
  "list_jobs",
  "subscribe",
  "lease_expires_at",
  "cost.budget",
  "model.use",
  "provisioned_credentials",
  "progress",
  "result_chunk",
  "agent_versions",
];

/** Lets everything that is in flight arrive, and what it sets off. */
export async function settle(turns = 12): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

let ids = 0;
const nextId = (): string => {
  ids += 1;
  return `srv_${ids}`;
};

/** One connection of a scripted runtime: it says what the test tells it to, and nothing else. */
export class FakeRuntime {
  readonly transport: MemoryTransport;
  readonly received: Frame[] = [];
  readonly clientTransport: Transport;
  sessionId = "sess_1";
  /** What a session.close is answered with. */
  onClose: "closed" | "error" | "silence" = "closed";
  /** Answers every message in place of the test. */
  respond: ((frame: Frame) => void) | undefined;
  #read = 0;
  #waiting: (() => void)[] = [];

  constructor() {
    const [client, server] = pairMemoryTransports();
    this.clientTransport = client;
    this.transport = server;
    server.onFrame((text) => {
      const frame = JSON.parse(text) as Frame;
      this.received.push(frame);
      if (this.respond) this.respond(frame);
      else if (frame.type === "session.close") this.#answerClose();
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  /** The next message of `type` that was not asked for before; others are skipped over. */
  async next(type: string): Promise<Frame> {
    for (;;) {
      while (this.#read < this.received.length) {
        const frame = this.received[this.#read] as Frame;
        this.#read += 1;
        if (frame.type === type) return frame;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  ofType(type: string): Frame[] {
    return this.received.filter((frame) => frame.type === type);
  }

  /** Sends a message. Members of `fields` replace the envelope's. */
  send(type: string, payload: unknown, fields: object = {}): void {
    this.transport.send(
      JSON.stringify({ arcp: "1.1", id: nextId(), type, session_id: this.sessionId, payload, ...fields }),
    );
  }

  async welcome(overrides: object = {}, fields: object = {}): Promise<Frame> {
    const hello = await this.next("session.hello");
    this.sendWelcome(overrides, fields);
    return hello;
  }

  sendWelcome(overrides: object = {}, fields: object = {}): void {
    this.send(
      "session.welcome",
      {
        runtime: { name: "fake", version: "1.0.0" },
        resume_token: "rt_1",
        resume_window_sec: 600,
        heartbeat_interval_sec: 30,
        capabilities: {
          encodings: ["json"],
          features: ALL_FEATURES,
          agents: [{ name: "echo", versions: ["1.0.0"], default: "1.0.0" }],
        },
        ...overrides,
      },
      fields,
    );
  }

  event(jobId: string, seq: number | undefined, kind: string, body: unknown, fields: object = {}): void {
    this.send(
      "job.event",
      { kind, ts: "2026-01-01T00:00:00.000Z", body },
      { job_id: jobId, ...(seq === undefined ? {} : { event_seq: seq }), ...fields },
    );
  }

  log(jobId: string, seq: number, message = `message ${seq}`): void {
    this.event(jobId, seq, "log", { level: "info", message });
  }

  result(jobId: string, seq: number | undefined, payload: object = {}): void {
    this.send(
      "job.result",
      { final_status: "success", ...payload },
      { job_id: jobId, ...(seq === undefined ? {} : { event_seq: seq }) },
    );
  }

  error(jobId: string, seq: number | undefined, payload: object): void {
    this.send("job.error", payload, { job_id: jobId, ...(seq === undefined ? {} : { event_seq: seq }) });
  }

  /** Answers the next submit. */
  async accept(jobId: string, payload: object = {}): Promise<Frame> {
    const submit = await this.next("job.submit");
    this.send(
      "job.accepted",
      { job_id: jobId, agent: "echo@1.0.0", lease: {}, request_id: submit.id, ...payload },
      { job_id: jobId },
    );
    return submit;
  }

  #answerClose(): void {
    if (this.onClose === "closed") this.send("session.closed", {});
    if (this.onClose === "error") {
      this.send("session.error", { code: "INVALID_REQUEST", message: "unknown type", retryable: false });
    }
  }

  /** The connection breaks. */
  drop(): void {
    this.transport.abort("dropped");
  }
}

/** A scripted runtime that a reconnecting client can connect to again and again. */
export class FakeServer {
  readonly connections: FakeRuntime[] = [];
  #waiting: ((runtime: FakeRuntime) => void)[] = [];
  #taken = 0;
  /** Makes the next connections fail. */
  isUnreachable = false;

  readonly factory = async (): Promise<Transport> => {
    if (this.isUnreachable) throw new TypeError("unreachable");
    const runtime = new FakeRuntime();
    this.connections.push(runtime);
    for (const wake of this.#waiting.splice(0)) wake(runtime);
    return runtime.clientTransport;
  };

  /** The next connection that a client makes. */
  async accept(): Promise<FakeRuntime> {
    while (this.#taken >= this.connections.length) {
      await new Promise<FakeRuntime>((resolve) => this.#waiting.push(resolve));
    }
    this.#taken += 1;
    return this.connections[this.#taken - 1] as FakeRuntime;
  }
}

/** A client with a session on a scripted runtime. */
export async function connected(
  options: ClientOptions = {},
  welcome: object = {},
): Promise<{ client: ARCPClient; runtime: FakeRuntime }> {
  const runtime = new FakeRuntime();
  const client = new ARCPClient({ token: "secret-token", logger: silentLogger, ...options });
  const connecting = client.connect(runtime.clientTransport);
  await runtime.welcome(welcome);
  await connecting;
  return { client, runtime };
}

/** The same, with a client that reconnects by itself. */
export async function reconnecting(
  options: ConnectOptions = {},
  welcome: object = {},
): Promise<{ client: ARCPClient; server: FakeServer; runtime: FakeRuntime }> {
  const server = new FakeServer();
  const { reconnect, ...rest } = options;
  const connecting = ARCPClient.connect(server.factory, {
    token: "secret-token",
    logger: silentLogger,
    ...rest,
    reconnect: { random: () => 0, ...reconnect },
  });
  const runtime = await server.accept();
  await runtime.welcome(welcome);
  return { client: await connecting, server, runtime };
}

export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
