/** Priorities: what they decide, and what they must not. */
import { type Frame, newId } from "../../frame.ts";
import { is, oneOf } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { ENDS, ending, isEnd, ofJob, v10 } from "./case.ts";

const PRIORITIES = ["low", "normal", "high", "critical"] as const;
/** How many critical commands come at once. */
const FLOOD = 70;

const rankOf = ({ priority }: Frame): number =>
  PRIORITIES.indexOf((priority ?? "normal") as (typeof PRIORITIES)[number]);

/** What may not wait: questions, their ends, and the ends of jobs, streams, leases and sessions. */
const isUrgent = (type: string): boolean =>
  ENDS.includes(type) || /^(human|permission|lease|session|cancel|nack|stream\.error)/.test(type);

export const priorityCases = [
  v10(
    "priority/levels",
    "commands of every priority are carried out, whoever they are from and for",
    ["6.5-01", "6.1.1-16"],
    ["echo"],
    async (context) => {
      const { peer } = await context.open10();
      for (const priority of PRIORITIES) {
        const named = { priority, source: "arcp-conformance", target: "runtime" };
        const pong = await peer.ask("V10-6.1.1-16", "ping", {}, named);
        context.judge.expect("V10-6.1.1-16", `the answer to a ping with source and target`, pong.type, is("pong"));
        const payload = { tool: context.agent("echo"), arguments: {} };
        const accepted = await peer.ask("V10-6.5-01", "tool.invoke", payload, { priority });
        context.judge.expect("V10-6.5-01", `the answer to a command of ${priority}`, accepted.type, is("job.accepted"));
        await ending(peer, jobOf(accepted), "V10-6.5-01");
      }
    },
  ),
  v10(
    "priority/flood",
    "whoever calls everything critical is served, or told that it is too much",
    ["6.5-06"],
    [],
    async (context) => {
      const { peer } = await context.open10();
      const ids = Array.from({ length: FLOOD }, () => peer.send("ping", {}, { id: newId(), priority: "critical" }));
      for (const id of ids) {
        const { type, payload } = await peer.reply("V10-6.5-06", id, "an answer to a critical ping");
        const isLimited = type === "nack" && payload?.code === "RESOURCE_EXHAUSTED";
        context.judge.that("V10-6.5-06", "pong, or RESOURCE_EXHAUSTED", type === "pong" || isLimited, {
          type,
          payload,
        });
      }
    },
  ),
  v10(
    "priority/order",
    "what one job tells keeps its order, whatever its priorities are",
    ["6.5-04"],
    ["kinds", "stream"],
    async (context) => {
      const { peer } = await context.open10();
      const job = jobOf(await context.invoke(peer, "kinds"));
      const pieces = Array.from({ length: 20 }, (_, place) => `${place}`);
      const streaming = jobOf(await context.invoke(peer, "stream", { kind: "text", pieces }));
      for (const jobId of [job, streaming]) await ending(peer, jobId);
      const told = ofJob(peer, job);
      const levels = told.filter(({ type }) => type === "log").map(({ payload }) => payload.level);
      context.judge.expect("V10-6.5-04", "the logs of the job", levels, is(["debug", "info", "warn", "error"]));
      const chunks = ofJob(peer, streaming).filter(({ type }) => type === "stream.chunk");
      context.judge.expect(
        "V10-6.5-04",
        "the chunks of the stream",
        chunks.map(({ payload }) => payload.data),
        is(pieces),
      );
      context.judge.expect(
        "V10-6.5-04",
        "the last message of the job",
        told.findIndex(isEnd(job)),
        is(told.length - 1),
      );
    },
  ),
  v10(
    "priority/critical",
    "nothing is critical that could wait",
    ["6.5-05"],
    ["kinds", "progress"],
    async (context) => {
      const { peer } = await context.open10();
      const jobs = [
        jobOf(await context.invoke(peer, "kinds")),
        jobOf(await context.invoke(peer, "progress", { reports: [{ current: 1, total: 2 }] })),
      ];
      for (const jobId of jobs) await ending(peer, jobId);
      const critical = peer.frames.filter((frame) => frame["priority"] === "critical").map(({ type }) => type);
      context.judge.expect(
        "V10-6.5-05",
        "what was critical",
        critical.filter((type) => !isUrgent(type)),
        is([]),
      );
    },
  ),
  v10(
    "subscriptions/priority",
    "an observer gets what is of its priority or above",
    ["13.2-04"],
    ["kinds", "connections"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const watcher = (await context.open10()).peer;
      const named = new Map<string, string>();
      for (const min_priority of PRIORITIES) {
        const filter = { session_id: [mine.sessionId], min_priority };
        const answer = await watcher.ask("V10-13.2-04", "subscribe", { filter });
        context.judge.expect("V10-13.2-04", "the answer", answer.type, oneOf("subscribe.accepted"));
        named.set(answer.payload.subscription_id, min_priority);
      }
      const jobId = jobOf(await context.invoke(mine, "kinds"));
      const end = await ending(mine, jobId);
      await watcher.sees("V10-13.2-04", "the end", ({ payload }) => payload?.event?.id === end.id);
      await watcher.quiet();
      for (const [id, least] of named) {
        const seen = watcher.frames
          .filter((frame) => (frame["subscription_id"] ?? frame.payload?.subscription_id) === id)
          .flatMap(({ payload }) => (payload?.event?.job_id === jobId ? [payload.event.id] : []));
        const due = ofJob(mine, jobId).filter(
          (frame) => frame.type !== "job.heartbeat" && rankOf(frame) >= PRIORITIES.indexOf(least as "low"),
        );
        context.judge.expect("V10-13.2-04", `what came of ${least} and above`, seen, is(due.map((frame) => frame.id)));
      }
    },
  ),
];
