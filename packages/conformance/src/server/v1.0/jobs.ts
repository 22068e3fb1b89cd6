/** Commands, jobs and their ends. */
import { type Frame, newId } from "../../frame.ts";
import { aString, is, nothing, oneOf, perhaps, shape, someText, such } from "../../matcher.ts";
import { CODES_10 } from "../../names-10.ts";
import { jobOf } from "../context.ts";
import type { Peer } from "../peer.ts";
import { DURABLE_ENDS, ENDS, ending, isEnd, isNack, ofJob, v10 } from "./case.ts";

export const jobCases = [
  v10(
    "jobs/order",
    "a job is accepted, started, and ends once",
    ["6.3-02", "6.3-03", "6.3-04", "6.3-05", "10.2-03", "6.1.1-09"],
    ["count"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const id = peer.send("tool.invoke", { tool: context.agent("count"), arguments: { n: 3 } });
      const first = await peer.reply("V10-6.3-02", id, "job.accepted");
      judge.expect("V10-6.3-02", "the first answer", first.type, oneOf("job.accepted", "ack"));
      const accepted = await peer.sees(
        "V10-6.3-02",
        "job.accepted",
        ({ type, correlation_id }) => type === "job.accepted" && correlation_id === id,
      );
      const jobId = jobOf(accepted);
      const end = await ending(peer, jobId, "V10-6.3-04");
      await peer.quiet();
      const types = ofJob(peer, jobId).map(({ type }) => type);
      judge.that(
        "V10-6.3-03",
        "job.started after job.accepted, and before anything that the job tells",
        types.indexOf("job.started") > types.indexOf("job.accepted") &&
          types.indexOf("job.started") < types.indexOf("log"),
        types,
      );
      judge.expect("V10-6.3-05", "the end of an invocation", end.type, oneOf("tool.result", "tool.error"));
      const ends = types.filter((type) => ENDS.includes(type));
      judge.expect(["V10-6.3-04", "V10-10.2-03"], "how many ends", ends.length, is(1));
      judge.expect("V10-6.1.1-09", "correlation_id of the end", end.correlation_id, is(id));
    },
  ),
  v10(
    "jobs/durable",
    "a durable job ends with job.completed or job.failed",
    ["6.3-06"],
    ["echo", "fail"],
    async (context) => {
      const { peer } = await context.open10();
      for (const [behaviour, type] of [
        ["echo", "job.completed"],
        ["fail", "job.failed"],
      ] as const) {
        const end = await ending(
          peer,
          jobOf(await context.invoke(peer, behaviour, {}, { durable: true })),
          "V10-6.3-06",
        );
        context.judge.expect("V10-6.3-06", `the end of ${behaviour}`, end.type, is(type));
        context.judge.that("V10-6.3-06", "an end of a durable job", DURABLE_ENDS.includes(end.type), end);
      }
    },
  ),
  v10(
    "jobs/refused",
    "what cannot be accepted is refused, and starts nothing",
    ["6.3-08", "6.3-09", "18.2-06", "18.1-01", "18.2-01", "18.2-04"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const id = peer.send("tool.invoke", { tool: "suite.no-such-tool", arguments: {} });
      const answer = await peer.reply("V10-6.3-08", id, "a refusal");
      judge.expect("V10-6.3-08", "correlation_id of the refusal", answer.correlation_id, is(id));
      const error = answer.payload?.error ?? answer.payload;
      judge.expect("V10-18.1-01", "the error", error, shape({ code: someText, message: aString }));
      judge.that("V10-18.2-04", "another code than OK", error.code !== "OK", error.code);
      judge.expect("V10-18.2-01", "its code", error.code, oneOf(...CODES_10));
      isNack(context, "V10-18.2-06", answer, ["NOT_FOUND"], "the answer for a tool that does not exist");
      await peer.quiet();
      const later = peer.frames.filter((frame) => frame.correlation_id === id && frame !== answer);
      judge.expect("V10-6.3-09", "what else comes of a refused command", later, is([]));
    },
  ),
  v10(
    "jobs/same-id",
    "a command that comes twice is carried out once",
    ["6.1.1-15", "6.1.1-14", "6.4-02"],
    ["count"],
    async (context) => {
      const { peer } = await context.open10();
      const command = JSON.stringify({
        arcp: "1.0",
        id: newId(),
        type: "tool.invoke",
        timestamp: new Date().toISOString(),
        session_id: peer.sessionId,
        payload: { tool: context.agent("count"), arguments: { n: 1 } },
      });
      peer.sendText(command);
      peer.sendText(command);
      await peer.sees("V10-6.1.1-15", "the job's end", ({ type }) => ENDS.includes(type));
      await peer.quiet();
      const jobs = new Set(peer.frames.flatMap(({ type, job_id }) => (type === "job.started" ? [job_id] : [])));
      const claim = ["V10-6.1.1-15", "V10-6.1.1-14", "V10-6.4-02"];
      context.judge.that(claim, "one job", jobs.size === 1, [...jobs]);
    },
  ),
  v10(
    "jobs/idempotency",
    "a key stands for one job of its principal",
    ["6.4-05", "6.4-06", "6.4-07", "6.4-03"],
    ["echo", "connections", "principals"],
    async (context) => {
      const { judge } = context;
      const idempotency_key = newId();
      const invoke = (peer: Peer, n: number): Promise<Frame> =>
        peer.ask("V10-6.4-06", "tool.invoke", { tool: context.agent("echo"), arguments: { n } }, { idempotency_key });
      const mine = (await context.open10()).peer;
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const first = await invoke(mine, 1);
      await ending(mine, jobOf(first));
      mine.send("session.close", { reason: "done" });
      await mine.hangUp(undefined, "the end of the session");
      const again = (await context.open10()).peer;
      const second = await invoke(again, 1);
      judge.expect(["V10-6.4-06", "V10-6.4-05"], "the job of the second command", jobOf(second), is(jobOf(first)));
      const end = await ending(again, jobOf(first), "V10-6.4-06");
      judge.expect("V10-6.4-03", "its outcome", end.type, is("tool.result"));
      const foreign = await invoke(other, 2);
      judge.expect("V10-6.4-07", "the answer to another principal with the same key", foreign.type, is("job.accepted"));
      judge.that("V10-6.4-07", "another job", jobOf(foreign) !== jobOf(first), jobOf(foreign));
    },
  ),
  v10(
    "jobs/progress",
    "progress is told by job.progress",
    ["10.1-02", "10.1-03", "10.3-07", "4.2-01"],
    ["progress"],
    async (context) => {
      const { peer } = await context.open10();
      const jobId = jobOf(
        await context.invoke(peer, "progress", {
          reports: [
            { current: 1, total: 4, message: "on it" },
            { current: 4, total: 4 },
          ],
        }),
      );
      await ending(peer, jobId);
      const told = ofJob(peer, jobId).filter(({ type }) => type === "job.progress");
      context.judge.that(["V10-10.3-07", "V10-10.1-02"], "messages of type job.progress", told.length >= 2, told);
      context.judge.looksAt("V10-4.2-01");
      const percent = such(
        "a number from 0 to 100",
        (value) => typeof value === "number" && value >= 0 && value <= 100,
      );
      for (const { payload } of told) {
        context.judge.expect(
          "V10-10.1-03",
          "job.progress.payload",
          payload,
          such(
            "an object with percent or message",
            (value) => "percent" in (value as object) || "message" in (value as object),
          ),
        );
        context.judge.expect("V10-10.1-03", "percent", payload.percent, perhaps(percent));
      }
    },
  ),
  v10(
    "jobs/cancel",
    "a job is cancelled when it is asked to be",
    ["10.4-02", "10.4-04", "10.4-05"],
    ["hold"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "hold"));
      await peer.sees(undefined, "the job's first log", ({ type, job_id }) => type === "log" && job_id === jobId);
      const id = peer.send("cancel", { target: "job", target_id: jobId, reason: "suite", deadline_ms: 2000 });
      const answer = await peer.reply("V10-10.4-02", id, "cancel.accepted");
      judge.expect(
        "V10-10.4-02",
        "the answer",
        { type: answer.type, correlation_id: answer.correlation_id },
        is({ type: "cancel.accepted", correlation_id: id }),
      );
      const end = await ending(peer, jobId, "V10-10.4-04");
      judge.expect("V10-10.4-05", "the end", end.type, is("job.cancelled"));
      const again = await peer.ask("V10-10.4-02", "cancel", { target: "job", target_id: jobId });
      judge.expect("V10-10.4-02", "the answer for a job that has ended", again.type, is("cancel.refused"));
      judge.expect("V10-10.4-02", "its reason", again.payload?.reason, someText);
    },
  ),
  v10(
    "jobs/kill",
    "an agent that does not listen is ended at the deadline",
    ["10.4-08", "10.4-09", "10.4-04"],
    ["stubborn"],
    async (context) => {
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "stubborn", { ms: 20_000 }));
      await peer.sees(undefined, "the job's first log", ({ type, job_id }) => type === "log" && job_id === jobId);
      await peer.ask("V10-10.4-04", "cancel", { target: "job", target_id: jobId, deadline_ms: 300 });
      const end = await ending(peer, jobId, "V10-10.4-04");
      context.judge.looksAt("V10-10.4-08");
      const code = end.payload?.code ?? end.payload?.error?.code;
      context.judge.that("V10-10.4-09", "an end with the code ABORTED", code === "ABORTED", end);
    },
  ),
  v10(
    "jobs/cancel-foreign",
    "a job of another principal is not cancelled",
    ["10.4-10"],
    ["hold", "connections", "principals"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const jobId = jobOf(await context.invoke(mine, "hold"));
      const answer = await other.ask("V10-10.4-10", "cancel", { target: "job", target_id: jobId });
      context.judge.that("V10-10.4-10", "a refusal", ["cancel.refused", "nack"].includes(answer.type), answer);
      await mine.quiet();
      context.judge.expect("V10-10.4-10", "the end of the job", mine.frames.find(isEnd(jobId)), nothing);
      mine.send("cancel", { target: "job", target_id: jobId });
    },
  ),
  v10(
    "jobs/schedule",
    "a job runs when it was asked to",
    ["4.3-03", "10.6-02", "10.6-03"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const job = { tool: context.agent("echo"), arguments: { at: "last" } };
      for (const when of [{}, { after: 1, at: new Date(Date.now() + 5000).toISOString() }]) {
        const answer = await peer.ask("V10-10.6-02", "job.schedule", {
          job: { type: "tool.invoke", payload: job },
          when,
        });
        isNack(context, "V10-10.6-02", answer, ["INVALID_ARGUMENT"], `the answer to when ${JSON.stringify(when)}`);
      }
      const accepted = await peer.ask("V10-4.3-03", "job.schedule", {
        job: { type: "tool.invoke", payload: job },
        when: { after: 1 },
      });
      judge.that("V10-4.3-03", "job.accepted or ack", ["job.accepted", "ack"].includes(accepted.type), accepted);
      const end = await peer.sees(
        "V10-10.6-03",
        "the end of the scheduled run",
        ({ type, payload }) => ENDS.includes(type) && JSON.stringify(payload).includes("last"),
      );
      judge.expect("V10-10.6-03", "how it ended", end.type, oneOf("job.completed", "tool.result"));
    },
  ),
  v10(
    "jobs/delegate",
    "work is delegated to an agent under the trace of the context",
    ["14-01", "14-02", "14-03"],
    ["echo"],
    async (context) => {
      const { peer } = await context.open10();
      const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
      const accepted = await peer.ask("V10-14-02", "agent.delegate", {
        target: context.agent("echo").split("@")[0],
        task: "sum up",
        context: { trace_id },
      });
      context.judge.expect("V10-14-02", "the answer", accepted.type, is("job.accepted"));
      context.judge.expect("V10-14-03", "trace_id", accepted.trace_id, is(trace_id));
      await ending(peer, jobOf(accepted), "V10-14-01");
    },
  ),
];
