/** How a client of wire 1.0 observes, and what it does with artifacts, logs and metrics (RFC §13, §16, §17). */
import { createHash } from "node:crypto";
import { is, shape } from "../../matcher.ts";
import type { ClientCase, JsonObject } from "../stage.ts";
import { asked, openSession10 } from "./session.ts";

export const observing10: readonly ClientCase[] = [
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
];
