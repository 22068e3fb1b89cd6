/** §6.7: the end of a session. */
import type { Frame } from "../../frame.ts";
import { is } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { v11 } from "./case.ts";

/** As long as this a runtime may take to hear that it is over. */
const MAX_QUIETS = 16;

export const closingCases = [
  v11(
    "close/acknowledged",
    "session.close is acknowledged before the connection ends",
    ["6.7-02"],
    [],
    async (context) => {
      const peer = await context.session();
      peer.send("session.close", { reason: "done" });
      const closed = await peer.sees("V11-6.7-02", "session.closed", ({ type }) => type === "session.closed");
      context.judge.expect("V11-6.7-02", "its session_id", closed.session_id, is(peer.sessionId));
    },
  ),
  v11(
    "close/jobs-go-on",
    "jobs go on when their session is closed, and are there in a resume",
    ["6.7-03", "6.7-04"],
    ["count", "connections"],
    async (context) => {
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "count", { n: 5, delay_ms: 150 }));
      peer.send("session.close", { reason: "done" });
      await peer.sees(undefined, "session.closed", ({ type }) => type === "session.closed");
      await peer.hangUp(undefined, "the end of the connection");
      const second = await context.resume(peer, peer.numbered.length, "V11-6.7-04");
      // It may have ended before the close took effect.
      const end = peer.ofJob(jobId).find(({ type }) => type !== "job.event") ?? (await second.end("V11-6.7-04", jobId));
      context.judge.expect("V11-6.7-03", "the end of the job", end.type, is("job.result"));
      context.judge.expect("V11-6.7-04", "its number", end.event_seq, is(6));
    },
  ),
  v11("close/bye", "after session.bye nothing is said any more", ["6.7-05", "6.7-06"], ["count"], async (context) => {
    const peer = await context.session();
    const jobId = jobOf(await context.submit(peer, "count", { n: 4000, delay_ms: 5 }));
    await peer.sees(undefined, "an event", ({ event_seq }) => event_seq === 2);
    peer.send("session.bye", { reason: "done" });
    // What was on its way may still come, and so may what was said until it was heard.
    let late: readonly Frame[] = peer.frames;
    for (let quiet = 0; quiet < MAX_QUIETS && late.length > 0; quiet += 1) {
      const upTo = peer.frames.length;
      await peer.quiet();
      late = peer.frames.slice(upTo);
    }
    context.judge.expect("V11-6.7-06", "messages after session.bye", late, is([]));
    const errors = peer.frames.filter(({ type }) => type === "session.error");
    context.judge.expect("V11-6.7-05", "errors about session.bye", errors, is([]));
    context.judge.that(
      "V11-6.7-05",
      "the job's end not to have come",
      peer.ofJob(jobId).every(({ type }) => type === "job.event"),
      jobId,
    );
  }),
  v11(
    "close/resume-after-bye",
    "after session.bye a session is resumed, or said to be gone",
    ["6.7-07"],
    ["echo", "connections"],
    async (context) => {
      const peer = await context.session();
      peer.send("session.bye", {});
      await peer.quiet();
      const { answer } = await context.claim(peer, 0, "V11-6.7-07");
      const isEither = answer.type === "session.welcome" || answer.payload?.code === "RESUME_WINDOW_EXPIRED";
      context.judge.that("V11-6.7-07", "session.welcome, or RESUME_WINDOW_EXPIRED", isEither, answer);
    },
  ),
];
