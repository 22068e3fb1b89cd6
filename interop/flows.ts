/** The flows of the matrix: what each one is, and how this repository's client goes through it against a runtime. */
import assert from "node:assert/strict";
import { ARCPClient } from "@arcp/client";
import { ARCPError, silentLogger, type Transport, WebSocketTransport } from "@arcp/core";

/** A runtime that listens, with the agents echo, fail, slow, chatter, progress and chunks. */
export interface Target {
  readonly url: string;
  /** The bearer token of its one principal. */
  readonly token: string;
}

/** One side cannot do what the flow is about, and does not claim to. */
export class NotOffered extends Error {}

/** A flow as the runner goes through it, over whichever wire. */
export interface Route {
  readonly name: string;
  /** Throws what is wrong, or {@link NotOffered}. What it opens goes to `stack`. */
  readonly go: (target: Target, stack: AsyncDisposableStack) => Promise<void>;
}

/** Connections to one target. The flow's end closes what is left. */
class Visit implements AsyncDisposable {
  readonly #target: Target;
  readonly #transports: Transport[] = [];
  readonly #clients: ARCPClient[] = [];

  constructor(target: Target) {
    this.#target = target;
  }

  async transport(): Promise<Transport> {
    const transport = await WebSocketTransport.connect(this.#target.url);
    this.#transports.push(transport);
    return transport;
  }

  newClient(): ARCPClient {
    const { token } = this.#target;
    const client = new ARCPClient({ token, logger: silentLogger, requestTimeoutMs: 5_000 });
    client.closed.catch(() => {});
    this.#clients.push(client);
    return client;
  }

  async client(): Promise<ARCPClient> {
    const client = this.newClient();
    await client.connect(await this.transport());
    return client;
  }

  /** A client that reconnects by itself. */
  async persistentClient(): Promise<ARCPClient> {
    const client = await ARCPClient.connect(() => this.transport(), {
      token: this.#target.token,
      logger: silentLogger,
      reconnect: { initialDelayMs: 100, maxAttempts: 5 },
    });
    client.closed.catch(() => {});
    this.#clients.push(client);
    return client;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const transport of this.#transports.splice(0)) transport.abort("cut by the flow");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.abort();
    this.cut();
  }
}

interface Flow {
  readonly name: string;
  readonly what: string;
  /** Goes through it with this repository's client. Throws what is wrong. */
  readonly run: (visit: Visit) => Promise<void>;
}

const lines = (count: number): string[] => Array.from({ length: count }, (_, line) => `line ${line}`);

async function messagesOf(job: AsyncIterable<{ readonly kind: string; readonly body: unknown }>): Promise<string[]> {
  const messages: string[] = [];
  for await (const { kind, body } of job) {
    if (kind === "log") messages.push((body as { readonly message: string }).message);
  }
  return messages;
}

/** The code that `promise` rejects with. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (thrown) {
    return ARCPError.from(thrown).code;
  }
  throw new Error("nothing was refused");
}

const FLOWS: readonly Flow[] = [
  {
    name: "connect",
    what: "a session opens and names the runtime's agents",
    run: async (visit) => {
      const client = await visit.client();
      assert.ok(client.session?.sessionId);
      assert.ok(client.session.agents.some(({ name }) => name === "echo"));
    },
  },
  {
    name: "submit",
    what: "a job runs and its inline result comes back as it was",
    run: async (visit) => {
      const client = await visit.client();
      const input = { text: "héllo ✓", list: [1, 2.5, null], nested: { deep: true } };
      const job = await client.submit({ agent: "echo", input });
      assert.deepEqual((await job.done).result, input);
    },
  },
  {
    name: "budget",
    what: "a job with a budget is accepted, and its counters are told",
    run: async (visit) => {
      const client = await visit.client();
      const job = await client.submit({ agent: "echo", input: 1, leaseRequest: { "cost.budget": ["USD:1.50"] } });
      await job.done;
      assert.deepEqual(job.accepted.lease, { "cost.budget": ["USD:1.50"] });
      assert.deepEqual(job.accepted.budget, { USD: 1.5 });
    },
  },
  {
    name: "events",
    what: "the events of a job arrive in order, each once",
    run: async (visit) => {
      const client = await visit.client();
      const job = await client.submit({ agent: "chatter", input: { n: 50 } });
      assert.deepEqual(await messagesOf(job), lines(50));
      await job.done;
    },
  },
  {
    name: "progress",
    what: "progress counts up to its total",
    run: async (visit) => {
      const client = await visit.client();
      const job = await client.submit({ agent: "progress", input: { n: 4 } });
      const seen: unknown[] = [];
      for await (const event of job) if (event.kind === "progress") seen.push([event.body.current, event.body.total]);
      assert.deepEqual(
        seen,
        [1, 2, 3, 4].map((current) => [current, 4]),
      );
    },
  },
  {
    name: "chunks",
    what: "a result in pieces is put together, as text and as bytes",
    run: async (visit) => {
      const client = await visit.client();
      const text = await client.submit({ agent: "chunks", input: { n: 3, bytes: 24 } });
      const whole = `${"a".repeat(24)}${"b".repeat(24)}${"c".repeat(24)}`;
      assert.equal((await text.done).result, whole);
      const bytes = await client.submit({ agent: "chunks", input: { n: 3, bytes: 24, encoding: "base64" } });
      const { result, resultSize } = await bytes.done;
      assert.equal(typeof result === "string" ? result : new TextDecoder().decode(result as Uint8Array), whole);
      assert.equal(resultSize, 72);
    },
  },
  {
    name: "cancel",
    what: "a running job is cancelled by its submitter",
    run: async (visit) => {
      const client = await visit.client();
      const job = await client.submit({ agent: "slow", input: { ms: 30_000 } });
      await new Promise((resolve) => setTimeout(resolve, 50));
      await job.cancel();
      assert.equal(await codeOf(job.done), "CANCELLED");
      assert.equal(job.finalStatus, "cancelled");
    },
  },
  {
    name: "error",
    what: "a failing agent and an unknown agent give typed errors, and the session goes on",
    run: async (visit) => {
      const client = await visit.client();
      assert.equal(await codeOf(client.submit({ agent: "no-such-agent" })), "AGENT_NOT_AVAILABLE");
      const job = await client.submit({ agent: "fail" });
      assert.equal(await codeOf(job.done), "INTERNAL_ERROR");
      assert.equal((await (await client.submit({ agent: "echo", input: 1 })).done).result, 1);
    },
  },
  {
    name: "idempotency",
    what: "the same key gives the same job; another submission under it is refused",
    run: async (visit) => {
      const client = await visit.client();
      const idempotencyKey = `key-${Date.now()}`;
      const submission = { agent: "slow", input: { ms: 200 }, idempotencyKey };
      const job = await client.submit(submission);
      assert.equal((await client.submit(submission)).jobId, job.jobId);
      assert.equal(await codeOf(client.submit({ ...submission, input: { ms: 1 } })), "DUPLICATE_KEY");
      assert.deepEqual((await job.done).result, { slept: 200 });
    },
  },
  {
    name: "list",
    what: "running jobs are listed, in pages",
    run: async (visit) => {
      const client = await visit.client();
      const submit = async (): Promise<string> => (await client.submit({ agent: "slow", input: { ms: 1_500 } })).jobId;
      const mine = [await submit(), await submit(), await submit()];
      await new Promise((resolve) => setTimeout(resolve, 50));
      const listed: string[] = [];
      for await (const job of client.jobs({ status: "running" }, { limit: 2 })) {
        listed.push(job.jobId);
        assert.ok(job.createdAt, "a job without its time of creation");
      }
      assert.deepEqual(
        mine.filter((id) => !listed.includes(id)),
        [],
      );
    },
  },
  {
    name: "subscribe",
    what: "another session observes a job from its beginning to its end, beside a job of its own",
    run: async (visit) => {
      const submitter = await visit.client();
      const job = await submitter.submit({ agent: "chatter", input: { n: 10, delay_ms: 30 } });
      await new Promise((resolve) => setTimeout(resolve, 100));
      const observer = await visit.client();
      const own = await observer.submit({ agent: "chatter", input: { n: 5, delay_ms: 30 } });
      const subscription = await observer.subscribe(job.jobId, { history: true });
      const seen = await Promise.all([messagesOf(subscription), messagesOf(own)]);
      assert.deepEqual(seen, [lines(10), lines(5)]);
      assert.deepEqual((await subscription.done).result, { lines: 10 });
    },
  },
  {
    name: "replay",
    what: "a session is taken up by another client, and what that one has not seen is replayed",
    run: async (visit) => {
      const first = await visit.client();
      const job = await first.submit({ agent: "chatter", input: { n: 5 } });
      const seqs: number[] = [];
      for await (const event of job) if (event.kind === "log" && event.seq !== undefined) seqs.push(event.seq);
      await job.done;
      const info = first.resumeInfo;
      assert.ok(info);
      visit.cut();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const second = visit.newClient();
      const resuming = second.resume(await visit.transport(), { ...info, lastEventSeq: seqs[2] ?? 0 });
      await resuming;
      assert.equal(second.session?.sessionId, info.sessionId);
      const again = second.job(job.jobId);
      assert.deepEqual(await messagesOf(again), lines(5).slice(3));
      assert.deepEqual((await again.done).result, { lines: 5 });
    },
  },
  {
    name: "resume",
    what: "a connection is lost while a job runs; nothing of the job is lost",
    run: async (visit) => {
      const client = await visit.persistentClient();
      const job = await client.submit({ agent: "chatter", input: { n: 20, delay_ms: 30 } });
      const messages: string[] = [];
      for await (const event of job) {
        if (event.kind !== "log") continue;
        messages.push(event.body.message);
        if (messages.length === 3) visit.cut();
      }
      assert.deepEqual(messages, lines(20));
      assert.deepEqual((await job.done).result, { lines: 20 });
    },
  },
  {
    name: "close",
    what: "a session ends in good order",
    run: async (visit) => {
      const client = await visit.client();
      await client.close("done");
      await client.closed;
    },
  },
];

export const ROUTES: readonly Route[] = FLOWS.map(({ name, run }) => ({
  name,
  go: (target, stack) => run(stack.use(new Visit(target))),
}));
