/** §8: events, their numbers, and results in pieces. */
import {
  aBoolean,
  aNumber,
  anInteger,
  aString,
  aTimestamp,
  is,
  nothing,
  oneOf,
  perhaps,
  shape,
  someText,
  such,
} from "../../matcher.ts";
import { jobOf, QUIET_FEATURES } from "../context.ts";
import { v11 } from "./case.ts";
import { eventsOf, lines, messagesOf } from "./subscriptions.ts";

const BODIES = {
  log: ["8.2-01", shape({ level: someText, message: aString })],
  thought: ["8.2-02", shape({ text: aString })],
  tool_call: [
    "8.2-03",
    shape({ tool: someText, args: such("there", (value) => value !== undefined), call_id: someText }),
  ],
  tool_result: [
    "8.2-04",
    such("an object with call_id and either result or error", (value) => {
      const body = value as Record<string, unknown>;
      return typeof body["call_id"] === "string" && "result" in body !== "error" in body;
    }),
  ],
  status: ["8.2-06", shape({ phase: someText, message: perhaps(aString) })],
  metric: ["8.2-07", shape({ name: someText, value: aNumber, unit: perhaps(aString), dimensions: perhaps(shape({})) })],
  artifact_ref: [
    "8.2-08",
    shape({ uri: someText, content_type: someText, byte_size: perhaps(anInteger), sha256: perhaps(aString) }),
  ],
} as const;

export const eventCases = [
  v11(
    "events/kinds",
    "every kind of event has its body",
    ["8.1-01", "8.2-01", "8.2-02", "8.2-03", "8.2-04", "8.2-05", "8.2-06", "8.2-07", "8.2-08", "8.2-10"],
    ["kinds"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const { jobId } = await context.perform(peer, "kinds");
      const events = eventsOf(peer, jobId);
      for (const event of events) {
        judge.expect(
          "V11-8.1-01",
          "job.event",
          event,
          shape({
            session_id: is(peer.sessionId),
            job_id: is(jobId),
            event_seq: anInteger,
            payload: shape({ kind: someText, ts: aTimestamp, body: shape({}) }),
          }),
        );
      }
      for (const [kind, [name, body]] of Object.entries(BODIES)) {
        const found = peer.events(jobId, kind);
        judge.that(`V11-${name}`, `an event of kind ${kind}`, found.length > 0, "none");
        for (const { payload } of found) judge.expect(`V11-${name}`, `the body of ${kind}`, payload.body, body);
      }
      const called = new Set(peer.events(jobId, "tool_call").map(({ payload }) => payload.body.call_id));
      for (const { payload } of peer.events(jobId, "tool_result")) {
        judge.that(
          "V11-8.2-05",
          `call_id of a tool_call (${[...called].join(", ")})`,
          called.has(payload.body.call_id),
          payload.body.call_id,
        );
      }
      const note = peer.events(jobId, "x-vendor.suite.note")[0];
      judge.expect("V11-8.2-10", "the body of the vendor's event", note?.payload?.body, is({ note: "kept" }));
    },
  ),
  v11(
    "events/progress",
    "progress is told within its bounds, and changes nothing",
    ["8.2.1-01", "8.2.1-02", "8.2.1-04"],
    ["progress"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const reports = [
        { current: 0 },
        { current: 2.5, total: 10, units: "files", message: "on it" },
        { current: -1 },
        { current: 10, total: 10 },
      ];
      const { jobId, result } = await context.perform(peer, "progress", { reports });
      const bodies = peer.events(jobId, "progress").map(({ payload }) => payload.body);
      const notNegative = such("a number that is not negative", (value) => typeof value === "number" && value >= 0);
      judge.that("V11-8.2.1-01", "events of kind progress", bodies.length >= 3, bodies);
      for (const body of bodies)
        judge.expect(
          "V11-8.2.1-01",
          "the body of progress",
          body,
          shape({ current: notNegative, total: perhaps(aNumber), units: perhaps(aString), message: perhaps(aString) }),
        );
      judge.expect("V11-8.2.1-02", "progress without a total", bodies[0]?.current, is(0));
      judge.expect(
        "V11-8.2.1-04",
        "what the agent returned after its progress was complete",
        result,
        is({ reported: 4 }),
      );
    },
  ),
  v11("events/progress-total", "progress does not exceed its total", ["8.2.1-03"], ["progress"], async (context) => {
    const peer = await context.session();
    const { jobId } = await context.perform(peer, "progress", { reports: [{ current: 11, total: 10 }] });
    context.judge.looksAt("V11-8.2.1-03");
    for (const { payload } of peer.events(jobId, "progress")) {
      context.judge.that("V11-8.2.1-03", "at most the total", payload.body.current <= payload.body.total, payload.body);
    }
  }),
  v11(
    "events/sequence",
    "the numbers of three jobs at once are one row",
    ["8.3-01", "8.3-02", "8.3-04"],
    ["count"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const accepted = await Promise.all(
        [1, 2, 3].map((delay_ms) => context.submit(peer, "count", { n: 15, delay_ms })),
      );
      await Promise.all(accepted.map((job) => peer.end(undefined, jobOf(job))));
      const numbers = peer.numbered.map(({ event_seq }) => event_seq as number);
      judge.that(
        "V11-8.3-01",
        "no number twice, and none left out",
        new Set(numbers).size === numbers.length && Math.max(...numbers) - Math.min(...numbers) + 1 === numbers.length,
        numbers,
      );
      judge.expect(
        "V11-8.3-02",
        "the numbers in the order of sending",
        numbers,
        is(numbers.toSorted((one, other) => one - other)),
      );
      for (const job of accepted)
        judge.expect("V11-8.3-04", "the events of a job", messagesOf(eventsOf(peer, jobOf(job))), is(lines(0, 14)));
    },
  ),
];

export const resultCases = [
  v11(
    "results/chunks",
    "a result in pieces is whole, in order and named by its end",
    ["8.4-01", "8.4-02", "8.4-03", "8.4-04", "8.4-05", "8.4-07", "8.4-08", "8.4-09"],
    ["chunks"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const pieces = Array.from({ length: 20 }, (_, place) => `piece ${place} ü😀\n`);
      const many = await context.perform(peer, "chunks", { pieces });
      const one = await context.perform(peer, "chunks", { pieces: ["only"], encoding: "base64" });
      const bodies = (jobId: string): readonly Record<string, unknown>[] =>
        peer.events(jobId, "result_chunk").map(({ payload }) => payload.body);
      judge.that("V11-8.4-01", "events of kind result_chunk", bodies(many.jobId).length > 0, "none");
      for (const [{ jobId, end }, content] of [
        [many, pieces.join("")],
        [one, "only"],
      ] as const) {
        const chunks = bodies(jobId);
        for (const chunk of chunks) {
          judge.expect("V11-8.4-05", "encoding", chunk["encoding"], oneOf("utf8", "base64"));
          judge.expect(
            "V11-8.4-02",
            "the body of result_chunk",
            chunk,
            shape({ result_id: someText, chunk_seq: anInteger, data: aString, encoding: aString, more: aBoolean }),
          );
        }
        const ids = new Set(chunks.map((chunk) => chunk["result_id"]));
        judge.that("V11-8.4-03", "one result_id", ids.size === 1, [...ids]);
        judge.expect(
          "V11-8.4-04",
          "chunk_seq",
          chunks.map((chunk) => chunk["chunk_seq"]),
          is(chunks.map((_, place) => place)),
        );
        judge.expect(
          "V11-8.4-07",
          "more",
          chunks.map((chunk) => chunk["more"]),
          is(chunks.map((_, place) => place < chunks.length - 1)),
        );
        const bytes = Buffer.concat(
          chunks.map((chunk) => Buffer.from(String(chunk["data"]), chunk["encoding"] === "base64" ? "base64" : "utf8")),
        );
        judge.expect("V11-8.4-05", "the content of all chunks", bytes.toString("utf8"), is(content));
        judge.expect("V11-8.4-08", "result_id of job.result", end.payload?.result_id, is([...ids][0]));
        judge.expect("V11-8.4-08", "result_size of job.result", end.payload?.result_size, perhaps(is(bytes.length)));
        judge.expect("V11-8.4-09", "an inline result beside the chunks", end.payload?.result, nothing);
      }
      judge.that(
        "V11-8.4-03",
        "another result_id for another job",
        bodies(many.jobId)[0]?.["result_id"] !== bodies(one.jobId)[0]?.["result_id"],
        bodies(one.jobId)[0]?.["result_id"],
      );
    },
  ),
  v11("results/encodings", "text is sent as text, and bytes as base64", ["8.4-06"], ["chunks"], async (context) => {
    const peer = await context.session();
    for (const encoding of ["utf8", "base64"]) {
      const { jobId } = await context.perform(peer, "chunks", { pieces: ["a", "b"], encoding });
      for (const { payload } of peer.events(jobId, "result_chunk"))
        context.judge.expect("V11-8.4-06", "encoding", payload.body.encoding, is(encoding));
    }
  }),
  v11(
    "results/inline",
    "a result is inline unless it came in pieces",
    ["8.4-11", "6.2-10"],
    ["echo", "chunks"],
    async (context) => {
      const peer = await context.session({
        features: QUIET_FEATURES.filter((name) => name !== "result_chunk" && name !== "progress"),
      });
      const { end } = await context.perform(peer, "echo", { a: 1 });
      context.judge.expect("V11-8.4-11", "result of job.result", end.payload?.result, is({ a: 1 }));
      const accepted = await context.submit(peer, "chunks", { pieces: ["a", "b"] });
      await peer.end("V11-6.2-10", jobOf(accepted));
      context.judge.expect(
        "V11-6.2-10",
        "chunks that were not negotiated",
        peer.events(jobOf(accepted), "result_chunk"),
        is([]),
      );
    },
  ),
];
