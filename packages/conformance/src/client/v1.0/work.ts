/** How a client of wire 1.0 has work done, answers for people, reads streams, observes and resumes (RFC §9–§21). */
import { createHash } from "node:crypto";
import { aTimestamp, is, isSame, oneOf, perhaps, shape, someText } from "../../matcher.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { Job10, openSession10, type Session10 } from "./session.ts";

const inAMinute = (): string => new Date(Date.now() + 60_000).toISOString();

/** A question of a running job, and the client's answer, which is taken. */
async function answered(session: Session10, job: Job10, type: string, payload: JsonObject, answer: string) {
  const id = job.send(type, { expires_at: inAMinute(), ...payload }, { correlation_id: undefined });
  const response = await session.caller.next(undefined, ...answer.split("|"));
  session.caller.send("ack", { ack_for: response.id }, { correlation_id: response.id });
  return { id, response };
}

/** Answers a command that the client was told to send. */
async function asked(
  session: Session10,
  requirement: string,
  doing: Promise<JsonObject>,
  type: string,
  answer: string,
  payload: JsonObject = {},
) {
  const command = await session.caller.next(requirement, type);
  session.caller.send(answer, { ack_for: command.id, ...payload }, { correlation_id: command.id });
  return { command, report: await doing };
}

const streamOf = (job: Job10, stream_id: string, kind: string, more: JsonObject = {}): void =>
  void job.send("stream.open", { kind, related_job_id: job.id, ...more }, { stream_id });
const chunkOf = (job: Job10, stream_id: string, sequence: number, more: JsonObject): void =>
  void job.send("stream.chunk", { sequence, ...more }, { stream_id });
const closeOf = (job: Job10, stream_id: string, total_chunks: number): void =>
  void job.send("stream.close", { total_chunks }, { stream_id });

export const work10: readonly ClientCase[] = [
  // --- Signs of life, and what is not understood (RFC §6, §21) --------------------------------------------------------
  {
    id: "control/ping",
    wire: "1.0",
    requirements: ["V10-6.2-03"],
    title: "every ping is answered with a pong that names it; one's own are answered, too",
    async run(stage) {
      const { caller, client } = await openSession10(stage);
      const ids = [caller.send("ping"), caller.send("ping")];
      for (const id of ids) {
        const pong = await caller.next("V10-6.2-03", "pong");
        stage.judge.expect("V10-6.2-03", "pong.correlation_id", pong.correlation_id, is(id));
      }
      await client.does("ping", {}, "V10-6.2-03");
    },
  },
  {
    id: "control/unknown-core",
    wire: "1.0",
    requirements: ["V10-21.3-01", "V10-21.3-04"],
    title: "types of the core that the client does not know are refused with UNIMPLEMENTED, and end nothing",
    async run(stage) {
      const session = await openSession10(stage);
      const { caller } = session;
      const job = await session.job();
      for (const type of ["job.zzz", "stream.zzz", "session.zzz", "tool.zzz"]) {
        const id = caller.send(type, {});
        const nack = await caller.next("V10-21.3-01", "nack");
        stage.judge.expect("V10-21.3-01", "nack.correlation_id", nack.correlation_id, is(id));
        stage.judge.expect("V10-21.3-01", "nack.payload.code", nack.payload?.code, is("UNIMPLEMENTED"));
      }
      job.result("done");
      const { result } = await job.wait("V10-21.3-04");
      stage.judge.that("V10-21.3-04", "the job to end as ever", result === "done", result);
    },
  },
  {
    id: "control/unknown-extension",
    wire: "1.0",
    requirements: ["V10-4.7-01", "V10-21.3-02", "V10-21.3-03"],
    title: "an extension that was not advertised is refused, unless it is optional",
    async run(stage) {
      const { caller } = await openSession10(stage);
      caller.send("arcpx.acme.news.v1", {}, { extensions: { optional: true } });
      const needed = caller.send("arcpx.acme.news.v1", {});
      const also = caller.send("com.acme.news.v2", {}, { extensions: { optional: false } });
      await caller.fence();
      const nacks = caller.ofType("nack");
      stage.judge.that("V10-4.7-01", "a reaction to what is not known", nacks.length > 0, "none");
      const refused = nacks.map(({ correlation_id }) => correlation_id);
      stage.judge.that("V10-21.3-02", "no reply to what is optional", refused.length <= 2, nacks);
      stage.judge.expect("V10-21.3-03", "what the nacks name", refused, is([needed, also]));
      const codes = nacks.map(({ payload }) => payload?.code);
      stage.judge.expect("V10-21.3-03", "the codes", codes, is(["UNIMPLEMENTED", "UNIMPLEMENTED"]));
    },
  },
  {
    id: "control/extension",
    wire: "1.0",
    requirements: ["V10-21.1-01"],
    title: "an extension that both speak goes both ways",
    async run(stage) {
      const extensions = ["arcpx.acme.note.v1"];
      const session = await openSession10(stage, { terms: { extensions }, capabilities: { extensions } });
      const { caller, client } = session;
      caller.send("arcpx.acme.note.v1", { text: "hello" });
      const terms = { type: "arcpx.acme.note.v1", payload: { text: "hello yourself" }, optional: true };
      await client.does("extension", terms, "V10-21.1-01");
      const { payload, extensions: members } = await caller.next("V10-21.1-01", "arcpx.acme.note.v1");
      stage.judge.expect("V10-21.1-01", "the payload", payload, is({ text: "hello yourself" }));
      stage.judge.expect("V10-21.1-01", "extensions.optional", (members as JsonObject)?.["optional"], is(true));
      await caller.fence();
      const heard = await client.does("heard", {}, "V10-21.1-01");
      const expected = [{ type: "arcpx.acme.note.v1", payload: { text: "hello" } }];
      stage.judge.expect("V10-21.1-01", "what the application heard", heard["extensions"], is(expected));
      stage.judge.that("V10-21.1-01", "no refusal", caller.ofType("nack").length === 0, caller.ofType("nack"));
      await client.fails("V10-21.1-01", "extension", { type: "x-bad", payload: {} });
    },
  },
  {
    id: "control/unknown-members",
    wire: "1.0",
    requirements: ["V10-6.1.1-17", "V10-6.1.1-16", "V10-6.5-01"],
    title: "members that the client does not know, and those that it need not, break nothing",
    async run(stage) {
      const extra = {
        zzz: [1],
        "x-foo": null,
        source: "runtime",
        target: "client",
        priority: "critical",
        causation_id: "msg_0",
      };
      const session = await openSession10(stage, { members: extra });
      const submitting = session.client.starts("submit", { agent: "echo", input: {} }, "V10-6.1.1-17");
      const job = new Job10(session, await session.caller.next(undefined, "tool.invoke"));
      job.accept({ later: true }, extra);
      await submitting;
      job.log("one", extra);
      job.send("tool.result", { value: "done", later: {} }, extra);
      const { logs, result } = await job.wait("V10-6.1.1-17");
      stage.judge.that("V10-6.1.1-17", "the log and the result", logs.join() === "one" && result === "done", {
        logs,
        result,
      });
      for (const allowed of ["V10-6.1.1-16", "V10-6.5-01"]) {
        stage.judge.that(allowed, "the log and the result", logs.join() === "one" && result === "done", {
          logs,
          result,
        });
      }
    },
  },
  {
    id: "control/twice",
    wire: "1.0",
    requirements: ["V10-6.4-02", "V10-6.1.1-14"],
    title: "what is delivered twice counts once",
    async run(stage) {
      const session = await openSession10(stage, { terms: { answers: { input: 1 } } });
      const job = await session.job();
      for (const message of ["one", "two"]) {
        const id = `msg_${message}_${job.id}`;
        job.log(message, { id });
        job.log(message, { id });
      }
      const ask = { prompt: "?", response_schema: {}, expires_at: inAMinute() };
      const question = { id: `msg_ask_${job.id}`, correlation_id: undefined };
      job.send("human.input.request", ask, question);
      job.send("human.input.request", ask, question);
      await session.caller.next("V10-6.4-02", "human.input.response");
      await session.caller.fence();
      const answers = session.caller.ofType("human.input.response");
      stage.judge.that("V10-6.4-02", "one answer", answers.length === 1, answers);
      job.result("done");
      const { logs } = await job.wait("V10-6.4-02");
      stage.judge.that("V10-6.4-02", "each once", logs.join() === "one,two", logs);
      stage.judge.that("V10-6.1.1-14", "each once", logs.join() === "one,two", logs);
    },
  },

  // --- Work (RFC §6.3, §10) -------------------------------------------------------------------------------------------
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
      const submitting = client.starts("submit", { agent: "echo", input: {}, idempotency_key: "key-10", retry: true });
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
      for (const code of ["INVALID_ARGUMENT", "PERMISSION_DENIED", "NOT_FOUND"]) {
        const failing = session.client.fails("V10-18.3-03", "submit", { agent: "echo", input: {}, retry: true });
        const invoke = await session.caller.next("V10-18.3-03", "tool.invoke");
        session.caller.send("nack", { code, message: "no", ack_for: invoke.id }, { correlation_id: invoke.id });
        const error = await failing;
        stage.judge.that("V10-18.3-03", `the code ${code}`, error.code === code, error);
      }
      await session.caller.fence();
      const tried = session.caller.ofType("tool.invoke").length;
      stage.judge.that("V10-18.3-03", "one attempt each", tried === 3, `${tried} attempts`);
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

  // --- Streams (RFC §11) ----------------------------------------------------------------------------------------------
  {
    id: "streams/kinds",
    wire: "1.0",
    requirements: ["V10-11.1-02", "V10-11.1-03", "V10-11.1-05", "V10-11-02"],
    title: "streams of every kind, an unknown one included, several at a time, each with its own chunks",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job({ streams: true });
      const kinds = ["text", "event", "log", "metric", "zzz"];
      for (const kind of kinds) streamOf(job, `str_${kind}`, kind);
      for (let sequence = 0; sequence < 2; sequence += 1) {
        for (const kind of kinds)
          chunkOf(job, `str_${kind}`, sequence, { data: kind === "text" ? `t${sequence}` : { at: sequence } });
      }
      for (const kind of kinds) closeOf(job, `str_${kind}`, 2);
      chunkOf(job, "str_text", 2, { data: "after its end" });
      job.result("done");
      const { streams } = await job.wait("V10-11.1-02");
      for (const kind of kinds) {
        const stream = streams.find(({ id }) => id === `str_${kind}`);
        const chunks = (stream?.["chunks"] ?? []) as readonly JsonObject[];
        const expected = [0, 1].map((at) => (kind === "text" ? `t${at}` : { at }));
        const seen = chunks.map(({ data }) => data);
        stage.judge.that("V10-11.1-05", "nothing after the end of a stream", seen.length <= 2, streams);
        stage.judge.that("V10-11-02", `two chunks of ${kind}`, isSame(seen, expected), streams);
        const expectedKind = kind === "zzz" ? "event" : kind;
        const requirement = kind === "zzz" ? "V10-11.1-03" : "V10-11.1-02";
        stage.judge.that(requirement, `the kind ${expectedKind}`, stream?.["kind"] === expectedKind, stream);
      }
    },
  },
  {
    id: "streams/bytes",
    wire: "1.0",
    requirements: ["V10-11.3-01", "V10-11.3-02"],
    title: "bytes in base64 are the bytes that they were; a digest that is wrong is noticed",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job({ streams: true });
      const bytes = Buffer.from([0, 255, 10, 13, 128]);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const chunk = { data: bytes.toString("base64"), encoding: "base64", content_type: "application/octet-stream" };
      for (const [name, digest] of [
        ["good", sha256],
        ["bad", "0".repeat(64)],
      ] as const) {
        streamOf(job, `str_${name}`, "binary", { content_type: chunk.content_type, encoding: "base64" });
        chunkOf(job, `str_${name}`, 0, { ...chunk, sha256: digest });
        closeOf(job, `str_${name}`, 1);
      }
      job.result("done");
      const { streams } = await job.wait("V10-11.3-01");
      const [good, bad] = ["good", "bad"].map((name) => streams.find(({ id }) => id === `str_${name}`));
      const seen = (good?.["chunks"] as readonly JsonObject[] | undefined)?.[0]?.["data"];
      stage.judge.expect("V10-11.3-01", "the reported bytes", seen, is({ base64: bytes.toString("base64") }));
      stage.judge.that("V10-11.3-02", "the wrong digest to be an error", bad?.["error"] !== undefined, bad);
    },
  },
  {
    id: "streams/sidecar",
    wire: "1.0",
    requirements: ["V10-11.3-04"],
    title: "bytes beside their messages go to their streams",
    needs: ["websocket"],
    async run(stage) {
      const session = await openSession10(stage, { capabilities: { binary_encoding: ["base64", "sidecar"] } });
      const job = await session.job({ streams: true });
      for (const name of ["a", "b"]) streamOf(job, `str_${name}`, "binary", { encoding: "sidecar" });
      for (let sequence = 0; sequence < 2; sequence += 1) {
        for (const name of ["a", "b"]) {
          const bytes = Buffer.from(`${name}${sequence}`);
          chunkOf(job, `str_${name}`, sequence, {
            encoding: "sidecar",
            byte_length: bytes.length,
            content_type: "application/octet-stream",
          });
          session.caller.sendBinary(bytes);
        }
      }
      for (const name of ["a", "b"]) closeOf(job, `str_${name}`, 2);
      job.result("done");
      const { streams } = await job.wait("V10-11.3-04");
      for (const name of ["a", "b"]) {
        const chunks = (streams.find(({ id }) => id === `str_${name}`)?.["chunks"] ?? []) as readonly JsonObject[];
        const expected = [0, 1].map((at) => ({ base64: Buffer.from(`${name}${at}`).toString("base64") }));
        stage.judge.that(
          "V10-11.3-04",
          `the bytes of ${name}`,
          isSame(
            chunks.map(({ data }) => data),
            expected,
          ),
          streams,
        );
      }
    },
  },
  {
    id: "streams/no-sidecar",
    wire: "1.0",
    requirements: ["V10-11.3-05", "V10-22-05"],
    title: "over standard streams nothing but base64 is asked for",
    needs: ["stdio"],
    async run(stage) {
      const session = await openSession10(stage);
      const encodings = session.open.payload?.capabilities?.binary_encoding ?? ["base64"];
      stage.judge.expect("V10-11.3-05", "binary_encoding", encodings, is(["base64"]));
      const doing = session.client.starts("put", {
        base64: Buffer.from("bytes").toString("base64"),
        media_type: "text/plain",
      });
      const ref = { artifact_id: "art_1", uri: "arcp://artifacts/art_1", media_type: "text/plain", size: 5 };
      const { command } = await asked(session, "V10-22-05", doing, "artifact.put", "artifact.ref", ref);
      stage.judge.expect(
        "V10-22-05",
        "artifact.put.payload.data",
        command.payload?.data,
        is(Buffer.from("bytes").toString("base64")),
      );
      const { garbage } = session.caller;
      stage.judge.that("V10-22-05", "nothing but JSON", garbage.length === 0, garbage);
    },
  },

  // --- People (RFC §12, §15) ------------------------------------------------------------------------------------------
  {
    id: "people/input",
    wire: "1.0",
    requirements: ["V10-12.1-03"],
    title: "an answer names its question, who gave it and when",
    async run(stage) {
      const session = await openSession10(stage, { terms: { answers: { input: { branch: "main" } } } });
      const job = await session.job();
      const question = { prompt: "Which branch?", response_schema: { type: "object" } };
      const { id, response } = await answered(session, job, "human.input.request", question, "human.input.response");
      stage.judge.expect("V10-12.1-03", "human.input.response.correlation_id", response.correlation_id, is(id));
      const payload = shape({ value: is({ branch: "main" }), responded_by: someText, responded_at: aTimestamp });
      stage.judge.expect("V10-12.1-03", "human.input.response.payload", response.payload, payload);
      job.result("done");
      await job.wait();
    },
  },
  {
    id: "people/choice",
    wire: "1.0",
    requirements: ["V10-12.2-02"],
    title: "a choice names its question, the option, who chose and when",
    async run(stage) {
      const session = await openSession10(stage, { terms: { answers: { choice: "skip" } } });
      const job = await session.job();
      const question = {
        prompt: "How?",
        options: [
          { id: "fix", label: "Fix" },
          { id: "skip", label: "Skip" },
        ],
      };
      const { id, response } = await answered(session, job, "human.choice.request", question, "human.choice.response");
      stage.judge.expect("V10-12.2-02", "human.choice.response.correlation_id", response.correlation_id, is(id));
      const payload = shape({ choice_id: is("skip"), responded_by: someText, responded_at: aTimestamp });
      stage.judge.expect("V10-12.2-02", "human.choice.response.payload", response.payload, payload);
      job.result("done");
      await job.wait();
    },
  },
  {
    id: "people/permission",
    wire: "1.0",
    requirements: ["V10-15.4-04"],
    title: "a request for permission is granted or denied, by name",
    async run(stage) {
      const wanted = { permission: "fs.write", resource: "/srv/app", operation: "write", requested_lease_seconds: 60 };
      const terms = (granted: boolean) => ({ terms: { answers: { permission: { granted, lease_seconds: 30 } } } });
      for (const granted of [true, false]) {
        const session = await openSession10(stage, terms(granted));
        const job = await session.job();
        const types = "permission.grant|permission.deny";
        const { id, response } = await answered(session, job, "permission.request", wanted, types);
        const type = granted ? "permission.grant" : "permission.deny";
        stage.judge.expect("V10-15.4-04", "the answer's type", response.type, is(type));
        stage.judge.expect("V10-15.4-04", `${type}.correlation_id`, response.correlation_id, is(id));
        job.result("done");
        await job.wait();
      }
    },
  },
  {
    id: "people/lease",
    wire: "1.0",
    requirements: ["V10-15.5-04"],
    title: "a lease can be extended while it lasts; what the runtime refuses is reported",
    async run(stage) {
      const session = await openSession10(stage);
      const { caller, client } = session;
      const job = await session.job();
      const lease = { lease_id: "lease_1", permission: "fs.write", resource: "/srv", operation: "write" };
      job.send("lease.granted", { ...lease, expires_at: inAMinute() });
      await caller.fence();
      const expires_at = new Date(Date.now() + 120_000).toISOString();
      const doing = client.starts("refresh", { lease_id: "lease_1", seconds: 120 });
      const { command } = await asked(session, "V10-15.5-04", doing, "lease.refresh", "lease.extended", {
        lease_id: "lease_1",
        expires_at,
      });
      stage.judge.expect("V10-15.5-04", "lease.refresh.payload.lease_id", command.payload?.lease_id, is("lease_1"));
      const failing = client.fails("V10-15.5-04", "refresh", { lease_id: "lease_1", seconds: 120 });
      const again = await caller.next("V10-15.5-04", "lease.refresh");
      caller.send(
        "nack",
        { code: "LEASE_EXPIRED", message: "too late", ack_for: again.id },
        { correlation_id: again.id },
      );
      const { code } = await failing;
      stage.judge.that(
        "V10-15.5-04",
        "LEASE_EXPIRED or PERMISSION_DENIED",
        code === "LEASE_EXPIRED" || code === "PERMISSION_DENIED",
        code,
      );
      job.result("done");
      await job.wait();
    },
  },

  // --- Observing and artifacts (RFC §13, §16) -------------------------------------------------------------------------
  {
    id: "observe/filter",
    wire: "1.0",
    requirements: ["V10-13.2-01", "V10-13.4-01"],
    title: "an observer says what it wants to see, sees it, and says when it has seen enough",
    async run(stage) {
      const session = await openSession10(stage);
      const { caller, client } = session;
      const filter = {
        types: ["log", "metric"],
        min_priority: "high",
        job_id: ["job_1"],
        trace_id: ["0af7651916cd43dd8448eb211c80319c"],
      };
      const doing = client.starts("subscribe", { filter }, "V10-13.2-01");
      const subscription_id = "sub_1";
      const { command } = await asked(session, "V10-13.2-01", doing, "subscribe", "subscribe.accepted", {
        subscription_id,
      });
      stage.judge.expect("V10-13.2-01", "subscribe.payload.filter", command.payload?.filter, is(filter));
      const event = {
        arcp: "1.0",
        id: "msg_observed",
        type: "log",
        timestamp: new Date().toISOString(),
        job_id: "job_1",
      };
      caller.send(
        "subscribe.event",
        { subscription_id, event: { ...event, payload: { level: "info", message: "seen" } } },
        { subscription_id },
      );
      await caller.fence();
      const ending = client.starts("unsubscribe", { subscription_id }, "V10-13.4-01");
      const end = await asked(session, "V10-13.4-01", ending, "unsubscribe", "subscribe.closed", {
        subscription_id,
        reason: "unsubscribed",
      });
      const named = end.command.payload?.subscription_id ?? end.command["subscription_id"];
      stage.judge.expect("V10-13.4-01", "what unsubscribe names", named, is(subscription_id));
      const messages = ((end.report["events"] ?? []) as readonly { payload?: JsonObject }[]).map(
        ({ payload }) => payload?.["message"],
      );
      stage.judge.expect("V10-13.2-01", "what was seen", messages, is(["seen"]));
    },
  },
  {
    id: "artifacts/round",
    wire: "1.0",
    requirements: ["V10-16.2-01", "V10-16.1-03"],
    title: "an artifact is put, fetched and released; a result may be one",
    async run(stage) {
      const session = await openSession10(stage);
      const { client } = session;
      const base64 = Buffer.from([1, 2, 255, 0]).toString("base64");
      const sha256 = createHash("sha256").update(Buffer.from(base64, "base64")).digest("hex");
      const ref = {
        artifact_id: "art_1",
        uri: "arcp://artifacts/art_1",
        media_type: "application/octet-stream",
        size: 4,
        sha256,
      };
      const putting = client.starts("put", { base64, media_type: ref.media_type });
      const put = await asked(session, "V10-16.2-01", putting, "artifact.put", "artifact.ref", ref);
      stage.judge.expect("V10-16.2-01", "artifact.put.payload.data", put.command.payload?.data, is(base64));
      stage.judge.expect("V10-16.2-01", "the reported artifact", put.report["artifact_id"], is("art_1"));
      const fetching = client.starts("fetch", { artifact_id: "art_1" });
      const content = { ...ref, data: base64, encoding: "base64" };
      const got = await asked(session, "V10-16.2-01", fetching, "artifact.fetch", "artifact.put", content);
      stage.judge.expect("V10-16.2-01", "the fetched bytes", got.report["base64"], is(base64));
      const releasing = client.starts("release", { artifact_id: "art_1" });
      const freed = await asked(session, "V10-16.2-01", releasing, "artifact.release", "ack");
      stage.judge.expect(
        "V10-16.2-01",
        "artifact.release.payload.artifact_id",
        freed.command.payload?.artifact_id,
        is("art_1"),
      );
      const job = await session.job();
      job.send("tool.result", { result_ref: ref });
      const { status } = await job.wait("V10-16.1-03");
      stage.judge.that("V10-16.1-03", "success", status === "success", status);
    },
  },
  {
    id: "artifacts/damaged",
    wire: "1.0",
    requirements: ["V10-22-03"],
    title: "a content that has not the digest of its reference is an error",
    async run(stage) {
      const session = await openSession10(stage);
      const failing = session.client.fails("V10-22-03", "fetch", { artifact_id: "art_2" });
      const fetch = await session.caller.next("V10-22-03", "artifact.fetch");
      const content = {
        artifact_id: "art_2",
        media_type: "text/plain",
        size: 3,
        sha256: "0".repeat(64),
        encoding: "base64",
      };
      session.caller.send(
        "artifact.put",
        { ...content, data: Buffer.from("abc").toString("base64") },
        { correlation_id: fetch.id },
      );
      const { code } = await failing;
      stage.judge.that("V10-22-03", "the code DATA_LOSS", code === "DATA_LOSS", code);
    },
  },
  {
    id: "events/log-and-metric",
    wire: "1.0",
    requirements: ["V10-17.2-01", "V10-17.3-01"],
    title: "logs of every level and metrics are told as they were",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      const levels = ["trace", "debug", "info", "warn", "error", "critical"];
      for (const level of levels) job.send("log", { level, message: level, attributes: { at: 1 } });
      job.send("metric", { name: "acme.heat", value: 36.6, unit: "celsius", dims: { room: "1" } });
      job.result("done");
      const { logs, events } = await job.wait("V10-17.2-01");
      stage.judge.expect("V10-17.2-01", "the logs", logs, is(levels));
      const metric = events.find(({ kind }) => kind === "metric")?.body;
      const expected = shape({ name: is("acme.heat"), value: is(36.6), unit: is("celsius") });
      stage.judge.expect("V10-17.3-01", "the metric", metric, expected);
    },
  },

  // --- Resume (RFC §9, §19) -------------------------------------------------------------------------------------------
  {
    id: "resume/position",
    wire: "1.0",
    requirements: ["V10-9-03", "V10-19-02", "V10-19-01"],
    title: "after a loss the session is resumed after the last message, and what was missed is taken",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      job.log("one");
      await session.caller.fence();
      const last = job.send("log", { level: "info", message: "two" });
      await session.caller.until(200, () => undefined);
      session.caller.cut();
      const { resume, before } = await session.back("V10-9-03");
      stage.judge.expect("V10-9-03", "resume.session_id", resume.session_id, is(before));
      stage.judge.expect("V10-19-02", "resume.payload.after_message_id", resume.payload?.after_message_id, is(last));
      const members = { session_id: before };
      job.log("two", { ...members, id: last });
      job.log("three", members);
      session.caller.send("ack", { ack_for: resume.id }, { correlation_id: resume.id, ...members });
      job.result("done", members);
      const { logs, result } = await job.wait("V10-19-01");
      stage.judge.that("V10-19-01", "three logs and the result", logs.join() === "one,two,three" && result === "done", {
        logs,
        result,
      });
    },
  },
  {
    id: "resume/data-loss",
    wire: "1.0",
    requirements: ["V10-19-01"],
    title: "a session that is gone fails its work; nothing waits in vain",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      session.caller.cut();
      const { resume, before } = await session.back("V10-19-01");
      const refusal = { code: "DATA_LOSS", message: "gone", ack_for: resume.id };
      session.caller.send("nack", refusal, { correlation_id: resume.id, session_id: before });
      const { status } = await job.wait("V10-19-01");
      stage.judge.that("V10-19-01", "no success", status !== "success", status);
      const next = await session.job();
      next.result("done");
      const { result } = await next.wait("V10-19-01");
      stage.judge.that("V10-19-01", "the next one to end as ever", result === "done", result);
    },
  },

  // --- What a runtime should not send ---------------------------------------------------------------------------------
  ...(
    [
      [
        "no-json",
        "frames that are no JSON, or no object",
        ({ caller }) => {
          for (const one of ["{", "", "[]", "null", "42", '"x"', "{}", '{"type":5}']) caller.sendText(one);
        },
      ],
      [
        "depth",
        "a frame of ten thousand brackets",
        ({ caller }) => {
          caller.sendText(`{"payload":${"[".repeat(10_000)}${"]".repeat(10_000)}}`);
        },
      ],
      [
        "wrong-members",
        "messages whose members are of the wrong type",
        ({ caller }, job) => {
          for (const payload of [null, [], "x", 7]) caller.send("log", payload, { job_id: job.id });
          caller.send("job.progress", { percent: "much" }, { job_id: job.id });
          caller.send("stream.chunk", { sequence: -1 }, { job_id: job.id, stream_id: "str_none" });
          caller.send("tool.result", { value: "forged" }, { correlation_id: 17 });
        },
      ],
      [
        "stray",
        "answers, endings, chunks and permissions of what is not there",
        ({ caller }) => {
          const nobody = { correlation_id: "msg_nobody" };
          for (const type of [
            "ack",
            "pong",
            "job.accepted",
            "tool.result",
            "cancel.accepted",
            "artifact.ref",
            "subscribe.closed",
          ]) {
            caller.send(type, { value: 1, job_id: "job_stray", target: "job", target_id: "job_stray" }, nobody);
          }
          caller.send("stream.chunk", { sequence: 0, data: "x" }, { stream_id: "str_stray" });
          caller.send("human.input.cancelled", { code: "CANCELLED", message: "whose?" }, nobody);
          caller.send("lease.revoked", { lease_id: "lease_stray", reason: "none" });
        },
      ],
      [
        "second-accepted",
        "a second session.accepted, and a rejection that comes too late",
        ({ caller }) => {
          caller.send(
            "session.accepted",
            { session_id: "sess_forged", runtime: { kind: "x", version: "1" }, capabilities: {} },
            { session_id: "sess_forged" },
          );
        },
      ],
      [
        "large",
        "a log of two mebibytes",
        (_session, job) => job.send("event.emit", { name: "acme.blob", data: "x".repeat(2 * 1024 * 1024) }),
      ],
    ] as readonly (readonly [string, string, (session: Session10, job: Job10) => unknown])[]
  ).map(
    ([id, title, send]): ClientCase => ({
      id: `hostile/${id}`,
      wire: "1.0",
      requirements: ["V10-21.3-04", "V10-4.4-01"],
      title,
      async run(stage) {
        const session = await openSession10(stage);
        const job = await session.job();
        job.log("before");
        await session.caller.fence();
        send(session, job);
        const members = await session.goesOn("V10-21.3-04");
        job.log("after", members);
        job.result("done", members);
        const { logs, result } = await job.wait("V10-21.3-04");
        stage.judge.that("V10-21.3-04", "the job to end as ever", logs.join() === "before,after" && result === "done", {
          logs,
          result,
        });
        const next = await session.job();
        next.result("next");
        const ended = await next.wait("V10-4.4-01");
        stage.judge.that("V10-4.4-01", "the next job to end as ever", ended.result === "next", ended);
      },
    }),
  ),
  {
    id: "close/said",
    wire: "1.0",
    requirements: ["V10-6.1.1-04"],
    title: "a client says session.close before it hangs up, in its session",
    async run(stage) {
      const { client, caller, id } = await openSession10(stage);
      const closing = client.starts("close", { reason: "done here" });
      const close = await caller.next("V10-6.1.1-04", "session.close");
      stage.judge.expect("V10-6.1.1-04", "session.close.session_id", close.session_id, is(id));
      stage.judge.expect(
        "V10-6.1.1-04",
        "session.close.payload.reason",
        close.payload?.reason,
        perhaps(oneOf("done here")),
      );
      caller.close(1000);
      await closing;
    },
  },
];
