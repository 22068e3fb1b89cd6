/** What every message of a client looks like (§4, §5), and what it takes. */
import type { Frame } from "../../frame.ts";
import { anObject, aSortableId, aTraceId, perhaps, someText } from "../../matcher.ts";
import { type Conversation, casesOf, type Rule } from "../rule.ts";
import type { ClientCase, JsonObject, Stage } from "../stage.ts";
import { Job, newJobId, openSession, type Session } from "./session.ts";

interface TwoConnections extends Conversation {
  /** On its second connection. */
  readonly again: readonly Frame[];
}

/** Job-scoped messages of clients. */
const OF_JOBS: ReadonlySet<unknown> = new Set(["job.cancel", "job.subscribe", "job.unsubscribe"]);

function* numbersIn(value: unknown): Generator<number> {
  if (typeof value === "number") yield value;
  else if (typeof value === "object" && value !== null) for (const part of Object.values(value)) yield* numbersIn(part);
}

const rules: readonly Rule<TwoConnections>[] = [
  {
    id: "one-object",
    requirement: "V11-4.1-01",
    title: "every message is one JSON object in a frame of text",
    needs: ["websocket"],
    judge: ({ judge }, _frames, { garbage }) =>
      judge.that("V11-4.1-01", "JSON objects in frames of text", garbage.length === 0, garbage),
  },
  {
    id: "one-line",
    requirement: "V11-4.2-01",
    title: "every message is one line of JSON",
    needs: ["stdio"],
    judge: ({ judge }, _frames, { garbage }) =>
      judge.that("V11-4.2-01", "one JSON object per line", garbage.length === 0, garbage),
  },
  {
    id: "no-raw-newline",
    requirement: "V11-4.2-02",
    title: "a text with line ends is one line",
    needs: ["stdio"],
    judge: ({ judge }, frames, { garbage }) => {
      const text = frames.find(({ type }) => type === "job.submit")?.payload?.input?.text;
      judge.that("V11-4.2-02", "line ends inside of texts to be escaped", garbage.length === 0, garbage);
      judge.that("V11-4.2-02", "the text to arrive as it was", text === TEXT, text);
    },
  },
  {
    id: "arcp",
    requirement: "V11-5.1-01",
    title: "every message names the version, and always the same",
    judge: ({ judge }, frames) => {
      const versions = [...new Set(frames.map(({ arcp }) => arcp))];
      const isVersion = versions.length === 1 && /^1(?:\.\d+)?$/.test(String(versions[0]));
      judge.that("V11-5.1-01", "one version of 1", isVersion && typeof versions[0] === "string", versions);
    },
  },
  {
    id: "ids",
    requirement: "V11-5.1-02",
    title: "every message has an id of its own",
    judge: ({ judge }, frames) => {
      for (const { id } of frames) judge.expect("V11-5.1-02", "id", id, someText);
      const ids = frames.map(({ id }) => id);
      const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
      judge.that("V11-5.1-02", "no id twice", twice.length === 0, twice);
    },
  },
  {
    id: "id-form",
    requirement: "V11-5.1-03",
    title: "ids are ULIDs or UUIDs of version 7",
    judge: ({ judge }, frames) => {
      for (const { id } of frames) judge.expect("V11-5.1-03", "id", id, aSortableId);
    },
  },
  {
    id: "types",
    requirement: "V11-5.1-04",
    title: "every message has a type",
    judge: ({ judge }, frames) => {
      for (const { type } of frames) judge.expect("V11-5.1-04", "type", type, someText);
    },
  },
  {
    id: "session-id",
    requirement: "V11-5.1-05",
    title: "after the welcome every message names the session",
    judge: ({ judge }, _frames, { later }) => {
      for (const { type, session_id } of later) {
        judge.that("V11-5.1-05", `${type} to name the session`, typeof session_id === "string", { type, session_id });
      }
    },
  },
  {
    id: "trace-ids",
    requirement: "V11-5.1-08",
    title: "trace ids have the form of W3C",
    judge: ({ judge }, frames) => {
      for (const { trace_id } of frames) judge.expect("V11-5.1-08", "trace_id", trace_id, perhaps(aTraceId));
    },
  },
  {
    id: "job-ids",
    requirement: "V11-5.1-09",
    title: "what is about a job names it on the envelope",
    judge: ({ judge }, frames) => {
      for (const { type, job_id } of frames) {
        if (OF_JOBS.has(type)) judge.expect("V11-5.1-09", `${type}.job_id`, job_id, someText);
      }
    },
  },
  {
    id: "payloads",
    requirement: "V11-5.1-12",
    title: "every payload is an object",
    judge: ({ judge }, frames) => {
      for (const { type, payload } of frames) judge.expect("V11-5.1-12", `${type}.payload`, payload, anObject);
    },
  },
  {
    id: "integers",
    requirement: "V11-5.2-03",
    title: "numbers of the protocol fit into 64 bits",
    judge: ({ judge }, frames) => {
      const large = frames.flatMap((frame) => [...numbersIn(frame)]).filter((number) => Math.abs(number) >= 2 ** 63);
      judge.that("V11-5.2-03", "numbers below 2^63", large.length === 0, large);
    },
  },
  {
    id: "ack-unnumbered",
    requirement: "V11-6.5-06",
    title: "what a client sends has no event_seq",
    judge: ({ judge }, frames) => {
      const numbered = frames.filter(({ event_seq }) => event_seq !== undefined && event_seq !== null);
      judge.that("V11-6.5-06", "no event_seq", numbered.length === 0, numbered);
    },
  },
  {
    id: "trace-without-secrets",
    requirement: "V11-14-05",
    title: "no secret is in the trace context",
    judge: (stage, frames) => {
      const secrets = [stage.options.token, ...SECRETS];
      const context = frames.map(({ trace_id, traceparent, tracestate, baggage, extensions }) =>
        JSON.stringify({ trace_id, traceparent, tracestate, baggage, extensions }),
      );
      const told = context.filter((text) => secrets.some((secret) => text.includes(secret)));
      stage.judge.that("V11-14-05", "neither tokens nor credentials", told.length === 0, told);
    },
  },
];

const TEXT = "one\ntwo\r\nthree\u2028four 😀 e\u0301";
const SECRETS = ["credential-value-5f1e0c"];

/** A bit of everything that a client says, over two connections. */
async function converse(stage: Stage): Promise<TwoConnections> {
  const session = await openSession(stage);
  const { client } = session;
  const first = session.caller;
  const credentials = [{ id: "cred_1", scheme: "bearer", value: SECRETS[0], endpoint: "https://models.example/v1" }];
  const job = await session.job({ input: { text: TEXT }, idempotency_key: "key-1" }, { credentials });
  for (let count = 0; count < 5; count += 1) job.log(`event ${count}`);
  const observing = client.starts("subscribe", { job_id: "job_observed", history: true });
  const subscribe = await first.next(undefined, "job.subscribe");
  const observed = { job_id: "job_observed", current_status: "running", agent: "echo@1.0.0", lease: {} };
  const about = { job_id: "job_observed", correlation_id: subscribe.id };
  first.send("job.subscribed", { ...observed, subscribed_from: 5, replayed: false, request_id: subscribe.id }, about);
  await observing;
  await client.does("unsubscribe", { job_id: "job_observed" });
  const listing = client.starts("list");
  const list = await first.next(undefined, "session.list_jobs");
  first.send("session.jobs", { request_id: list.id, jobs: [], next_cursor: null });
  await listing;
  await first.fence();
  await first.until(400, () => first.ofType("session.ack")[0]);
  first.cut();
  await session.back(undefined);
  session.welcome();
  const cancelling = client.starts("cancel", { job_id: job.id, reason: "enough" });
  const cancel = await session.caller.next(undefined, "job.cancel");
  session.caller.send(
    "job.cancelled",
    { job_id: job.id, request_id: cancel.id },
    { job_id: job.id, correlation_id: cancel.id },
  );
  await cancelling;
  job.error({ code: "CANCELLED", final_status: "cancelled", message: "cancelled" });
  await job.wait();
  await client.does("close");
  const [, ...later] = first.frames;
  const [, ...laterAgain] = session.caller.frames;
  return {
    frames: [...first.frames, ...session.caller.frames],
    garbage: [...first.garbage, ...session.caller.garbage],
    later: [...later, ...laterAgain],
    again: session.caller.frames,
  };
}

export const envelopes: readonly ClientCase[] = [
  ...casesOf("1.1", rules, converse),
  {
    id: "envelopes/unknown-members",
    wire: "1.1",
    requirements: ["V11-5.1-13"],
    title: "members that the client does not know are ignored, on the envelope and in payloads",
    async run(stage) {
      const extra = {
        priority: "high",
        "x-foo": { deep: [1, null] },
        causation_id: "msg_0",
        extensions: {},
        zzz: null,
      };
      const session = await openSession(stage, { members: extra, welcome: { "x-vendor.acme.hint": 1, later: {} } });
      const submitting = session.client.starts("submit", { agent: "echo", input: null }, "V11-5.1-13");
      const submit = await session.caller.next("V11-5.1-13", "job.submit");
      const job = jobOf(session, submit, extra);
      await submitting;
      job.log("one", extra);
      job.event("log", { level: "info", message: "two", later: true });
      job.result({ result: "done", later: [] }, extra);
      const { logs, result } = await job.wait("V11-5.1-13");
      stage.judge.that("V11-5.1-13", "two logs", logs.join() === "one,two", logs);
      stage.judge.that("V11-5.1-13", "the result", result === "done", result);
    },
  },
  {
    id: "envelopes/absent-as-null",
    wire: "1.1",
    requirements: ["V11-5.1-13"],
    title: "members that are null are taken for absent",
    async run(stage) {
      const session = await openSession(stage);
      const nothing = { trace_id: null, extensions: null, correlation_id: null };
      const job = await session.job(
        {},
        { lease_constraints: null, budget: null, credentials: null, parent_job_id: null },
      );
      job.log("one", nothing);
      job.result({ result: "done", summary: null, result_id: null, result_size: null }, nothing);
      const { logs, result } = await job.wait("V11-5.1-13");
      stage.judge.that("V11-5.1-13", "the log and the result", logs.join() === "one" && result === "done", {
        logs,
        result,
      });
    },
  },
  {
    id: "envelopes/unicode",
    wire: "1.1",
    requirements: ["V11-5.2-02"],
    title: "texts of all alphabets arrive as they were, both ways",
    async run(stage) {
      const text = "😀 e\u0301 \u{10ffff} ﷽ \u2028 \ufeff \u007f Ω";
      const session = await openSession(stage);
      const submitting = session.client.starts("submit", { agent: "echo", input: { text } });
      const submit = await session.caller.next("V11-5.2-02", "job.submit");
      stage.judge.that("V11-5.2-02", "the input as it was", submit.payload?.input?.text === text, submit.payload);
      const job = jobOf(session, submit);
      await submitting;
      job.log(text);
      job.result({ result: text });
      const { logs, result } = await job.wait("V11-5.2-02");
      stage.judge.that("V11-5.2-02", "the log and the result as they were", logs[0] === text && result === text, {
        logs,
        result,
      });
    },
  },
  {
    id: "envelopes/not-utf-8",
    wire: "1.1",
    requirements: ["V11-5.2-02"],
    title: "what is not UTF-8 ends the connection at most",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      session.caller.sendBytes(
        Buffer.from('{"arcp":"1.1","id":"msg_x","type":"session.\xff\xfe","payload":{}}', "latin1"),
      );
      await session.goesOn("V11-5.2-02");
      job.result({ result: "done" });
      const { result } = await job.wait("V11-5.2-02");
      stage.judge.that("V11-5.2-02", "the job to end as ever", result === "done", result);
    },
  },
  {
    id: "envelopes/binary",
    wire: "1.1",
    requirements: ["V11-4.1-02"],
    title: "a binary frame is no message",
    needs: ["websocket"],
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const forged = { arcp: "1.1", id: "msg_forged", type: "job.result", session_id: session.id, job_id: job.id };
      const payload = { final_status: "success", result: "from a binary frame" };
      session.caller.sendBinary(Buffer.from(JSON.stringify({ ...forged, event_seq: 1, payload })));
      await session.goesOn("V11-4.1-02", 0);
      job.result({ result: "from a frame of text" });
      const { result } = await job.wait("V11-4.1-02");
      stage.judge.that("V11-4.1-02", "the result of the frame of text", result === "from a frame of text", result);
    },
  },
];

function jobOf(session: Session, submit: Frame, members: JsonObject = {}): Job {
  const job = new Job(session, newJobId());
  job.accept(submit, {}, members);
  return job;
}
