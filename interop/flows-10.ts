/** The flows over wire 1.0: how this repository's client of that wire goes through them against a runtime. */
import assert from "node:assert/strict";
import { ARCPToolClient, type Invocation } from "@arcp/client";
import { ARCPError, silentLogger, type Transport, WebSocketTransport } from "@arcp/core";
import { codeOf10 } from "@arcp/core/v1.0";
import { NotOffered, type Route, type Target } from "./flows.ts";

const END_TYPES: ReadonlySet<string> = new Set([
  ...["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"],
]);

/** Clients of one target. The flow's end closes what is left. */
class Visit10 implements Disposable {
  readonly #target: Target;
  readonly #transports: Transport[] = [];
  readonly #clients: ARCPToolClient[] = [];

  constructor(target: Target) {
    this.#target = target;
  }

  /** A client that reconnects by itself. */
  async client(): Promise<ARCPToolClient> {
    const dial = async (): Promise<Transport> => {
      const transport = await WebSocketTransport.connect(this.#target.url);
      this.#transports.push(transport);
      return transport;
    };
    const { token } = this.#target;
    const reconnect = { initialDelayMs: 100, maxAttempts: 5 };
    const client = await ARCPToolClient.open(dial, { token, logger: silentLogger, requestTimeoutMs: 5_000, reconnect });
    client.closed.catch(() => {});
    this.#clients.push(client);
    return client;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const transport of this.#transports.splice(0)) transport.abort("cut by the flow");
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client.abort();
    this.cut();
  }
}

/** What chatter says. An SDK whose agents have no log says it with metrics. */
function lineOf(type: string, payload: { readonly [name: string]: unknown }): string | undefined {
  if (type === "log") return String(payload["message"]);
  return type === "metric" && payload["name"] === "chatter.line" ? `line ${payload["value"]}` : undefined;
}

const lines = (count: number): string[] => Array.from({ length: count }, (_, line) => `line ${line}`);

async function linesOf(work: Invocation): Promise<string[]> {
  const said: string[] = [];
  for await (const { kind, body } of work) {
    const line = lineOf(kind, { ...body });
    if (line !== undefined) said.push(line);
  }
  return said;
}

/** The code of wire 1.0 that `promise` rejects with. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (thrown) {
    return codeOf10(ARCPError.from(thrown));
  }
  throw new Error("nothing was refused");
}

const notOffered = (why: string) => async (): Promise<never> => {
  throw new NotOffered(why);
};

const FLOWS_10: Readonly<Record<string, (visit: Visit10) => Promise<void>>> = {
  connect: async (visit) => {
    const client = await visit.client();
    assert.ok(client.session.tools.some(({ name }) => name === "echo"));
    await client.ping();
  },
  submit: async (visit) => {
    const client = await visit.client();
    const input = { text: "héllo ✓", list: [1, 2.5, null], nested: { deep: true } };
    assert.deepEqual(await client.invoke("echo", input).value(), input);
  },
  budget: async (visit) => {
    const client = await visit.client();
    const work = client.invoke("chatter", { n: 5 }, { lease: { "cost.budget": ["line:1.00"] } });
    assert.match(await codeOf(work.done), /^(BUDGET_EXHAUSTED|RESOURCE_EXHAUSTED)$/);
  },
  events: async (visit) => {
    const client = await visit.client();
    const work = client.invoke("chatter", { n: 50 });
    assert.deepEqual(await linesOf(work), lines(50));
    await work.done;
  },
  progress: async (visit) => {
    const client = await visit.client();
    if (!client.session.tools.some(({ name }) => name === "progress"))
      throw new NotOffered("no agent reports progress");
    const seen: unknown[] = [];
    for await (const { kind, body } of client.invoke("progress", { n: 4 })) {
      if (kind === "progress") seen.push(body.percent);
    }
    assert.deepEqual(seen, [25, 50, 75, 100]);
  },
  chunks: async (visit) => {
    const client = await visit.client();
    const whole = `${"a".repeat(24)}${"b".repeat(24)}${"c".repeat(24)}`;
    for (const encoding of ["utf8", "base64"]) {
      const value = await client.invoke("chunks", { n: 3, bytes: 24, encoding }).value();
      assert.equal(typeof value === "string" ? value : new TextDecoder().decode(value as Uint8Array), whole);
    }
  },
  cancel: async (visit) => {
    const client = await visit.client();
    const work = client.invoke("slow", { ms: 30_000 });
    await work.accepted;
    await work.cancel("enough");
    assert.equal(await codeOf(work.done), "CANCELLED");
    assert.equal(work.state, "cancelled");
  },
  error: async (visit) => {
    const client = await visit.client();
    assert.equal(await codeOf(client.invoke("no-such-agent").done), "NOT_FOUND");
    assert.equal(await codeOf(client.invoke("fail").done), "INTERNAL");
    assert.deepEqual(await client.invoke("echo", { n: 1 }).value(), { n: 1 });
  },
  idempotency: async (visit) => {
    const client = await visit.client();
    const options = { idempotencyKey: `key-${Date.now()}` };
    const first = client.invoke("slow", { ms: 200 }, options);
    const { jobId } = await first.accepted;
    const again = client.invoke("slow", { ms: 200 }, options);
    assert.equal((await again.accepted).jobId, jobId);
    const other = client.invoke("slow", { ms: 1 }, options);
    assert.match(await codeOf(other.done), /^(ALREADY_EXISTS|FAILED_PRECONDITION)$/);
    for (const work of [first, again]) assert.deepEqual(await work.value(), { slept: 200 });
  },
  list: notOffered("wire 1.0 lists no jobs"),
  subscribe: async (visit) => {
    const submitter = await visit.client();
    const work = submitter.invoke("chatter", { n: 10, delay_ms: 30 });
    const { jobId = "" } = await work.accepted;
    await new Promise((resolve) => setTimeout(resolve, 100));
    const observer = await visit.client();
    const subscription = await observer.openSubscription({ jobId }, { backfill: true });
    const said: string[] = [];
    for await (const { type, payload } of subscription) {
      const line = lineOf(type, payload);
      if (line !== undefined) said.push(line);
      if (END_TYPES.has(type)) break;
    }
    assert.deepEqual(said, lines(10));
  },
  replay: notOffered("the client resumes by itself"),
  resume: async (visit) => {
    const client = await visit.client();
    const work = client.invoke("chatter", { n: 20, delay_ms: 30 });
    const said: string[] = [];
    for await (const { kind, body } of work) {
      const line = lineOf(kind, { ...body });
      if (line === undefined) continue;
      said.push(line);
      if (said.length === 3) visit.cut();
    }
    assert.deepEqual(said, lines(20));
    assert.deepEqual(await work.value(), { lines: 20 });
  },
  artifact: async (visit) => {
    const client = await visit.client();
    const kept = await client.putArtifact("hello", { ttlSeconds: 60 });
    assert.equal(kept.size, 5);
    assert.equal(new TextDecoder().decode(await client.fetchArtifact(kept)), "hello");
    await client.releaseArtifact(kept);
    assert.equal(await codeOf(client.fetchArtifact(kept)), "NOT_FOUND");
  },
  close: async (visit) => {
    const client = await visit.client();
    await client.invoke("echo").done;
    await client.close({ reason: "done" });
    await client.closed;
  },
};

export const ROUTES_10: readonly Route[] = Object.entries(FLOWS_10).map(([name, run]) => ({
  name,
  go: (target, stack) => run(stack.use(new Visit10(target))),
}));
