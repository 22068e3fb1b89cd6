/** Runtimes that are broken, slow, hostile or merely different: what a client must survive, and what it should understand. */
import type { ClientCase } from "../stage.ts";
import { AGENTS, ALL_FEATURES, Job, newJobId, openSession, positionOf, type Session } from "./session.ts";

/** Something that no runtime should send, with a job under way. The job ends as ever, if need be after a resume. */
interface Nuisance {
  readonly id: string;
  readonly title: string;
  readonly requirements?: readonly string[];
  readonly needs?: readonly string[];
  send(session: Session, job: Job): void;
}

const about = (job: Job): object => ({
  arcp: "1.1",
  id: `msg_${Math.random()}`,
  session_id: job.session.id,
  job_id: job.id,
});
const logBody = { kind: "log", ts: "2026-01-01T00:00:00.000Z", body: { level: "info", message: "forged" } };

const nuisances: readonly Nuisance[] = [
  {
    id: "no-json",
    title: "frames that are no JSON, or no object",
    send: ({ caller }) => {
      for (const text of ["{", "", "no", "[]", "[1,2]", '"text"', "null", "42", "{}", '{"type":5}', "}{"])
        caller.sendText(text);
    },
  },
  {
    id: "depth",
    title: "a frame of ten thousand brackets",
    send: ({ caller }) => caller.sendText(`{"payload":${"[".repeat(10_000)}${"]".repeat(10_000)}}`),
  },
  {
    id: "prototype",
    title: "members that are named like parts of an object",
    send: ({ caller }) => {
      caller.sendText(
        '{"arcp":"1.1","id":"msg_p","type":"session.pong","payload":{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}}',
      );
      caller.sendText(
        '{"__proto__":{"type":"session.error"},"arcp":"1.1","id":"msg_q","type":"session.pong","payload":{}}',
      );
    },
  },
  {
    id: "unknown-types",
    title: "messages of types that nobody knows",
    requirements: ["V11-15-01"],
    send: ({ caller }) => {
      for (const type of ["session.zzz", "job.zzz", "x-vendor.acme.news", "zzz", "tool.invoke", ""])
        caller.send(type, { any: 1 });
    },
  },
  {
    id: "other-version",
    title: "messages of another major version, or of none",
    send: (session, job) => {
      for (const arcp of ["2.0", "", null, 1.1]) {
        session.caller.send("job.result", { final_status: "success", result: "forged" }, { arcp, job_id: job.id });
      }
    },
  },
  {
    id: "client-messages",
    title: "messages that only clients send",
    send: ({ caller }, job) => {
      caller.send("session.hello", { client: { name: "x", version: "1" } });
      caller.send("job.submit", { agent: "echo", input: null });
      caller.send("job.cancel", { job_id: job.id }, { job_id: job.id });
      caller.send("session.ack", { last_processed_seq: 99 });
    },
  },
  {
    id: "stray-replies",
    title: "answers that nobody has asked for",
    send: ({ caller }) => {
      const reply = { request_id: "msg_nobody" };
      caller.send(
        "job.accepted",
        { ...reply, job_id: "job_stray", agent: "echo@1.0.0", lease: {} },
        { job_id: "job_stray", correlation_id: "msg_nobody" },
      );
      caller.send("session.jobs", { ...reply, jobs: [], next_cursor: null });
      caller.send(
        "job.subscribed",
        {
          ...reply,
          job_id: "job_stray",
          current_status: "running",
          agent: "echo@1.0.0",
          lease: {},
          subscribed_from: 0,
          replayed: false,
        },
        { job_id: "job_stray" },
      );
      caller.send("job.cancelled", { ...reply, job_id: "job_stray" }, { job_id: "job_stray" });
      caller.send("session.pong", { ping_nonce: "nobody's", received_at: "2026-01-01T00:00:00Z" });
      caller.send(
        "session.error",
        { ...reply, code: "INVALID_REQUEST", message: "whose?", retryable: false },
        { correlation_id: "msg_nobody" },
      );
    },
  },
  {
    id: "second-welcome",
    title: "a second welcome, of another session",
    send: ({ caller }) => {
      caller.send(
        "session.welcome",
        {
          runtime: { name: "other", version: "1" },
          resume_token: "resume_forged",
          resume_window_sec: 600,
          heartbeat_interval_sec: 30,
          capabilities: { encodings: ["json"], features: [], agents: [] },
        },
        { session_id: "sess_forged" },
      );
    },
  },
  {
    id: "wrong-members",
    title: "events whose members are of the wrong type",
    send: ({ caller }, job) => {
      caller.sendFrame({ ...about(job), type: "job.event", payload: null });
      caller.sendFrame({ ...about(job), type: "job.event", payload: [] });
      caller.sendFrame({ ...about(job), type: "job.event", payload: { kind: 7, ts: false, body: "x" } });
      caller.sendFrame({ ...about(job), type: "job.result", payload: "done" });
      caller.sendFrame({ ...about(job), job_id: 17, type: "job.event", payload: logBody });
    },
  },
  {
    id: "numbers",
    title: "numbers that are none, or too large",
    requirements: ["V11-5.2-03"],
    send: ({ caller }, job) => {
      for (const seq of ["9223372036854775808", "1e400", "-1", "1.5", '"1"', "null", "true"]) {
        const frame = JSON.stringify({ ...about(job), type: "job.event", event_seq: "HERE", payload: logBody });
        caller.sendText(frame.replace('"HERE"', seq));
      }
    },
  },
  {
    id: "another-session",
    title: "a message of a session that is not the client's",
    send: ({ caller }, job) => {
      caller.sendFrame({
        ...about(job),
        session_id: "sess_forged",
        type: "session.error",
        payload: { code: "UNAUTHENTICATED", message: "go away", retryable: false },
      });
    },
  },
  {
    id: "large",
    title: "an event of two mebibytes",
    send: (_session, job) => job.event("x-vendor.acme.blob", { data: "x".repeat(2 * 1024 * 1024) }),
  },
];

const WELL = "the job to end as ever";

export const hostile: readonly ClientCase[] = [
  ...nuisances.map(
    ({ id, title, requirements = ["V11-4-04"], needs, send }): ClientCase => ({
      id: `hostile/${id}`,
      wire: "1.1",
      requirements,
      title,
      ...(needs && { needs }),
      async run(stage) {
        const requirement = requirements[0] as string;
        const session = await openSession(stage);
        const job = await session.job();
        job.log("before");
        await session.caller.fence();
        send(session, job);
        await session.goesOn(requirement);
        job.log("after");
        job.result({ result: "done" });
        const { logs, result } = await job.wait(requirement);
        const own = logs.filter((message) => message !== "forged");
        stage.judge.that(requirement, WELL, own.join() === "before,after" && result === "done", { logs, result });
        const next = await session.job();
        next.result({ result: "next" });
        const ended = await next.wait(requirement);
        stage.judge.that(requirement, "the next job to end as ever", ended.result === "next", ended);
      },
    }),
  ),
  {
    id: "hostile/events-of-nobody",
    wire: "1.1",
    requirements: ["V11-4-04"],
    title: "events and endings of a job that the client knows nothing of",
    async run(stage) {
      const session = await openSession(stage);
      const stranger = new Job(session, newJobId());
      stranger.log("who am I?");
      stranger.result({ result: "nobody's" });
      const job = await session.job();
      job.result({ result: "done" });
      const { result } = await job.wait("V11-4-04");
      stage.judge.that("V11-4-04", WELL, result === "done", result);
    },
  },
  {
    id: "hostile/after-the-end",
    wire: "1.1",
    requirements: ["V11-4-04"],
    title: "what comes of a job after its end changes nothing: events, another result, an error",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      job.log("one");
      job.result({ result: "first" });
      job.log("late");
      job.result({ result: "second" });
      job.error({ code: "INTERNAL_ERROR" });
      const { logs, result, status } = await job.wait("V11-4-04");
      const isFirst = logs.join() === "one" && result === "first" && status === "success";
      stage.judge.that("V11-4-04", "the first end alone", isFirst, { logs, result, status });
      await session.goesOn("V11-4-04");
    },
  },
  {
    id: "hostile/back-in-time",
    wire: "1.1",
    requirements: ["V11-7.2-10"],
    title: "numbers that go back bring nothing new",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      for (const message of ["one", "two", "three"]) job.log(message);
      session.seq = 1;
      job.log("two, in other words");
      session.seq = 3;
      job.log("four");
      job.result();
      const { logs } = await job.wait("V11-7.2-10");
      stage.judge.that("V11-7.2-10", "four events", logs.join() === "one,two,three,four", logs);
    },
  },
  {
    id: "hostile/early",
    wire: "1.1",
    requirements: ["V11-4-04"],
    title: "events and the result of a job that overtake its acceptance",
    async run(stage) {
      const session = await openSession(stage);
      const submitting = session.client.starts("submit", { agent: "echo", input: null });
      const submit = await session.caller.next(undefined, "job.submit");
      const job = new Job(session, newJobId());
      job.log("early");
      job.result({ result: "done" });
      job.accept(submit);
      await submitting;
      const { result, logs } = await job.wait("V11-4-04");
      stage.judge.that("V11-4-04", "the event and the result", logs.join() === "early" && result === "done", {
        logs,
        result,
      });
    },
  },
  {
    id: "hostile/resume-ignored",
    wire: "1.1",
    requirements: ["V11-6.3-15"],
    title: "a runtime that ignores the resume and opens another session: jobs of the first are not waited for in vain",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      session.caller.cut();
      await session.back(undefined);
      session.welcome({}, { session_id: "sess_another_one" });
      session.caller.sessionId = "sess_another_one";
      const answering = session.caller
        .next(undefined, "job.subscribe")
        .then(({ id }) =>
          session.caller.send(
            "session.error",
            { code: "JOB_NOT_FOUND", message: "no", retryable: false, request_id: id },
            { correlation_id: id },
          ),
        );
      answering.catch(() => {
        // The client need not look for its job.
      });
      const { status } = await job.wait("V11-6.3-15");
      stage.judge.that("V11-6.3-15", "no success", status !== "success", status);
    },
  },
  {
    id: "hostile/cut-in-welcome",
    wire: "1.1",
    requirements: ["V11-6.3-03"],
    title: "a connection that is lost right after the welcome",
    async run(stage) {
      const session = await openSession(stage);
      session.caller.cut();
      for (let count = 0; count < 3; count += 1) {
        const { resumeToken } = session;
        const hello = await session.back("V11-6.3-03");
        const at = positionOf(hello);
        stage.judge.that("V11-6.3-03", `the token ${resumeToken}`, at.resumeToken === resumeToken, hello.payload);
        session.welcome();
        await session.caller.fence();
        session.caller.cut();
      }
      await session.back("V11-6.3-03");
      session.welcome();
      const job = await session.job();
      job.result({ result: "done" });
      const { result } = await job.wait("V11-6.3-03");
      stage.judge.that("V11-6.3-03", WELL, result === "done", result);
    },
  },
  {
    id: "hostile/cut-in-cancel",
    wire: "1.1",
    requirements: ["V11-7.4-01"],
    title: "a connection that is lost before the answer to a cancellation",
    async run(stage) {
      const session = await openSession(stage);
      const { client } = session;
      const job = await session.job();
      const cancelling = client.tell("cancel", { job_id: job.id });
      await session.caller.next(undefined, "job.cancel");
      session.caller.cut();
      await session.back(undefined);
      session.welcome();
      job.error({ code: "CANCELLED", final_status: "cancelled", message: "cancelled" });
      const { status } = await job.wait("V11-7.4-01");
      stage.judge.that("V11-7.4-01", "cancelled", status === "cancelled", status);
      await client.within("V11-7.4-01", "cancel to be over", cancelling);
    },
  },
  {
    id: "hostile/cut-in-close",
    wire: "1.1",
    requirements: ["V11-6.7-01"],
    title: "a connection that is lost before the answer to session.close",
    async run(stage) {
      const { client, caller } = await openSession(stage);
      caller.isObliging = false;
      const closing = client.starts("close", {}, "V11-6.7-01");
      await caller.next("V11-6.7-01", "session.close");
      caller.cut();
      await closing;
      stage.judge.that("V11-6.7-01", "no further connection", client.callers.length === 1, client.callers.length);
    },
  },
  {
    id: "hostile/unreachable",
    wire: "1.1",
    requirements: ["V11-6.3-03"],
    title: "a runtime that hangs up on every attempt for a while",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      session.caller.cut();
      for (let count = 0; count < 3; count += 1) {
        const caller = await session.client.caller("V11-6.3-03");
        caller.cut();
      }
      await session.back("V11-6.3-03");
      session.welcome();
      job.result({ result: "done" });
      const { result } = await job.wait("V11-6.3-03");
      stage.judge.that("V11-6.3-03", WELL, result === "done", result);
    },
  },
  {
    id: "hostile/slow",
    wire: "1.1",
    requirements: ["V11-4-04"],
    title: "a runtime that takes its time for every answer",
    async run(stage) {
      const client = stage.client();
      const connecting = client.starts("connect", client.terms);
      const caller = await client.caller(undefined);
      await caller.next(undefined, "session.hello");
      await caller.until(600, () => undefined);
      caller.sessionId = "sess_slow";
      const capabilities = { encodings: ["json"], features: ALL_FEATURES, agents: AGENTS };
      const times = { resume_window_sec: 600, heartbeat_interval_sec: 30, resume_token: "resume_slow" };
      caller.send("session.welcome", { runtime: { name: "slow", version: "1" }, ...times, capabilities });
      await connecting;
      const submitting = client.starts("submit", { agent: "echo", input: null });
      const submit = await caller.next(undefined, "job.submit");
      await caller.until(600, () => undefined);
      caller.send(
        "job.accepted",
        { job_id: "job_slow", agent: "echo@1.0.0", lease: {}, request_id: submit.id },
        { job_id: "job_slow", correlation_id: submit.id },
      );
      await submitting;
      caller.send("job.result", { final_status: "success", result: "done" }, { job_id: "job_slow", event_seq: 1 });
      const { result } = await client.does("wait", { job_id: "job_slow" }, "V11-4-04");
      stage.judge.that("V11-4-04", WELL, result === "done", result);
    },
  },
];
