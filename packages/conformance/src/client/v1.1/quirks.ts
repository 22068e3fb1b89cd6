/**
 * What other SDKs' runtimes really send, where the specification is silent or they go their own way. A client need not know
 * any of it: what it does not take, its users cannot use.
 */
import type { Frame } from "../../frame.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { AGENTS, ALL_FEATURES, Job, newJobId, openSession, type Session } from "./session.ts";

/** How an acceptance names its submission: the members of the envelope and of the payload that do. */
const CORRELATORS: readonly (readonly [
  string,
  string,
  (submit: Frame) => { members: JsonObject; payload: JsonObject },
])[] = [
  ["request-id", "by payload.request_id", ({ id }) => ({ members: {}, payload: { request_id: id } })],
  ["correlation-id", "by correlation_id", ({ id }) => ({ members: { correlation_id: id }, payload: {} })],
  ["reply-to", "by payload.reply_to", ({ id }) => ({ members: {}, payload: { reply_to: id } })],
  ["own-id", "by having its id", ({ id }) => ({ members: { id }, payload: {} })],
  ["trace", "by its trace", ({ trace_id }) => ({ members: { trace_id }, payload: { trace_id } })],
];

/** Submits without what the suite otherwise puts on an acceptance. */
function acceptAs(session: Session, job: Job, payload: JsonObject, members: JsonObject): void {
  const usual = { job_id: job.id, agent: "echo@1.0.0", lease: {}, accepted_at: new Date().toISOString() };
  session.caller.send("job.accepted", { ...usual, ...payload }, { job_id: job.id, ...members });
}

/** Something that an SDK's runtime sends in place of what the others do, about a job that ends with `done`. */
interface Manner {
  readonly id: string;
  readonly title: string;
  play(session: Session, job: Job): void;
  /** What the logs of the job are. Default: none. */
  readonly logs?: string;
  /** Default: `success` and `done`. */
  readonly end?: { readonly status: string; readonly result?: unknown };
}

const manners: readonly Manner[] = [
  {
    id: "output",
    title: "a result that is called output",
    play: (_session, job) => job.result({ output: "done" }),
  },
  {
    id: "unnumbered-result",
    title: "a result without event_seq, that names its job in the payload, too",
    play: ({ caller }, job) =>
      caller.send("job.result", { job_id: job.id, final_status: "success", result: "done" }, { job_id: job.id }),
  },
  {
    id: "no-timestamp",
    title: "events without ts",
    play: (session, job) => {
      session.numbered("job.event", job.id, { kind: "log", body: { level: "info", message: "one" } });
      job.result({ result: "done" });
    },
    logs: "one",
  },
  {
    id: "no-body",
    title: "events without a body",
    play: (session, job) => {
      session.numbered("job.event", job.id, { kind: "status", ts: "2026-01-01T00:00:00Z" });
      job.result({ result: "done" });
    },
  },
  {
    id: "first-number",
    title: "a first number that is not 1, of a session that was not seen from its beginning",
    play: (session, job) => {
      job.event("status", { phase: "running" });
      session.caller.send(
        "job.event",
        { kind: "log", ts: "2026-01-01T00:00:00Z", body: { level: "INFO", message: "one" } },
        { job_id: job.id, event_seq: 0 },
      );
      job.result({ result: "done" });
    },
    logs: "one",
  },
  {
    id: "error-without-message",
    title: "an error without a message and without retryable",
    play: (session, job) => session.numbered("job.error", job.id, { final_status: "cancelled", code: "CANCELLED" }),
    end: { status: "cancelled" },
  },
  {
    id: "cancelled-result",
    title: "a cancellation that is told by job.result",
    play: (_session, job) => job.result({ final_status: "cancelled" }),
    end: { status: "cancelled" },
  },
  {
    id: "no-final-status",
    title: "an ending without final_status",
    play: (session, job) => session.numbered("job.result", job.id, { result: "done" }),
  },
];

export const quirks: readonly ClientCase[] = [
  ...CORRELATORS.map(
    ([id, title, name]): ClientCase => ({
      id: `quirks/${id}`,
      wire: "1.1",
      requirements: [],
      title: `acceptances that name their submission ${title}, and come in another order`,
      async run(stage) {
        const session = await openSession(stage);
        const traces = ["4bf92f3577b34da6a3ce929d0e0e4736", "0af7651916cd43dd8448eb211c80319c"];
        const submitting = traces.map((trace_id, input) =>
          session.client.starts("submit", { agent: "echo", input, trace_id }),
        );
        const jobs = new Map<unknown, Job>();
        const submits: Frame[] = [];
        for (const _ of traces) submits.push(await session.caller.next(undefined, "job.submit"));
        for (const submit of submits.reverse()) {
          const job = new Job(session, newJobId());
          jobs.set(submit.payload?.input, job);
          const { members, payload } = name(submit);
          acceptAs(session, job, payload, members);
        }
        for (const [input, doing] of submitting.entries()) {
          const { job_id } = await doing;
          const expected = jobs.get(input)?.id;
          stage.judge.that(undefined, `submission ${input} to be ${expected}`, job_id === expected, job_id);
        }
      },
    }),
  ),
  {
    id: "quirks/in-order",
    wire: "1.1",
    requirements: [],
    title: "acceptances that name nothing, in the order of the submissions",
    async run(stage) {
      const session = await openSession(stage);
      const submitting = [0, 1].map((input) => session.client.starts("submit", { agent: "echo", input }));
      for (const _ of submitting) await session.caller.next(undefined, "job.submit");
      const jobs = submitting.map(() => new Job(session, newJobId()));
      for (const job of jobs) acceptAs(session, job, {}, {});
      for (const [place, doing] of submitting.entries()) {
        const { job_id } = await doing;
        stage.judge.that(undefined, `${jobs[place]?.id}`, job_id === jobs[place]?.id, job_id);
      }
    },
  },
  {
    id: "quirks/refused-by-job-error",
    wire: "1.1",
    requirements: [],
    title: "a submission that is refused by a job.error of a job that there is not",
    async run(stage) {
      const session = await openSession(stage);
      const submitting = session.client.fails(undefined, "submit", { agent: "none", input: null });
      const { trace_id } = await session.caller.next(undefined, "job.submit");
      const payload = {
        final_status: "error",
        code: "AGENT_NOT_AVAILABLE",
        message: "no such agent",
        retryable: false,
      };
      session.caller.send("job.error", payload, { job_id: newJobId(), ...(trace_id && { trace_id }) });
      const { code } = await submitting;
      stage.judge.that(undefined, "the code AGENT_NOT_AVAILABLE", code === "AGENT_NOT_AVAILABLE", code);
    },
  },
  {
    id: "quirks/refused-without-session",
    wire: "1.1",
    requirements: [],
    title: "a hello that is refused by a message without a session, on a connection that stays open",
    async run(stage) {
      const client = stage.client();
      const connecting = client.fails(undefined, "connect", client.terms);
      const caller = await client.caller(undefined);
      await caller.next(undefined, "session.hello");
      caller.send("session.error", { code: "UNAUTHENTICATED", message: "no", retryable: false });
      const { code } = await connecting;
      stage.judge.that(undefined, "the code UNAUTHENTICATED", code === "UNAUTHENTICATED", code);
      await caller.hangUp(undefined, "the client to hang up");
    },
  },
  {
    id: "quirks/flat-welcome",
    wire: "1.1",
    requirements: [],
    title: "a welcome with flat names",
    async run(stage) {
      const welcome = { runtime: undefined, runtime_name: "flat", runtime_version: "1.0.0" };
      const session = await openSession(stage, { welcome });
      const job = await session.job();
      job.result({ result: "done" });
      const { result } = await job.wait();
      stage.judge.that(undefined, "the job to end as ever", result === "done", result);
    },
  },
  {
    id: "quirks/bare-agents",
    wire: "1.1",
    requirements: [],
    title: "agents without versions, or with further members",
    async run(stage) {
      const agents = [{ name: "one" }, { name: "two", bare: true }, ...AGENTS];
      const { connected } = await openSession(stage, {
        welcome: { capabilities: { encodings: ["json"], features: ALL_FEATURES, agents } },
      });
      const names = Array.isArray(connected["agents"]) ? connected["agents"].join() : "";
      stage.judge.that(undefined, "one, two and echo", names === "one,two,echo", connected);
    },
  },
  {
    id: "quirks/old-version",
    wire: "1.1",
    requirements: [],
    title: 'a runtime that calls the version "1"',
    async run(stage) {
      const session = await openSession(stage, { members: { arcp: "1" } });
      const submitting = session.client.starts("submit", { agent: "echo", input: null });
      const submit = await session.caller.next(undefined, "job.submit");
      const job = new Job(session, newJobId());
      job.accept(submit, {}, { arcp: "1" });
      await submitting;
      job.result({ result: "done" }, { arcp: "1" });
      const { result } = await job.wait();
      stage.judge.that(undefined, "the job to end as ever", result === "done", result);
    },
  },
  {
    id: "quirks/numbered-cancelled",
    wire: "1.1",
    requirements: [],
    title: "a job.cancelled that has a number",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const cancelling = session.client.starts("cancel", { job_id: job.id });
      await session.caller.next(undefined, "job.cancel");
      session.numbered("job.cancelled", job.id, { job_id: job.id });
      await cancelling;
      job.error({ code: "CANCELLED", final_status: "cancelled", message: "" });
      const { status } = await job.wait();
      stage.judge.that(undefined, "cancelled", status === "cancelled", status);
      await session.goesOn(undefined);
    },
  },
  {
    id: "quirks/history-first",
    wire: "1.1",
    requirements: [],
    title: "a history that comes before job.subscribed",
    async run(stage) {
      const session = await openSession(stage);
      const job = new Job(session, newJobId());
      const observing = session.client.starts("subscribe", { job_id: job.id, history: true });
      const { id } = await session.caller.next(undefined, "job.subscribe");
      job.log("one");
      job.log("two");
      const payload = { job_id: job.id, current_status: "running", agent: "echo@1.0.0", lease: {}, replayed: 2 };
      session.caller.send("job.subscribed", { ...payload, subscribed_from: 2, request_id: id }, { job_id: job.id });
      await observing;
      job.log("three");
      job.result({ result: "done" });
      const { logs } = await job.wait();
      stage.judge.that(undefined, "three logs", logs.join() === "one,two,three", logs);
    },
  },
  {
    id: "quirks/owner-numbers",
    wire: "1.1",
    requirements: [],
    title: "an observed job whose events have the session and the numbers of whoever submitted it",
    async run(stage) {
      const session = await openSession(stage);
      const own = await session.job();
      own.log("mine");
      const job = new Job(session, newJobId());
      const observing = session.client.starts("subscribe", { job_id: job.id, history: true });
      const { id } = await session.caller.next(undefined, "job.subscribe");
      const payload = { job_id: job.id, current_status: "running", agent: "echo@1.0.0", lease: {}, replayed: true };
      session.caller.send("job.subscribed", { ...payload, subscribed_from: 70, request_id: id }, { job_id: job.id });
      await observing;
      const foreign = { session_id: "sess_of_the_owner", job_id: job.id };
      for (const event_seq of [70, 75]) {
        const body = { level: "info", message: `theirs ${event_seq}` };
        session.caller.send(
          "job.event",
          { kind: "log", ts: new Date().toISOString(), body },
          { ...foreign, event_seq },
        );
      }
      session.caller.send("job.result", { final_status: "success" }, { ...foreign, event_seq: 76 });
      const { logs } = await job.wait();
      stage.judge.that(undefined, "theirs", logs.join() === "theirs 70,theirs 75", logs);
      own.result({ result: "done" });
      const { result } = await own.wait();
      stage.judge.that(undefined, "one's own job undisturbed", result === "done", result);
    },
  },
  ...manners.map(
    ({ id, title, play, logs: expectedLogs = "", end = { status: "success", result: "done" } }): ClientCase => ({
      id: `quirks/${id}`,
      wire: "1.1",
      requirements: [],
      title,
      async run(stage) {
        const session = await openSession(stage);
        const job = await session.job();
        play(session, job);
        const { status, result, logs } = await job.wait();
        const isRight = status === end.status && result === end.result && logs.join() === expectedLogs;
        stage.judge.that(undefined, JSON.stringify({ ...end, logs: expectedLogs }), isRight, { status, result, logs });
      },
    }),
  ),
];
