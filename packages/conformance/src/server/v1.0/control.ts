/** What happens to jobs that are at work: states, signs of life, interrupts, retries, checkpoints, and how they fail. */
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { is, nothing, oneOf, perhaps, someText } from "../../matcher.ts";
import { CODES_10, isNamespaced } from "../../names-10.ts";
import { CAPABILITIES, jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import {
  asked,
  codeOf,
  ENDS,
  ending,
  isEnd,
  isNack,
  logsOf,
  ofJob,
  returned,
  STATES,
  stop,
  v10,
  working,
} from "./case.ts";

/** A session whose heartbeats come soon, and how far apart they are, in milliseconds. */
async function beating(context: ServerContext): Promise<{ readonly peer: Peer; readonly intervalMs: number }> {
  const { peer, accepted } = await context.open10({
    capabilities: { ...CAPABILITIES, heartbeat_interval_seconds: 1 },
  });
  const seconds = Number(accepted.payload.capabilities.heartbeat_interval_seconds);
  if (!(seconds <= 3)) throw new NotHere(`heartbeat_interval_seconds is ${seconds}, however short it was asked for`);
  return { peer, intervalMs: seconds * 1000 };
}

export const controlCases = [
  v10(
    "jobs/states",
    "heartbeats tell of jobs that wait for capacity, for a person and for a permission",
    ["10.2-01", "10.2-02", "12.1-02", "15.4-03"],
    ["alone", "ask", "permit", "hold"],
    async (context) => {
      const { judge } = context;
      const { peer, intervalMs } = await beating(context);
      const [, second] = [jobOf(await context.invoke(peer, "alone")), jobOf(await context.invoke(peer, "alone"))];
      const working = jobOf(await context.invoke(peer, "hold"));
      const input = { permission: "filesystem.read", resource: "/site/a", operation: "read" };
      const questions = [
        { claim: "V10-12.1-02", ...(await asked(context, peer, "ask", {}, "V10-12.1-02")) },
        { claim: "V10-15.4-03", ...(await asked(context, peer, "permit", input, "V10-15.4-03")) },
      ];
      const seen = (claim: string | readonly string[], jobId: string, state: string): Promise<Frame> =>
        peer.sees(
          claim,
          `job.heartbeat of ${jobId} with the state ${state}`,
          ({ type, job_id, payload }) => type === "job.heartbeat" && job_id === jobId && payload?.state === state,
          intervalMs * 3 + 1000,
        );
      await seen("V10-10.2-02", second, "queued");
      await seen("V10-10.2-01", working, "running");
      for (const { claim, jobId, question } of questions) {
        await seen([claim, "V10-10.2-02"], jobId, "blocked");
        const later = peer.frames.slice(peer.frames.indexOf(question));
        const isWork = (frame: Frame): boolean =>
          frame.job_id === jobId && (isEnd(jobId)(frame) || ["log", "job.progress"].includes(frame.type));
        judge.expect(claim, "what the job did after its question", later.filter(isWork), is([]));
      }
      for (const { type, payload } of peer.frames) {
        if (type === "job.heartbeat") judge.expect("V10-10.2-01", "payload.state", payload?.state, oneOf(...STATES));
      }
      for (const jobId of new Set(peer.frames.flatMap(({ job_id = [] }) => job_id))) stop(peer, jobId);
    },
  ),
  v10(
    "jobs/silence",
    "a job that misses two of its signs of life is given up, and one that misses one is not",
    ["10.3-04", "10.3-05"],
    ["silent"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const frozen = jobOf(await context.invoke(peer, "silent", { deadline_ms: 500, silent_ms: 20_000 }));
      const late = jobOf(await context.invoke(peer, "silent", { deadline_ms: 2000, silent_ms: 2600 }));
      const given = await peer.sees(
        "V10-10.3-04",
        "HEARTBEAT_LOST, or a heartbeat with the state blocked",
        (frame) =>
          isEnd(frozen)(frame) ||
          (frame.type === "job.heartbeat" && frame.job_id === frozen && frame.payload?.state === "blocked"),
      );
      if (given.type !== "job.heartbeat") {
        judge.expect("V10-10.3-04", "the end of a job that is silent", given.type, is("job.failed"));
        judge.expect("V10-10.3-04", "its code", codeOf(given), is("HEARTBEAT_LOST"));
      } else stop(peer, frozen);
      const end = await ending(peer, late, "V10-10.3-05");
      judge.expect("V10-10.3-05", "the end of a job that missed one sign", end.type, is("tool.result"));
    },
  ),
  v10(
    "jobs/retry",
    "what fails for a moment is tried again, and ends once",
    ["10.1-01"],
    ["retried"],
    async (context) => {
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "retried", { failures: 2 }));
      const end = await ending(peer, jobId, "V10-10.1-01");
      context.judge.expect("V10-10.1-01", "how often it was called", returned(end)?.attempts, is(3));
      await peer.quiet();
      const told = ofJob(peer, jobId);
      const ends = told.filter(({ type }) => ENDS.includes(type));
      context.judge.expect("V10-10.1-01", "how many ends", ends.length, is(1));
      const isTold = told.some((frame) => frame !== end && /retr|attempt/i.test(JSON.stringify(frame.payload)));
      context.judge.that(
        "V10-10.1-01",
        "a message that tells of the attempts",
        isTold,
        told.map(({ type }) => type),
      );
    },
  ),
  v10(
    "jobs/interrupt",
    "an interrupt holds a job up until a person has said something, and does not end it",
    ["10.5-01", "10.5-02", "6.1.1-10"],
    ["count"],
    async (context) => {
      const { judge } = context;
      const { peer, accepted } = await context.open10();
      if (accepted.payload.capabilities.interrupt !== true) throw new NotHere("interrupts are not offered");
      const jobId = await working(context, peer, "count", { n: 30, delay_ms: 40 });
      const id = peer.send("interrupt", { target: "job", target_id: jobId, prompt: "a moment" });
      const question = await peer.sees(
        "V10-10.5-01",
        "human.input.request",
        ({ type, job_id, payload }) => type === "human.input.request" && (job_id ?? payload?.job_id) === jobId,
      );
      judge.expect("V10-6.1.1-10", "causation_id of the question", question["causation_id"], perhaps(is(id)));
      for (let quiet = 0; quiet < 3; quiet += 1) await peer.quiet();
      const since = peer.frames.indexOf(question);
      const later = logsOf(peer, jobId).filter((frame) => peer.frames.indexOf(frame) > since);
      // What it was at when it was interrupted it may still tell of.
      judge.that("V10-10.5-01", "a job that waits", later.length <= 1, later);
      judge.expect("V10-10.5-02", "the end of the job", peer.frames.find(isEnd(jobId)), nothing);
      const answer = { value: { guidance: "go on" }, responded_by: "suite" };
      await peer.ask("V10-10.5-01", "human.input.response", answer, { correlation_id: question.id });
      const end = await ending(peer, jobId, "V10-10.5-01");
      judge.expect("V10-10.5-02", "how it ended", end.type, is("tool.result"));
    },
  ),
  v10(
    "jobs/not-agreed",
    "what was not agreed on is refused",
    ["10.5-03", "10.6-04"],
    ["hold", "echo"],
    async (context) => {
      const { peer } = await context.open10({
        capabilities: { ...CAPABILITIES, interrupt: false, scheduled_jobs: false },
      });
      const jobId = await working(context, peer, "hold");
      const refused = await peer.ask("V10-10.5-03", "interrupt", { target: "job", target_id: jobId, prompt: "stop" });
      isNack(context, "V10-10.5-03", refused, ["UNIMPLEMENTED"], "the answer to interrupt");
      const job = { type: "tool.invoke", payload: { tool: context.agent("echo"), arguments: {} } };
      const answer = await peer.ask("V10-10.6-04", "job.schedule", { job, when: { after: 1 } });
      isNack(context, "V10-10.6-04", answer, ["UNIMPLEMENTED"], "the answer to job.schedule");
      stop(peer, jobId);
    },
  ),
  v10(
    "jobs/last-checkpoint",
    "a job that is cancelled gets the chance to leave a checkpoint",
    ["10.4-03"],
    ["checkpoint"],
    async (context) => {
      const { peer } = await context.open10();
      const jobId = await working(context, peer, "checkpoint");
      await peer.ask("V10-10.4-03", "cancel", { target: "job", target_id: jobId, deadline_ms: 5000 });
      await ending(peer, jobId, "V10-10.4-03");
      const types = ofJob(peer, jobId).map(({ type }) => type);
      const isBefore =
        types.includes("job.checkpoint") && types.indexOf("job.checkpoint") < types.indexOf("job.cancelled");
      context.judge.that("V10-10.4-03", "job.checkpoint before job.cancelled", isBefore, types);
    },
  ),
  v10(
    "resume/checkpoint",
    "work goes on from a checkpoint, where that is offered",
    ["19-08"],
    ["checkpoint"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = await working(context, peer, "checkpoint");
      const made = await peer.ask("V10-19-08", "checkpoint.create", {}, { job_id: jobId });
      if (made.type === "nack") throw new NotHere(`no checkpoint is made: ${made.payload?.code}`);
      const told = await peer.sees(
        "V10-19-08",
        "job.checkpoint",
        ({ type, job_id }) => type === "job.checkpoint" && job_id === jobId,
      );
      const { checkpoint_id } = told.payload;
      judge.expect("V10-19-08", "checkpoint_id", checkpoint_id, someText);
      stop(peer, jobId);
      await ending(peer, jobId);
      const answer = await peer.ask("V10-19-08", "resume", { checkpoint_id });
      if (answer.type === "nack") {
        isNack(context, "V10-19-08", answer, ["UNIMPLEMENTED", "NOT_FOUND"], "the answer to resume with a checkpoint");
        return;
      }
      const isRestored = (frame: Frame): boolean =>
        ENDS.includes(frame.type) && JSON.stringify(frame.payload).includes('"here"');
      await peer.sees("V10-19-08", "the end of work that went on from the checkpoint", isRestored);
    },
  ),
  v10(
    "jobs/workflow",
    "a workflow ends as a durable job does, or as a workflow",
    ["6.3-07"],
    ["echo"],
    async (context) => {
      const { peer } = await context.open10();
      const answer = await peer.ask("V10-6.3-07", "workflow.start", { workflow: context.agent("echo"), inputs: {} });
      if (answer.type === "nack") throw new NotHere(`there are no workflows: ${answer.payload?.code}`);
      const isLast = ({ type, job_id }: Frame): boolean =>
        job_id === jobOf(answer) && [...ENDS, "workflow.complete"].includes(type);
      const end = await peer.sees("V10-6.3-07", "the end of the workflow", isLast);
      context.judge.expect("V10-6.3-07", "its type", end.type, oneOf("job.completed", "workflow.complete"));
    },
  ),
  v10("jobs/handoff", "work is taken over only by the runtime that is named", ["14-04"], ["echo"], async (context) => {
    const { peer, accepted } = await context.open10();
    if (accepted.payload.capabilities.agent_handoff !== true) throw new NotHere("handoffs are not offered");
    const job = { type: "tool.invoke", payload: { tool: context.agent("echo"), arguments: {} } };
    const unnamed = await peer.ask("V10-14-04", "agent.handoff", { job });
    isNack(context, "V10-14-04", unnamed, ["INVALID_ARGUMENT"], "the answer to a handoff to nobody");
    const to_runtime = { kind: "somebody-else", version: "1", fingerprint: `sha256:${"0".repeat(64)}` };
    const foreign = await peer.ask("V10-14-04", "agent.handoff", { to_runtime, job });
    context.judge.expect("V10-14-04", "the answer to a handoff to another runtime", foreign.type, is("nack"));
  }),
  v10(
    "jobs/codes",
    "failures have codes that are known or somebody's own, and say whether to try again",
    ["18.2-02", "18.2-05", "18.3-01", "18.3-02", "18.3-03"],
    ["fail", "fail_with"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const own = await ending(
        peer,
        jobOf(await context.invoke(peer, "fail_with", { code: "QUOTA_EXCEEDED", message: "no" })),
      );
      const isAllowed = (value: unknown): boolean => CODES_10.includes(String(value)) || isNamespaced(String(value));
      judge.that("V10-18.2-02", "a code of the protocol, or one with a namespace", isAllowed(codeOf(own)), own);
      const thrown = await ending(peer, jobOf(await context.invoke(peer, "fail", {})));
      judge.expect("V10-18.2-05", "the code of an exception that nobody expected", codeOf(thrown), is("INTERNAL"));
      const failures: Frame[] = [own, thrown];
      for (const [type, payload] of [
        ["tool.invoke", { tool: "suite.no-such-tool", arguments: {} }],
        ["tool.invoke", { tool: 7 }],
        ["arcpx.suite.dance.v1", {}],
        ["artifact.fetch", { artifact_id: "art_none" }],
        ["lease.refresh", { lease_id: "lease_none", requested_seconds: 1 }],
      ] as const) {
        failures.push(await peer.ask("V10-18.3-01", type, payload));
      }
      for (const failure of failures) {
        const code = String(codeOf(failure));
        const { retryable } = failure.payload?.error ?? failure.payload ?? {};
        const claim = RETRYABLE.has(code) ? "V10-18.3-02" : FINAL.has(code) ? "V10-18.3-03" : "V10-18.3-01";
        const isAsExpected =
          retryable === undefined || !(RETRYABLE.has(code) || FINAL.has(code)) || retryable === RETRYABLE.has(code);
        judge.that(
          [claim, "V10-18.3-01"],
          `retryable of ${code}: ${RETRYABLE.has(code)}, or absent`,
          isAsExpected,
          failure,
        );
      }
    },
  ),
  v10("jobs/large", "a large value comes as it is, or as a reference", ["16.1-03"], ["large"], async (context) => {
    const { judge } = context;
    const { peer } = await context.open10();
    const n = 1_300_000;
    const end = await ending(peer, jobOf(await context.invoke(peer, "large", { n })), "V10-16.1-03");
    const { result_ref } = end.payload ?? {};
    if (result_ref == null) {
      judge.expect("V10-16.1-03", "how long the value is", String(returned(end)).length, is(n));
      return;
    }
    judge.expect("V10-16.1-03", "result_ref.artifact_id", result_ref.artifact_id, someText);
    const { artifact_id } = result_ref;
    const fetched = await peer.ask("V10-16.1-03", "artifact.fetch", { artifact_id, offset: 0, length: 1024 });
    judge.that("V10-16.1-03", "a reference to something that is there", codeOf(fetched) !== "NOT_FOUND", fetched);
  }),
];

const RETRYABLE: ReadonlySet<string> = new Set([
  ...["RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED"],
]);
const FINAL: ReadonlySet<string> = new Set([
  ...["INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "FAILED_PRECONDITION"],
  ...["UNIMPLEMENTED", "UNAUTHENTICATED", "DATA_LOSS"],
]);
