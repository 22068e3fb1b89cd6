/** Wire 1.0 (RFC-0001), in the order of its sections. */
import type { Case } from "../../case.ts";
import { type Frame, newId } from "../../frame.ts";
import { type Claim, NotHere } from "../../judge.ts";
import {
  aNumber,
  anInteger,
  anObject,
  aString,
  aTimestamp,
  is,
  nothing,
  oneOf,
  perhaps,
  shape,
  someText,
  such,
  text,
} from "../../matcher.ts";
import { CAPABILITIES, jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";

function v10(
  id: string,
  title: string,
  requirements: readonly string[],
  needs: readonly string[],
  run: (context: ServerContext) => Promise<void>,
): Case<ServerContext> {
  return { id, wire: "1.0", title, requirements: requirements.map((name) => `V10-${name}`), needs, run };
}

const ENDS = ["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"];
const DURABLE_ENDS = ENDS.slice(2);
const CODES = [
  ...[
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
  ],
  ...[
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
  ],
  ...["DATA_LOSS", "UNAUTHENTICATED", "HEARTBEAT_LOST", "LEASE_EXPIRED", "LEASE_REVOKED", "BACKPRESSURE_OVERFLOW"],
];

const isEnd =
  (jobId: string) =>
  (frame: Frame): boolean =>
    frame.job_id === jobId && ENDS.includes(frame.type);
const ofJob = (peer: Peer, jobId: string): readonly Frame[] => peer.frames.filter(({ job_id }) => job_id === jobId);
const ending = (peer: Peer, jobId: string, requirement?: string): Promise<Frame> =>
  peer.sees(requirement, `the end of ${jobId}`, isEnd(jobId));

/** @throws Violation unless it is a refusal with one of these codes. */
function isNack(
  context: ServerContext,
  requirement: Claim,
  frame: Frame,
  codes: readonly string[],
  what: string,
): void {
  const isRefusal = ["nack", "tool.error", "job.failed"].includes(frame.type);
  context.judge.that(
    requirement,
    `${what}: a nack with ${codes.join(" or ")}`,
    isRefusal && codes.includes(frame.payload?.code ?? frame.payload?.error?.code),
    frame,
  );
}

const envelopeCases = [
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
];

const sessionCases = [
  v10(
    "session/accepted",
    "a session is accepted with what was agreed on",
    [
      "7-01",
      "7-02",
      "7-04",
      "7-05",
      "8.1-02",
      "8.1-04",
      "8.1-05",
      "8.3-01",
      "10.3-03",
      "10.3-06",
      "11.3-06",
      "16.3-01",
      "21.2-01",
      "22-01",
    ],
    [],
    async (context) => {
      const { judge } = context;
      const peer = await context.connect();
      peer.arcp = "1.0";
      const capabilities = {
        streaming: true,
        subscriptions: true,
        artifacts: true,
        extensions: ["arcpx.suite.none.v1"],
        heartbeat_interval_seconds: 20,
      };
      const id = peer.send("session.open", { ...context.opening(), capabilities });
      const accepted = await peer.reply(["V10-8.1-02", "V10-22-01"], id, "session.accepted");
      judge.expect("V10-8.1-04", "the answer to session.open", accepted.type, is("session.accepted"));
      judge.expect(
        "V10-8.1-05",
        "session.accepted",
        accepted,
        shape({ correlation_id: is(id), payload: shape({ session_id: someText, capabilities: anObject }) }),
      );
      const agreed = accepted.payload.capabilities;
      judge.expect(
        "V10-7-01",
        "capabilities",
        agreed,
        shape({ streaming: such("a boolean", (value) => typeof value === "boolean") }),
      );
      judge.expect("V10-7-02", "durable_jobs, which was not offered", agreed.durable_jobs ?? false, is(false));
      judge.expect("V10-7-04", "human_input, which was not offered", agreed.human_input ?? false, is(false));
      for (const name of [
        "streaming",
        "durable_jobs",
        "checkpoints",
        "binary_streams",
        "agent_handoff",
        "human_input",
        "artifacts",
        "subscriptions",
        "scheduled_jobs",
        "interrupt",
        "anonymous",
      ]) {
        judge.expect(
          "V10-7-05",
          `capabilities.${name}`,
          agreed[name],
          perhaps(such("a boolean", (value) => typeof value === "boolean")),
        );
      }
      judge.expect(
        "V10-21.2-01",
        "capabilities.extensions, of which one was offered that nobody has",
        agreed.extensions ?? [],
        such("a list without it", (value) => Array.isArray(value) && !value.includes("arcpx.suite.none.v1")),
      );
      judge.expect("V10-10.3-03", "heartbeat_interval_seconds", agreed.heartbeat_interval_seconds, aNumber);
      judge.expect("V10-10.3-06", "heartbeat_recovery", agreed.heartbeat_recovery, oneOf("fail", "block"));
      judge.expect(
        "V10-11.3-06",
        "binary_encoding",
        agreed.binary_encoding,
        such('a list with "base64"', (value) => Array.isArray(value) && value.includes("base64")),
      );
      if (agreed.artifacts === true)
        judge.expect(
          "V10-16.3-01",
          "artifact_retention",
          agreed.artifact_retention,
          shape({ default_seconds: aNumber, max_seconds: aNumber }),
        );
      judge.looksAt("V10-16.3-01");
      judge.expect(
        "V10-8.3-01",
        "runtime",
        accepted.payload.runtime,
        shape({
          kind: someText,
          version: someText,
          trust_level: perhaps(oneOf("untrusted", "constrained", "trusted", "privileged")),
        }),
      );
    },
  ),
  v10(
    "session/required",
    "what the client cannot do without, and the runtime lacks, ends the handshake",
    ["7-03"],
    [],
    async (context) => {
      const peer = await context.connect();
      peer.arcp = "1.0";
      const capabilities = { ...CAPABILITIES, required: ["arcpx.suite.none.v1"] };
      const answer = await peer.ask("V10-7-03", "session.open", { ...context.opening(), capabilities });
      context.judge.expect(
        "V10-7-03",
        "the answer",
        { type: answer.type, code: answer.payload?.code },
        is({ type: "session.rejected", code: "UNIMPLEMENTED" }),
      );
    },
  ),
  ...[
    { name: "wrong-token", requirement: "8.2-01", auth: { scheme: "bearer", token: "arcp-conformance-wrong" } },
    { name: "unknown-scheme", requirement: "8.2-07", auth: { scheme: "suite-nonsense", token: "x" } },
    { name: "anonymous", requirement: "8.2-06", auth: { scheme: "none" } },
  ].map(({ name, requirement, auth }) =>
    v10(
      `session/${name}`,
      `a session with ${name.replace("-", " ")} is refused`,
      [requirement, "4.6-02"].slice(0, name === "anonymous" ? 2 : 1),
      [],
      async (context) => {
        const peer = await context.connect();
        peer.arcp = "1.0";
        const claim = name === "anonymous" ? ["V10-8.2-06", "V10-4.6-02"] : `V10-${requirement}`;
        const answer = await peer.ask(claim, "session.open", { ...context.opening(), auth });
        const refusals = oneOf("session.rejected", "session.unauthenticated", "session.challenge");
        context.judge.expect(claim, "the answer", answer.type, refusals);
      },
    ),
  ),
  v10(
    "session/before",
    "nothing takes effect before the session is accepted",
    ["4.6-01", "8.1-07"],
    ["echo", "duplex"],
    async (context) => {
      const peer = await context.connect();
      peer.arcp = "1.0";
      const early = [peer.send("tool.invoke", { tool: context.agent("echo"), arguments: {} }), peer.send("ping", {})];
      await peer.quiet();
      const served = peer.frames.filter(({ type }) => ["job.accepted", "tool.result", "pong"].includes(type));
      context.judge.expect("V10-4.6-01", "what answers messages before the session", served, is([]));
      if (peer.ended === undefined) {
        const accepted = await peer.ask("V10-8.1-07", "session.open", context.opening());
        context.judge.expect(
          "V10-8.1-07",
          "the answer to session.open after it",
          accepted.type,
          is("session.accepted"),
        );
        await peer.quiet();
      }
      const late = peer.frames.filter(({ correlation_id }) => early.includes(correlation_id ?? ""));
      context.judge.expect("V10-8.1-07", "answers to what was dropped", late, is([]));
    },
  ),
  v10(
    "session/principal",
    "who somebody is follows from the credential, not from what they say",
    ["8.2-08", "13.1-03"],
    ["count", "connections", "principals"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const opening = context.opening(context.tokenB);
      const other = (await context.open10({ ...opening, client: { kind: "x", version: "1", principal: "alice" } }))
        .peer;
      await other.ask(undefined, "subscribe", { filter: {} });
      const jobId = jobOf(await context.invoke(mine, "count", { n: 3 }));
      await ending(mine, jobId);
      await other.quiet();
      const seen = other.frames.filter(
        ({ type, payload }) => type === "subscribe.event" && payload?.event?.job_id === jobId,
      );
      context.judge.expect(["V10-8.2-08", "V10-13.1-03"], "events of somebody else's job", seen, is([]));
    },
  ),
  v10("session/close", "session.close ends a session", ["9-05"], ["echo"], async (context) => {
    const { peer } = await context.open10();
    peer.send("session.close", { reason: "done" });
    await peer.hangUp("V10-9-05", "the runtime ends the connection");
  }),
];

const jobCases = [
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
      judge.expect("V10-18.2-01", "its code", error.code, oneOf(...CODES));
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
    ["6.4-06", "6.4-07", "6.4-03"],
    ["echo", "connections", "principals"],
    async (context) => {
      const { judge } = context;
      const idempotency_key = newId();
      const invoke = (peer: Peer, n: number): Promise<Frame> =>
        peer.ask("V10-6.4-06", "tool.invoke", { tool: context.agent("echo"), arguments: { n } }, { idempotency_key });
      const mine = (await context.open10()).peer;
      const again = (await context.open10()).peer;
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const first = await invoke(mine, 1);
      await ending(mine, jobOf(first));
      const second = await invoke(again, 1);
      judge.expect("V10-6.4-06", "the job of the second command", jobOf(second), is(jobOf(first)));
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

const streamCases = [
  ...[
    { kind: "text", requirements: ["11-02", "11.1-01", "11.1-02", "11.1-05", "6.1.1-06"] },
    { kind: "binary", requirements: ["11.1-02", "11.3-01", "11.3-02", "11.3-05"] },
    { kind: "thought", requirements: ["11.1-02", "11.4-01", "11.4-02"] },
  ].map(({ kind, requirements }) =>
    v10(
      `streams/${kind}`,
      `a stream of kind ${kind} is opened, written and closed`,
      requirements,
      ["stream"],
      async (context) => {
        const { judge } = context;
        const { peer } = await context.open10();
        const pieces = ["one ", "two ü ", "three"];
        const jobId = jobOf(await context.invoke(peer, "stream", { kind, pieces, redacted: kind === "thought" }));
        await ending(peer, jobId);
        const of = (type: string): readonly Frame[] => ofJob(peer, jobId).filter((frame) => frame.type === type);
        const [open] = of("stream.open");
        judge.expect(
          kind === "text" ? ["V10-11.1-02", "V10-11.1-01"] : "V10-11.1-02",
          "stream.open.payload.kind",
          open?.payload?.kind,
          is(kind),
        );
        const chunks = of("stream.chunk");
        judge.that("V10-11.1-02", "three chunks", chunks.length === 3, chunks);
        if (kind === "text") {
          const types = ofJob(peer, jobId)
            .map(({ type }) => type)
            .filter((type) => type.startsWith("stream."));
          judge.expect(
            "V10-11.1-05",
            "the messages of the stream",
            types,
            is(["stream.open", "stream.chunk", "stream.chunk", "stream.chunk", "stream.close"]),
          );
          for (const frame of [...of("stream.open"), ...chunks, ...of("stream.close")])
            judge.expect("V10-6.1.1-06", `stream_id of ${frame.type}`, frame["stream_id"], is(open?.["stream_id"]));
          judge.looksAt("V10-11-02");
        }
        if (kind === "binary") {
          const bytes = Buffer.concat(chunks.map(({ payload }) => Buffer.from(String(payload.data), "base64")));
          judge.expect(
            ["V10-11.3-01", "V10-11.3-05"],
            "the bytes of all chunks",
            bytes.toString("utf8"),
            is(pieces.join("")),
          );
          for (const { payload } of chunks)
            judge.expect(
              "V10-11.3-02",
              "sha256",
              payload.sha256,
              perhaps(text(/^[0-9a-f]{64}$/, "64 hexadecimal characters")),
            );
        }
        if (kind === "thought") {
          for (const { payload } of chunks) {
            judge.expect("V10-11.4-02", "a chunk that is kept back", payload, shape({ redacted: is(true) }));
            judge.expect(
              "V10-11.4-01",
              "a chunk of thought",
              payload,
              shape({ redacted: is(true), role: perhaps(aString) }),
            );
          }
        }
      },
    ),
  ),
];

/** Starts a job that asks, and returns its question. */
async function asked(
  context: ServerContext,
  peer: Peer,
  behaviour: "ask" | "choose" | "permit",
  input: object,
  requirement: string,
): Promise<{ readonly jobId: string; readonly question: Frame }> {
  const jobId = jobOf(await context.invoke(peer, behaviour, input));
  const type = { ask: "human.input.request", choose: "human.choice.request", permit: "permission.request" }[behaviour];
  const question = await peer.sees(
    requirement,
    type,
    (frame) => frame.type === type && (frame.job_id === jobId || frame.payload?.job_id === jobId),
  );
  return { jobId, question };
}

const peopleCases = [
  v10(
    "people/input",
    "a person is asked, and only what keeps the schema counts",
    ["12.1-01", "12.1-04", "12.1-05", "12.1-06", "12.4-01"],
    ["ask"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const response_schema = { type: "object", required: ["n"], properties: { n: { type: "integer" } } };
      const { jobId, question } = await asked(context, peer, "ask", { response_schema }, "V10-12.1-01");
      judge.expect("V10-12.4-01", "expires_at", question.payload?.expires_at, aTimestamp);
      judge.expect(
        "V10-12.1-01",
        "human.input.request",
        question,
        shape({
          job_id: is(jobId),
          payload: shape({ prompt: someText, response_schema: anObject, expires_at: aTimestamp }),
        }),
      );
      const answer = (value: unknown, claim: string): Promise<Frame> =>
        peer.ask(claim, "human.input.response", { value, responded_by: "suite" }, { correlation_id: question.id });
      isNack(
        context,
        "V10-12.1-05",
        await answer({ n: "one" }, "V10-12.1-05"),
        ["INVALID_ARGUMENT"],
        "the answer to a value that does not keep the schema",
      );
      await peer.quiet();
      judge.expect("V10-12.1-04", "the end of the job", peer.frames.find(isEnd(jobId)), nothing);
      const taken = await answer({ n: 1 }, "V10-12.1-06");
      judge.that("V10-12.1-06", "a value that keeps the schema to be taken", taken.type !== "nack", taken);
      const end = await ending(peer, jobId, "V10-12.1-06");
      judge.that("V10-12.1-06", "the value that keeps the schema", JSON.stringify(end.payload).includes('"n":1'), end);
    },
  ),
  v10(
    "people/choice",
    "one of the options is chosen, and nothing else",
    ["12.2-01", "12.2-03"],
    ["choose"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const options = [
        { id: "a", label: "A" },
        { id: "b", label: "B" },
      ];
      const { jobId, question } = await asked(context, peer, "choose", { options }, "V10-12.2-01");
      judge.expect(
        "V10-12.2-01",
        "human.choice.request.payload",
        question.payload,
        shape({
          prompt: someText,
          expires_at: aTimestamp,
          options: such(
            "the two options",
            (value) => Array.isArray(value) && value.length === 2 && value[1].id === "b",
          ),
        }),
      );
      const answer = (choice_id: string): Promise<Frame> =>
        peer.ask(
          "V10-12.2-03",
          "human.choice.response",
          { choice_id, responded_by: "suite" },
          { correlation_id: question.id },
        );
      isNack(context, "V10-12.2-03", await answer("c"), ["INVALID_ARGUMENT"], "the answer to what is no option");
      await answer("b");
      const end = await ending(peer, jobId, "V10-12.2-03");
      judge.that("V10-12.2-03", "the choice", JSON.stringify(end.payload).includes('"b"'), end);
    },
  ),
  v10(
    "people/first",
    "the first answer counts, and whoever else was asked is told",
    ["12.3-01", "12.3-03", "12.3-04"],
    ["ask", "connections"],
    async (context) => {
      const { judge } = context;
      const one = (await context.open10()).peer;
      const two = (await context.open10()).peer;
      const { jobId, question } = await asked(context, one, "ask", {}, "V10-12.3-01");
      const same = await two.sees(
        "V10-12.3-03",
        "the question in the other session",
        ({ type, payload, job_id }) => type === "human.input.request" && (job_id ?? payload?.job_id) === jobId,
      );
      await one.ask(
        "V10-12.3-01",
        "human.input.response",
        { value: "first", responded_by: "one" },
        { correlation_id: question.id },
      );
      await two.ask(
        "V10-12.3-01",
        "human.input.response",
        { value: "second", responded_by: "two" },
        { correlation_id: same.id },
      );
      const end = await ending(one, jobId, "V10-12.3-01");
      judge.that("V10-12.3-01", "the first answer", JSON.stringify(end.payload).includes("first"), end);
      const told = await two.sees(
        "V10-12.3-03",
        "news of the end of the question",
        ({ type, correlation_id, causation_id, payload }) =>
          type === "human.input.cancelled" ||
          (type === "event.emit" && [correlation_id, causation_id, payload?.data?.request_id].includes(same.id)),
      );
      judge.expect("V10-12.3-04", "it", told.type, oneOf("human.input.cancelled", "event.emit"));
    },
  ),
  v10(
    "people/expiry",
    "a question that nobody answers ends at its time",
    ["12.4-02", "12.4-03", "12.4-04", "12.4-05"],
    ["ask"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const { jobId, question } = await asked(context, peer, "ask", { expires_in_ms: 400 }, "V10-12.4-02");
      const withDefault = jobOf(await context.invoke(peer, "ask", { expires_in_ms: 400, default: "fallback" }));
      const isAbout = ({ correlation_id, causation_id, payload }: Frame): boolean =>
        [correlation_id, causation_id, payload?.request_id].includes(question.id);
      const over = await peer.sees(
        "V10-12.4-02",
        "human.input.cancelled",
        (frame) => frame.type === "human.input.cancelled" && (isAbout(frame) || frame.job_id === jobId),
      );
      judge.expect("V10-12.4-04", "its code", over.payload?.code, is("DEADLINE_EXCEEDED"));
      const end = await ending(peer, jobId, "V10-12.4-04");
      judge.that("V10-12.4-04", "the job to fail", end.type === "tool.error" || end.type === "job.failed", end);
      const late = await peer.ask(
        "V10-12.4-05",
        "human.input.response",
        { value: "late", responded_by: "suite" },
        { correlation_id: question.id },
      );
      judge.that(
        "V10-12.4-05",
        "no answer that is applied",
        late.type === "nack" || late.payload?.status === "ignored",
        late,
      );
      const fallback = await ending(peer, withDefault, "V10-12.4-03");
      judge.that("V10-12.4-03", "the default", JSON.stringify(fallback.payload).includes("fallback"), fallback);
    },
  ),
  v10(
    "people/permission",
    "what a person grants may be done, by a lease that ends",
    ["12-01", "15.1-01", "15.4-01", "15.4-02", "15.4-05", "15.4-06", "15.5-01"],
    ["permit"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const input = {
        permission: "filesystem.read",
        resource: "/site/a",
        operation: "read",
        capability: "fs.read",
        target: "/site/a",
      };
      const { jobId, question } = await asked(context, peer, "permit", input, "V10-15.4-01");
      judge.expect(
        "V10-15.4-02",
        "permission.request",
        question,
        shape({
          job_id: is(jobId),
          payload: shape({ permission: is("filesystem.read"), resource: someText, operation: someText }),
        }),
      );
      peer.send(
        "permission.grant",
        {
          permission: "filesystem.read",
          resource: question.payload.resource,
          operation: "read",
          lease_seconds: 30,
          responded_by: "suite",
        },
        { correlation_id: question.id },
      );
      const human = ofJob(peer, jobId).filter(({ type }) => type.startsWith("human."));
      judge.expect("V10-12-01", "questions of other kinds about a permission", human, is([]));
      const lease = await peer.sees("V10-15.5-01", "lease.granted", ({ type }) => type === "lease.granted");
      judge.expect(
        "V10-15.5-01",
        "lease.granted.payload",
        lease.payload,
        shape({
          lease_id: someText,
          permission: someText,
          resource: someText,
          operation: someText,
          expires_at: aTimestamp,
        }),
      );
      judge.expect(
        "V10-15.4-06",
        "what it is bound to",
        lease.payload,
        shape({ resource: is(question.payload.resource), operation: is("read"), expires_at: aTimestamp }),
      );
      const end = await ending(peer, jobId, "V10-15.4-05");
      judge.that(
        "V10-15.4-05",
        "an operation that was performed",
        JSON.stringify(end.payload).includes('"performed":true'),
        end,
      );
      const other = { ...input, resource: "/site/b", target: "/site/b" };
      const denied = await asked(context, peer, "permit", other, "V10-15.4-01");
      peer.send("permission.deny", { reason: "no", responded_by: "suite" }, { correlation_id: denied.question.id });
      const refused = await ending(peer, denied.jobId, "V10-15.4-05");
      judge.that(
        "V10-15.4-05",
        "PERMISSION_DENIED",
        JSON.stringify(refused.payload).includes("PERMISSION_DENIED"),
        refused,
      );
      judge.that(
        "V10-15.1-01",
        "nothing to follow from another grant",
        JSON.stringify(refused.payload).includes('"performed":false'),
        refused,
      );
    },
  ),
];

const observerCases = [
  v10(
    "subscriptions/live",
    "an observer gets what its filter lets through, as it was",
    ["13.1-01", "13.1-02", "13.2-02", "13.3-03", "6.1.1-07", "13.4-01", "13.4-03"],
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
      const end = await after.sees("V10-19-07", "the end of the job", isEnd(jobId));
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
      judge.looksAt("V10-6.4-01");
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

const artifactCases = [
  v10(
    "artifacts/kept",
    "an artifact is kept, fetched and released",
    ["16.1-01", "16.1-02", "16.2-02", "16.2-04", "16.2-06", "16.3-03"],
    [],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const data = Buffer.from("content ü").toString("base64");
      const id = peer.send("artifact.put", { media_type: "text/plain", data });
      const ref = await peer.reply("V10-16.2-02", id, "artifact.ref");
      judge.expect(
        "V10-16.2-02",
        "the answer",
        { type: ref.type, correlation_id: ref.correlation_id },
        is({ type: "artifact.ref", correlation_id: id }),
      );
      judge.expect(
        "V10-16.1-01",
        "artifact.ref.payload",
        ref.payload,
        shape({
          artifact_id: someText,
          uri: someText,
          media_type: is("text/plain"),
          size: anInteger,
          sha256: perhaps(aString),
          expires_at: perhaps(aTimestamp),
        }),
      );
      judge.expect(
        "V10-16.1-02",
        "uri",
        ref.payload.uri,
        text(/^arcp:\/\/session\/[^/]+\/artifact\/[^/]+$/, "arcp://session/…/artifact/…"),
      );
      const { artifact_id } = ref.payload;
      const fetched = await peer.ask("V10-16.2-04", "artifact.fetch", { artifact_id });
      judge.that(
        "V10-16.2-04",
        "the content, or where it is",
        fetched.payload?.data === data || typeof fetched.payload?.redirect_uri === "string",
        fetched,
      );
      await peer.ask("V10-16.2-06", "artifact.release", { artifact_id });
      for (const gone of [artifact_id, "art_none"]) {
        isNack(
          context,
          "V10-16.3-03",
          await peer.ask("V10-16.3-03", "artifact.fetch", { artifact_id: gone }),
          ["NOT_FOUND"],
          `the answer for ${gone}`,
        );
      }
    },
  ),
  v10("artifacts/invalid", "content that is not what it says is refused", ["16.2-03"], [], async (context) => {
    const { peer } = await context.open10();
    for (const wrong of [{ data: "%%%" }, { data: "eA==", size: 2 }, { data: "eA==", sha256: "0".repeat(64) }]) {
      const answer = await peer.ask("V10-16.2-03", "artifact.put", { media_type: "text/plain", ...wrong });
      context.judge.expect("V10-16.2-03", `the answer to ${JSON.stringify(wrong)}`, answer.type, is("nack"));
    }
  }),
  v10(
    "artifacts/foreign",
    "an artifact of another principal is not there",
    ["16.2-05"],
    ["connections", "principals"],
    async (context) => {
      const mine = (await context.open10()).peer;
      const { payload } = await mine.ask(undefined, "artifact.put", { media_type: "text/plain", data: "eA==" });
      const other = (await context.open10(context.opening(context.tokenB))).peer;
      const answer = await other.ask("V10-16.2-05", "artifact.fetch", { artifact_id: payload?.artifact_id });
      isNack(context, "V10-16.2-05", answer, ["NOT_FOUND", "PERMISSION_DENIED"], "the answer");
    },
  ),
];

const observabilityCases = [
  v10(
    "metrics/standard",
    "what runtimes measure has its names and units",
    ["17.3.1-03", "17.3.1-04"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = jobOf(await context.invoke(peer, "echo", {}));
      await ending(peer, jobId);
      const metrics = ofJob(peer, jobId)
        .filter(({ type }) => type === "metric")
        .map(({ payload }) => payload);
      const invocations = metrics.filter(({ name }) => name === "tool.invocations");
      judge.that(
        "V10-17.3.1-04",
        "one tool.invocations of 1",
        invocations.length === 1 && invocations[0].value === 1,
        metrics,
      );
      judge.that(
        "V10-17.3.1-03",
        "latency.ms with a phase",
        metrics.some(
          ({ name, unit, dims }) =>
            name === "latency.ms" && unit === "ms" && ["queue", "exec", "total"].includes(dims?.phase),
        ),
        metrics,
      );
    },
  ),
  v10("heartbeats", "a job that is at work gives signs of life", ["10.3-01", "10.3-02"], ["hold"], async (context) => {
    const { peer, accepted } = await context.open10({
      capabilities: { ...CAPABILITIES, heartbeat_interval_seconds: 1 },
    });
    const jobId = jobOf(await context.invoke(peer, "hold"));
    const seconds = Number(accepted.payload.capabilities.heartbeat_interval_seconds);
    if (!(seconds <= 3)) throw new NotHere(`heartbeat_interval_seconds is ${seconds}, however short it was asked for`);
    const beat = await peer.sees(
      "V10-10.3-01",
      "job.heartbeat",
      ({ type, job_id }) => type === "job.heartbeat" && job_id === jobId,
      seconds * 3000 + 1000,
    );
    context.judge.expect(
      "V10-10.3-02",
      "job.heartbeat.payload",
      beat.payload,
      shape({ sequence: anInteger, deadline_ms: aNumber, state: someText }),
    );
    peer.send("cancel", { target: "job", target_id: jobId });
  }),
];

export const cases10: readonly Case<ServerContext>[] = [
  ...envelopeCases,
  ...sessionCases,
  ...jobCases,
  ...streamCases,
  ...peopleCases,
  ...observerCases,
  ...artifactCases,
  ...observabilityCases,
];
