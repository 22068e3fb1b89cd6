/** How a client submits, follows, cancels and observes jobs (§7–§12). */
import { networkInterfaces } from "node:os";
import { NotHere } from "../../judge.ts";
import { is, isSame, shape } from "../../matcher.ts";
import type { ClientCase, JsonObject, Stage } from "../stage.ts";
import { Job, newJobId, openSession, type Session, toEnded } from "./session.ts";

const hours = (count: number): string => new Date(Date.now() + count * 3_600_000).toISOString();

/** Has the client submit something, and resolves with the frame; the job is accepted and ended. */
async function submitted(stage: Stage, terms: JsonObject, requirement: string) {
  const session = await openSession(stage);
  const submitting = session.client.starts("submit", terms, requirement);
  const submit = await session.caller.next(requirement, "job.submit");
  const job = new Job(session, newJobId());
  job.accept(submit);
  await submitting;
  job.result();
  await job.wait(requirement);
  return submit;
}

/** The client observes a job of somebody else's; answers `job.subscribe`. */
async function observed(session: Session, terms: JsonObject, requirement?: string) {
  const jobId = newJobId();
  const observing = session.client.starts("subscribe", { job_id: jobId, ...terms }, requirement);
  const subscribe = await session.caller.next(requirement, "job.subscribe");
  const payload = { job_id: jobId, current_status: "running", agent: "echo@1.0.0", lease: {}, parent_job_id: null };
  session.caller.send(
    "job.subscribed",
    { ...payload, subscribed_from: session.seq, replayed: false, request_id: subscribe.id },
    { job_id: jobId, correlation_id: subscribe.id },
  );
  await observing;
  return { subscribe, job: new Job(session, jobId) };
}

const chunk = (job: Job, chunk_seq: number, data: string, encoding: string, more: boolean): void =>
  job.event("result_chunk", { result_id: "res_1", chunk_seq, data, encoding, more });

export const jobs: readonly ClientCase[] = [
  // --- Submission (§7.1, §7.5, §9, §11) -------------------------------------------------------------------------------
  {
    id: "submit/everything",
    wire: "1.1",
    requirements: ["V11-7.1-01", "V11-9.5-01", "V11-9.2-01"],
    title: "everything that a submission can say is under its name",
    async run(stage) {
      const lease_request = {
        "fs.read": ["/srv/app/**"],
        "fs.write": ["/srv/app/out/*"],
        "net.fetch": ["https://api.example.com/**"],
        "tool.call": ["search", "mail.*"],
        "agent.delegate": ["helper"],
        "cost.budget": ["USD:5.00"],
        "model.use": ["small/*"],
      };
      const lease_constraints = { expires_at: hours(1) };
      const terms = { agent: "echo", input: { deep: [1, "two", null, { three: 3.5 }] } };
      const more = { lease_request, lease_constraints, idempotency_key: "the-key", max_runtime_sec: 30 };
      const { payload } = await submitted(stage, { ...terms, ...more }, "V11-7.1-01");
      const expected = shape({
        ...{ agent: is("echo"), input: is(terms.input), idempotency_key: is("the-key"), max_runtime_sec: is(30) },
      });
      stage.judge.expect("V11-7.1-01", "job.submit.payload", payload, expected);
      stage.judge.expect("V11-9.2-01", "job.submit.payload.lease_request", payload.lease_request, is(lease_request));
      const expires = payload.lease_constraints?.expires_at;
      const isSameInstant = Date.parse(expires) === Date.parse(lease_constraints.expires_at) && /Z$/.test(expires);
      stage.judge.that("V11-9.5-01", `expires_at ${lease_constraints.expires_at}`, isSameInstant, expires);
    },
  },
  {
    id: "submit/nothing",
    wire: "1.1",
    requirements: ["V11-7.1-01"],
    title: "what is not asked for is left out",
    async run(stage) {
      const { payload } = await submitted(stage, { agent: "echo", input: {} }, "V11-7.1-01");
      stage.judge.expect("V11-7.1-01", "job.submit.payload", payload, shape({ agent: is("echo"), input: is({}) }));
      const optional = ["lease_request", "lease_constraints", "max_runtime_sec"];
      const there = optional.filter((name) => payload[name] !== undefined);
      stage.judge.that("V11-7.1-01", "no option that was not set", there.length === 0, payload);
    },
  },
  {
    id: "submit/version",
    wire: "1.1",
    requirements: ["V11-7.5-01", "V11-7.5-05"],
    title: "a version that is asked for is named, and not rewritten",
    async run(stage) {
      const { payload } = await submitted(stage, { agent: "echo@2.0.0", input: null }, "V11-7.5-01");
      stage.judge.expect("V11-7.5-05", "job.submit.payload.agent", payload.agent, is("echo@2.0.0"));
      stage.judge.expect("V11-7.5-01", "job.submit.payload.agent", payload.agent, is("echo@2.0.0"));
    },
  },
  {
    id: "submit/trace",
    wire: "1.1",
    requirements: ["V11-11-01", "V11-5.1-07"],
    title: "the caller's trace goes along",
    async run(stage) {
      const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
      const { trace_id: sent } = await submitted(stage, { agent: "echo", input: null, trace_id }, "V11-11-01");
      stage.judge.expect("V11-11-01", "job.submit.trace_id", sent, is(trace_id));
      stage.judge.expect("V11-5.1-07", "job.submit.trace_id", sent, is(trace_id));
    },
  },
  {
    id: "submit/refused",
    wire: "1.1",
    requirements: ["V11-12-09", "V11-12-08"],
    title: "a refusal is reported with its code, known or not, and is no end of the session",
    async run(stage) {
      const session = await openSession(stage);
      for (const code of ["AGENT_NOT_AVAILABLE", "X_UNKNOWN"]) {
        const submitting = session.client.fails("V11-12-09", "submit", { agent: "echo", input: null });
        const submit = await session.caller.next(undefined, "job.submit");
        const payload = { code, message: "no", retryable: false, request_id: submit.id };
        session.caller.send("session.error", payload, { correlation_id: submit.id, trace_id: submit.trace_id });
        const error = await submitting;
        stage.judge.that("V11-12-09", `the code ${code}`, error.code === code, error);
      }
      const job = await session.job();
      job.result({ result: "done" });
      const { result } = await job.wait("V11-12-09");
      stage.judge.that("V11-12-09", "the next job to end as ever", result === "done", result);
      stage.judge.that("V11-12-08", "no submission twice", session.caller.ofType("job.submit").length === 3, "more");
    },
  },
  {
    id: "submit/retry",
    wire: "1.1",
    requirements: ["V11-12-08"],
    title: "what may be tried again is tried again with the same key, and nothing else is",
    async run(stage) {
      const session = await openSession(stage);
      const { client, caller } = session;
      const refuse = async (retryable: boolean) => {
        const submit = await caller.next("V11-12-08", "job.submit");
        const payload = { code: retryable ? "INTERNAL_ERROR" : "PERMISSION_DENIED", message: "no", retryable };
        caller.send(
          "session.error",
          { ...payload, request_id: submit.id },
          { correlation_id: submit.id, trace_id: submit.trace_id },
        );
        return submit;
      };
      const failing = client.fails("V11-12-08", "submit", { agent: "echo", input: 1, retry: true });
      await refuse(false);
      await failing;
      await caller.fence();
      stage.judge.that("V11-12-08", "no second attempt", caller.ofType("job.submit").length === 1, "one more");
      const submitting = client.starts("submit", { agent: "echo", input: 2, retry: true });
      const first = await refuse(true);
      const second = await caller.next("V11-12-08", "job.submit");
      const keys = [first, second].map(({ payload }) => payload?.idempotency_key);
      stage.judge.that("V11-12-08", "one key for both", typeof keys[0] === "string" && keys[0] === keys[1], keys);
      new Job(session, newJobId()).accept(second);
      await submitting;
    },
  },
  {
    id: "submit/cut",
    wire: "1.1",
    requirements: ["V11-6.3-03"],
    title: "a submission whose answer was lost is made again under its key, or fails; it does not hang",
    async run(stage) {
      const session = await openSession(stage);
      const submitting = session.client.tell("submit", { agent: "echo", input: null, idempotency_key: "key-cut" });
      await session.caller.next(undefined, "job.submit");
      session.caller.cut();
      await session.back("V11-6.3-03");
      session.welcome();
      const { caller } = session;
      const again = await Promise.race([submitting, caller.next("V11-6.3-03", "job.submit")]);
      if ("error" in again) return;
      const frame = again as Awaited<ReturnType<typeof caller.next>>;
      stage.judge.that("V11-6.3-03", "the same key", frame.payload?.idempotency_key === "key-cut", frame.payload);
      const job = new Job(session, newJobId());
      job.accept(frame);
      await session.client.within("V11-6.3-03", "submit to succeed", submitting);
      job.result({ result: "done" });
      stage.judge.that("V11-6.3-03", "the result", (await job.wait()).result === "done", "another one");
    },
  },
  {
    id: "submit/in-any-order",
    wire: "1.1",
    requirements: ["V11-5.1-09"],
    title: "several submissions at a time, and their events mixed: each to its job",
    async run(stage) {
      const session = await openSession(stage);
      const inputs = ["a", "b", "c"];
      const submitting = inputs.map((input) => session.client.starts("submit", { agent: "echo", input }));
      const submits = [];
      for (const _ of inputs) submits.push(await session.caller.next(undefined, "job.submit"));
      const all = submits.map((submit) => ({ submit, job: new Job(session, newJobId()) }));
      for (const { submit, job } of all) job.accept(submit);
      const reported = (await Promise.all(submitting)).map(({ job_id }) => job_id);
      const jobOf = (input: string): Job => all.find(({ submit }) => submit.payload?.input === input)?.job as Job;
      const expected = inputs.map((input) => jobOf(input)?.id);
      stage.judge.that("V11-5.1-09", `${expected}`, isSame(reported, expected), reported);
      for (let round = 0; round < 3; round += 1) for (const input of inputs) jobOf(input).log(`${input}${round}`);
      for (const input of [...inputs].reverse()) jobOf(input).result({ result: input });
      for (const input of inputs) {
        const { logs, result } = await jobOf(input).wait("V11-5.1-09");
        const isOwn = logs.join() === [0, 1, 2].map((round) => `${input}${round}`).join() && result === input;
        stage.judge.that("V11-5.1-09", `the events and the result of ${input}`, isOwn, { logs, result });
      }
    },
  },
  {
    id: "submit/plain-text",
    wire: "1.1",
    requirements: ["V11-14-01", "V11-4.1-03"],
    title: "no token goes over a connection that others can read",
    needs: ["websocket"],
    async run(stage) {
      const host = Object.values(networkInterfaces())
        .flatMap((addresses) => addresses ?? [])
        .find(({ family, internal }) => family === "IPv4" && !internal)?.address;
      if (host === undefined) throw new NotHere("this machine has no address but loopback");
      const client = stage.client("websocket", await stage.harbourAt(host));
      stage.judge.looksAt("V11-14-01");
      const hello = client.caller(undefined).then((caller) => caller.next(undefined, "session.hello"));
      const connecting = client.tell("connect", client.terms);
      const first = await client.within("V11-4.1-03", "connect to fail", Promise.race([connecting, hello]));
      stage.judge.that("V11-14-01", "nothing to be sent to ws:// on a network", !("type" in first), first);
      stage.judge.that("V11-4.1-03", "connect to fail", "error" in first, first);
    },
  },

  // --- Cancelling (§7.4) ----------------------------------------------------------------------------------------------
  {
    id: "cancel/request",
    wire: "1.1",
    requirements: ["V11-7.4-01", "V11-7.4-02"],
    title: "a cancellation names the job on the envelope, and says why",
    async run(stage) {
      const session = await openSession(stage);
      const { client, caller } = session;
      const job = await session.job();
      const cancelling = client.starts("cancel", { job_id: job.id, reason: "changed my mind" }, "V11-7.4-01");
      const cancel = await caller.next("V11-7.4-01", "job.cancel");
      stage.judge.expect("V11-7.4-02", "job.cancel.job_id", cancel.job_id, is(job.id));
      stage.judge.expect("V11-7.4-02", "job.cancel.payload.reason", cancel.payload?.reason, is("changed my mind"));
      caller.send(
        "job.cancelled",
        { job_id: job.id, request_id: cancel.id },
        { job_id: job.id, correlation_id: cancel.id },
      );
      await cancelling;
      job.log("unwinding");
      job.error({ code: "CANCELLED", final_status: "cancelled", message: "changed my mind" });
      const ended = await job.wait("V11-7.4-01");
      stage.judge.that("V11-7.4-01", "the status cancelled", ended.status === "cancelled", ended);
      stage.judge.that("V11-7.4-01", "what it said on its way out", ended.logs.join() === "unwinding", ended.logs);
    },
  },
  {
    id: "cancel/refused",
    wire: "1.1",
    requirements: ["V11-7.4-01"],
    title: "a cancellation that is refused is reported, and the job goes on",
    async run(stage) {
      const session = await openSession(stage);
      const { client, caller } = session;
      const job = await session.job();
      const cancelling = client.fails("V11-7.4-01", "cancel", { job_id: job.id });
      const cancel = await caller.next("V11-7.4-01", "job.cancel");
      const refusal = { code: "PERMISSION_DENIED", message: "not yours", retryable: false, request_id: cancel.id };
      caller.send("session.error", refusal, { job_id: job.id, correlation_id: cancel.id });
      const { code } = await cancelling;
      stage.judge.that("V11-7.4-01", "the code PERMISSION_DENIED", code === "PERMISSION_DENIED", code);
      job.result({ result: "done" });
      const { result } = await job.wait("V11-7.4-01");
      stage.judge.that("V11-7.4-01", "the result", result === "done", result);
    },
  },
  {
    id: "cancel/too-late",
    wire: "1.1",
    requirements: ["V11-7.4-01"],
    title: "a job that ends while it is being cancelled has its own end",
    async run(stage) {
      const session = await openSession(stage);
      const { client, caller } = session;
      const job = await session.job();
      const cancelling = client.tell("cancel", { job_id: job.id });
      const cancel = await caller.next("V11-7.4-01", "job.cancel");
      job.result({ result: "done" });
      const refusal = { code: "INVALID_REQUEST", message: "it is over", retryable: false, request_id: cancel.id };
      caller.send("session.error", refusal, { job_id: job.id, correlation_id: cancel.id });
      await client.within("V11-7.4-01", "cancel to be over", cancelling);
      const { status, result } = await job.wait("V11-7.4-01");
      stage.judge.that("V11-7.4-01", "success", status === "success" && result === "done", { status, result });
    },
  },

  // --- Observing (§7.6) -----------------------------------------------------------------------------------------------
  {
    id: "subscribe/request",
    wire: "1.1",
    requirements: ["V11-7.6-01", "V11-7.6-02"],
    title: "an observer names the job, and from where it wants its history",
    async run(stage) {
      const session = await openSession(stage);
      const { subscribe, job } = await observed(session, { history: true, from_event_seq: 7 }, "V11-7.6-01");
      const expected = shape({ job_id: is(job.id), history: is(true), from_event_seq: is(7) });
      stage.judge.expect("V11-7.6-02", "job.subscribe.payload", subscribe.payload, expected);
      const other = await observed(session, {}, "V11-7.6-01");
      const { history } = other.subscribe.payload;
      stage.judge.that("V11-7.6-02", "no history unless it is asked for", history !== true, other.subscribe.payload);
      job.log("seen");
      job.result({ result: "done" });
      const { logs, result } = await job.wait("V11-7.6-01");
      stage.judge.that("V11-7.6-01", "the event and the result", logs.join() === "seen" && result === "done", {
        logs,
        result,
      });
    },
  },
  {
    id: "subscribe/end",
    wire: "1.1",
    requirements: ["V11-7.6-18"],
    title: "an observer that has seen enough says so",
    async run(stage) {
      const session = await openSession(stage);
      const { job } = await observed(session, {});
      await session.client.does("unsubscribe", { job_id: job.id }, "V11-7.6-18");
      const { payload } = await session.caller.next("V11-7.6-18", "job.unsubscribe");
      stage.judge.expect("V11-7.6-18", "job.unsubscribe.payload.job_id", payload?.job_id, is(job.id));
      job.log("late");
      await session.goesOn("V11-7.6-18");
    },
  },
  {
    id: "subscribe/refused",
    wire: "1.1",
    requirements: ["V11-7.6-01"],
    title: "a subscription that is refused is reported",
    async run(stage) {
      const { client, caller } = await openSession(stage);
      const observing = client.fails("V11-7.6-01", "subscribe", { job_id: "job_hidden" });
      const subscribe = await caller.next("V11-7.6-01", "job.subscribe");
      const refusal = { code: "JOB_NOT_FOUND", message: "no such job", retryable: false, request_id: subscribe.id };
      caller.send("session.error", refusal, { job_id: "job_hidden", correlation_id: subscribe.id });
      const { code } = await observing;
      stage.judge.that("V11-7.6-01", "the code JOB_NOT_FOUND", code === "JOB_NOT_FOUND", code);
    },
  },

  // --- Events (§8) ----------------------------------------------------------------------------------------------------
  {
    id: "events/kinds",
    wire: "1.1",
    requirements: ["V11-8.2-11", "V11-8.2-10"],
    title: "kinds of events that the client does not know end nothing; a vendor's are passed on",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      job.event("zzz", { anything: [1, 2] });
      job.event("x-vendor.acme.heartrate", { bpm: 61 });
      job.event("status", { phase: "a phase of its own", percent: 3 });
      job.log("after");
      job.result({ result: "done" });
      const { events, logs, result } = await job.wait("V11-8.2-11");
      stage.judge.that("V11-8.2-11", "what comes after", logs.join() === "after" && result === "done", {
        logs,
        result,
      });
      const vendor = events.find(({ kind }) => kind === "x-vendor.acme.heartrate");
      stage.judge.that("V11-8.2-10", "the vendor's event as it was", isSame(vendor?.body, { bpm: 61 }), events);
    },
  },
  {
    id: "events/numbers-go-on",
    wire: "1.1",
    requirements: ["V11-8.2-11"],
    title: "an event of an unknown kind counts, so that a resume does not ask for it again",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      job.log("one");
      job.event("zzz", {});
      await session.caller.fence();
      session.caller.cut();
      const hello = await session.back("V11-8.2-11");
      const { resume } = hello.payload ?? {};
      const last = resume?.last_event_seq ?? hello.payload?.last_event_seq;
      stage.judge.that("V11-8.2-11", "last_event_seq 2", last === 2, hello.payload);
      session.welcome();
      job.result();
      await job.wait();
    },
  },
  {
    id: "events/progress",
    wire: "1.1",
    requirements: ["V11-8.2.1-04"],
    title: "progress that has reached its total ends no job",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      job.event("progress", { current: 10, total: 10, units: "files" });
      job.log("not over");
      job.event("progress", { current: 3, total: 10 });
      job.result({ result: "over" });
      const { logs, result, status } = await job.wait("V11-8.2.1-04");
      const isWhole = logs.join() === "not over" && result === "over" && status === "success";
      stage.judge.that("V11-8.2.1-04", "the event after it, and the result", isWhole, { logs, result, status });
    },
  },
  {
    id: "events/gap",
    wire: "1.1",
    requirements: ["V11-8.3-05"],
    title: "a gap in the numbers breaks the session, which is resumed from before it",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      job.log("one");
      job.log("two");
      session.seq = 4;
      job.log("five");
      const hello = await session.back("V11-8.3-05");
      const last = hello.payload?.resume?.last_event_seq ?? hello.payload?.last_event_seq;
      stage.judge.that("V11-8.3-05", "last_event_seq 2", last === 2, hello.payload);
      session.welcome();
      session.seq = 2;
      for (const message of ["three", "four", "five"]) job.log(message);
      job.result();
      const { logs } = await job.wait("V11-8.3-05");
      stage.judge.that("V11-8.3-05", "five events in order", logs.join() === "one,two,three,four,five", logs);
    },
  },
  {
    id: "events/twice",
    wire: "1.1",
    requirements: ["V11-7.2-10"],
    title: "what is delivered twice counts once",
    async run(stage) {
      const session = await openSession(stage);
      const submitting = session.client.starts("submit", { agent: "echo", input: null });
      const submit = await session.caller.next(undefined, "job.submit");
      const job = new Job(session, newJobId());
      job.accept(submit, {}, { id: "msg_accepted_once" });
      job.accept(submit, {}, { id: "msg_accepted_once" });
      await submitting;
      for (const message of ["one", "two"]) {
        job.log(message, { id: `msg_${message}` });
        session.seq -= 1;
        job.log(message, { id: `msg_${message}` });
      }
      job.result({ result: "done" }, { id: "msg_result" });
      session.seq -= 1;
      job.result({ result: "done" }, { id: "msg_result" });
      const { logs, result } = await job.wait("V11-7.2-10");
      stage.judge.that("V11-7.2-10", "each once", logs.join() === "one,two" && result === "done", { logs, result });
      await session.goesOn("V11-7.2-10");
    },
  },
  {
    id: "events/replayed-again",
    wire: "1.1",
    requirements: ["V11-7.2-10"],
    title: "a replay that begins too early says nothing twice",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      for (const message of ["one", "two", "three"]) job.log(message, { id: `msg_${message}` });
      await session.caller.fence();
      session.caller.cut();
      await session.back(undefined);
      session.welcome();
      session.seq = 0;
      for (const message of ["one", "two", "three", "four"]) job.log(message, { id: `msg_${message}` });
      job.result();
      const { logs } = await job.wait("V11-7.2-10");
      stage.judge.that("V11-7.2-10", "four events", logs.join() === "one,two,three,four", logs);
    },
  },

  // --- Results (§8.4) -------------------------------------------------------------------------------------------------
  {
    id: "results/inline",
    wire: "1.1",
    requirements: ["V11-8.4-11"],
    title: "a result without result_id is in the message",
    async run(stage) {
      const session = await openSession(stage);
      for (const result of [{ deep: [1, null, "x"] }, [], "", 0, false, null]) {
        const job = await session.job();
        job.result({ result });
        const ended = await job.wait("V11-8.4-11");
        stage.judge.expect("V11-8.4-11", "the reported result", ended.result, is(result));
      }
      const job = await session.job();
      job.result();
      const { status } = await job.wait("V11-8.4-11");
      stage.judge.that("V11-8.4-11", "success without a result", status === "success", status);
    },
  },
  {
    id: "results/text-chunks",
    wire: "1.1",
    requirements: ["V11-8.4-10"],
    title: "a text in pieces is put together",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const pieces = ["Grüße, ", "😀😀", "", "\u2028 end"];
      for (const [place, piece] of pieces.entries()) chunk(job, place, piece, "utf8", place < pieces.length - 1);
      const whole = pieces.join("");
      job.result({ result_id: "res_1", result_size: Buffer.byteLength(whole) });
      const { result } = await job.wait("V11-8.4-10");
      stage.judge.expect("V11-8.4-10", "the reported result", result, is(whole));
    },
  },
  {
    id: "results/byte-chunks",
    wire: "1.1",
    requirements: ["V11-8.4-10"],
    title: "bytes in pieces are put together, cut between characters or not",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const bytes = Buffer.from([...Array.from({ length: 300 }, (_, place) => place % 256), ...Buffer.from("😀")]);
      const cuts = [0, 1, 100, 302, bytes.length];
      for (let place = 0; place < cuts.length - 1; place += 1) {
        const data = bytes.subarray(cuts[place], cuts[place + 1]).toString("base64");
        chunk(job, place, data, "base64", place < cuts.length - 2);
      }
      job.result({ result_id: "res_1", result_size: bytes.length });
      const { result } = await job.wait("V11-8.4-10");
      stage.judge.expect("V11-8.4-10", "the reported result", result, is({ base64: bytes.toString("base64") }));
    },
  },
  {
    id: "results/large",
    wire: "1.1",
    requirements: ["V11-8.4-10"],
    title: "a result of 4 MiB in sixteen pieces is put together",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const pieces = Array.from({ length: 16 }, (_, place) => String.fromCharCode(97 + place).repeat(256 * 1024));
      for (const [place, piece] of pieces.entries()) chunk(job, place, piece, "utf8", place < pieces.length - 1);
      const whole = pieces.join("");
      job.result({ result_id: "res_1", result_size: whole.length });
      const { result } = await job.wait("V11-8.4-10");
      const length = typeof result === "string" ? result.length : undefined;
      stage.judge.that("V11-8.4-10", `the ${whole.length} characters`, result === whole, `${length} characters`);
    },
  },
  {
    id: "results/chunks-over-a-cut",
    wire: "1.1",
    requirements: ["V11-8.4-10"],
    title: "a result whose pieces come over two connections is put together",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      chunk(job, 0, "one ", "utf8", true);
      chunk(job, 1, "two ", "utf8", true);
      await session.caller.fence();
      session.caller.cut();
      await session.back(undefined);
      session.welcome();
      chunk(job, 2, "three", "utf8", false);
      job.result({ result_id: "res_1", result_size: 13 });
      const { result } = await job.wait("V11-8.4-10");
      stage.judge.expect("V11-8.4-10", "the reported result", result, is("one two three"));
    },
  },

  // --- Endings and errors (§7.3, §12) ---------------------------------------------------------------------------------
  {
    id: "errors/codes",
    wire: "1.1",
    requirements: ["V11-12-09"],
    title: "jobs that fail are reported with their code, known or not",
    async run(stage) {
      const session = await openSession(stage);
      for (const [code, final_status] of [
        ["INTERNAL_ERROR", "error"],
        ["TIMEOUT", "timed_out"],
        ["LEASE_EXPIRED", "error"],
        ["X_UNKNOWN", "error"],
        ["ACME_CARD_DECLINED", "error"],
      ] as const) {
        const job = await session.job();
        job.error({ code, final_status, message: "no", details: { hint: 1 } });
        const { error, status } = await job.wait("V11-12-09");
        stage.judge.that("V11-12-09", `${code}, ${final_status}`, error.code === code && status === final_status, {
          error,
          status,
        });
      }
      await session.goesOn("V11-12-09");
    },
  },

  // --- Provisioned credentials (§9.8) ---------------------------------------------------------------------------------
  {
    id: "credentials/unknown-scheme",
    wire: "1.1",
    requirements: ["V11-9.8.1-04"],
    title: "credentials of a scheme that the client does not know are ignored, the others are not",
    async run(stage) {
      const session = await openSession(stage);
      const endpoint = "https://models.example/v1";
      const credentials = [
        { id: "cred_zzz", scheme: "zzz", value: { not: "even text" }, endpoint },
        { id: "cred_1", scheme: "bearer", value: "value-1", endpoint, profile: "openai", constraints: {} },
      ];
      const job = await session.job({}, { credentials });
      const held = await session.client.does("credentials", { job_id: job.id }, "V11-9.8.1-04");
      const ids = (held["credentials"] as { id: string }[]).map(({ id }) => id);
      stage.judge.that("V11-9.8.1-04", "the bearer's alone", ids.join() === "cred_1", held);
      job.result({ result: "done" });
      const { result } = await job.wait("V11-9.8.1-04");
      stage.judge.that("V11-9.8.1-04", "the job to end as ever", result === "done", result);
    },
  },
  {
    id: "credentials/forgotten",
    wire: "1.1",
    requirements: ["V11-9.8.2-14", "V11-9.8.2-13"],
    title: "a credential's value is there while the job runs, rotated when it is, and gone when the job is over",
    async run(stage) {
      const session = await openSession(stage);
      const endpoint = "https://models.example/v1";
      const credentials = [{ id: "cred_1", scheme: "bearer", value: "value-before", endpoint }];
      const job = await session.job({}, { credentials });
      const valueNow = async (): Promise<unknown> => {
        const held = await session.client.does("credentials", { job_id: job.id });
        return (held["credentials"] as { value?: unknown }[])[0]?.value;
      };
      const before = await valueNow();
      stage.judge.that("V11-9.8.2-13", "the value while the job runs", before === "value-before", before);
      job.event("status", { phase: "credential_rotated", id: "cred_1", value: "value-after" });
      await session.caller.fence();
      const after = await valueNow();
      stage.judge.that("V11-9.8.2-13", "the new value after a rotation", after === "value-after", after);
      job.result();
      const { events } = await job.wait();
      const left = await valueNow();
      const isGone = left === undefined || left === null || left === "";
      stage.judge.that("V11-9.8.2-14", "no value once the job is over", isGone, left);
      const told = JSON.stringify(events).includes("value-after");
      stage.judge.that("V11-9.8.2-14", "no value among the events that are kept", !told, events);
    },
  },
  {
    id: "delegation/child",
    wire: "1.1",
    requirements: ["V11-7.1-01"],
    title: "the acceptance of a delegated job answers no submission",
    async run(stage) {
      const session = await openSession(stage);
      const parent = await session.job();
      const submitting = session.client.starts("submit", { agent: "echo", input: "second" });
      const submit = await session.caller.next(undefined, "job.submit");
      parent.event("delegate", { delegate_id: "del_1", agent: "helper", input: null, lease_request: {} });
      const child = newJobId();
      const payload = {
        job_id: child,
        agent: "helper@1.0.0",
        lease: {},
        parent_job_id: parent.id,
        delegate_id: "del_1",
      };
      session.caller.send("job.accepted", { ...payload, accepted_at: new Date().toISOString() }, { job_id: child });
      const job = new Job(session, newJobId());
      job.accept(submit);
      const { job_id } = await submitting;
      stage.judge.that("V11-7.1-01", `the submission to be ${job.id}`, job_id === job.id, job_id);
      session.numbered("job.result", child, { final_status: "success" });
      job.result({ result: "second" });
      const { result } = await job.wait();
      stage.judge.that("V11-7.1-01", "its own result", result === "second", result);
      parent.result();
      const ended = toEnded(await session.client.does("wait", { job_id: parent.id }));
      stage.judge.that("V11-7.1-01", "the parent to end by itself", ended.status === "success", ended);
    },
  },
];
