/** §6.3 to §6.7: resume, heartbeats, acknowledgements, listing, closing. */
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { aString, aTimestamp, is, listOf, nothing, shape, someText, such } from "../../matcher.ts";
import { FEATURES, jobOf, type Listed, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

/** Numbers from `first` to `last`. */
const from = (first: number, last: number): readonly number[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => first + place);
const numbersOf = (frames: readonly Frame[]): readonly number[] => frames.map((frame) => frame.event_seq as number);
/** What a replay must not change. */
const contentOf = ({ event_seq, type, job_id, payload }: Frame): object => ({ event_seq, type, job_id, payload });

const resumeCases = [
  v11(
    "resume/replay",
    "what was missed is replayed once, as it was, and nothing else",
    ["6.3-05", "6.3-06", "6.3-01", "6.3-07", "6.3-08", "6.3-09"],
    ["count", "connections"],
    async (context) => {
      const { judge } = context;
      const first = await context.session();
      const { jobId } = await context.perform(first, "count", { n: 12 });
      const told = first.numbered;
      const seen = 5;
      first.cut();
      const second = await context.resume(first, seen, "V11-6.3-05");
      judge.expect("V11-6.3-06", "session_id of the second welcome", second.sessionId, is(first.sessionId));
      judge.expect("V11-6.3-06", "resume_token of the second welcome", second.resumeToken, someText);
      judge.that(
        "V11-6.3-01",
        "another resume_token than before",
        second.resumeToken !== first.resumeToken,
        second.resumeToken,
      );
      await second.sees("V11-6.3-07", `the last message of ${jobId} again`, (frame) => frame.type === "job.result");
      await second.quiet();
      const numbers = numbersOf(second.numbered);
      const old = numbers.filter((number) => number <= seen);
      judge.expect("V11-6.3-08", `numbers up to ${seen}, which were received`, old, is([]));
      judge.expect("V11-6.3-07", "the numbers of the replay", numbers, is(from(seen + 1, told.length)));
      for (const frame of second.numbered) {
        const original = told.find(({ event_seq }) => event_seq === frame.event_seq);
        judge.expect("V11-6.3-09", "a replayed message", contentOf(frame), is(original && contentOf(original)));
      }
    },
  ),
  v11(
    "resume/first-message",
    "session.resume is the first message of a new connection",
    ["6.3-04"],
    ["count", "connections"],
    async (context) => {
      const first = await context.session();
      await context.perform(first, "count", { n: 3 });
      first.cut();
      const second = await context.connect();
      const payload = {
        resume_token: first.resumeToken,
        last_event_seq: 0,
        auth: { scheme: "bearer", token: context.token },
      };
      const answer = await second.ask("V11-6.3-04", "session.resume", payload, { session_id: first.sessionId });
      context.judge.expect("V11-6.3-04", "the answer to session.resume", answer.type, is("session.welcome"));
      context.judge.expect("V11-6.3-04", "its session_id", answer.session_id, is(first.sessionId));
      const token: unknown = answer.payload?.resume_token;
      context.judge.that(
        "V11-6.3-04",
        "a new resume_token",
        typeof token === "string" && token !== first.resumeToken,
        token,
      );
    },
  ),
  v11(
    "resume/while-it-works",
    "what a job tells while nobody is there comes with the resume, and what follows comes after it",
    ["6.3-10", "6.3-11", "8.3-03", "7.3-08"],
    ["count", "connections"],
    async (context) => {
      const total = 24;
      let peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "count", { n: total, delay_ms: 30 }));
      const received: number[] = [];
      const told: Frame[] = [];
      for (const upTo of [4, 10]) {
        const before = received.at(-1) ?? 0;
        if (before < upTo) await peer.sees(undefined, `event ${upTo}`, ({ event_seq = 0 }) => event_seq >= upTo);
        peer.cut();
        told.push(...peer.ofJob(jobId));
        received.push(...numbersOf(peer.numbered));
        await new Promise((resolve) => setTimeout(resolve, 40));
        peer = await context.resume(peer, received.at(-1) ?? 0, "V11-6.3-10");
      }
      // On a slow machine it may have ended on a connection before.
      const end = told.find(({ type }) => type !== "job.event") ?? (await peer.end("V11-7.3-08", jobId));
      context.judge.expect("V11-7.3-08", "how the job ended", end.type, is("job.result"));
      const resumed = numbersOf(peer.numbered);
      const last = end.event_seq as number;
      context.judge.expect(
        "V11-6.3-10",
        "the numbers after the last resume",
        resumed,
        is(from((received.at(-1) ?? 0) + 1, last)),
      );
      received.push(...resumed);
      const both = ["V11-6.3-11", "V11-8.3-03"];
      context.judge.expect(both, "the numbers of all connections together", received, is(from(1, last)));
    },
  ),
  v11(
    "resume/refused",
    "who does not hold the session's token gets nothing of it",
    ["6.3-14", "6.3-13"],
    ["count", "connections"],
    async (context) => {
      const mine = await context.session();
      await context.perform(mine, "count", { n: 3 });
      const other = await context.session();
      mine.cut();
      const claims = [
        { what: "an invented token", session: { sessionId: mine.sessionId, resumeToken: "arcp-conformance-invented" } },
        {
          what: "the token of another session",
          session: { sessionId: mine.sessionId, resumeToken: other.resumeToken },
        },
      ];
      for (const { what, session } of claims) {
        const { peer, answer } = await context.claim(session, 0, "V11-6.3-14");
        const isOther = answer.type === "session.welcome" && answer.session_id === other.sessionId;
        if (!isOther)
          context.isRefusal(
            "V11-6.3-14",
            answer,
            ["RESUME_WINDOW_EXPIRED", "UNAUTHENTICATED"],
            `the answer to ${what}`,
          );
        if (answer.payload?.code === "RESUME_WINDOW_EXPIRED")
          await peer.hangUp("V11-6.3-13", "the runtime ends the connection");
        await peer.quiet();
        context.judge.expect("V11-6.3-14", "events that it was sent", peer.numbered, is([]));
      }
    },
  ),
  v11(
    "resume/other-principal",
    "the right token in another principal's hand opens nothing",
    ["6.3-14"],
    ["count", "connections", "principals"],
    async (context) => {
      const mine = await context.session();
      await context.perform(mine, "count", { n: 3 });
      mine.cut();
      const { peer, answer } = await context.claim(mine, 0, "V11-6.3-14", { token: context.tokenB });
      context.isRefusal(
        "V11-6.3-14",
        answer,
        ["UNAUTHENTICATED", "RESUME_WINDOW_EXPIRED", "PERMISSION_DENIED"],
        "the answer",
      );
      await peer.quiet();
      context.judge.expect("V11-6.3-14", "events that it was sent", peer.numbered, is([]));
    },
  ),
  v11(
    "resume/rotated",
    "a token that was followed by another opens nothing any more",
    ["6.3-02", "6.3-01"],
    ["echo", "connections"],
    async (context) => {
      const first = await context.session();
      first.cut();
      const second = await context.resume(first, 0, "V11-6.3-01");
      await context.perform(second, "echo", 1);
      const { answer } = await context.claim(first, 0, "V11-6.3-02");
      context.isRefusal(
        "V11-6.3-02",
        answer,
        ["RESUME_WINDOW_EXPIRED", "UNAUTHENTICATED"],
        "the answer to the first token",
      );
      await context.perform(second, "echo", 2);
      context.judge.expect("V11-6.3-02", "the session after it", second.ended, nothing);
      second.cut();
      const third = await context.resume(second, 0);
      const tokens = [first, second, third].map(({ resumeToken }) => resumeToken);
      context.judge.that("V11-6.3-01", "three different tokens", new Set(tokens).size === 3, tokens);
    },
  ),
  v11(
    "resume/no-gap",
    "a number that the buffer does not reach back to is refused, or served in full",
    ["6.3-12", "6.5-02"],
    ["count", "connections"],
    async (context) => {
      const first = await context.session();
      await context.perform(first, "count", { n: 9 });
      const last = first.numbered.length;
      first.send("session.ack", { last_processed_seq: last });
      await first.ask(undefined, "session.ping", { nonce: "after-ack", sent_at: new Date().toISOString() });
      first.cut();
      const { peer, answer } = await context.claim(first, 0, "V11-6.3-12");
      if (answer.type === "session.welcome") {
        await peer.sees("V11-6.3-12", "a replay without a gap", (frame) => frame.event_seq === last);
        context.judge.expect("V11-6.3-12", "the numbers of the replay", numbersOf(peer.numbered), is(from(1, last)));
      } else {
        context.isRefusal("V11-6.3-12", answer, ["RESUME_WINDOW_EXPIRED"], "the answer");
        context.judge.expect("V11-6.3-12", "the refusal's type", answer.type, is("session.error"));
      }
      context.judge.looksAt("V11-6.5-02");
    },
  ),
  v11(
    "resume/cancel",
    "who resumes a session may cancel its jobs",
    ["6.3-16"],
    ["hold", "connections"],
    async (context) => {
      const first = await context.session();
      const jobId = jobOf(await context.submit(first, "hold"));
      await first.sees(
        undefined,
        "the job's first event",
        ({ job_id, event_seq }) => job_id === jobId && event_seq !== undefined,
      );
      first.cut();
      const second = await context.resume(first, first.numbered.length);
      const answer = await second.ask("V11-6.3-16", "job.cancel", { job_id: jobId }, { job_id: jobId });
      context.judge.expect("V11-6.3-16", "the answer to job.cancel", answer.type, is("job.cancelled"));
      const end = await second.end("V11-6.3-16", jobId);
      context.judge.expect("V11-6.3-16", "its end", end.payload?.final_status, is("cancelled"));
    },
  ),
];

/** The longest interval that is waited for: it takes several of them to see anything. */
const MAX_INTERVAL_S = 2.5;

/** A session with heartbeats of an interval that can be waited for, in milliseconds. */
async function beating(context: ServerContext): Promise<{ readonly peer: Peer; readonly intervalMs: number }> {
  const peer = await context.connect();
  const { payload } = await context.greet(peer, { features: FEATURES });
  if (!payload?.capabilities?.features?.includes("heartbeat")) throw new NotHere("the runtime offers no heartbeat");
  const seconds: number = payload.heartbeat_interval_sec;
  if (seconds > MAX_INTERVAL_S) {
    throw new NotHere(`heartbeat_interval_sec is ${seconds}; the suite waits for intervals up to ${MAX_INTERVAL_S}`);
  }
  return { peer, intervalMs: seconds * 1000 };
}

const aPing = shape({ nonce: someText, sent_at: aTimestamp });

const heartbeatCases = [
  v11("heartbeat/pong", "a ping is answered with its nonce", ["6.4-04", "6.4-06"], [], async (context) => {
    const peer = await context.session({ features: FEATURES });
    for (const nonce of ["one", "two", "Ünïcode 😀"]) {
      const sent_at = new Date().toISOString();
      peer.send("session.ping", { nonce, sent_at });
      const pong = await peer.sees(
        "V11-6.4-04",
        `a pong to "${nonce}"`,
        (frame) =>
          (frame.type === "session.pong" && frame.payload?.ping_nonce === nonce) ||
          (frame.type === "session.pong" &&
            peer.frames.filter(({ type }) => type === "session.pong").indexOf(frame) ===
              ["one", "two", "Ünïcode 😀"].indexOf(nonce)),
      );
      context.judge.expect(
        "V11-6.4-06",
        "session.pong.payload",
        pong.payload,
        shape({ ping_nonce: is(nonce), received_at: aTimestamp }),
      );
    }
  }),
  v11(
    "heartbeat/runtime-pings",
    "a runtime that has nothing to say says so once per interval, whatever the other side says",
    ["6.4-01", "6.4-02", "6.4-03"],
    [],
    async (context) => {
      const { peer, intervalMs } = await beating(context);
      let over = false;
      const talking = (async () => {
        while (!over) {
          peer.send("session.ack", { last_processed_seq: 0 });
          await new Promise((resolve) => setTimeout(resolve, intervalMs / 4));
        }
      })();
      try {
        const patience = intervalMs * 4 + 1000;
        const isPing = ({ type }: Frame): boolean => type === "session.ping";
        const first = await peer.sees(
          "V11-6.4-01",
          "a ping of a runtime that has nothing else to say",
          isPing,
          patience,
        );
        context.judge.expect("V11-6.4-03", "session.ping.payload", first.payload, aPing);
        const another = (frame: Frame): boolean => isPing(frame) && frame !== first;
        const second = await peer.sees("V11-6.4-02", "another ping an interval later", another, patience);
        context.judge.expect("V11-6.4-03", "session.ping.payload", second.payload, aPing);
      } finally {
        over = true;
        await talking;
      }
    },
  ),
  v11(
    "heartbeat/sign-of-life",
    "whatever a client says is a sign of life, and two silent intervals are waited for",
    ["6.4-08"],
    [],
    async (context) => {
      const { peer, intervalMs } = await beating(context);
      for (let third = 0; third < 9; third += 1) {
        await new Promise((resolve) => setTimeout(resolve, intervalMs / 3));
        peer.send("session.ack", { last_processed_seq: 0 });
        context.judge.expect("V11-6.4-08", "the end of a connection on which something was said", peer.ended, nothing);
      }
    },
  ),
  v11(
    "heartbeat/loss",
    "a client that is silent may be given up; its jobs and its session are not",
    ["6.4-07", "6.4-08", "6.4-09", "6.4-10"],
    ["count", "connections"],
    async (context) => {
      const { peer, intervalMs } = await beating(context);
      // The runtime counts from when it hears this, which is later than now, however late its answer comes.
      const silentSince = performance.now();
      const jobId = jobOf(await context.submit(peer, "count", { n: 3, delay_ms: intervalMs * 2 }));
      await peer
        .sees(undefined, "the end of the silent connection", () => peer.ended !== undefined, intervalMs * 4 + 500)
        .catch(() => undefined);
      if (peer.ended !== undefined) {
        const waited = performance.now() - silentSince;
        context.judge.that(
          "V11-6.4-08",
          `two silent intervals of ${intervalMs} ms before the end`,
          waited >= intervalMs * 1.9,
          `${Math.round(waited)} ms`,
        );
      }
      context.judge.looksAt("V11-6.4-07");
      peer.cut();
      const second = await context.resume(peer, peer.numbered.length, "V11-6.4-10");
      const end = await second.end("V11-6.4-09", jobId, intervalMs * 6 + 2000);
      context.judge.expect("V11-6.4-09", "the end of the job", end.type, is("job.result"));
    },
    20_000,
  ),
];

const ackCases = [
  v11(
    "ack/uncounted",
    "an acknowledgement takes no number and is not echoed with one",
    ["6.5-06"],
    ["count"],
    async (context) => {
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "count", { n: 20, delay_ms: 5 }));
      for (let upTo = 1; upTo <= 20; upTo += 1) {
        await peer.sees(undefined, `event ${upTo}`, (frame) => frame.event_seq === upTo);
        peer.send("session.ack", { last_processed_seq: upTo });
      }
      await peer.end(undefined, jobId);
      context.judge.expect("V11-6.5-06", "the numbers", numbersOf(peer.numbered), is(from(1, peer.numbered.length)));
      const acks = peer.frames.filter(({ type, event_seq }) => type === "session.ack" && event_seq !== undefined);
      context.judge.expect("V11-6.5-06", "acknowledgements with a number", acks, is([]));
    },
  ),
  v11(
    "ack/is-not-resume",
    "a resume goes by last_event_seq, not by what was acknowledged",
    ["6.5-07"],
    ["count", "connections"],
    async (context) => {
      const first = await context.session();
      await context.perform(first, "count", { n: 29 });
      first.send("session.ack", { last_processed_seq: 10 });
      await first.ask(undefined, "session.ping", { nonce: "after-ack", sent_at: new Date().toISOString() });
      first.cut();
      const last = first.numbered.length;
      const second = await context.resume(first, 20, "V11-6.5-07");
      await second.sees("V11-6.5-07", "the rest", (frame) => frame.event_seq === last);
      await second.quiet();
      context.judge.expect("V11-6.5-07", "the numbers of the replay", numbersOf(second.numbered), is(from(21, last)));
    },
  ),
];

const idsOf = (jobs: readonly Listed[]): readonly unknown[] => jobs.map(({ job_id }) => job_id);

const listingCases = [
  v11(
    "listing/entry",
    "a listed job has everything that there is to know",
    ["6.6-02", "6.6-03", "6.6-04", "7.5-10", "11-03"],
    ["echo"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const { accepted, jobId, end } = await context.perform(peer, "echo", 1);
      const requests = [{}, { filter: {} }, { filter: { status: ["success"] } }].map((payload) =>
        peer.send("session.list_jobs", payload),
      );
      for (const id of requests) {
        const page = await peer.sees(
          "V11-6.6-02",
          "session.jobs with the request's id",
          (frame) => frame.type === "session.jobs" && frame.payload?.request_id === id,
        );
        judge.expect(
          "V11-6.6-03",
          "session.jobs.payload",
          page.payload,
          shape({
            request_id: is(id),
            jobs: listOf(shape({})),
            next_cursor: such("there, a string or null", (value) => value === null || typeof value === "string"),
          }),
        );
      }
      const listed = (await context.jobs(peer)).find(({ job_id }) => job_id === jobId);
      judge.that("V11-6.6-04", `an entry for ${jobId}`, listed !== undefined, "none");
      const expected = shape({
        job_id: is(jobId),
        agent: such("name@version", (value) => typeof value === "string" && /^[^@]+@[^@]+$/.test(value)),
        status: is("success"),
        lease: shape({}),
        parent_job_id: such("null, as there is none", (value) => value === null),
        created_at: aTimestamp,
        trace_id: aString,
        last_event_seq: is(end.event_seq),
      });
      judge.expect("V11-6.6-04", "an entry of session.jobs", listed, expected);
      judge.expect("V11-7.5-10", "agent in session.jobs", listed?.["agent"], is(accepted.payload.agent));
      judge.expect("V11-11-03", "trace_id in session.jobs", listed?.["trace_id"], is(accepted.payload.trace_id));
    },
  ),
  v11(
    "listing/filters",
    "a filter keeps what it names",
    ["6.6-05", "6.6-06", "6.6-07", "6.6-08"],
    ["hold", "echo", "versioned"],
    async (context) => {
      const { judge } = context;
      const peer = await context.session();
      const before = await context.perform(peer, "echo", 1);
      await new Promise((resolve) => setTimeout(resolve, 15));
      const between = new Date().toISOString();
      await new Promise((resolve) => setTimeout(resolve, 15));
      const holding = jobOf(await context.submit(peer, "hold"));
      await peer.sees(
        undefined,
        "the job's first event",
        ({ job_id, event_seq }) => job_id === holding && event_seq !== undefined,
      );
      const agent = context.agent("versioned").split("@")[0] ?? "";
      const [one, two] = await Promise.all(
        ["1.0.0", "2.0.0"].map((version) => peer.ask(undefined, "job.submit", { agent: `${agent}@${version}` })),
      );
      const mine = [before.jobId, holding, one && jobOf(one), two && jobOf(two)];
      await Promise.all([one, two].map((accepted) => accepted && peer.end(undefined, jobOf(accepted))));
      const of = async (filter: object, requirement: string): Promise<readonly unknown[]> => {
        const ids = idsOf(await context.jobs(peer, { filter }, requirement));
        return mine.filter((id) => ids.includes(id));
      };
      judge.expect("V11-6.6-05", "the jobs of this case without a filter", await of({}, "V11-6.6-05"), is(mine));
      judge.expect(
        "V11-6.6-06",
        "those that are running",
        await of({ status: ["running"] }, "V11-6.6-06"),
        is([holding]),
      );
      judge.expect(
        "V11-6.6-06",
        "those with success",
        await of({ status: ["success"] }, "V11-6.6-06"),
        is(mine.filter((id) => id !== holding)),
      );
      judge.expect(
        "V11-6.6-06",
        "those with either",
        await of({ status: ["success", "running"] }, "V11-6.6-06"),
        is(mine),
      );
      judge.expect("V11-6.6-07", `those of ${agent}`, await of({ agent }, "V11-6.6-07"), is(mine.slice(2)));
      judge.expect(
        "V11-6.6-07",
        `those of ${agent}@2.0.0`,
        await of({ agent: `${agent}@2.0.0` }, "V11-6.6-07"),
        is(mine.slice(3)),
      );
      judge.expect(
        "V11-6.6-07",
        "those of the beginning of its name",
        await of({ agent: agent.slice(0, -1) }, "V11-6.6-07"),
        is([]),
      );
      judge.expect(
        "V11-6.6-08",
        `those after ${between}`,
        await of({ created_after: between }, "V11-6.6-08"),
        is(mine.slice(1)),
      );
      peer.send("job.cancel", { job_id: holding }, { job_id: holding });
    },
  ),
  v11("listing/pages", "pages hold every job once", ["6.6-09"], ["echo"], async (context) => {
    const peer = await context.session();
    const after = new Date(Date.now() - 1000).toISOString();
    for (let job = 0; job < 7; job += 1) await context.perform(peer, "echo", job);
    const filter = { created_after: after };
    const all = idsOf(await context.jobs(peer, { filter, limit: 1000 }));
    const paged: unknown[] = [];
    for (let cursor: unknown; ; ) {
      const { payload } = await peer.ask("V11-6.6-09", "session.list_jobs", {
        filter,
        limit: 3,
        ...(cursor == null ? {} : { cursor }),
      });
      context.judge.that(
        "V11-6.6-09",
        "at most three jobs on a page",
        payload?.jobs?.length <= 3,
        payload?.jobs?.length,
      );
      paged.push(...idsOf(payload.jobs));
      cursor = payload.next_cursor;
      if (cursor == null) break;
    }
    context.judge.that("V11-6.6-09", "no job twice", new Set(paged).size === paged.length, paged);
    const missing = all.filter((id) => !paged.includes(id));
    context.judge.expect("V11-6.6-09", "jobs of the whole listing that are on no page", missing, is([]));
  }),
  v11(
    "listing/other-session",
    "a listing has the jobs of one's other sessions, and brings no events of them",
    ["6.6-10", "6.6-13"],
    ["count", "connections"],
    async (context) => {
      const one = await context.session();
      const two = await context.session();
      const jobId = jobOf(await context.submit(one, "count", { n: 10, delay_ms: 20 }));
      const listed = idsOf(await context.jobs(two, {}, "V11-6.6-10"));
      context.judge.that("V11-6.6-10", `${jobId}, which another session submitted`, listed.includes(jobId), listed);
      await one.end(undefined, jobId);
      await two.quiet();
      context.judge.expect("V11-6.6-13", "messages about it in the session that listed", two.ofJob(jobId), is([]));
    },
  ),
  v11(
    "listing/other-principal",
    "a listing has nothing of other principals",
    ["6.6-12", "14-11"],
    ["echo", "connections", "principals"],
    async (context) => {
      const mine = await context.session();
      const { jobId } = await context.perform(mine, "echo", 1);
      await context.perform(mine, "echo", 2);
      const { payload } = await mine.ask(undefined, "session.list_jobs", { limit: 1 });
      const other = await context.session({ token: context.tokenB });
      for (const request of [{}, { filter: { status: ["success"] } }, { filter: { agent: context.agent("echo") } }]) {
        const listed = idsOf(await context.jobs(other, request, "V11-6.6-12"));
        const both = ["V11-6.6-12", "V11-14-11"];
        context.judge.that(both, "no job of another principal", !listed.includes(jobId), listed);
      }
      const stolen = await other.ask("V11-6.6-12", "session.list_jobs", { cursor: payload?.next_cursor });
      const leaked = stolen.type === "session.jobs" && idsOf(stolen.payload?.jobs ?? []).includes(jobId);
      context.judge.that("V11-6.6-12", "nothing for another principal's cursor", !leaked, stolen);
    },
  ),
];

const closingCases = [
  v11(
    "close/acknowledged",
    "session.close is acknowledged before the connection ends",
    ["6.7-02"],
    [],
    async (context) => {
      const peer = await context.session();
      peer.send("session.close", { reason: "done" });
      const closed = await peer.sees("V11-6.7-02", "session.closed", ({ type }) => type === "session.closed");
      context.judge.expect("V11-6.7-02", "its session_id", closed.session_id, is(peer.sessionId));
    },
  ),
  v11(
    "close/jobs-go-on",
    "jobs go on when their session is closed, and are there in a resume",
    ["6.7-03", "6.7-04"],
    ["count", "connections"],
    async (context) => {
      const peer = await context.session();
      const jobId = jobOf(await context.submit(peer, "count", { n: 5, delay_ms: 150 }));
      peer.send("session.close", { reason: "done" });
      await peer.sees(undefined, "session.closed", ({ type }) => type === "session.closed");
      await peer.hangUp(undefined, "the end of the connection");
      const second = await context.resume(peer, peer.numbered.length, "V11-6.7-04");
      // It may have ended before the close took effect.
      const end = peer.ofJob(jobId).find(({ type }) => type !== "job.event") ?? (await second.end("V11-6.7-04", jobId));
      context.judge.expect("V11-6.7-03", "the end of the job", end.type, is("job.result"));
      context.judge.expect("V11-6.7-04", "its number", end.event_seq, is(6));
    },
  ),
  v11("close/bye", "after session.bye nothing is said any more", ["6.7-05", "6.7-06"], ["count"], async (context) => {
    const peer = await context.session();
    const jobId = jobOf(await context.submit(peer, "count", { n: 4000, delay_ms: 5 }));
    await peer.sees(undefined, "an event", ({ event_seq }) => event_seq === 2);
    peer.send("session.bye", { reason: "done" });
    await peer.quiet();
    await peer.quiet();
    const upTo = peer.frames.length;
    await peer.quiet();
    context.judge.expect("V11-6.7-06", "messages after session.bye", peer.frames.slice(upTo), is([]));
    const errors = peer.frames.filter(({ type }) => type === "session.error");
    context.judge.expect("V11-6.7-05", "errors about session.bye", errors, is([]));
    context.judge.that(
      "V11-6.7-05",
      "the job's end not to have come",
      peer.ofJob(jobId).every(({ type }) => type === "job.event"),
      jobId,
    );
  }),
  v11(
    "close/resume-after-bye",
    "after session.bye a session is resumed, or said to be gone",
    ["6.7-07"],
    ["echo", "connections"],
    async (context) => {
      const peer = await context.session();
      peer.send("session.bye", {});
      await peer.quiet();
      const { answer } = await context.claim(peer, 0, "V11-6.7-07");
      const isEither = answer.type === "session.welcome" || answer.payload?.code === "RESUME_WINDOW_EXPIRED";
      context.judge.that("V11-6.7-07", "session.welcome, or RESUME_WINDOW_EXPIRED", isEither, answer);
    },
  ),
];

export const sessionCases = [...resumeCases, ...heartbeatCases, ...ackCases, ...listingCases, ...closingCases];
