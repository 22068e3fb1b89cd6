/** The clients of other SDKs of wire 1.0, as they really write and read: in TypeScript, Ruby, F# and Rust. */
import { ARCPError, type ErrorCode, newMessageId, ulid } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { registerTools10 } from "../../interop/agents-10.ts";
import { rustProblems } from "../../interop/peers/rust.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { settle } from "../support/puppet.ts";
import { type Frame10, RawClient10 } from "../support/raw-client-10.ts";

/** How one SDK writes, and what it reads. */
interface Peer {
  readonly name: string;
  readonly frame: (type: string, payload: object, session: string | undefined) => Record<string, unknown>;
  readonly open: object;
  /** What ends an invocation for it, and how it finds that. */
  readonly endings: readonly string[];
  readonly firstSequence: number;
  /** Frames that it would not read, or that would end its session. */
  readonly problems: (frame: Frame10) => readonly string[];
  readonly put: (data: Buffer) => object;
  /** Where it finds the reference in `artifact.ref`. Default: the payload. */
  readonly refOf?: (frame: Frame10) => { readonly artifact_id: string };
  readonly fetched: string;
  readonly kindOf: (frame: Frame10) => unknown;
}

const flags = (...on: readonly string[]): object =>
  Object.fromEntries(
    [
      ...["streaming", "durable_jobs", "checkpoints", "binary_streams", "agent_handoff", "human_input", "artifacts"],
      ...["subscriptions", "scheduled_jobs", "interrupt", "anonymous"],
    ].map((name) => [name, on.includes(name)]),
  );
const WANTED = flags("streaming", "durable_jobs", "human_input", "artifacts", "subscriptions", "interrupt");
const bearer = { scheme: "bearer", token: "alice" };
const hasNull = (frame: Frame10): boolean => Object.values(frame).includes(null);

const typescript: Peer = {
  name: "TypeScript",
  frame: (type, payload, session) => ({
    ...{ arcp: "1.0", id: newMessageId(), type, timestamp: new Date().toISOString() },
    ...(session && { session_id: session }),
    payload,
  }),
  open: { auth: bearer, client: { kind: "ts", version: "0.1.0" }, capabilities: WANTED },
  endings: ["tool.result", "tool.error", "job.failed", "job.cancelled"],
  firstSequence: 0,
  problems: (frame) => [
    ...(hasNull(frame) ? ["a null member"] : []),
    ...(frame.type === "job.accepted" && !frame.payload.accepted_at ? ["no accepted_at"] : []),
  ],
  put: (data) => ({ media_type: "text/plain", data: data.toString("base64"), encoding: "base64" }),
  fetched: "artifact.put",
  kindOf: ({ payload }) => payload.kind,
};

const ruby: Peer = {
  name: "Ruby",
  frame: (type, payload, session) => ({
    ...{ arcp: "1.0", id: newMessageId(), type, timestamp: new Date().toISOString().replace("Z", "123Z") },
    ...(session && { session_id: session }),
    payload,
  }),
  open: {
    auth: bearer,
    client: { kind: "ruby", version: "0.1.0", fingerprint: null, principal: null },
    capabilities: WANTED,
  },
  endings: ["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"],
  firstSequence: 1,
  problems: () => [],
  put: (data) => ({
    ...{
      artifact_id: `art_${ulid()}`,
      media_type: "text/plain",
      size: data.length,
      data: data.toString("base64"),
      sha256: null,
    },
  }),
  fetched: "artifact.ref",
  kindOf: ({ payload }) => payload.kind,
};

const fsharp: Peer = {
  name: "F#",
  // After the handshake its frames name no session.
  frame: (type, payload) => ({
    arcp: "1.0",
    id: ulid(),
    type,
    timestamp: `${new Date().toISOString().slice(0, -1)}0000+00:00`,
    payload,
  }),
  open: {
    arcp: "1.0",
    auth: bearer,
    client: { kind: "fsharp", version: "0.1.0" },
    capabilities: { ...WANTED, extensions: [], binary_encoding: ["base64"] },
  },
  endings: ["job.completed", "job.failed", "job.cancelled"],
  firstSequence: 1,
  problems: (frame) => [
    ...(typeof frame.priority === "string" ? ["a priority that is a plain text"] : []),
    ...(frame.type === "session.accepted" && !Array.isArray(frame.payload.capabilities.extensions)
      ? ["no extensions"]
      : []),
    ...(frame.type === "session.accepted" && !Object.keys(WANTED).every((name) => name in frame.payload.capabilities)
      ? ["a flag is missing"]
      : []),
  ],
  put: (data) => ({ media_type: "text/plain", data: data.toString("base64") }),
  fetched: "artifact.put",
  kindOf: ({ payload }) => payload.kind.type,
};

const rust: Peer = {
  name: "Rust",
  frame: (type, payload, session) => ({
    ...{ arcp: "1.1", id: newMessageId(), type, timestamp: new Date().toISOString() },
    ...(session && { session_id: session }),
    payload,
  }),
  // It has no flag, and no messages, for questions to people.
  open: {
    auth: bearer,
    client: { kind: "rust", version: "2.0.0" },
    capabilities: { streaming: true, durable_jobs: true, artifacts: true, subscriptions: true },
  },
  endings: ["job.completed", "job.failed", "job.cancelled"],
  firstSequence: 0,
  problems: rustProblems,
  put: (data) => ({ media_type: "text/plain", data: data.toString("base64"), retain_seconds: 60 }),
  refOf: ({ payload }) => payload.artifact,
  fetched: "artifact.put",
  kindOf: ({ payload }) => payload.kind,
};

class PeerClient {
  readonly #peer: Peer;
  readonly raw: RawClient10;
  session: string | undefined;

  constructor(peer: Peer, raw: RawClient10) {
    this.#peer = peer;
    this.raw = raw;
  }

  static async connect(peer: Peer, harness: Harness): Promise<PeerClient> {
    const client = new PeerClient(peer, new RawClient10(await harness.transport()));
    const accepted = await client.ask("session.open", peer.open);
    expect(accepted.type).toBe("session.accepted");
    client.session = accepted.payload.session_id;
    return client;
  }

  send(type: string, payload: object = {}, members: object = {}): string {
    const frame = { ...this.#peer.frame(type, payload, this.session), ...members };
    this.raw.sendText(JSON.stringify(frame));
    return String(frame["id"]);
  }

  ask(type: string, payload: object = {}, members: object = {}): Promise<Frame10> {
    return this.raw.answerTo(this.send(type, payload, members));
  }

  /** The end of what was asked for, found as the SDK finds it. */
  async invoke(tool: string, input: object): Promise<Frame10> {
    const id = this.send("tool.invoke", { tool, arguments: input });
    return this.raw.sees((frame) => frame.correlation_id === id && this.#peer.endings.includes(frame.type));
  }
}

const HANGING = { tool: "slow", arguments: { ms: 60_000 } };
const resultOf = ({ payload }: Frame10): unknown => payload.value ?? payload.result;

const setting = async (peer: Peer): Promise<{ harness: Harness; client: PeerClient }> => {
  const harness = startHarness();
  registerTools10(harness.server);
  return { harness, client: await PeerClient.connect(peer, harness) };
};

describe.each([typescript, ruby, fsharp, rust])("the client in $name", (peer) => {
  test("opens, pings, invokes, and closes", async () => {
    const { harness, client } = await setting(peer);
    await using _ = harness;
    expect((await client.ask("ping", { nonce: "x" })).type).toBe("pong");
    expect(resultOf(await client.invoke("echo", { text: "héllo" }))).toEqual({ text: "héllo" });
    expect((await client.invoke("fail", {})).payload.code).toBe("INTERNAL");
    const nobody = await client.raw.answerTo(client.send("tool.invoke", { tool: "nobody", arguments: {} }));
    const isHeard = nobody.type === "nack" ? peer.name !== "F#" : peer.endings.includes(nobody.type);
    expect(isHeard).toBe(true);
    expect(nobody.payload.code).toBe("NOT_FOUND");
    client.send("session.close", { reason: "done" });
    await client.raw.transport.closed;
    expect(client.raw.frames.flatMap(peer.problems)).toEqual([]);
  });

  test("reads streams from the number that it begins with", async () => {
    const { harness, client } = await setting(peer);
    await using _ = harness;
    await client.invoke("streamer", { kind: "text", n: 3 });
    const [open] = client.raw.ofType("stream.open");
    expect(peer.kindOf(open as Frame10)).toBe("text");
    const chunks = client.raw.ofType("stream.chunk").filter(({ stream_id }) => stream_id === open?.stream_id);
    expect(chunks.map(({ payload }) => payload.sequence)).toEqual([0, 1, 2].map((n) => n + peer.firstSequence));
    expect(client.raw.frames.flatMap(peer.problems)).toEqual([]);
  });

  test("grants a permission", async () => {
    const { harness, client } = await setting(peer);
    await using _ = harness;
    const names = { permission: "payment.refund.create", resource: "order:1", operation: "refund" };
    const guarded = client.send("tool.invoke", { tool: "guarded", arguments: names });
    const request = await client.raw.sees(({ type }) => type === "permission.request");
    const grant = peer.name === "F#" ? { lease_seconds: 30 } : { ...names, lease_seconds: 30 };
    client.send("permission.grant", grant, { correlation_id: request.id });
    const done = await client.raw.sees(
      (frame) => frame.correlation_id === guarded && peer.endings.includes(frame.type),
    );
    expect(resultOf(done)).toMatchObject({ ok: true });
    expect(client.raw.ofType("lease.granted")).toHaveLength(1);
    expect(client.raw.frames.flatMap(peer.problems)).toEqual([]);
  });

  test("subscribes, and keeps an artifact", async () => {
    const { harness, client } = await setting(peer);
    await using _ = harness;
    const accepted = await client.ask("subscribe", { filter: { types: ["job.progress"] } });
    await client.invoke("progress", { n: 2 });
    await client.raw.sees(() => client.raw.ofType("subscribe.event").length === 2);
    const { subscription_id } = accepted.payload;
    const named = peer.name === "TypeScript" || peer.name === "Rust";
    const closed = await client.ask("unsubscribe", named ? { subscription_id } : {}, named ? {} : { subscription_id });
    expect(closed.type).toBe("subscribe.closed");
    const ref = await client.ask("artifact.put", peer.put(Buffer.from("hello")));
    const fetched = await client.ask("artifact.fetch", {
      artifact_id: (peer.refOf?.(ref) ?? ref.payload).artifact_id,
    });
    expect(fetched.type).toBe(peer.fetched);
    expect(Buffer.from(fetched.payload.data, "base64").toString()).toBe("hello");
    expect(client.raw.frames.flatMap(peer.problems)).toEqual([]);
  });
});

test.each([typescript, ruby, fsharp])("the client in $name answers a question", async (peer) => {
  const { harness, client } = await setting(peer);
  await using _ = harness;
  const schema = { type: "object", properties: { branch: { type: "string" } }, required: ["branch"] };
  const asked = client.send("tool.invoke", { tool: "ask", arguments: { schema } });
  const question = await client.raw.sees(({ type }) => type === "human.input.request");
  const value = { branch: "main" };
  client.send(
    "human.input.response",
    { value, responded_by: "x", responded_at: new Date().toISOString() },
    { correlation_id: question.id },
  );
  const ended = await client.raw.sees((frame) => frame.correlation_id === asked && peer.endings.includes(frame.type));
  expect(resultOf(ended)).toEqual({ answer: value });
  expect(client.raw.frames.flatMap(peer.problems)).toEqual([]);
});

test("the client in Rust resumes with its token and the number that it saw last", async () => {
  await using harness = startHarness();
  registerTools10(harness.server);
  const before = await PeerClient.connect(rust, harness);
  const token = before.raw.frames[0]?.payload.resume_token;
  await before.invoke("progress", { n: 3 });
  const numbered = before.raw.frames.filter((frame) => "event_seq" in frame) as (Frame10 & { event_seq: number })[];
  expect(numbered.map(({ event_seq }) => event_seq)).toEqual(numbered.map((_, index) => index + 1));
  const second = numbered[3];
  before.raw.cut();
  await settle();
  const after = new PeerClient(rust, new RawClient10(await harness.transport()));
  const resumed = await after.ask("session.resume", { resume_token: token, last_event_seq: second?.event_seq });
  expect(resumed).toMatchObject({
    type: "session.resumed",
    payload: { session_id: before.session, replayed_from: second?.event_seq },
  });
  await after.raw.sees(({ type }) => type === "job.completed");
  const again = after.raw.frames.filter((frame) => "event_seq" in frame);
  expect(again).toEqual(numbered.slice(4));
  after.session = before.session;
  expect(resultOf(await after.invoke("echo", { n: 1 }))).toEqual({ n: 1 });
});

describe("the client in Rust", () => {
  const opened = async (harness: Harness): Promise<PeerClient> => PeerClient.connect(rust, harness);
  const budget = { cost_budget: ["USD:1.50"] };

  test("asks for a budget, and reads it where it looks for it", async () => {
    await using harness = startHarness();
    registerTools10(harness.server);
    const client = await opened(harness);
    const terms = { lease_request: { ...budget, model_use: ["x/*"], expires_at: "2030-01-01T00:00:00.123456789Z" } };
    const ask = (): Promise<Frame10> =>
      client.ask("tool.invoke", { tool: "slow", arguments: { ms: 50 }, ...terms }, { idempotency_key: "same" });
    const first = await ask();
    expect(first).toMatchObject({ type: "job.accepted", payload: { lease: { ...budget, model_use: ["x/*"] } } });
    expect((await ask()).payload).toMatchObject({ job_id: first.job_id, lease: first.payload.lease });
    expect((await client.ask("tool.invoke", { tool: "echo", arguments: {} })).payload).not.toHaveProperty("lease");
    expect(client.raw.frames.flatMap(rustProblems)).toEqual([]);
  });

  test("is told of codes and ids of others so that it can read them", async () => {
    const fail = (): never => {
      throw new ARCPError("x-vendor.acme.BROKEN" as ErrorCode, "no");
    };
    await using harness = startHarness({ agents: { fail } });
    const client = await opened(harness);
    await client.ask("subscribe", { filter: {} });
    const other = await PeerClient.connect(fsharp, harness);
    await other.invoke("fail", {});
    const failed = await client.invoke("fail", {});
    expect(failed.payload).toMatchObject({ code: "UNKNOWN", details: { code: "x-vendor.acme.BROKEN" } });
    const observed = client.raw.ofType("subscribe.event").map(({ payload }) => payload.event);
    expect(observed.length).toBeGreaterThan(4);
    expect([...client.raw.frames, ...observed].flatMap(rustProblems)).toEqual([]);
  });

  test("lists and observes jobs in the words of wire 1.0", async () => {
    await using harness = startHarness();
    registerTools10(harness.server);
    const client = await opened(harness);
    const [done, running] = [await client.invoke("echo", {}), await client.ask("tool.invoke", HANGING)];
    const { payload: listed } = await client.ask("session.list_jobs", { filter: { status: ["completed"] } });
    expect(listed.jobs).toMatchObject([
      { job_id: done.job_id, status: "completed", last_event_seq: expect.any(Number) },
    ]);
    const observer = await opened(harness);
    const { payload } = await observer.ask("job.subscribe", { job_id: running.job_id, history: true });
    expect(payload).toMatchObject({ current_status: "running", replayed: true });
    client.send("session.close", { reason: "done" });
    await client.raw.transport.closed;
    // It does not know `session.closed`.
    expect([...client.raw.frames, ...observer.raw.frames].flatMap(rustProblems)).toEqual([]);
  });
});
