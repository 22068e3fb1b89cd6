/** How a client keeps a session: heartbeats, acknowledgements, resume, listing, the end (§6.3–§6.7). */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { NotHere } from "../../judge.ts";
import { aTimestamp, is, shape, someText } from "../../matcher.ts";
import type { ClientCase } from "../stage.ts";
import { Job, newJobId, openSession, openWith, positionOf } from "./session.ts";

const INTERVAL_SEC = 1;
const HEARTBEAT_ALONE = ["heartbeat"];

/**
 * What is about times cannot be judged by a suite that was itself held up for so long that a client had to believe the
 * connection dead.
 */
async function unlessHeldUp(judging: () => Promise<void>): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  try {
    await judging();
  } catch (thrown) {
    const heldUpMs = delay.max / 1e6;
    if (heldUpMs < (INTERVAL_SEC * 1_000) / 2) throw thrown;
    throw new NotHere("the suite itself was held up for an interval");
  } finally {
    delay.disable();
  }
}

export const sessions: readonly ClientCase[] = [
  // --- Heartbeats (§6.4) ----------------------------------------------------------------------------------------------
  {
    id: "heartbeat/ping",
    wire: "1.1",
    requirements: ["V11-6.4-01", "V11-6.4-03"],
    title: "a client that has nothing to say pings, once per interval",
    run: (stage) =>
      unlessHeldUp(async () => {
        const session = await openWith(stage, HEARTBEAT_ALONE, { heartbeat_interval_sec: INTERVAL_SEC });
        const { caller } = session;
        const openedAt = performance.now();
        for (let count = 0; count < 2; count += 1) {
          const ping = await caller.sees("V11-6.4-01", "a session.ping", ({ type }) => type === "session.ping");
          const payload = shape({ nonce: someText, sent_at: aTimestamp });
          stage.judge.expect("V11-6.4-03", "session.ping.payload", ping.payload, payload);
        }
        const tookMs = performance.now() - openedAt;
        const mostMs = 2 * INTERVAL_SEC * 1_000 + stage.options.slackMs;
        stage.judge.that("V11-6.4-01", `two pings within ${mostMs} ms`, tookMs <= mostMs, `${Math.round(tookMs)} ms`);
      }),
  },
  {
    id: "heartbeat/own-silence",
    wire: "1.1",
    requirements: ["V11-6.4-02"],
    title: "a runtime that talks all the time keeps no client from pinging",
    run: (stage) =>
      unlessHeldUp(async () => {
        const session = await openWith(stage, HEARTBEAT_ALONE, { heartbeat_interval_sec: INTERVAL_SEC });
        const { caller } = session;
        const job = await session.job();
        const quietSince = performance.now();
        const pinged = (): true | undefined => (caller.ofType("session.ping").length > 0 ? true : undefined);
        const mostMs = INTERVAL_SEC * 1_000 + stage.options.slackMs;
        stage.judge.looksAt("V11-6.4-02");
        while (!pinged() && performance.now() - quietSince < mostMs) {
          job.log("still at it");
          await caller.until(100, pinged);
        }
        stage.judge.that("V11-6.4-02", `a session.ping within ${mostMs} ms`, pinged() === true, "none");
        job.result();
        await job.wait();
      }),
  },
  {
    id: "heartbeat/pong",
    wire: "1.1",
    requirements: ["V11-6.4-05", "V11-6.4-06"],
    title: "every ping is answered with its nonce",
    async run(stage) {
      const { caller } = await openSession(stage);
      const nonces = ["one", "a nonce with 😀 and spaces", "0"];
      const sent_at = new Date().toISOString();
      for (const nonce of nonces) caller.send("session.ping", { nonce, sent_at });
      for (const nonce of nonces) {
        const pong = await caller.next("V11-6.4-05", "session.pong");
        const payload = shape({ ping_nonce: is(nonce), received_at: aTimestamp });
        stage.judge.expect("V11-6.4-06", "session.pong.payload", pong.payload, payload);
      }
    },
  },
  {
    id: "heartbeat/patience",
    wire: "1.1",
    requirements: ["V11-6.4-08"],
    title: "any message is a sign of life: pings without an answer end nothing while events come",
    run: (stage) =>
      unlessHeldUp(async () => {
        const session = await openWith(stage, HEARTBEAT_ALONE, { heartbeat_interval_sec: INTERVAL_SEC });
        const { caller } = session;
        caller.isObliging = false;
        const job = await session.job();
        const since = performance.now();
        while (performance.now() - since < 3_300 * INTERVAL_SEC && caller.ended === undefined) {
          job.log("alive");
          await caller.until(250, () => undefined);
        }
        stage.judge.that("V11-6.4-08", "the connection to stay open", caller.ended === undefined, caller.ended);
      }),
  },
  {
    id: "heartbeat/loss",
    wire: "1.1",
    requirements: ["V11-6.4-08", "V11-6.4-07"],
    title: "a runtime that has fallen silent is given two intervals at least, and not for ever",
    run: (stage) =>
      unlessHeldUp(async () => {
        const session = await openWith(stage, HEARTBEAT_ALONE, { heartbeat_interval_sec: INTERVAL_SEC });
        const { caller } = session;
        caller.isObliging = false;
        await caller.until(2 * INTERVAL_SEC * 1_000 + 3 * stage.options.slackMs, () => undefined);
        const tookMs = (caller.endedAt ?? performance.now()) - caller.sentAt;
        const leastMs = 2 * INTERVAL_SEC * 1_000;
        stage.judge.that(
          "V11-6.4-08",
          `${leastMs} ms of silence at least`,
          tookMs >= leastMs,
          `${Math.round(tookMs)} ms`,
        );
        stage.judge.that("V11-6.4-07", "the connection to be given up", caller.ended !== undefined, "it is still open");
        const hello = await session.back("V11-6.4-07");
        const { resumeToken } = positionOf(hello);
        stage.judge.that("V11-6.4-07", "the session to be resumed", resumeToken === session.resumeToken, hello);
        session.welcome();
      }),
  },

  // --- Acknowledgements (§6.5) ----------------------------------------------------------------------------------------
  {
    id: "ack/numbers",
    wire: "1.1",
    requirements: ["V11-6.5-01"],
    title: "acknowledged is what was received, and never less than before",
    async run(stage) {
      const session = await openSession(stage);
      const { caller } = session;
      const job = await session.job();
      let before = 0;
      for (let round = 0; round < 2; round += 1) {
        for (let count = 0; count < 5; count += 1) job.log(`event ${count}`);
        const ack = await caller.next("V11-6.5-01", "session.ack");
        const seq = ack.payload?.last_processed_seq;
        const isRight = Number.isSafeInteger(seq) && seq >= before && seq <= session.seq;
        stage.judge.that("V11-6.5-01", `an integer from ${before} to ${session.seq}`, isRight, ack.payload);
        before = seq;
      }
      job.result();
      await job.wait();
    },
  },
  {
    id: "ack/throttled",
    wire: "1.1",
    requirements: ["V11-6.5-05"],
    title: "a flood of events is not answered with a flood of acknowledgements",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const since = performance.now();
      const events = 1_000;
      for (let count = 0; count < events; count += 1) job.log("flood");
      job.result();
      await job.wait();
      await session.caller.fence();
      const acks = session.caller.ofType("session.ack").length;
      const most = 3 + Math.ceil((performance.now() - since) / 200);
      stage.judge.that("V11-6.5-05", `${most} acknowledgements at most of ${events} events`, acks <= most, `${acks}`);
    },
  },

  // --- Resume (§6.3) --------------------------------------------------------------------------------------------------
  {
    id: "resume/position",
    wire: "1.1",
    requirements: ["V11-6.3-03"],
    title: "after each loss the latest token and the last number are presented, and what was missed is taken",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const said: string[] = [];
      for (let cut = 0; cut < 3; cut += 1) {
        for (let count = 0; count < 3; count += 1) {
          said.push(`event ${said.length}`);
          job.log(said.at(-1) as string);
        }
        await session.caller.fence();
        const { resumeToken, seq } = session;
        session.caller.cut();
        const hello = await session.back("V11-6.3-03");
        const at = positionOf(hello);
        stage.judge.that("V11-6.3-03", `the token ${resumeToken}`, at.resumeToken === resumeToken, hello.payload);
        stage.judge.that("V11-6.3-03", `last_event_seq ${seq}`, at.lastEventSeq === seq, hello.payload);
        session.welcome();
      }
      job.result({ result: "done" });
      const { logs, result } = await job.wait("V11-6.3-03");
      stage.judge.that("V11-6.3-03", `${said}`, logs.join() === said.join(), logs);
      stage.judge.that("V11-6.3-03", "the result", result === "done", result);
    },
  },
  {
    id: "resume/missed",
    wire: "1.1",
    requirements: ["V11-6.3-03"],
    title: "what happened while the client was away, the end included, is taken from the replay",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      job.log("before");
      await session.caller.fence();
      session.caller.cut();
      await session.back("V11-6.3-03");
      session.welcome();
      job.log("while away");
      job.result({ result: "done" });
      const { logs, result } = await job.wait("V11-6.3-03");
      stage.judge.that("V11-6.3-03", "both logs, each once", logs.join() === "before,while away", logs);
      stage.judge.that("V11-6.3-03", "the result", result === "done", result);
    },
  },
  {
    id: "resume/lost-welcome",
    wire: "1.1",
    requirements: ["V11-6.3-03"],
    title: "a resume whose welcome is lost is tried again with the token that the client has",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job();
      const { resumeToken } = session;
      session.caller.cut();
      await session.back("V11-6.3-03");
      session.caller.cut();
      const hello = await session.back("V11-6.3-03");
      const at = positionOf(hello);
      stage.judge.that("V11-6.3-03", `the token ${resumeToken}`, at.resumeToken === resumeToken, hello.payload);
      session.welcome();
      job.result({ result: "done" });
      const { result } = await job.wait("V11-6.3-03");
      stage.judge.that("V11-6.3-03", "the result", result === "done", result);
    },
  },
  {
    id: "resume/refused",
    wire: "1.1",
    requirements: ["V11-6.3-15"],
    title: "a session that is gone fails its jobs, or is replaced; its jobs are found again by their key",
    async run(stage) {
      const session = await openSession(stage);
      const job = await session.job({ idempotency_key: "key-of-the-job" });
      session.caller.cut();
      const hello = await session.back("V11-6.3-15");
      const refusal = { code: "RESUME_WINDOW_EXPIRED", message: "too late", retryable: false, request_id: hello.id };
      session.caller.send("session.error", refusal, { session_id: session.id, correlation_id: hello.id });
      session.caller.close(1008, "RESUME_WINDOW_EXPIRED");
      await job.wait("V11-6.3-15");
      // The client has given up: the application goes on with a session of its own.
      const fresh = await openSession(stage);
      const submitting = fresh.client.starts("submit", {
        agent: "echo",
        input: null,
        idempotency_key: "key-of-the-job",
      });
      const submit = await fresh.caller.next("V11-6.3-15", "job.submit");
      const key = submit.payload?.idempotency_key;
      stage.judge.that("V11-6.3-15", "the job's key", key === "key-of-the-job", submit.payload);
      fresh.caller.send(
        "job.accepted",
        { job_id: job.id, agent: "echo@1.0.0", lease: {}, request_id: submit.id },
        { job_id: job.id, correlation_id: submit.id },
      );
      await submitting;
    },
  },
  {
    id: "resume/token-not-printed",
    wire: "1.1",
    requirements: ["V11-6.2-14", "V11-14-18"],
    title: "tokens and credentials are in no log of the client",
    async run(stage) {
      const session = await openSession(stage);
      const value = "credential-value-77ab31";
      const credentials = [{ id: "cred_1", scheme: "bearer", value, endpoint: "https://models.example/v1" }];
      const job = await session.job({}, { credentials });
      const first = session.resumeToken;
      job.event("status", { phase: "credential_rotated", id: "cred_1", value: `${value}-rotated` });
      session.caller.sendText("{ no JSON");
      await session.goesOn("V11-6.2-14");
      session.caller.cut();
      await session.back(undefined);
      session.welcome();
      job.result();
      await job.wait();
      const { written } = stage.options.driver;
      const resumeTokens = [first, session.resumeToken].filter((token) => written.includes(token));
      stage.judge.that("V11-6.2-14", "no token of the session", resumeTokens.length === 0, resumeTokens);
      stage.judge.that("V11-6.2-14", "no bearer token", !written.includes(stage.options.token), "the bearer token");
      stage.judge.that("V11-14-18", "no credential", !written.includes(value), "the value of a credential");
    },
  },

  // --- Listing (§6.6) -------------------------------------------------------------------------------------------------
  {
    id: "list/request",
    wire: "1.1",
    requirements: ["V11-6.6-01"],
    title: "jobs are listed by filter, page by page, each answer for its request",
    async run(stage) {
      const { client, caller } = await openSession(stage);
      const filter = { status: ["running"], agent: "echo", created_after: "2026-01-01T00:00:00Z" };
      const one = client.starts("list", { filter, limit: 2 }, "V11-6.6-01");
      const first = await caller.next("V11-6.6-01", "session.list_jobs");
      const two = client.starts("list", { limit: 2, cursor: "page 2" }, "V11-6.6-01");
      const second = await caller.next("V11-6.6-01", "session.list_jobs");
      const { created_after, ...asked } = first.payload?.filter ?? {};
      const { created_after: wanted, ...rest } = filter;
      stage.judge.expect("V11-6.6-01", "session.list_jobs.payload.filter", asked, is(rest));
      stage.judge.that(
        "V11-6.6-01",
        `created_after ${wanted}`,
        Date.parse(created_after) === Date.parse(wanted),
        created_after,
      );
      stage.judge.expect("V11-6.6-01", "session.list_jobs.payload.limit", first.payload?.limit, is(2));
      stage.judge.expect("V11-6.6-01", "session.list_jobs.payload.cursor", second.payload?.cursor, is("page 2"));
      const entry = (job_id: string): object => ({
        ...{ job_id, agent: "echo@1.0.0", status: "running", lease: {}, parent_job_id: null, last_event_seq: 0 },
        ...{ created_at: "2026-01-02T00:00:00Z", trace_id: "0af7651916cd43dd8448eb211c80319c" },
      });
      // The later request is answered first.
      caller.send("session.jobs", { request_id: second.id, jobs: [entry("job_3")], next_cursor: null });
      caller.send("session.jobs", {
        request_id: first.id,
        jobs: [entry("job_1"), entry("job_2")],
        next_cursor: "page 2",
      });
      const pages = [await one, await two].map(({ jobs, next_cursor }) => ({
        ids: (jobs as { job_id: string }[]).map(({ job_id }) => job_id).join(),
        next_cursor,
      }));
      const expected = [
        { ids: "job_1,job_2", next_cursor: "page 2" },
        { ids: "job_3", next_cursor: null },
      ];
      stage.judge.expect("V11-6.6-01", "the pages", pages, is(expected));
    },
  },

  // --- The end (§6.7) -------------------------------------------------------------------------------------------------
  {
    id: "close/said",
    wire: "1.1",
    requirements: ["V11-6.7-01"],
    title: "a client says session.close before it hangs up",
    async run(stage) {
      const { client, caller } = await openSession(stage);
      const closing = client.starts("close", { reason: "done here" }, "V11-6.7-01");
      await caller.next("V11-6.7-01", "session.close");
      await closing;
      await caller.hangUp("V11-6.7-01", "the connection to be closed after session.closed");
      const after = caller.frames.slice(caller.frames.findIndex(({ type }) => type === "session.close") + 1);
      const others = after.filter(({ type }) => type !== "session.bye");
      stage.judge.that("V11-6.7-01", "nothing but a bye after session.close", others.length === 0, others);
    },
  },
  {
    id: "close/no-answer",
    wire: "1.1",
    requirements: ["V11-6.7-01", "V11-6.7-06"],
    title: "a runtime that does not answer session.close keeps no client; after a bye nothing follows",
    async run(stage) {
      const { client, caller } = await openSession(stage);
      caller.isObliging = false;
      await client.does("close", {}, "V11-6.7-01");
      await caller.hangUp("V11-6.7-01", "the connection to be closed all the same");
      const bye = caller.frames.findIndex(({ type }) => type === "session.bye");
      const after = bye < 0 ? [] : caller.frames.slice(bye + 1);
      stage.judge.that("V11-6.7-06", "nothing after session.bye", after.length === 0, after);
    },
  },
  {
    id: "close/refused",
    wire: "1.1",
    requirements: ["V11-6.7-01"],
    title: "a runtime that knows no session.close keeps no client",
    async run(stage) {
      const { client, caller } = await openSession(stage);
      caller.isObliging = false;
      const closing = client.starts("close", {}, "V11-6.7-01");
      const close = await caller.next("V11-6.7-01", "session.close");
      const payload = { code: "INVALID_REQUEST", message: "unknown type", retryable: false, request_id: close.id };
      caller.send("session.error", payload, { correlation_id: close.id });
      await closing;
      await caller.hangUp("V11-6.7-01", "the connection to be closed all the same");
    },
  },
  {
    id: "close/bye",
    wire: "1.1",
    requirements: ["V11-6.7-05", "V11-6.7-06"],
    title: "after the runtime's session.bye the client says nothing more there",
    async run(stage) {
      const session = await openSession(stage);
      const { caller, client } = session;
      const job = await session.job();
      await caller.fence();
      const heard = caller.frames.length;
      caller.send("session.bye", { reason: "shutting down" });
      await caller.until(1_000, () => undefined);
      // Whoever is still there is told to want something.
      const submitting = client.tell("submit", { agent: "echo", input: "after the bye", idempotency_key: "key-bye" });
      await caller.until(300, () => undefined);
      const after = caller.frames.slice(heard).filter(({ type }) => type !== "session.ack");
      stage.judge.that("V11-6.7-06", "nothing after session.bye", after.length === 0, after);
      caller.close(1001);
      const hello = await session.back("V11-6.7-05");
      const { resumeToken } = positionOf(hello);
      stage.judge.that("V11-6.7-05", "the session to be resumed", resumeToken === session.resumeToken, hello.payload);
      session.welcome();
      const submit = await session.caller.next("V11-6.7-05", "job.submit");
      const second = new Job(session, newJobId());
      second.accept(submit);
      await client.within("V11-6.7-05", "submit to be over", submitting);
      job.result({ result: "done" });
      const { result } = await job.wait("V11-6.7-05");
      stage.judge.that("V11-6.7-05", "the result", result === "done", result);
    },
  },
];
