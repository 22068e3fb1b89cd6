/** Signs of life, and what a client of wire 1.0 does not understand (RFC §6, §21). */
import { is } from "../../matcher.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { inAMinute, Job10, openSession10 } from "./session.ts";

export const control10: readonly ClientCase[] = [
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
      stage.judge.that(["V10-6.4-02", "V10-6.1.1-14"], "each once", logs.join() === "one,two", logs);
    },
  },
];
