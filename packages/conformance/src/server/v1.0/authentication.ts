/** Schemes of credentials, and the end of a session that was not its client's wish. */
import { createHmac } from "node:crypto";
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { is, nothing, oneOf } from "../../matcher.ts";
import { CODES_10 } from "../../names-10.ts";
import { jobOf } from "../context.ts";
import { ending, ofJob, v10, working } from "./case.ts";

const REFUSALS = oneOf("session.rejected", "session.unauthenticated", "nack");
const encoded = (value: object | string): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Tokens that look as if they were good, and were signed by nobody whom the runtime knows. */
function forgedTokens(): readonly string[] {
  const claims = encoded({ sub: "alice", aud: "arcp", exp: Math.floor(Date.now() / 1000) + 3600 });
  const signed = `${encoded({ alg: "HS256", typ: "JWT" })}.${claims}`;
  return [
    `${encoded({ alg: "none", typ: "JWT" })}.${claims}.`,
    `${signed}.${createHmac("sha256", "arcp-conformance").update(signed).digest("base64url")}`,
    "not.a.token",
  ];
}

/** What a session was evicted for. */
const reasonOf = ({ payload }: Frame): string => String(payload?.code ?? payload?.reason ?? "").toUpperCase();

export const authenticationCases = [
  v10(
    "session/mtls",
    "a certificate that the connection has not got proves nothing",
    ["8.2-02", "8.2-03"],
    [],
    async (context) => {
      for (const [claim, client] of [
        ["V10-8.2-02", { kind: "arcp-conformance", version: "1.0.0" }],
        ["V10-8.2-03", { kind: "arcp-conformance", version: "1.0.0", fingerprint: `sha256:${"0".repeat(64)}` }],
      ] as const) {
        const peer = await context.connect();
        peer.arcp = "1.0";
        const answer = await peer.ask(claim, "session.open", {
          ...context.opening(),
          client,
          auth: { scheme: "mtls" },
        });
        context.judge.expect(claim, "the answer to mtls without a certificate", answer.type, REFUSALS);
      }
    },
  ),
  v10(
    "session/signed-jwt",
    "a token that nobody has signed whom the runtime knows is refused",
    ["8.2-05"],
    [],
    async (context) => {
      for (const token of forgedTokens()) {
        const peer = await context.connect();
        peer.arcp = "1.0";
        const auth = { scheme: "signed_jwt", token };
        const answer = await peer.ask("V10-8.2-05", "session.open", { ...context.opening(), auth });
        context.judge.expect("V10-8.2-05", `the answer to ${token}`, answer.type, REFUSALS);
      }
    },
  ),
  v10(
    "session/cancelled",
    "a session that is cancelled is evicted, and its durable jobs are not lost",
    ["10.4-07", "8.5-01", "8.5-02", "8.5-03"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10();
      const jobId = await working(context, peer, "count", { n: 12, delay_ms: 50 }, { durable: true });
      const answer = await peer.ask("V10-10.4-07", "cancel", { target: "session", target_id: peer.sessionId });
      if (answer.type !== "cancel.accepted") throw new NotHere(`a session cannot be cancelled: ${answer.type}`);
      const evicted = await peer.sees("V10-10.4-07", "session.evicted", ({ type }) => type === "session.evicted");
      judge.expect("V10-8.5-01", "the end of a session by the runtime", evicted.type, is("session.evicted"));
      judge.expect("V10-8.5-02", "its reason", reasonOf(evicted), oneOf(...CODES_10));
      judge.expect("V10-10.4-07", "its reason", reasonOf(evicted), is("CANCELLED"));
      if (peer.ended === undefined) peer.send("tool.invoke", { tool: context.agent("count"), arguments: { n: 1 } });
      await peer.quiet();
      const late = peer.frames.slice(peer.frames.indexOf(evicted)).filter(({ type }) => type === "job.accepted");
      judge.expect("V10-10.4-07", "what was served after it", late, is([]));
      const after = (await context.open10()).peer;
      const [first] = ofJob(peer, jobId);
      const resumed = await after.ask(
        "V10-8.5-03",
        "resume",
        { after_message_id: first?.id },
        { session_id: peer.sessionId },
      );
      judge.expect("V10-8.5-03", "the answer to resume", resumed.type, is("ack"));
      const end = await ending(after, jobId, "V10-8.5-03");
      judge.expect("V10-8.5-03", "the end of the durable job", end.type, is("job.completed"));
    },
  ),
  v10(
    "session/refresh",
    "credentials that end are asked for anew, and without new ones the session ends",
    ["8.4-01", "8.4-03"],
    ["brief", "echo"],
    async (context) => {
      const { judge } = context;
      const { peer } = await context.open10(context.opening(context.tokenBrief));
      const isRefresh = ({ type }: Frame): boolean => type === "session.refresh";
      const refresh = await peer.sees(undefined, "session.refresh", isRefresh, 30_000).catch(() => {
        throw new NotHere("credentials that end are not asked for anew");
      });
      judge.looksAt("V10-8.4-01");
      const evicted = await peer.sees(
        "V10-8.4-03",
        "session.evicted after a session.refresh that nobody answers",
        ({ type }) => type === "session.evicted",
        30_000,
      );
      judge.expect("V10-8.4-03", "its reason", reasonOf(evicted), oneOf("UNAUTHENTICATED", "DEADLINE_EXCEEDED"));
      judge.that(
        "V10-8.4-03",
        "session.refresh first",
        peer.frames.indexOf(refresh) < peer.frames.indexOf(evicted),
        evicted,
      );
      if (peer.ended === undefined) peer.send("tool.invoke", { tool: context.agent("echo"), arguments: {} });
      await peer.quiet();
      const late = peer.frames.slice(peer.frames.indexOf(evicted)).find(({ type }) => type === "job.accepted");
      judge.expect("V10-8.4-03", "what was served after it", late && jobOf(late), nothing);
    },
  ),
];
