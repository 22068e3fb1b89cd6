/** §7.6 to §8: subscriptions, events, their numbers, results in pieces. */
import type { Frame } from "../../frame.ts";
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
import { jobOf, QUIET_FEATURES, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

const eventsOf = (peer: Peer, jobId: string): readonly Frame[] =>
  peer.ofJob(jobId).filter(({ type }) => type === "job.event");
const messagesOf = (frames: readonly Frame[]): readonly unknown[] =>
  frames.map(({ payload }) => payload?.body?.message);
const lines = (first: number, last: number): readonly string[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => `line ${first + place}`);

function subscribe(requirement: string | undefined, peer: Peer, jobId: string, more: object = {}): Promise<Frame> {
  return peer.ask(requirement, "job.subscribe", { job_id: jobId, ...more });
}

function cancelled(owner: Peer, jobId: string): void {
  owner.send("job.cancel", { job_id: jobId }, { job_id: jobId });
}

/** A job of a session that counts, of which some events were seen. */
async function counting(
  context: ServerContext,
  n: number,
  delay_ms: number,
): Promise<{ readonly owner: Peer; readonly jobId: string; readonly accepted: Frame }> {
  const owner = await context.session();
  const accepted = await context.submit(owner, "count", { n, delay_ms });
  const jobId = jobOf(accepted);
  await owner.sees(undefined, "some events", () => eventsOf(owner, jobId).length >= 4);
  return { owner, jobId, accepted };
}

const subscriptionCases = [
  v11(
    "subscribe/history",
    "a subscription with a history shows everything once, in order, to the end",
    ["7.6-04", "7.6-08", "7.6-09", "7.6-10", "7.6-11", "7.6-15", "7.6-22", "7.7-03", "8.3-04"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const { owner, jobId } = await counting(context, 100_000, 4);
      const watcher = await context.session();
      const subscribed = await subscribe("V11-7.6-15", watcher, jobId, { history: true, from_event_seq: 0 });
      judge.expect(
        ["V11-7.6-15", "V11-7.7-03"],
        "the answer to a principal's subscription to its own job",
        subscribed.type,
        is("job.subscribed"),
      );
      judge.expect("V11-7.6-09", "replayed", subscribed.payload?.replayed, is(true));
      await watcher.sees(undefined, "events", () => eventsOf(watcher, jobId).length >= 12);
      cancelled(owner, jobId);
      await owner.end(undefined, jobId);
      const end = await watcher.end("V11-7.6-11", jobId);
      judge.expect("V11-7.6-11", "the last message", end.type, is("job.error"));
      const seen = eventsOf(watcher, jobId);
      const all = lines(0, eventsOf(owner, jobId).length - 1);
      judge.expect("V11-7.6-04", "the first event", messagesOf(seen)[0], is("line 0"));
      judge.expect(["V11-7.6-08", "V11-8.3-04"], "all events", messagesOf(seen), is(all));
      judge.expect(
        "V11-7.6-22",
        "payload.ts of the events",
        seen.map(({ payload }) => payload?.ts),
        is(eventsOf(owner, jobId).map(({ payload }) => payload?.ts)),
      );
      const numbers = watcher.numbered.map(({ event_seq }) => event_seq as number);
      const gap = numbers.find((number, place) => place > 0 && number !== (numbers[place - 1] as number) + 1);
      judge.expect("V11-7.6-10", "a number that does not follow the one before", gap, nothing);
      for (const { session_id } of watcher.numbered)
        judge.expect("V11-7.6-10", "session_id", session_id, is(watcher.sessionId));
    },
  ),
  v11(
    "subscribe/live",
    "a subscription without a history begins with what is new",
    ["7.6-05", "7.6-06", "7.6-09"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const { owner, jobId } = await counting(context, 100_000, 40);
      const seen = await Promise.all(
        [{}, { from_event_seq: 0 }, { history: false, from_event_seq: 1 }].map(async (more) => {
          const watcher = await context.session();
          const subscribed = await subscribe("V11-7.6-06", watcher, jobId, more);
          judge.expect("V11-7.6-06", "replayed", subscribed.payload?.replayed, is(false));
          judge.expect("V11-7.6-09", "replayed", subscribed.payload?.replayed, is(false));
          judge.expect("V11-7.6-09", "subscribed_from", subscribed.payload?.subscribed_from, anInteger);
          await watcher.sees(
            "V11-7.6-05",
            "an event after the subscription",
            ({ type, job_id }) => type === "job.event" && job_id === jobId,
          );
          return messagesOf(eventsOf(watcher, jobId));
        }),
      );
      cancelled(owner, jobId);
      for (const messages of seen) {
        judge.that("V11-7.6-05", "no event of before the subscription", !messages.includes("line 0"), messages);
        judge.that("V11-7.6-06", "no event of before the subscription", !messages.includes("line 1"), messages);
      }
    },
  ),
  v11(
    "subscribe/acknowledgement",
    "job.subscribed says how the job stands",
    ["7.6-03", "7.6-12", "7.6-13", "7.5-10"],
    ["spend", "connections"],
    async (context) => {
      const { judge } = context;
      const owner = await context.session();
      const expires_at = new Date(Date.now() + 3_600_000).toISOString();
      const lease_request = { "tool.call": ["suite.tool"], "cost.budget": ["USD:5.00"] };
      const costs = [{ name: "cost.suite", value: 2, unit: "USD" }];
      const operations = [{ capability: "tool.call", target: "suite.tool", wait_ms: 25_000 }];
      const accepted = await context.submit(
        owner,
        "spend",
        { costs, operations },
        { lease_request, lease_constraints: { expires_at } },
      );
      const jobId = jobOf(accepted);
      await owner.sees(undefined, "the cost", (frame) => frame.payload?.body?.name === "cost.suite");
      const watcher = await context.session();
      const { type, payload } = await subscribe("V11-7.6-03", watcher, jobId);
      judge.expect("V11-7.6-03", "the answer", type, is("job.subscribed"));
      const expected = shape({
        job_id: is(jobId),
        current_status: is("running"),
        agent: someText,
        lease: shape({}),
        parent_job_id: nothing,
        trace_id: someText,
        subscribed_from: anInteger,
        replayed: aBoolean,
      });
      judge.expect("V11-7.6-03", "job.subscribed.payload", payload, expected);
      judge.expect("V11-7.5-10", "agent in job.subscribed", payload.agent, is(accepted.payload.agent));
      judge.expect("V11-7.6-12", "lease", payload.lease, is(accepted.payload.lease));
      judge.that(
        "V11-7.6-12",
        `lease_constraints.expires_at ${expires_at}`,
        Date.parse(payload.lease_constraints?.expires_at) === Date.parse(expires_at),
        payload.lease_constraints,
      );
      judge.expect("V11-7.6-13", "budget, of which 2 are spent", payload.budget, is({ USD: 3 }));
      cancelled(owner, jobId);
    },
  ),
  v11(
    "subscribe/two-jobs",
    "a session that watches and works has one row of numbers",
    ["7.6-10", "8.3-01", "8.3-02"],
    ["count", "connections"],
    async (context) => {
      const { jobId } = await counting(context, 20, 5);
      const watcher = await context.session();
      await subscribe(undefined, watcher, jobId, { history: true, from_event_seq: 0 });
      const own = await Promise.all([1, 2].map(() => context.submit(watcher, "count", { n: 10, delay_ms: 3 })));
      await Promise.all([...own.map(jobOf), jobId].map((id) => watcher.end(undefined, id)));
      const numbers = watcher.numbered.map(({ event_seq }) => event_seq as number);
      const sorted = numbers.toSorted((one, other) => one - other);
      context.judge.expect("V11-8.3-02", "the numbers in the order of sending", numbers, is(sorted));
      context.judge.that("V11-8.3-01", "no number twice", new Set(numbers).size === numbers.length, numbers);
      const gap = numbers.find((number, place) => number !== (numbers[0] as number) + place);
      context.judge.expect("V11-7.6-10", "a number that does not follow the one before", gap, nothing);
    },
  ),
  v11("subscribe/unknown", "a job that does not exist cannot be subscribed to", ["7.6-17"], [], async (context) => {
    const peer = await context.session();
    await context.refused("V11-7.6-17", peer, "job.subscribe", { job_id: "job_01ARZ3NDEKTSV4RRFFQ69G5FAV" }, [
      "JOB_NOT_FOUND",
    ]);
  }),
  v11(
    "subscribe/other-principal",
    "a job of another principal cannot be subscribed to",
    ["7.6-14", "7.6-16", "14-11"],
    ["count", "connections", "principals"],
    async (context) => {
      const { owner, jobId } = await counting(context, 20, 15);
      const other = await context.session({ token: context.tokenB });
      const answer = await subscribe("V11-7.6-16", other, jobId, { history: true, from_event_seq: 0 });
      context.isRefusal(["V11-7.6-16", "V11-14-11"], answer, ["PERMISSION_DENIED", "JOB_NOT_FOUND"], "the answer");
      await owner.end(undefined, jobId);
      await other.quiet();
      context.judge.expect("V11-7.6-14", "what it was sent of the job", other.ofJob(jobId), is([]));
    },
  ),
  v11(
    "subscribe/no-authority",
    "who watches may neither cancel nor change",
    ["7.6-19", "7.6-20", "14-12"],
    ["hold", "connections"],
    async (context) => {
      const owner = await context.session();
      const accepted = await context.submit(owner, "hold", null, { lease_request: { "fs.read": ["/a/*"] } });
      const jobId = jobOf(accepted);
      const watcher = await context.session();
      await subscribe(undefined, watcher, jobId);
      const answer = await watcher.ask("V11-7.6-19", "job.cancel", { job_id: jobId }, { job_id: jobId });
      context.isRefusal(["V11-7.6-19", "V11-14-12"], answer, ["PERMISSION_DENIED"], "the answer to job.cancel");
      watcher.send("x-vendor.suite.widen", { job_id: jobId, lease: { "fs.read": ["/**"] } }, { job_id: jobId });
      await owner.quiet();
      context.judge.that(
        "V11-7.6-19",
        "a job that goes on",
        owner.ofJob(jobId).every(({ type }) => type === "job.event"),
        jobId,
      );
      const listed = (await context.jobs(owner)).find(({ job_id }) => job_id === jobId);
      context.judge.expect("V11-7.6-20", "its lease", listed?.["lease"], is(accepted.payload.lease));
      cancelled(owner, jobId);
    },
  ),
  v11(
    "subscribe/owner-leaves",
    "the end of the submitter's connection does not disturb who watches",
    ["7.6-23"],
    ["count", "connections"],
    async (context) => {
      const { owner, jobId } = await counting(context, 20, 20);
      const watcher = await context.session();
      await subscribe(undefined, watcher, jobId, { history: true, from_event_seq: 0 });
      owner.cut();
      const end = await watcher.end("V11-7.6-23", jobId);
      context.judge.expect("V11-7.6-23", "the last message", end.type, is("job.result"));
      context.judge.expect("V11-7.6-23", "all events", messagesOf(eventsOf(watcher, jobId)), is(lines(0, 19)));
    },
  ),
];

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

const eventCases = [
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

const resultCases = [
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

export const observationCases = [...subscriptionCases, ...eventCases, ...resultCases];
