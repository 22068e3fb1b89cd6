/** How a client of wire 1.0 has work done (RFC §6.3, §10). */
import { is, shape } from "../../matcher.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { asked, inAMinute, Job10, openSession10 } from "./session.ts";

export const work10: readonly ClientCase[] = [
  {
    id: "work/mixed",
    wire: "1.0",
    requirements: ["V10-6.4-09"],
    title: "messages of several jobs, mixed: each to its job",
    async run(stage) {
      const session = await openSession10(stage);
      const jobs = [await session.job(), await session.job(), await session.job()];
      for (let round = 0; round < 3; round += 1) for (const job of jobs) job.log(`${job.id} ${round}`);
      for (const job of [...jobs].reverse()) job.result(job.id);
      for (const job of jobs) {
        const { logs, result } = await job.wait("V10-6.4-09");
        const isOwn = logs.join() === [0, 1, 2].map((round) => `${job.id} ${round}`).join() && result === job.id;
        stage.judge.that("V10-6.4-09", `what was said of ${job.id}`, isOwn, { logs, result });
      }
    },
  },
  {
    id: "work/retry",
    wire: "1.0",
    requirements: ["V10-6.4-04", "V10-18.3-04", "V10-18.3-02"],
    title:
      "what is asked for again, after a loss or a refusal, has a new id and the same key; not before the time that was said",
    async run(stage) {
      const session = await openSession10(stage, { terms: { on_data_loss: "continue" } });
      const { client } = session;
      const terms = { agent: "echo", input: {}, idempotency_key: "key-10", retry: true };
      const submitting = client.starts("submit", terms, "V10-18.3-02");
      const first = await session.caller.next("V10-6.4-04", "tool.invoke");
      const refusal = { code: "UNAVAILABLE", message: "later", retryable: true, details: { retry_after_seconds: 1 } };
      const refusedAt = performance.now();
      session.caller.send("nack", { ...refusal, ack_for: first.id }, { correlation_id: first.id });
      const second = await session.caller.next("V10-18.3-02", "tool.invoke");
      const tookMs = performance.now() - refusedAt;
      stage.judge.that("V10-18.3-04", "a second at least", tookMs >= 995, `${Math.round(tookMs)} ms`);
      stage.judge.that("V10-6.4-04", "a new id", second.id !== first.id, second);
      const key = "idempotency_key";
      stage.judge.that("V10-6.4-04", "the same key", second[key] === "key-10" && first[key] === "key-10", {
        first,
        second,
      });
      session.caller.cut();
      await session.resumed("V10-6.4-04");
      const third = await session.caller.next("V10-6.4-04", "tool.invoke");
      stage.judge.that("V10-6.4-04", "the same key", third[key] === "key-10", third);
      const job = new Job10(session, third);
      job.accept();
      await submitting;
      job.result("done");
      const { result } = await job.wait();
      stage.judge.that("V10-6.4-04", "the result", result === "done", result);
    },
  },
  {
    id: "work/no-retry",
    wire: "1.0",
    requirements: ["V10-18.3-03"],
    title: "what cannot succeed is not tried again",
    async run(stage) {
      const session = await openSession10(stage);
      let attempts = 0;
      for (const code of ["INVALID_ARGUMENT", "PERMISSION_DENIED", "NOT_FOUND"]) {
        const failing = session.client.fails("V10-18.3-03", "submit", { agent: "echo", input: {}, retry: true });
        const invoke = await session.caller.next("V10-18.3-03", "tool.invoke");
        session.caller.send("nack", { code, message: "no", ack_for: invoke.id }, { correlation_id: invoke.id });
        const error = await failing;
        stage.judge.that("V10-18.3-03", `the code ${code}`, error.code === code, error);
        await session.caller.fence();
        attempts += 1;
        const tried = session.caller.ofType("tool.invoke").length;
        stage.judge.that("V10-18.3-03", "one attempt each", tried === attempts, `${tried} attempts`);
      }
    },
  },
  {
    id: "work/endings",
    wire: "1.0",
    requirements: ["V10-4.1-01"],
    title: "work ends with the first ending that comes, in whichever form",
    async run(stage) {
      const session = await openSession10(stage);
      const endings: readonly (readonly [string, JsonObject, string])[] = [
        ["tool.result", { value: "done" }, "success"],
        ["job.completed", { value: "done", result: "done" }, "success"],
        ["tool.error", { code: "INTERNAL", message: "broken" }, "error"],
        ["job.failed", { code: "HEARTBEAT_LOST", message: "gone" }, "error"],
        ["job.cancelled", { reason: "enough" }, "cancelled"],
      ];
      for (const [type, payload, expected] of endings) {
        const job = await session.job();
        job.send("job.started", {});
        job.send(type, payload);
        job.send("tool.result", { value: "too late" });
        const { status, result } = await job.wait("V10-4.1-01");
        const isFirst = status === expected && (expected !== "success" || result === "done");
        stage.judge.that("V10-4.1-01", `${expected} after ${type}`, isFirst, { status, result });
      }
    },
  },
  {
    id: "work/codes",
    wire: "1.0",
    requirements: ["V10-18.2-03", "V10-18.2-02", "V10-18.3-02"],
    title: "codes are reported as they are, a deployment's own included; RATE_LIMITED is RESOURCE_EXHAUSTED",
    async run(stage) {
      const session = await openSession10(stage);
      for (const [code, expected, requirement] of [
        ["RATE_LIMITED", "RESOURCE_EXHAUSTED", "V10-18.2-03"],
        ["arcpx.acme.QUOTA_EXCEEDED", "arcpx.acme.QUOTA_EXCEEDED", "V10-18.2-02"],
        ["UNAVAILABLE", "UNAVAILABLE", "V10-18.3-02"],
      ] as const) {
        const job = await session.job();
        job.send("tool.error", { code, message: "no" });
        const { error } = await job.wait(requirement);
        stage.judge.that(requirement, `the code ${expected}`, error.code === expected, error);
      }
    },
  },
  {
    id: "work/cancel",
    wire: "1.0",
    requirements: ["V10-10.4-01"],
    title: "a cancellation names its target, why, and until when",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      const doing = session.client.starts("cancel", { job_id: job.id, reason: "enough", deadline_ms: 1_500 });
      const target = { target: "job", target_id: job.id };
      const { command } = await asked(session, "V10-10.4-01", doing, "cancel", "cancel.accepted", target);
      const expected = shape({
        ...{ target: is("job"), target_id: is(job.id) },
        reason: is("enough"),
        deadline_ms: is(1_500),
      });
      stage.judge.expect("V10-10.4-01", "cancel.payload", command.payload, expected);
      job.send("job.cancelled", { reason: "enough" });
      const { status } = await job.wait("V10-10.4-01");
      stage.judge.that("V10-10.4-01", "cancelled", status === "cancelled", status);
    },
  },
  {
    id: "work/interrupt-or-cancel",
    wire: "1.0",
    requirements: ["V10-10.5-04"],
    title: "where there are no interrupts, a client may cancel instead",
    async run(stage) {
      const session = await openSession10(stage, { capabilities: { interrupt: false } });
      const job = await session.job();
      const doing = session.client.starts("interrupt", { job_id: job.id, prompt: "wait", or_cancel: true });
      const target = { target: "job", target_id: job.id };
      const { command } = await asked(session, "V10-10.5-04", doing, "cancel", "cancel.accepted", target);
      stage.judge.expect("V10-10.5-04", "cancel.payload.target_id", command.payload?.target_id, is(job.id));
      job.send("job.cancelled", {});
      await job.wait();
    },
  },
  {
    id: "work/schedule",
    wire: "1.0",
    requirements: ["V10-10.6-01", "V10-10.6-02"],
    title: "a schedule has one of at, every and after, and no other is made",
    async run(stage) {
      const session = await openSession10(stage);
      const { client } = session;
      for (const when of [{ at: inAMinute() }, { every: "FREQ=DAILY" }, { after: 5_000 }] as const) {
        const doing = client.starts("schedule", { agent: "echo", input: {}, when }, "V10-10.6-01");
        const command = await session.caller.next("V10-10.6-01", "job.schedule");
        const job_id = `job_sched_${Object.keys(when)[0]}`;
        const accepted = { job_id, accepted_at: new Date().toISOString(), state: "queued" };
        session.caller.send("job.accepted", accepted, { job_id, correlation_id: command.id });
        const report = await doing;
        stage.judge.that("V10-10.6-01", `the job ${job_id}`, report["job_id"] === job_id, report);
        const named = ["at", "every", "after"].filter((name) => command.payload?.when?.[name] !== undefined);
        stage.judge.expect("V10-10.6-02", "what job.schedule.payload.when names", named, is(Object.keys(when)));
      }
      await client.fails("V10-10.6-02", "schedule", { agent: "echo", input: {}, when: {} });
      await client.fails("V10-10.6-02", "schedule", { agent: "echo", input: {}, when: { at: inAMinute(), after: 1 } });
    },
  },
];
