/** §7.4: cancellation. */
import { is } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { isEndOf } from "../peer.ts";
import { begun, cancel, v11 } from "./case.ts";

/** The longest that a cancelled job may take to end (§7.4), and a second more. */
const GRACE_MS = 31_000;

export const cancellationCases = [
  v11(
    "cancel/acknowledged",
    "a cancellation is acknowledged, and ends the job",
    ["7.4-03", "7.4-04", "7.4-05", "7.4-06"],
    ["hold"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "hold"));
      await begun(peer, jobId);
      const answer = await cancel(peer, jobId, "V11-7.4-03");
      judge.expect("V11-7.4-03", "the answer to job.cancel", answer.type, is("job.cancelled"));
      judge.expect("V11-7.4-03", "the job that it names", answer.job_id ?? answer.payload?.job_id, is(jobId));
      const end = await peer.end("V11-7.4-06", jobId);
      judge.expect(
        "V11-7.4-04",
        "the last message",
        { type: end.type, code: end.payload?.code, final_status: end.payload?.final_status },
        is({ type: "job.error", code: "CANCELLED", final_status: "cancelled" }),
      );
      judge.that(
        "V11-7.4-05",
        "job.cancelled before job.error",
        peer.frames.indexOf(answer) < peer.frames.indexOf(end),
        "job.error came first",
      );
    },
  ),
  v11(
    "cancel/grace",
    "a job whose agent does not listen ends all the same, and says nothing more",
    ["7.4-07", "7.4-09", "7.3-03"],
    ["stubborn"],
    async (context) => {
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "stubborn", { ms: 33_000 }));
      await begun(peer, jobId);
      await cancel(peer, jobId);
      const end = await peer.end("V11-7.4-07", jobId, GRACE_MS);
      context.judge.expect("V11-7.4-07", "final_status", end.payload?.final_status, is("cancelled"));
      await peer.quiet();
      const messages = peer.ofJob(jobId);
      context.judge.expect(
        "V11-7.4-09",
        "what comes after the last message",
        messages.slice(messages.indexOf(end) + 1),
        is([]),
      );
      context.judge.expect(
        "V11-7.3-03",
        "what comes after the last message",
        messages.slice(messages.indexOf(end) + 1),
        is([]),
      );
    },
    GRACE_MS + 5_000,
  ),
  v11("cancel/unknown", "a job that does not exist cannot be cancelled", ["7.4-10"], [], async (context) => {
    const peer = await context.session();
    const answer = await cancel(peer, "job_01ARZ3NDEKTSV4RRFFQ69G5FAV", "V11-7.4-10");
    context.isRefusal("V11-7.4-10", answer, ["JOB_NOT_FOUND"], "the answer");
  }),
  v11(
    "cancel/other-principal",
    "a job of another principal cannot be cancelled",
    ["7.4-10"],
    ["hold", "connections", "principals"],
    async (context) => {
      const mine = await context.session();
      const other = await context.session({ token: context.tokenB });
      const jobId = jobOf(await context.submit(mine, "hold"));
      await begun(mine, jobId);
      context.isRefusal(
        "V11-7.4-10",
        await cancel(other, jobId, "V11-7.4-10"),
        ["JOB_NOT_FOUND", "PERMISSION_DENIED"],
        "the answer",
      );
      await mine.quiet();
      context.judge.that(
        "V11-7.4-10",
        "a job that goes on",
        mine.ofJob(jobId).every(({ type }) => type === "job.event"),
        jobId,
      );
      await cancel(mine, jobId);
    },
  ),
  v11("cancel/ended", "cancelling what has ended changes nothing", ["7.4-11"], ["echo"], async (context) => {
    const peer = await context.session();
    const { jobId } = await context.perform(peer, "echo", 1);
    for (let time = 0; time < 2; time += 1) await cancel(peer, jobId, "V11-7.4-11");
    await peer.quiet();
    const ends = peer.ofJob(jobId).filter((frame) => isEndOf(frame, jobId));
    context.judge.expect("V11-7.4-11", "how many last messages", ends.length, is(1));
    const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
    context.judge.expect("V11-7.4-11", "its status", listed?.["status"], is("success"));
  }),
  v11(
    "cancel/lease",
    "with the job its lease ends, whatever its agent still tries",
    ["7.4-08"],
    ["remnant"],
    async (context) => {
      const peer = await context.session();
      const operations = [
        { capability: "fs.read", target: "/site/a" },
        { capability: "tool.call", target: "suite.tool" },
      ];
      const lease_request = { "fs.read": ["/site/a"], "tool.call": ["suite.tool"] };
      const accepted = await context.submit(peer, "remnant", { operations }, { lease_request });
      await begun(peer, jobOf(accepted));
      await cancel(peer, jobOf(accepted));
      // Its agent does not listen: it ends when the runtime's grace is over.
      await peer.end(undefined, jobOf(accepted), GRACE_MS);
      const { result } = await context.perform(peer, "remnant", { of: jobOf(accepted) });
      const done = operations.map(() => false);
      const performed = (result?.outcomes ?? []).map((outcome: { performed: unknown }) => outcome.performed);
      context.judge.expect("V11-7.4-08", "which of the operations after the end were performed", performed, is(done));
    },
    GRACE_MS + 10_000,
  ),
];
