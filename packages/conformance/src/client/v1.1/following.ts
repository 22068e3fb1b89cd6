/** How a client follows jobs: its own and observed ones, their events, results, errors and credentials (§7.6, §8, §9.8, §12). */
import { is, isSame, shape } from "../../matcher.ts";
import { toEnded } from "../ended.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { Job, newJobId, openSession, type Session } from "./session.ts";

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

export const following: readonly ClientCase[] = [
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
