/** Subscriptions. */
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { is, shape, someText } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import type { Peer } from "../peer.ts";
import { codeOf, ending, isEnd, isNack, ofJob, v10 } from "./case.ts";

export const observerCases = [
  v10(
    "subscriptions/live",
    "an observer gets what its filter lets through, as it was",
    ["13.1-01", "13.1-02", "13.2-02", "13.3-03", "6.1.1-07", "6.1.1-11", "13.4-01", "13.4-03"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const mine = (await context.open10()).peer;
      const watcher = (await context.open10()).peer;
      const early = jobOf(await context.invoke(mine, "count", { n: 2 }));
      await ending(mine, early);
      const accepted = await watcher.ask("V10-13.1-01", "subscribe", {
        filter: { session_id: [mine.sessionId], types: ["log", "tool.result"] },
      });
      judge.expect(
        "V10-13.1-01",
        "the answer",
        accepted,
        shape({ type: is("subscribe.accepted"), payload: shape({ subscription_id: someText }) }),
      );
      const { subscription_id } = accepted.payload;
      const jobId = jobOf(await context.invoke(mine, "count", { n: 3 }));
      const end = await ending(mine, jobId);
      await watcher.sees(
        "V10-13.1-02",
        "subscribe.event with the end",
        ({ type, payload }) => type === "subscribe.event" && payload?.event?.id === end.id,
      );
      const events = watcher.frames.filter(({ type }) => type === "subscribe.event");
      for (const event of events)
        judge.expect(
          "V10-6.1.1-07",
          "subscription_id",
          event["subscription_id"] ?? event.payload?.subscription_id,
          is(subscription_id),
        );
      judge.expect(
        "V10-13.2-02",
        "types of what came",
        [...new Set(events.map(({ payload }) => payload.event.type))],
        is(["log", "tool.result"]),
      );
      judge.expect(
        "V10-13.3-03",
        "events of before the subscription",
        events.filter(({ payload }) => payload.event.job_id === early),
        is([]),
      );
      const originals = ofJob(mine, jobId).filter(({ type }) => type === "log" || type === "tool.result");
      const causes = (frame: Frame): readonly unknown[] => [frame.correlation_id, frame["causation_id"]];
      judge.expect(
        "V10-6.1.1-11",
        "correlation_id and causation_id of what came",
        events.map(({ payload }) => causes(payload.event)),
        is(originals.map(causes)),
      );
      judge.expect(
        "V10-13.1-02",
        "payload.event of all",
        events.map(({ payload }) => payload.event),
        is(originals),
      );
      const closed = await watcher.ask("V10-13.4-01", "unsubscribe", { subscription_id }, { subscription_id });
      judge.that("V10-13.4-01", "an answer", ["subscribe.closed", "ack"].includes(closed.type), closed);
      if (closed.type === "subscribe.closed")
        judge.expect("V10-13.4-03", "its reason", closed.payload?.code ?? closed.payload?.reason, someText);
      judge.looksAt("V10-13.4-03");
    },
  ),
  v10(
    "subscriptions/backfill",
    "an observer may have the history first, to a marker",
    ["13.3-01", "13.3-02"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const mine = (await context.open10()).peer;
      const watcher = (await context.open10()).peer;
      const jobId = jobOf(await context.invoke(mine, "count", { n: 4 }));
      await ending(mine, jobId);
      const logs = ofJob(mine, jobId).filter(({ type }) => type === "log");
      await watcher.ask("V10-13.3-01", "subscribe", {
        filter: { job_id: [jobId], types: ["log"] },
        since: { after_message_id: logs[1]?.id },
      });
      const isMarker = ({ type, payload }: Frame): boolean =>
        type === "subscribe.event" && JSON.stringify(payload?.event ?? null).includes("subscription.backfill_complete");
      const marker = await watcher.sees("V10-13.3-02", "subscription.backfill_complete", isMarker);
      judge.expect("V10-13.3-02", "its event's type", marker.payload.event.type, is("event.emit"));
      const history = watcher.frames
        .slice(0, watcher.frames.indexOf(marker))
        .filter(({ type }) => type === "subscribe.event");
      judge.expect(
        "V10-13.3-01",
        "the history",
        history.map(({ payload }) => payload.event.id),
        is(logs.slice(2).map(({ id }) => id)),
      );
    },
  ),
  v10(
    "subscriptions/resumed",
    "an observer that lost its connection goes on where it was",
    ["19-10"],
    ["count", "connections"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const before = (await context.open10()).peer;
      const filter = { session_id: [mine.sessionId], types: ["log"] };
      const lines = (peer: Peer): readonly string[] =>
        peer.frames.flatMap(({ type, payload }) =>
          type === "subscribe.event" && payload?.event?.type === "log" ? [payload.event.payload.message] : [],
        );
      await before.ask("V10-19-10", "subscribe", { filter });
      const jobId = jobOf(await context.invoke(mine, "count", { n: 8, delay_ms: 30 }));
      const last = await before.sees(
        "V10-19-10",
        "an event",
        ({ payload }) => payload?.event?.payload?.message === "line 2",
      );
      before.cut();
      await ending(mine, jobId);
      const after = (await context.open10()).peer;
      const since = { after_message_id: last.payload.event.id };
      const answer = await after.ask("V10-19-10", "subscribe", { filter, since });
      if (answer.type === "nack") throw new NotHere(`subscriptions are not resumed: ${codeOf(answer)}`);
      await after.sees("V10-19-10", "the last event", () => lines(after).includes("line 7"));
      const due = ["line 3", "line 4", "line 5", "line 6", "line 7"];
      context.judge.expect("V10-19-10", "what was missed", lines(after), is(due));
    },
  ),
  v10(
    "subscriptions/unauthorised",
    "a filter that would show what one may not see is refused",
    ["13.2-03"],
    ["count", "connections", "principals"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const answer = await other.ask("V10-13.2-03", "subscribe", { filter: { session_id: [mine.sessionId] } });
      isNack(context, "V10-13.2-03", answer, ["PERMISSION_DENIED"], "the answer");
    },
  ),
  v10(
    "resume/replay",
    "who comes back gets what was missed as it was, and nothing twice",
    ["4.3-02", "9-02", "19-03", "19-04", "19-07", "6.4-01"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const before = (await context.open10()).peer;
      const jobId = jobOf(await context.invoke(before, "count", { n: 6 }));
      await ending(before, jobId);
      const isFeed = ({ job_id, type, session_id }: Frame): boolean =>
        job_id === jobId && type !== "job.heartbeat" && session_id === before.sessionId;
      const told = before.frames.filter(isFeed);
      const at = told.findIndex(({ type }) => type === "log") + 2;
      before.cut();
      const after = (await context.open10()).peer;
      const answer = await after.ask(
        "V10-4.3-02",
        "resume",
        { after_message_id: told[at]?.id },
        { session_id: before.sessionId },
      );
      judge.that("V10-4.3-02", "ack", answer.type === "ack", answer);
      const end = await after.sees(["V10-19-07", "V10-6.4-01"], "the end of the job", isEnd(jobId));
      judge.expect("V10-9-02", "session_id of what was missed", end.session_id, is(before.sessionId));
      const replayed = after.frames.filter(isFeed);
      judge.expect(
        "V10-19-04",
        "messages that were received before",
        replayed.filter(({ id }) => told.slice(0, at + 1).some((frame) => frame.id === id)),
        is([]),
      );
      judge.expect(
        "V10-19-03",
        "what was replayed",
        replayed.map(({ id, type, payload }) => ({ id, type, payload })),
        is(told.slice(at + 1).map(({ id, type, payload }) => ({ id, type, payload }))),
      );
    },
  ),
  v10(
    "resume/other-principal",
    "a session is its principal's",
    ["9-04"],
    ["count", "connections", "principals"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const jobId = jobOf(await context.invoke(mine, "count", { n: 2 }));
      const end = await ending(mine, jobId);
      mine.cut();
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const first = mine.frames.find(({ job_id }) => job_id === jobId) ?? end;
      const answer = await other.ask(
        "V10-9-04",
        "resume",
        { after_message_id: first.id },
        { session_id: mine.sessionId },
      );
      context.judge.expect("V10-9-04", "the answer", answer.type, is("nack"));
      await other.quiet();
      context.judge.expect("V10-9-04", "what it was sent", ofJob(other, jobId), is([]));
    },
  ),
  v10(
    "resume/data-loss",
    "a place that is not known is refused as DATA_LOSS",
    ["19-06"],
    ["echo", "connections"],
    async (context) => {
      const mine = (await context.open10()).peer;
      mine.cut();
      const after = (await context.open10()).peer;
      const answer = await after.ask(
        "V10-19-06",
        "resume",
        { after_message_id: "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV" },
        { session_id: mine.sessionId },
      );
      isNack(context, "V10-19-06", answer, ["DATA_LOSS"], "the answer");
    },
  ),
];
