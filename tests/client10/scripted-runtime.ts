/** A runtime of wire 1.0 that says what a test tells it to, and nothing else. */
import { ARCPToolClient, type ToolOpenOptions } from "@arcp/client";
import { type MemoryTransport, pairMemoryTransports, silentLogger, type Transport } from "@arcp/core";
import type { Frame10 } from "../support/raw-client-10.ts";

let made = 0;
const nextId = (): string => {
  made += 1;
  return `msg_srv-${made}`;
};

/** Everything that a runtime can do. */
const CAPABILITIES = {
  ...{ streaming: true, durable_jobs: true, checkpoints: true, binary_streams: true, agent_handoff: true },
  ...{ human_input: true, artifacts: true, subscriptions: true, scheduled_jobs: true, interrupt: true },
  ...{ anonymous: false, binary_encoding: ["base64"], extensions: [] as string[] },
};

/** One connection of the runtime. */
export class ScriptedRuntime {
  readonly transport: MemoryTransport;
  readonly clientTransport: Transport;
  readonly received: Frame10[] = [];
  sessionId = "sess_1";
  #read = 0;
  #wake: (() => void)[] = [];

  constructor() {
    [this.clientTransport, this.transport] = pairMemoryTransports();
    this.transport.onFrame((text) => {
      this.received.push(JSON.parse(text) as Frame10);
      for (const wake of this.#wake.splice(0)) wake();
    });
    void this.transport.closed.then(() => {
      for (const wake of this.#wake.splice(0)) wake();
    });
  }

  /** The next message of that type that was not asked for before; others are passed over. */
  async next(type: string): Promise<Frame10> {
    for (;;) {
      while (this.#read < this.received.length) {
        const frame = this.received[this.#read] as Frame10;
        this.#read += 1;
        if (frame.type === type) return frame;
      }
      if (this.transport.isClosed) throw new Error(`the client is gone without ${type}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  ofType(type: string): Frame10[] {
    return this.received.filter((frame) => frame.type === type);
  }

  /** Sends a message and returns its id. `members` replace the envelope's; `null` takes one away. */
  send(type: string, payload: unknown = {}, members: object = {}): string {
    const id = nextId();
    const timestamp = "2026-01-01T00:00:00.000Z";
    const frame = { arcp: "1.0", id, type, timestamp, session_id: this.sessionId, payload, ...members };
    this.transport.send(
      JSON.stringify(frame, (name, value) =>
        value === null && name !== "value" && name !== "data" ? undefined : value,
      ),
    );
    return (frame as { id: string }).id;
  }

  /** Sends a message as it is, `null` included. */
  sendFrame(frame: object): void {
    this.transport.send(JSON.stringify(frame));
  }

  /** Answers `session.open`. */
  async accept(payload: object = {}, members: object = {}): Promise<Frame10> {
    const open = await this.next("session.open");
    this.sendAccepted(open, payload, members);
    return open;
  }

  sendAccepted(open: Frame10, payload: object = {}, members: object = {}): void {
    this.send(
      "session.accepted",
      {
        session_id: this.sessionId,
        runtime: { kind: "scripted", version: "1.0.0", fingerprint: "sha256:aaaa", trust_level: "trusted" },
        capabilities: CAPABILITIES,
        ...payload,
      },
      { correlation_id: open.id, ...members },
    );
  }

  /** Answers the next command of that type. */
  async answer(type: string, answer: string, payload: object = {}, members: object = {}): Promise<Frame10> {
    const command = await this.next(type);
    this.send(answer, payload, { correlation_id: command.id, ...members });
    return command;
  }

  /** Accepts the next invocation as that job. */
  acceptJob(jobId = "job_1", payload: object = {}, members: object = {}): Promise<Frame10> {
    const accepted = { job_id: jobId, accepted_at: "2026-01-01T00:00:00.000Z", ...payload };
    return this.answer("tool.invoke", "job.accepted", accepted, { job_id: jobId, ...members });
  }

  /** The connection breaks. */
  drop(): void {
    this.transport.abort("dropped");
  }
}

/** A runtime that a client can connect to again and again. Each connection is a session of its own. */
export class ScriptedServer {
  readonly connections: ScriptedRuntime[] = [];
  /** Makes the next connections fail. */
  isUnreachable = false;
  #taken = 0;
  #wake: (() => void)[] = [];

  readonly dial = async (): Promise<Transport> => {
    if (this.isUnreachable) throw new TypeError("unreachable");
    const runtime = new ScriptedRuntime();
    this.connections.push(runtime);
    runtime.sessionId = `sess_${this.connections.length}`;
    for (const wake of this.#wake.splice(0)) wake();
    return runtime.clientTransport;
  };

  /** The next connection that a client makes. */
  async connection(): Promise<ScriptedRuntime> {
    while (this.#taken >= this.connections.length) await new Promise<void>((resolve) => this.#wake.push(resolve));
    this.#taken += 1;
    return this.connections[this.#taken - 1] as ScriptedRuntime;
  }
}

export interface Scene extends AsyncDisposable {
  readonly server: ScriptedServer;
  readonly runtime: ScriptedRuntime;
  readonly client: ARCPToolClient;
}

/** A client with a session on a scripted runtime. */
export async function scripted(options: ToolOpenOptions = {}, accepted: object = {}): Promise<Scene> {
  const server = new ScriptedServer();
  const opening = ARCPToolClient.open(server.dial, {
    token: "secret",
    logger: silentLogger,
    silenceMs: 20,
    ...options,
    reconnect: { initialDelayMs: 0, ...options.reconnect },
  });
  const runtime = await server.connection();
  await runtime.accept(accepted);
  const client = await opening;
  client.closed.catch(() => {
    // Looked at where it is expected.
  });
  const dispose = async (): Promise<void> => client.abort();
  return { server, runtime, client, [Symbol.asyncDispose]: dispose };
}
