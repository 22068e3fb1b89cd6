/** Envelopes and refusals. */
import { aNumber, anObject, aString, aTimestamp, is, nothing, oneOf, perhaps, shape, someText } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { codeOf, ending, isNack, ofJob, returned, v10 } from "./case.ts";

export const envelopeCases = [
  v10(
    "envelope/members",
    "every message has what an envelope has",
    [
      "4.4-02",
      "6.1-01",
      "6.1.1-01",
      "6.1.1-02",
      "6.1.1-03",
      "6.1.1-04",
      "6.1.1-05",
      "6.1.1-09",
      "6.1.1-12",
      "17.2-01",
      "17.3-01",
      "6.4-08",
    ],
    ["count"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "count", { n: 30 }));
      const durable = await peer.ask(undefined, "workflow.start", {
        workflow: context.agent("count").split("@")[0],
        arguments: { n: 2 },
      });
      await ending(peer, jobId);
      if (durable.type === "job.accepted") await ending(peer, jobOf(durable));
      judge.expect("V10-6.1-01", "what came and is no envelope", peer.garbage, is([]));
      for (const frame of peer.frames) {
        judge.expect("V10-4.4-02", `arcp of ${frame.type}`, frame.arcp, someText);
        judge.expect("V10-6.1.1-02", `id of ${frame.type}`, frame.id, someText);
        judge.expect("V10-6.1.1-03", `timestamp of ${frame.type}`, frame["timestamp"], aTimestamp);
        judge.expect(
          "V10-6.1.1-01",
          `an envelope of ${frame.type}`,
          frame,
          shape({ arcp: someText, id: someText, type: someText, timestamp: aTimestamp, payload: anObject }),
        );
        judge.expect("V10-6.1.1-04", `session_id of ${frame.type}`, frame.session_id, is(peer.sessionId));
        judge.expect(
          "V10-6.1.1-12",
          `priority of ${frame.type}`,
          frame["priority"],
          perhaps(oneOf("low", "normal", "high", "critical")),
        );
        if (frame.type.startsWith("job."))
          judge.expect("V10-6.1.1-05", `job_id of ${frame.type}`, frame.job_id, someText);
        if (frame.type === "log")
          judge.expect(
            "V10-17.2-01",
            "log.payload",
            frame.payload,
            shape({ level: oneOf("trace", "debug", "info", "warn", "error", "critical"), message: aString }),
          );
        if (frame.type === "metric")
          judge.expect(
            "V10-17.3-01",
            "metric.payload",
            frame.payload,
            shape({ name: someText, value: aNumber, unit: aString, dims: perhaps(anObject) }),
          );
      }
      judge.looksAt("V10-17.3-01");
      const ids = peer.frames.map(({ id }) => id);
      judge.expect(
        "V10-6.1.1-02",
        "ids that came twice",
        ids.filter((id, place) => ids.indexOf(id) !== place),
        is([]),
      );
      const end = await ending(peer, jobId);
      judge.expect("V10-6.1.1-09", "correlation_id of the end", end.correlation_id, someText);
      const messages = ofJob(peer, jobId)
        .filter(({ type }) => type === "log")
        .map(({ payload }) => payload.message);
      judge.expect(
        "V10-6.4-08",
        "the job's logs",
        messages,
        is(Array.from({ length: 30 }, (_, place) => `line ${place}`)),
      );
    },
  ),
  v10(
    "envelope/unknown-members",
    "members that nobody knows do no harm",
    ["6.1.1-17", "6.2-03"],
    [],
    async (context) => {
      const { peer } = await context.open10();
      const id = peer.send("ping", { nonce: "n" }, { "x-odd": 1, another: { a: [] } });
      const pong = await peer.sees("V10-6.1.1-17", "a pong", ({ type }) => type === "pong");
      context.judge.expect("V10-6.2-03", "correlation_id of pong", pong.correlation_id, is(id));
    },
  ),
  v10(
    "envelope/malformed",
    "what keeps no schema is refused, and the session goes on",
    ["4.4-01", "6.3-08"],
    ["echo"],
    async (context) => {
      const { peer } = await context.open10();
      for (const [type, payload] of [
        ["tool.invoke", { arguments: {} }],
        ["tool.invoke", { tool: 7 }],
        ["cancel", { target: "job" }],
        ["subscribe", { filter: 7 }],
      ] as const) {
        const answer = await peer.ask("V10-6.3-08", type, payload);
        isNack(
          context,
          "V10-4.4-01",
          answer,
          ["INVALID_ARGUMENT", "FAILED_PRECONDITION"],
          `the answer to ${type} ${JSON.stringify(payload)}`,
        );
      }
      await peer.ask("V10-4.4-01", "ping", {});
    },
  ),
  v10(
    "extensions/unknown",
    "types that nobody knows are refused, or dropped where they say that they may be",
    ["4.7-01", "21.2-02", "21.3-01", "21.3-02", "21.3-03", "21.3-04", "18.2-07", "6.1.1-13"],
    [],
    async (context) => {
      const { peer } = await context.open10();
      for (const [requirement, type] of [
        ["V10-21.3-01", "job.dance"],
        [["V10-21.3-03", "V10-4.7-01"], "arcpx.suite.dance.v1"],
      ] as const) {
        isNack(context, requirement, await peer.ask(requirement, type), ["UNIMPLEMENTED"], `the answer to ${type}`);
      }
      isNack(
        context,
        "V10-21.2-02",
        await peer.ask("V10-21.2-02", "arcpx.suite.dance.v1"),
        ["UNIMPLEMENTED"],
        "the answer to an extension that was not advertised",
      );
      isNack(
        context,
        "V10-18.2-07",
        await peer.ask("V10-18.2-07", "com.suite.dance.v1"),
        ["UNIMPLEMENTED"],
        "the answer to what the runtime lacks",
      );
      const id = peer.send("arcpx.suite.dance.v1", {}, { extensions: { optional: true } });
      await peer.ask("V10-21.3-04", "ping", {});
      await peer.quiet();
      context.judge.expect(
        "V10-21.3-02",
        "an answer to an extension that may be dropped",
        peer.frames.find(({ correlation_id }) => correlation_id === id),
        nothing,
      );
      context.judge.expect("V10-21.3-04", "the end of the connection", peer.ended, nothing);
      for (const { type, extensions } of peer.frames)
        context.judge.expect("V10-6.1.1-13", `extensions of ${type}`, extensions, perhaps(anObject));
    },
  ),
  v10(
    "envelope/types",
    "every command of the protocol is known, whether it is carried out or not",
    ["6.2-01"],
    [],
    async (context) => {
      const { peer } = await context.open10();
      const named = { correlation_id: "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV" };
      const job = { type: "tool.invoke", payload: { tool: "suite.no-such-tool", arguments: {} } };
      const scope = { permission: "filesystem.read", resource: "/site/a", operation: "read" };
      const commands = [
        ["ping", {}],
        ["cancel", { target: "job", target_id: NO_JOB }],
        ["interrupt", { target: "job", target_id: NO_JOB, prompt: "stop" }],
        ["resume", { after_message_id: named.correlation_id }, { session_id: "sess_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["backpressure", { desired_rate_per_second: 1 }, { stream_id: "str_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["checkpoint.create", {}, { job_id: NO_JOB }],
        ["checkpoint.restore", { checkpoint_id: "chk_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["tool.invoke", job.payload],
        ["job.schedule", { job, when: { after: 1 } }],
        ["workflow.start", { workflow: "suite.no-such-tool", inputs: {} }],
        ["agent.delegate", { target: "suite.no-such-tool", task: "x", context: {} }],
        ["agent.handoff", { to_runtime: { kind: "x", version: "1", fingerprint: "sha256:00" }, job }],
        ["human.input.response", { value: 1, responded_by: "suite" }, named],
        ["human.choice.response", { choice_id: "a", responded_by: "suite" }, named],
        ["permission.grant", { ...scope, lease_seconds: 1 }, named],
        ["permission.deny", { reason: "no" }, named],
        ["lease.refresh", { lease_id: "lease_01ARZ3NDEKTSV4RRFFQ69G5FAV", requested_seconds: 1 }],
        ["unsubscribe", { subscription_id: "sub_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["artifact.fetch", { artifact_id: "art_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["artifact.release", { artifact_id: "art_01ARZ3NDEKTSV4RRFFQ69G5FAV" }],
        ["artifact.put", { media_type: "text/plain", data: "eA==" }],
        ["subscribe", { filter: { types: ["log"] } }],
      ] as const;
      const asked = commands.map(([type, payload, members = {}]) => ({ type, id: peer.send(type, payload, members) }));
      for (const { type, id } of asked) {
        const answer = await peer.reply("V10-6.2-01", id, `an answer to ${type}`);
        context.judge.that(
          "V10-6.2-01",
          `${type} is served, or refused for what it names`,
          codeOf(answer) !== "INVALID_ARGUMENT",
          answer,
        );
      }
    },
  ),
  v10(
    "envelope/body",
    "what a message brings arrives as it was, whatever it is",
    ["22-03"],
    ["echo"],
    async (context) => {
      const { peer } = await context.open10();
      const body = {
        ...{
          nothing: null,
          yes: true,
          no: false,
          zero: 0,
          less: -1.5,
          much: 1e21,
          little: 5e-324,
          empty: "",
          none: [],
        },
        text: '\u00e9 e\u0301 \ud83d\udc69\u200d\ud83d\ude80 \u05d0 \u2028 \u2029 \ufeff \u007f "\\"\\\\/\b\f\n\r\t',
        deep: [[[{ a: [1, "2", { b: {} }] }]]],
        long: "\u00fc".repeat(100_000),
      };
      const end = await ending(peer, jobOf(await context.invoke(peer, "echo", body)), "V10-22-03");
      context.judge.expect("V10-22-03", "what the agent was given", returned(end), is(body));
    },
  ),
];

const NO_JOB = "job_01ARZ3NDEKTSV4RRFFQ69G5FAV";
