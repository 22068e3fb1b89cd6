/** How a client submits jobs and cancels them (§7.1–§7.5, §9–§11). */
import { networkInterfaces } from "node:os";
import { NotHere } from "../../judge.ts";
import { is, isSame, shape } from "../../matcher.ts";
import type { ClientCase, JsonObject, Stage } from "../stage.ts";
import { Job, newJobId, openSession } from "./session.ts";

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

export const submission: readonly ClientCase[] = [
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
];
