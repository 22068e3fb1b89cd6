/** Sessions: opening, keeping and closing them. */
import { aNumber, anObject, is, oneOf, perhaps, shape, someText, such } from "../../matcher.ts";
import { CAPABILITIES, jobOf } from "../context.ts";
import { ending, v10 } from "./case.ts";

export const sessionCases = [
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
