/** §7.6 and §7.7: observers. */
import type { Frame } from "../../frame.ts";
import { aBoolean, anInteger, is, nothing, shape, someText } from "../../matcher.ts";
import { jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

export const eventsOf = (peer: Peer, jobId: string): readonly Frame[] =>
  peer.ofJob(jobId).filter(({ type }) => type === "job.event");
export const messagesOf = (frames: readonly Frame[]): readonly unknown[] =>
  frames.map(({ payload }) => payload?.body?.message);
export const lines = (first: number, last: number): readonly string[] =>
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

export const subscriptionCases = [
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
