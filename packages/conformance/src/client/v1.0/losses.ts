/** Connections that are lost in every phase, and what other SDKs' runtimes of wire 1.0 really send. */
import { is, oneOf } from "../../matcher.ts";
import type { ClientCase, JsonObject, Stage } from "../stage.ts";
import { type Job10, openSession10, type Session10 } from "./session.ts";

const DONE = "the job to end as ever";

/** The next job ends as ever. */
async function works(stage: Stage, session: Session10, requirement?: string): Promise<void> {
  const job = await session.job();
  job.result("done");
  const { result } = await job.wait(requirement);
  stage.judge.that(requirement, DONE, result === "done", result);
}

const textChunk = (job: Job10, sequence: number, data: string, members: JsonObject = {}): void =>
  void job.send("stream.chunk", { sequence, data }, { stream_id: "str_1", ...members });
const dataOf = (streams: readonly JsonObject[]): string =>
  ((streams[0]?.["chunks"] ?? []) as readonly JsonObject[]).map(({ data }) => data).join("");

export const losses10: readonly ClientCase[] = [
  {
    id: "resume/position",
    wire: "1.0",
    requirements: ["V10-9-03", "V10-19-02", "V10-19-01"],
    title: "after a loss the session is resumed after the last message, and what was missed is taken",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      job.log("one");
      const last = job.send("log", { level: "info", message: "two" });
      // Whether a ping is a message that one observes is a matter of taste.
      const ping = await session.caller.fence();
      session.caller.cut();
      const { resume, before } = await session.back("V10-9-03");
      stage.judge.expect("V10-9-03", "resume.session_id", resume.session_id, is(before));
      stage.judge.expect(
        "V10-19-02",
        "resume.payload.after_message_id",
        resume.payload?.after_message_id,
        oneOf(last, ping),
      );
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
  {
    id: "losses/before-accepted",
    wire: "1.0",
    requirements: ["V10-8.1-01"],
    title: "a connection that is lost before the session is accepted fails; nothing hangs",
    async run(stage) {
      const client = stage.client();
      const connecting = client.fails("V10-8.1-01", "connect", client.terms);
      const caller = await client.caller(undefined);
      await caller.next(undefined, "session.open");
      caller.cut();
      await connecting;
    },
  },
  {
    id: "losses/after-accepted",
    wire: "1.0",
    requirements: ["V10-19-01"],
    title: "a connection that is lost again and again right after the session was accepted",
    async run(stage) {
      const session = await openSession10(stage);
      for (let count = 0; count < 3; count += 1) {
        session.caller.cut();
        const { resume, before } = await session.back("V10-19-01");
        const members = { correlation_id: resume.id, session_id: before };
        session.caller.send("ack", { ack_for: resume.id }, members);
        await session.caller.fence();
      }
      await works(stage, session, "V10-19-01");
    },
  },
  {
    id: "losses/in-resume",
    wire: "1.0",
    requirements: ["V10-9-03"],
    title: "a connection that is lost before the answer to resume: it is asked for again",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      const first = session.id;
      session.caller.cut();
      await session.back("V10-9-03");
      session.caller.cut();
      session.caller = await session.client.caller("V10-9-03");
      session.open = await session.caller.next("V10-9-03", "session.open");
      session.id = `${first}_third`;
      session.accept();
      const ofFirst = ({ type, session_id }: { type: string; session_id?: string }) =>
        type === "resume" && session_id === first;
      const resume = await session.caller.sees("V10-9-03", `a resume of ${first}`, ofFirst);
      session.caller.send("ack", { ack_for: resume.id }, { correlation_id: resume.id, session_id: first });
      job.result("done", { session_id: first });
      const { result } = await job.wait("V10-9-03");
      stage.judge.that("V10-9-03", DONE, result === "done", result);
    },
  },
  {
    id: "losses/in-stream",
    wire: "1.0",
    requirements: ["V10-19-01"],
    title: "a stream whose chunks come over two connections, one of them on both",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job({ streams: true });
      job.send("stream.open", { kind: "text", related_job_id: job.id }, { stream_id: "str_1" });
      textChunk(job, 0, "one ");
      textChunk(job, 1, "two ", { id: `msg_two_${job.id}` });
      await session.caller.fence();
      session.caller.cut();
      await session.resumed("V10-19-01", (members) => {
        textChunk(job, 1, "two ", { ...members, id: `msg_two_${job.id}` });
        textChunk(job, 2, "three", members);
        job.send("stream.close", { total_chunks: 3 }, { stream_id: "str_1", ...members });
        job.result("done", members);
      });
      const { streams, result } = await job.wait("V10-19-01");
      stage.judge.that("V10-19-01", "one two three", dataOf(streams) === "one two three", streams);
      stage.judge.that("V10-19-01", DONE, result === "done", result);
    },
  },
  {
    id: "losses/in-cancel",
    wire: "1.0",
    requirements: ["V10-10.4-01"],
    title: "a connection that is lost before the answer to a cancellation",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      const cancelling = session.client.tell("cancel", { job_id: job.id });
      await session.caller.next("V10-10.4-01", "cancel");
      session.caller.cut();
      await session.resumed(undefined, (members) => job.send("job.cancelled", { reason: "enough" }, members));
      const { status } = await job.wait("V10-10.4-01");
      stage.judge.that("V10-10.4-01", "cancelled", status === "cancelled", status);
      await session.client.within("V10-10.4-01", "cancel to be over", cancelling);
    },
  },
  {
    id: "losses/in-close",
    wire: "1.0",
    requirements: ["V10-6.1.1-04"],
    title: "a connection that is lost after session.close is not made again",
    async run(stage) {
      const { client, caller } = await openSession10(stage);
      const closing = client.starts("close", {}, "V10-6.1.1-04");
      await caller.next("V10-6.1.1-04", "session.close");
      caller.cut();
      await closing;
      const { length } = client.callers;
      stage.judge.that("V10-6.1.1-04", "no further connection", length === 1, `${length} connections`);
    },
  },
  {
    id: "losses/unreachable",
    wire: "1.0",
    requirements: ["V10-19-01"],
    title: "a runtime that hangs up on every attempt for a while",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      session.caller.cut();
      for (let count = 0; count < 3; count += 1) (await session.client.caller("V10-19-01")).cut();
      await session.resumed("V10-19-01", (members) => job.result("done", members));
      const { result } = await job.wait("V10-19-01");
      stage.judge.that("V10-19-01", DONE, result === "done", result);
    },
  },

  // --- Manners of other SDKs ------------------------------------------------------------------------------------------
  {
    id: "quirks/streams-from-one",
    wire: "1.0",
    requirements: [],
    title: "streams that begin with 1",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job({ streams: true });
      job.send("stream.open", { kind: "text" }, { stream_id: "str_1" });
      textChunk(job, 1, "one ");
      textChunk(job, 2, "two");
      job.send("stream.close", {}, { stream_id: "str_1" });
      job.result("done");
      const { streams } = await job.wait();
      stage.judge.that(undefined, "one two", dataOf(streams) === "one two", streams);
    },
  },
  {
    id: "quirks/silent-resume",
    wire: "1.0",
    requirements: [],
    title: "a runtime that goes on after a resume without a word",
    async run(stage) {
      const session = await openSession10(stage);
      const job = await session.job();
      session.caller.cut();
      const { before } = await session.back(undefined);
      job.result("done", { session_id: before });
      const { result } = await job.wait();
      stage.judge.that(undefined, DONE, result === "done", result);
    },
  },
  {
    id: "quirks/cancel-by-command",
    wire: "1.0",
    requirements: [],
    title: "a cancel.accepted that names the invocation, or nothing, and an ending that names only the job",
    async run(stage) {
      const session = await openSession10(stage);
      for (const correlates of [true, false]) {
        const job = await session.job();
        const cancelling = session.client.starts("cancel", { job_id: job.id });
        await session.caller.next(undefined, "cancel");
        session.caller.send("cancel.accepted", {}, correlates ? { correlation_id: job.invoke.id } : {});
        await cancelling;
        job.send("job.cancelled", {}, { correlation_id: undefined });
        const { status } = await job.wait();
        stage.judge.that(undefined, "cancelled", status === "cancelled", status);
      }
    },
  },
  {
    id: "quirks/rejected-with-a-reason",
    wire: "1.0",
    requirements: [],
    title: "a session that is rejected with a reason in place of a message, naming nothing",
    async run(stage) {
      const client = stage.client();
      const connecting = client.fails(undefined, "connect", client.terms);
      const caller = await client.caller(undefined);
      await caller.next(undefined, "session.open");
      caller.send("session.rejected", { code: "PERMISSION_DENIED", reason: "no" });
      const { code } = await connecting;
      stage.judge.that(undefined, "the code PERMISSION_DENIED", code === "PERMISSION_DENIED", code);
    },
  },
  {
    id: "quirks/direct-result",
    wire: "1.0",
    requirements: [],
    title: "a tool that answers at once, without a job that was accepted",
    async run(stage) {
      const session = await openSession10(stage);
      const submitting = session.client.tell("submit", { agent: "echo", input: {} });
      const invoke = await session.caller.next(undefined, "tool.invoke");
      session.caller.send("tool.result", { value: "done" }, { correlation_id: invoke.id });
      const answer = await session.client.within(undefined, "submit to be over", submitting);
      stage.judge.that(undefined, "an answer", "ok" in answer || "error" in answer, answer);
      await works(stage, session);
    },
  },
];
