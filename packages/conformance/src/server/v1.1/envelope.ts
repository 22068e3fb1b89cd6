/** §4 and §5: frames, envelopes, encodings. */
import { newId } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { anInteger, anObject, aSortableId, aTraceId, is, nothing, shown, someText, such, text } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

/** Is the session still there, and does it still answer? */
async function stillAnswers(peer: Peer, requirement: string): Promise<void> {
  await peer.ask(requirement, "session.ping", { nonce: newId(), sent_at: new Date().toISOString() });
}

export const envelopeCases = [
  v11(
    "envelope/members",
    "every message of a session has what an envelope has",
    ["4.1-01", "5.1-01", "5.1-02", "5.1-05", "5.1-08", "5.1-09", "5.1-10", "5.1-11", "5.1-12", "6.4-11"],
    ["count"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const accepted = await context.submit(peer, "count", { n: 200 });
      const other = await context.submit(peer, "count", { n: 20, delay_ms: 5 });
      for (let ping = 0; ping < 5; ping += 1) await stillAnswers(peer, "V11-6.4-11");
      await peer.ask(undefined, "session.list_jobs", {});
      await peer.end(undefined, jobOf(accepted));
      await peer.end(undefined, jobOf(other));
      const { frames, garbage, numbered } = peer;
      judge.expect("V11-4.1-01", "what came and is no envelope of JSON in a text frame", garbage, is([]));
      for (const frame of frames) {
        judge.expect("V11-5.1-01", `arcp of ${frame.type}`, frame.arcp, someText);
        judge.expect("V11-5.1-01", `arcp of ${frame.type}, as that of the welcome`, frame.arcp, is(frames[0]?.arcp));
        judge.expect("V11-5.1-02", `id of ${frame.type}`, frame.id, someText);
        judge.expect("V11-5.1-12", `payload of ${frame.type}`, frame.payload, anObject);
        judge.expect("V11-5.1-05", `session_id of ${frame.type}`, frame.session_id, is(peer.sessionId));
        if (frame.trace_id != null) judge.expect("V11-5.1-08", `trace_id of ${frame.type}`, frame.trace_id, aTraceId);
        if (["job.event", "job.result", "job.error"].includes(frame.type)) {
          judge.expect("V11-5.1-09", `job_id of ${frame.type}`, frame.job_id, someText);
          judge.expect("V11-5.1-10", `event_seq of ${frame.type}`, frame.event_seq, anInteger);
        }
        if (frame.type.startsWith("session.")) {
          const claim = frame.type === "session.pong" ? ["V11-6.4-11", "V11-5.1-11"] : "V11-5.1-11";
          judge.expect(claim, `event_seq of ${frame.type}`, frame.event_seq, nothing);
        }
      }
      const ids = frames.map(({ id }) => id);
      const twice = ids.filter((id, place) => ids.indexOf(id) !== place);
      judge.expect("V11-5.1-02", "ids that came twice", twice, is([]));
      const numbers = numbered.map((frame) => frame.event_seq as number);
      const gap = numbers.find((number, place) => place > 0 && number !== (numbers[place - 1] as number) + 1);
      judge.expect("V11-5.1-11", "a number that does not follow the one before", gap, nothing);
      judge.looksAt("V11-5.1-08");
    },
  ),
  v11("envelope/ids", "ids are ULIDs or UUIDs of version 7", ["5.1-03"], ["count"], async (context) => {
    const peer = await context.session();
    await context.perform(peer, "count", { n: 5 });
    for (const { type, id } of peer.frames) context.judge.expect("V11-5.1-03", `id of ${type}`, id, aSortableId);
  }),
  v11(
    "envelope/malformed",
    "what is no envelope is answered with INVALID_REQUEST, and the session goes on",
    ["5.1-04", "5.1-12", "12-04"],
    ["echo"],
    async (context) => {
      const peer = await context.session();
      const session_id = peer.sessionId;
      const broken: readonly (readonly [string, string, string])[] = [
        ["V11-5.1-04", "no type", JSON.stringify({ arcp: "1.1", id: newId(), session_id, payload: {} })],
        [
          "V11-5.1-04",
          "a type that is a number",
          JSON.stringify({ arcp: "1.1", id: newId(), type: 7, session_id, payload: {} }),
        ],
        ...[undefined, null, [], "text"].map(
          (payload) =>
            [
              "V11-5.1-12",
              `payload ${shown(payload)}`,
              JSON.stringify({ arcp: "1.1", id: newId(), type: "job.submit", session_id, payload }),
            ] as const,
        ),
        ["V11-12-04", "broken JSON", '{"arcp":"1.1",'],
        ["V11-12-04", "an array", "[1,2]"],
        [
          "V11-12-04",
          "no agent",
          JSON.stringify({ arcp: "1.1", id: newId(), type: "job.submit", session_id, payload: { input: 1 } }),
        ],
        [
          "V11-12-04",
          "an agent that is a number",
          JSON.stringify({ arcp: "1.1", id: newId(), type: "job.submit", session_id, payload: { agent: 1 } }),
        ],
      ];
      for (const [requirement, what, frame] of broken) {
        const before = peer.frames.length;
        peer.sendText(frame);
        const answer = await peer.sees(
          requirement,
          `an answer to ${what}`,
          (answer) => peer.frames.indexOf(answer) >= before && answer.type !== "session.ping",
        );
        context.isRefusal(requirement, answer, ["INVALID_REQUEST"], `the answer to ${what}`);
      }
      await stillAnswers(peer, "V11-12-04");
      context.judge.expect("V11-12-04", "the session after it", peer.ended, nothing);
    },
  ),
  v11(
    "envelope/unknown-members",
    "members of an envelope that nobody knows are ignored",
    ["5.1-13", "5.1-07"],
    ["echo"],
    async (context) => {
      const odd = { priority: "high", "x-foo": { a: [1] }, correlation_id: "nonsense" };
      const peer = await context.connect();
      await context.greet(peer, { members: odd }, "V11-5.1-13");
      const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
      const answer = await peer.ask(
        "V11-5.1-13",
        "job.submit",
        { agent: context.agent("echo"), input: 1 },
        { ...odd, trace_id },
      );
      context.judge.expect("V11-5.1-13", "the answer", answer.type, is("job.accepted"));
      context.judge.expect("V11-5.1-07", "the answer to a message with a trace_id", answer.type, is("job.accepted"));
      const { type } = await peer.end("V11-5.1-13", jobOf(answer));
      context.judge.expect("V11-5.1-13", "the end", type, is("job.result"));
    },
  ),
  v11("envelope/text", "text comes back as it was", ["5.2-02", "8.4-11"], ["echo"], async (context) => {
    const peer = await context.session();
    const input = { plain: "a", astral: "😀𝒳", combining: "e\u0301 é", separators: '\u2028\u2029\t"\\', clé: ["ü"] };
    const { end } = await context.perform(peer, "echo", input);
    context.judge.expect(
      "V11-8.4-11",
      "job.result.payload",
      end.payload,
      such("an object with a result", (payload) => (payload as { result?: unknown }).result !== undefined),
    );
    context.judge.expect("V11-5.2-02", "what the agent returned", end.payload.result, is(input));
  }),
  v11(
    "envelope/invalid-utf8",
    "what is no UTF-8 does not end the runtime",
    ["5.2-02"],
    ["connections"],
    async (context) => {
      const peer = await context.session();
      const [head, tail] = JSON.stringify({
        arcp: "1.1",
        id: newId(),
        type: "session.ping",
        session_id: peer.sessionId,
        payload: { nonce: "#", sent_at: new Date().toISOString() },
      }).split("#");
      peer.sendBytes(Buffer.concat([Buffer.from(head ?? ""), Buffer.from([0xc3, 0x28]), Buffer.from(tail ?? "")]));
      await peer.quiet();
      const pong = peer.frames.find(({ type }) => type === "session.pong");
      context.judge.expect("V11-5.2-02", "a pong to a ping that is no UTF-8", pong, nothing);
      await context.session();
    },
  ),
  v11("envelope/integers", "integers beyond 64 bits are refused", ["5.2-03"], ["count"], async (context) => {
    const peer = await context.session();
    await context.perform(peer, "count", { n: 3 });
    for (const number of ["9223372036854775808", "1e400"]) {
      const id = newId();
      const before = peer.frames.length;
      peer.sendText(
        `{"arcp":"1.1","id":"${id}","type":"session.ack","session_id":"${peer.sessionId}","payload":{"last_processed_seq":${number}}}`,
      );
      const answer = await peer.sees(
        "V11-5.2-03",
        `an answer to last_processed_seq ${number}`,
        (frame) => peer.frames.indexOf(frame) >= before,
      );
      context.isRefusal("V11-5.2-03", answer, ["INVALID_REQUEST"], `the answer to last_processed_seq ${number}`);
    }
    for (const { event_seq } of peer.numbered) context.judge.expect("V11-5.2-03", "event_seq", event_seq, anInteger);
  }),
  v11("transport/websocket", "a session over a WebSocket", ["4-01"], ["websocket"], async (context) => {
    const peer = await context.connect();
    await context.greet(peer, {}, "V11-4-01");
  }),
  v11("transport/path", "sessions are at /arcp, and nowhere else", ["4.1-04"], ["websocket"], async (context) => {
    const { path, elsewhere } = context.target;
    if (path !== "/arcp" || elsewhere === undefined) throw new NotHere(`the endpoint was configured to be at ${path}`);
    await context.greet(await context.connect(), {}, "V11-4.1-04");
    const ignored = { onText: () => undefined, onBinary: () => undefined, onEnd: () => undefined };
    const other = await elsewhere("/arcp-conformance-nowhere")
      .dial(ignored, context.signal)
      .catch(() => undefined);
    other?.cut();
    context.judge.that("V11-4.1-04", "no connection at another path", other === undefined, "it was upgraded");
  }),
  v11("transport/binary", "a binary frame is no message", ["4.1-02"], ["websocket"], async (context) => {
    const peer = await context.connect();
    peer.sendBinary(
      Buffer.from(JSON.stringify({ arcp: "1.1", id: newId(), type: "session.hello", payload: context.hello() })),
    );
    await peer.quiet();
    const welcome = peer.frames.find(({ type }) => type === "session.welcome");
    context.judge.expect("V11-4.1-02", "a welcome to a hello in a binary frame", welcome, nothing);
    await context.session();
  }),
  v11("transport/stdio", "a session over standard input and output", ["4-02", "4.2-03"], ["stdio"], async (context) => {
    const peer = await context.connect();
    await context.greet(peer, {}, "V11-4-02");
    context.judge.expect("V11-4.2-03", "lines on stdout that are no envelopes", peer.garbage, is([]));
  }),
  v11(
    "transport/lines",
    "one envelope per line, however the bytes come",
    ["4.2-01", "4.2-02", "4.2-03"],
    ["stdio", "echo"],
    async (context) => {
      const peer = await context.session();
      const submit = (input: string): string =>
        `${JSON.stringify({ arcp: "1.1", id: newId(), type: "job.submit", session_id: peer.sessionId, payload: { agent: context.agent("echo"), input } })}\n`;
      const broken = "one\ntwo\r\nthree";
      peer.sendBytes(Buffer.from(submit(broken) + submit("second")));
      const third = Buffer.from(submit("third ü"));
      for (const [from, to] of [
        [0, 10],
        [10, third.length - 5],
        [third.length - 5, third.length],
      ] as const) {
        peer.sendBytes(third.subarray(from, to));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const results = new Set<unknown>();
      await peer.sees("V11-4.2-01", "three results", (frame) => {
        if (frame.type === "job.result") results.add(frame.payload?.result);
        return results.size === 3;
      });
      context.judge.that("V11-4.2-02", "text with line ends as it was", results.has(broken), [...results]);
      context.judge.expect("V11-4.2-03", "lines on stdout that are no envelopes", peer.garbage, is([]));
    },
  ),
  v11(
    "trace/generated",
    "a job without a trace id gets one, and keeps it",
    ["11-02", "5.1-08"],
    ["count"],
    async (context) => {
      const peer = await context.session();
      const { accepted, jobId } = await context.perform(peer, "count", { n: 3 });
      const { trace_id } = accepted.payload;
      context.judge.expect("V11-11-02", "job.accepted.payload.trace_id", trace_id, aTraceId);
      context.judge.expect(
        "V11-5.1-08",
        "job.accepted.payload.trace_id",
        trace_id,
        text(/^[0-9a-f]{32}$/, "32 lower-case hexadecimal characters"),
      );
      for (const frame of peer.ofJob(jobId)) {
        if (frame.trace_id != null)
          context.judge.expect("V11-11-02", `trace_id of ${frame.type}`, frame.trace_id, is(trace_id));
      }
    },
  ),
  v11("trace/kept", "a trace id of the client's is the job's", ["11-03"], ["count"], async (context) => {
    const peer = await context.session();
    const trace_id = Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16))
      .join("")
      .replace(/^0/, "1");
    const accepted = await peer.ask(
      undefined,
      "job.submit",
      { agent: context.agent("count"), input: { n: 2 } },
      { trace_id },
    );
    context.judge.expect("V11-11-03", "job.accepted.payload.trace_id", accepted.payload?.trace_id, is(trace_id));
    const jobId = jobOf(accepted);
    await peer.end(undefined, jobId);
    for (const frame of peer.ofJob(jobId))
      context.judge.expect("V11-11-03", `trace_id of ${frame.type}`, frame.trace_id, is(trace_id));
    const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
    context.judge.expect("V11-11-03", "trace_id in session.jobs", listed?.["trace_id"], is(trace_id));
  }),
];
