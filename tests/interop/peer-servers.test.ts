/** The client against the Python SDK's server, and against how each SDK's server takes a session up again. */
import { ARCPClient, type ConnectOptions } from "@arcp/client";
import { DuplicateKeyError, silentLogger, UnauthenticatedError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { collect, FakeRuntime, FakeServer, type Frame } from "../client/fake-runtime.ts";

const NINE = ["heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget", "progress"];
const NOW = "2026-01-01T00:00:00.123456Z";

const welcome = (sessionId: string, resume_token: string): object => ({
  runtime: { name: "peer", version: "1" },
  session_id: sessionId,
  resume_token,
  resume_window_sec: 600,
  heartbeat_interval_sec: 30,
  capabilities: { encodings: ["json"], features: NINE, agents: [{ name: "echo", versions: ["1"], default: "1" }] },
});

const isLog = { kind: "log", ts: NOW, body: { level: "info", message: "m" } };

describe("a Python server", () => {
  async function connected(): Promise<{ client: ARCPClient; runtime: FakeRuntime; problems: unknown[] }> {
    const runtime = new FakeRuntime();
    runtime.respond = () => {};
    const client = new ARCPClient({ token: "t", logger: silentLogger, requestTimeoutMs: 2_000 });
    const problems: unknown[] = [];
    client.on("error", (error) => problems.push(error));
    const connecting = client.connect(runtime.clientTransport);
    await runtime.next("session.hello");
    runtime.send("session.welcome", { ...welcome("sess_1", "rtk_1"), accepted_at: NOW });
    await connecting;
    return { client, runtime, problems };
  }

  const accept = (runtime: FakeRuntime, { id }: Frame, more: object = {}, fields: object = {}): void =>
    runtime.send(
      "job.accepted",
      { job_id: "job_1", agent: "echo@1", accepted_at: NOW, lease: {}, request_id: id, ...more },
      { job_id: "job_1", ...fields },
    );

  test("writes budgets as text, and the end of a cancelled job as a result", async () => {
    const { client, runtime, problems } = await connected();
    const submitting = client.submit({ agent: "echo", leaseRequest: { "cost.budget": ["USD:1.50"] } });
    accept(runtime, await runtime.next("job.submit"), { budget: { USD: "USD:1.50" } });
    const job = await submitting;
    expect(job.accepted.budget).toEqual({ USD: 1.5 });

    const cancelling = job.cancel();
    const cancel = await runtime.next("job.cancel");
    // It does not take one without a reason, and does not answer it.
    expect(cancel.payload.reason).toEqual(expect.any(String));
    runtime.send("job.result", { final_status: "cancelled", completed_at: NOW }, { job_id: "job_1", event_seq: 1 });
    await cancelling;
    await expect(job.done).rejects.toMatchObject({ code: "CANCELLED" });
    expect(job.finalStatus).toBe("cancelled");
    expect(problems).toEqual([]);
    client.abort();
  });

  test("repeats an acceptance under its own id, and refuses without saying what", async () => {
    const { client, runtime, problems } = await connected();
    const submitting = [client.submit({ agent: "echo", idempotencyKey: "k" })];
    accept(runtime, await runtime.next("job.submit"), {}, { id: "01J00000000000000000000000" });
    submitting.push(client.submit({ agent: "echo", idempotencyKey: "k" }));
    accept(runtime, await runtime.next("job.submit"), {}, { id: "01J00000000000000000000000" });
    expect((await Promise.all(submitting)).map(({ jobId }) => jobId)).toEqual(["job_1", "job_1"]);
    const conflicting = client.submit({ agent: "echo", input: 2, idempotencyKey: "k" });
    await runtime.next("job.submit");
    runtime.send("session.error", { code: "DUPLICATE_KEY", message: "no", retryable: false, details: null });
    await expect(conflicting).rejects.toBeInstanceOf(DuplicateKeyError);
    expect(problems).toEqual([]);
    client.abort();
  });

  test("numbers what an observer gets by job", async () => {
    const { client, runtime, problems } = await connected();
    const submitting = client.submit({ agent: "echo" });
    accept(runtime, await runtime.next("job.submit"));
    const job = await submitting;
    const subscribing = client.subscribe("job_7");
    const { id } = await runtime.next("job.subscribe");
    const facts = { job_id: "job_7", current_status: "running", agent: "echo@1", lease: {} };
    runtime.send("job.subscribed", { ...facts, request_id: id, subscribed_from: 0, replayed: 0 }, { job_id: "job_7" });
    const subscription = await subscribing;
    for (const event_seq of [1, 2]) {
      runtime.send("job.event", isLog, { job_id: "job_1", event_seq });
      runtime.send("job.event", isLog, { job_id: "job_7", event_seq });
    }
    for (const job_id of ["job_1", "job_7"]) {
      runtime.send("job.result", { final_status: "success", completed_at: NOW }, { job_id, event_seq: 3 });
    }
    expect(await collect(job)).toHaveLength(2);
    expect(await collect(subscription)).toHaveLength(2);
    expect(problems).toEqual([]);
    client.abort();
  });

  test("replays before it agrees to a subscription, counts that, and dates jobs by submission", async () => {
    const { client, runtime, problems } = await connected();
    const subscribing = client.subscribe("job_7", { history: true });
    const { id } = await runtime.next("job.subscribe");
    for (const event_seq of [1, 2]) runtime.send("job.event", isLog, { job_id: "job_7", event_seq });
    const facts = { job_id: "job_7", current_status: "running", agent: "echo@1", lease: {} };
    runtime.send("job.subscribed", { ...facts, request_id: id, subscribed_from: 2, replayed: 2 }, { job_id: "job_7" });
    const subscription = await subscribing;
    expect(subscription.subscribed.replayed).toBe(true);
    runtime.send(
      "job.result",
      { final_status: "success", result: 7, completed_at: NOW },
      { job_id: "job_7", event_seq: 3 },
    );
    expect(await collect(subscription)).toHaveLength(2);

    const listing = client.listJobs();
    const list = await runtime.next("session.list_jobs");
    const job = { job_id: "job_7", agent: "echo@1", status: "success", submitted_at: NOW };
    runtime.send("session.jobs", { request_id: list.id, jobs: [job] });
    expect(await listing).toMatchObject({ jobs: [{ jobId: "job_7", createdAt: NOW }], nextCursor: undefined });
    expect(problems).toEqual([]);
    client.abort();
  });
});

/** How one SDK's server is resumed. */
interface Resumption {
  readonly name: string;
  readonly options?: ConnectOptions;
  /** The type of the first message of the second connection. */
  readonly asks: "session.hello" | "session.resume";
  /** Envelope members of a welcome that answers `first`. */
  readonly envelope?: (first: Frame) => object;
  /** Names the session from the client's hello. */
  readonly sessionOf?: (first: Frame) => string;
  readonly isEndNumbered: boolean;
  readonly resultMember: string;
}

const RESUMPTIONS: readonly Resumption[] = [
  { name: "TypeScript", asks: "session.hello", isEndNumbered: true, resultMember: "result" },
  { name: "Go", asks: "session.hello", isEndNumbered: true, resultMember: "output" },
  { name: "Python", asks: "session.hello", isEndNumbered: true, resultMember: "result" },
  {
    name: "Ruby",
    options: { compat: { dialect: "ruby" } },
    asks: "session.hello",
    sessionOf: (first) => first.session_id as string,
    isEndNumbered: false,
    resultMember: "result",
  },
  {
    name: "F#",
    asks: "session.resume",
    envelope: ({ id }) => ({ id }),
    isEndNumbered: true,
    resultMember: "result",
  },
];

describe.each(RESUMPTIONS)("a $name server", (peer) => {
  test("is asked to resume in its own way", async () => {
    const server = new FakeServer();
    const connecting = ARCPClient.connect(server.factory, {
      token: "t",
      logger: silentLogger,
      reconnect: { initialDelayMs: 0, random: () => 0 },
      ...peer.options,
    });
    const first = await server.accept();
    first.respond = () => {};
    const hello = await first.next("session.hello");
    first.sessionId = peer.sessionOf?.(hello) ?? "sess_1";
    first.send("session.welcome", welcome(first.sessionId, "token_1"), peer.envelope?.(hello));
    const client = await connecting;
    const submitting = client.submit({ agent: "echo" });
    const submit = await first.next("job.submit");
    const ids = { request_id: submit.id, reply_to: submit.id };
    first.send("job.accepted", { job_id: "job_1", agent: "echo", ...ids }, { ...peer.envelope?.(submit) });
    const job = await submitting;
    first.event("job_1", 1, "log", { level: "info", message: "before" });
    const events = job.events();
    await events.next();
    first.drop();

    const second = await server.accept();
    second.respond = () => {};
    const again = await second.next(peer.asks);
    const position = peer.asks === "session.resume" ? again.payload : again.payload.resume;
    expect(position).toMatchObject({ resume_token: "token_1", last_event_seq: 1 });
    expect(peer.sessionOf?.(again) ?? position.session_id).toBe(first.sessionId);
    if (peer.name === "Ruby") expect(position.token).toBe("token_1");
    second.sessionId = first.sessionId;
    second.send("session.welcome", welcome(second.sessionId, "token_2"), peer.envelope?.(again));
    second.event("job_1", 2, "log", { level: "info", message: "after" });
    const end = { job_id: "job_1", final_status: "success", [peer.resultMember]: { n: 1 } };
    second.send("job.result", end, { job_id: "job_1", ...(peer.isEndNumbered && { event_seq: 3 }) });
    expect((await collect(events)).map(({ body }) => (body as { message: string }).message)).toEqual(["after"]);
    expect((await job.done).result).toEqual({ n: 1 });
    client.abort();
  });
});

test("a TypeScript server that refuses a token and stays on the line is left", async () => {
  const runtime = new FakeRuntime();
  runtime.respond = () => {};
  const client = new ARCPClient({ token: "t", logger: silentLogger });
  const connecting = client.connect(runtime.clientTransport);
  await runtime.next("session.hello");
  const refusal = { code: "UNAUTHENTICATED", message: "Unknown bearer token", retryable: false };
  runtime.send("session.error", refusal, { session_id: undefined });
  await expect(connecting).rejects.toBeInstanceOf(UnauthenticatedError);
  await runtime.transport.closed;
});
