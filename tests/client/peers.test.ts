/** The client against what the servers of four other SDKs send, each in its own way. */
import { ARCPClient, type ClientOptions } from "@arcp/client";
import { AgentNotAvailableError, CancelledError, JobNotFoundError, silentLogger } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { collect, FakeRuntime, type Frame, settle } from "./fake-runtime.ts";

/** How one SDK's server answers. `seq` counts its numbered messages. */
interface Peer {
  readonly name: string;
  readonly options?: ClientOptions;
  readonly welcome: (runtime: FakeRuntime, hello: Frame) => void;
  readonly accept: (runtime: FakeRuntime, submit: Frame, jobId: string) => void;
  readonly refuseSubmit: (runtime: FakeRuntime, submit: Frame) => void;
  readonly finish: (runtime: FakeRuntime, jobId: string, value: unknown) => void;
  readonly cancel: (runtime: FakeRuntime, cancel: Frame) => void;
  readonly refuse: (runtime: FakeRuntime, request: Frame) => void;
  readonly subscribed: (runtime: FakeRuntime, subscribe: Frame, history: () => void) => void;
  readonly jobs: (runtime: FakeRuntime, list: Frame) => void;
  readonly close: (runtime: FakeRuntime, frame: Frame) => void;
}

const FEATURES = ["heartbeat", "ack", "list_jobs", "subscribe", "result_chunk", "progress", "agent_versions"];
const SHARED_TRACE = "0af7651916cd43dd8448eb211c80319c";
const seqs = new WeakMap<FakeRuntime, number>();
const nextSeq = (runtime: FakeRuntime): number => {
  const seq = (seqs.get(runtime) ?? 0) + 1;
  seqs.set(runtime, seq);
  return seq;
};
const cancelled = { code: "CANCELLED", retryable: false, final_status: "cancelled" };
const standardWelcome = {
  runtime: { name: "peer", version: "1" },
  resume_token: "rt",
  resume_window_sec: 600,
  heartbeat_interval_sec: 30,
};

const typescript: Peer = {
  name: "TypeScript",
  welcome: (runtime) =>
    runtime.send("session.welcome", {
      ...standardWelcome,
      capabilities: { encodings: ["json"], features: FEATURES, agents: [{ name: "echo", versions: [] }] },
    }),
  accept: (runtime, submit, jobId) => {
    const fields = { job_id: jobId, trace_id: submit.trace_id };
    const payload = { agent: "echo", lease: {}, accepted_at: "2026-01-01T00:00:00Z", ...fields };
    runtime.send("job.accepted", payload, fields);
    runtime.event(jobId, nextSeq(runtime), "status", { phase: "running" });
  },
  refuseSubmit: (runtime) =>
    runtime.error("job_minted", nextSeq(runtime), {
      final_status: "error",
      code: "AGENT_NOT_AVAILABLE",
      message: "no such agent",
      retryable: false,
    }),
  finish: (runtime, jobId, value) => runtime.result(jobId, nextSeq(runtime), { result: value }),
  cancel: (runtime, { job_id: jobId, payload }) => {
    runtime.send("job.cancelled", { reason: payload.reason }, { job_id: jobId });
    runtime.error(jobId as string, nextSeq(runtime), { ...cancelled, message: "cancelled" });
  },
  refuse: (runtime, { payload }) =>
    runtime.error(payload.job_id, nextSeq(runtime), {
      final_status: "error",
      code: "JOB_NOT_FOUND",
      message: "no",
      retryable: false,
    }),
  subscribed: (runtime, { payload }, history) => {
    history();
    runtime.send("job.subscribed", {
      job_id: payload.job_id,
      current_status: "running",
      agent: "echo",
      lease: {},
      parent_job_id: null,
      trace_id: SHARED_TRACE,
      subscribed_from: 1,
      replayed: true,
    });
  },
  jobs: (runtime, { id }) =>
    runtime.send("session.jobs", {
      request_id: id,
      jobs: [entry("job_1", { lease: {}, last_event_seq: 1 })],
      next_cursor: null,
    }),
  close: (runtime, { type }) => {
    if (type === "session.close") {
      runtime.send("session.error", {
        code: "INVALID_REQUEST",
        message: "unknown type",
        retryable: false,
        details: { type },
      });
    } else runtime.transport.close(1005);
  },
};

const go: Peer = {
  name: "Go",
  welcome: (runtime) =>
    runtime.send("session.welcome", {
      ...standardWelcome,
      capabilities: { encodings: ["json"], features: FEATURES, agents: [{ name: "echo", bare: true }] },
    }),
  accept: (runtime, submit, jobId) => {
    const trace = { trace_id: submit.trace_id };
    runtime.send("job.accepted", { job_id: jobId, accepted_at: "2026-01-01T00:00:00Z", ...trace }, trace);
  },
  refuseSubmit: (runtime, { id }) =>
    runtime.send("session.error", { code: "AGENT_NOT_AVAILABLE", retryable: false, request_id: id }),
  finish: (runtime, jobId, value) => runtime.result(jobId, nextSeq(runtime), { output: value }),
  cancel: (runtime, { job_id: jobId }) => {
    runtime.send("job.cancelled", { job_id: jobId }, { job_id: jobId, event_seq: nextSeq(runtime) });
    runtime.error(jobId as string, nextSeq(runtime), cancelled);
  },
  refuse: (runtime, { id, payload }) =>
    runtime.send("session.error", {
      code: "JOB_NOT_FOUND",
      message: "no",
      retryable: false,
      request_id: id,
      job_id: payload.job_id,
    }),
  subscribed: (runtime, { payload }, history) => {
    runtime.send("job.subscribed", {
      job_id: payload.job_id,
      current_status: "running",
      subscribed_from: 0,
      replayed: true,
    });
    history();
  },
  jobs: (runtime, { id }) => runtime.send("session.jobs", { request_id: id, jobs: [entry("job_1")] }),
  close: (runtime) => {
    runtime.send("session.closed", {});
    runtime.transport.close();
  },
};

const ruby: Peer = {
  name: "Ruby",
  options: { compat: { dialect: "ruby" } },
  welcome: (runtime, hello) => {
    runtime.sessionId = hello.session_id as string;
    runtime.send("session.welcome", {
      runtime_name: "ruby",
      runtime_version: "1.0.0",
      resume_token: "rt",
      resume_window_sec: 300,
      heartbeat_interval_sec: 30,
      capabilities: {
        encodings: ["json"],
        features: FEATURES,
        agents: [{ name: "echo", versions: ["1"], default: "1" }],
      },
    });
  },
  accept: (runtime, submit, jobId) => {
    runtime.send(
      "job.event",
      { kind: "status", body: { phase: "early" } },
      { job_id: jobId, event_seq: nextSeq(runtime) },
    );
    const lease = { id: `lse_${jobId}`, capabilities: [], issued_at: "2026-01-01T00:00:00Z" };
    runtime.send("job.accepted", { job_id: jobId, agent: "echo@1", lease, reply_to: submit.id }, { job_id: null });
  },
  refuseSubmit: (runtime, { id }) =>
    runtime.send("session.error", { code: "AGENT_NOT_AVAILABLE", message: "no", retryable: true, reply_to: id }),
  finish: (runtime, jobId, value) =>
    runtime.send(
      "job.result",
      { job_id: jobId, final_status: "success", result: value, result_id: null },
      { event_seq: null },
    ),
  cancel: (runtime, { payload }) => {
    runtime.send("job.cancelled", { job_id: payload.job_id, reason: null });
    runtime.send("job.error", { job_id: payload.job_id, ...cancelled }, { job_id: payload.job_id });
  },
  refuse: (runtime, { id, payload }) =>
    runtime.send("job.error", {
      job_id: payload.job_id,
      final_status: "error",
      code: "JOB_NOT_FOUND",
      message: "no",
      retryable: false,
      reply_to: id,
    }),
  subscribed: (runtime, { id, payload }, history) => {
    history();
    runtime.send("job.subscribed", {
      job_id: payload.job_id,
      current_status: "running",
      agent: "echo@1",
      lease: null,
      lease_constraints: null,
      budget: null,
      parent_job_id: null,
      trace_id: null,
      subscribed_from: 0,
      replayed: true,
      reply_to: id,
    });
  },
  jobs: (runtime, { id }) => runtime.send("session.jobs", { jobs: [entry("job_1")], next_cursor: null, reply_to: id }),
  close: (runtime, { type }) => {
    if (type === "session.bye") runtime.transport.close();
  },
};

const fsharp: Peer = {
  name: "F#",
  welcome: (runtime, { id }) =>
    runtime.send(
      "session.welcome",
      { ...standardWelcome, capabilities: { encodings: ["json"], features: FEATURES, agents: ["echo"] } },
      { id },
    ),
  accept: (runtime, { id }, jobId) =>
    runtime.send(
      "job.accepted",
      { job_id: jobId, lease: {}, accepted_at: "2026-01-01T00:00:00.0000000+00:00" },
      { id },
    ),
  refuseSubmit: (runtime, { id }) =>
    runtime.send("session.error", { code: "AGENT_NOT_AVAILABLE", message: "no", retryable: false }, { id }),
  finish: (runtime, jobId, value) => runtime.result(jobId, nextSeq(runtime), { result: value }),
  cancel: (runtime, { id, payload }) => {
    runtime.send("job.cancelled", { job_id: payload.job_id }, { id });
    runtime.error(payload.job_id, nextSeq(runtime), { ...cancelled, message: "cancelled" });
  },
  refuse: (runtime, { id }) =>
    runtime.send("session.error", { code: "JOB_NOT_FOUND", message: "no", retryable: false }, { id }),
  subscribed: (runtime, { id, payload }, history) => {
    runtime.send(
      "job.subscribed",
      { job_id: payload.job_id, current_status: "running", subscribed_from: 0, replayed: true },
      { id },
    );
    history();
  },
  jobs: (runtime, { id }) => runtime.send("session.jobs", { jobs: [entry("job_1")] }, { id }),
  close: (runtime, { id }) => runtime.send("session.closed", {}, { id }),
};

const entry = (jobId: string, more: object = {}): object => ({
  job_id: jobId,
  agent: "echo",
  status: "running",
  created_at: "2026-01-01T00:00:00Z",
  ...more,
});

/** Jobs that the runtime knows; everything else it refuses. */
function play(runtime: FakeRuntime, peer: Peer): void {
  let submits: Frame[] = [];
  runtime.respond = (frame) => {
    if (frame.type === "session.hello") peer.welcome(runtime, frame);
    else if (frame.type === "session.close" || frame.type === "session.bye") peer.close(runtime, frame);
    else if (frame.type === "session.list_jobs") peer.jobs(runtime, frame);
    else if (frame.type === "job.cancel") {
      if (frame.payload.job_id === "job_1") peer.cancel(runtime, frame);
      else peer.refuse(runtime, frame);
    } else if (frame.type === "job.subscribe") {
      if (frame.payload.job_id !== "job_7") peer.refuse(runtime, frame);
      else {
        peer.subscribed(runtime, frame, () => {
          const fields = peer === ruby ? { session_id: "ses_of_another" } : {};
          const seq = peer === ruby ? 40 : nextSeq(runtime);
          runtime.event("job_7", seq, "thought", { text: "history" }, fields);
        });
      }
    } else if (frame.type === "job.submit") {
      if (frame.payload.agent === "nobody") peer.refuseSubmit(runtime, frame);
      else submits.push(frame);
      if (submits.length < 2) return;
      // Where replies name their request they may come in any order.
      const [first, second] = submits as [Frame, Frame];
      peer.accept(runtime, second, "job_2");
      peer.accept(runtime, first, "job_1");
      submits = [];
    }
  };
}

describe.each([typescript, go, ruby, fsharp])("a $name server", (peer) => {
  it("is understood from the first message to the last", async () => {
    covers("V11-5.1-13", "V11-6.2-04", "V11-7.4-02", "V11-6.7-01");
    const runtime = new FakeRuntime();
    play(runtime, peer);
    const client = new ARCPClient({ token: "t", logger: silentLogger, requestTimeoutMs: 2_000, ...peer.options });
    const problems: unknown[] = [];
    client.on("error", (error) => problems.push(error));
    await client.connect(runtime.clientTransport);
    expect(client.session?.agents[0]?.name).toBe("echo");

    const [first, second] = await Promise.all([client.submit({ agent: "echo" }), client.submit({ agent: "echo" })]);
    expect([first.jobId, second.jobId]).toEqual(["job_1", "job_2"]);
    await expect(client.submit({ agent: "nobody" })).rejects.toBeInstanceOf(AgentNotAvailableError);

    runtime.send(
      "job.event",
      { kind: "log", body: { level: "INFO", message: "m" } },
      { job_id: "job_2", event_seq: nextSeq(runtime) },
    );
    peer.finish(runtime, "job_2", { n: 1 });
    expect((await collect(second)).at(-1)).toMatchObject({ kind: "log", body: { message: "m" } });
    expect((await second.done).result).toEqual({ n: 1 });

    await first.cancel("enough");
    await expect(first.done).rejects.toBeInstanceOf(CancelledError);
    expect(first.finalStatus).toBe("cancelled");
    await expect(client.cancelJob("job_404")).rejects.toBeInstanceOf(JobNotFoundError);

    const subscription = await client.subscribe("job_7", { history: true });
    await expect(client.subscribe("job_404")).rejects.toBeInstanceOf(JobNotFoundError);
    peer.finish(runtime, "job_7", 7);
    expect(await collect(subscription)).toHaveLength(1);
    expect((await subscription.done).result).toBe(7);

    const page = await client.listJobs();
    expect(page).toMatchObject({ jobs: [{ jobId: "job_1", status: "running" }], nextCursor: undefined });
    runtime.send("session.ping", { nonce: "n", sent_at: "2026-01-01T00:00:00Z" });
    await settle();
    expect(runtime.ofType("session.pong")).toHaveLength(1);
    await client.close();
    await client.closed;
    expect(problems).toEqual([]);
  });
});
