/** §6.3 and §6.5: sessions that are taken up again, and acknowledgements. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { is, nothing, someText } from "../../matcher.ts";
import { jobOf } from "../context.ts";
import { v11 } from "./case.ts";

/** Numbers from `first` to `last`. */
const from = (first: number, last: number): readonly number[] =>
  Array.from({ length: Math.max(0, last - first + 1) }, (_, place) => first + place);
const numbersOf = (frames: readonly Frame[]): readonly number[] => frames.map((frame) => frame.event_seq as number);
/** What a replay must not change. */
const contentOf = ({ event_seq, type, job_id, payload }: Frame): object => ({ event_seq, type, job_id, payload });

export const resumeCases = [
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
  v11(
    "resume/window",
    "a session can be resumed until its window is over, counted from the last message, with all that was not acknowledged",
    ["6.2-15", "6.5-03"],
    ["count", "connections"],
    async (context) => {
      const { judge, signal } = context;
      const peer = await context.connect();
      const welcome = await context.greet(peer);
      const windowMs = Number(welcome.payload?.resume_window_sec) * 1000;
      if (!(windowMs <= MAX_WINDOW_MS))
        throw new NotHere(`a session lives for ${windowMs / 1000} s after its connection`);
      await context.perform(peer, "count", { n: 4 });
      await sleep(windowMs + WINDOW_MARGIN_MS, undefined, { signal });
      const sent_at = new Date().toISOString();
      await peer.ask("V11-6.2-15", "session.ping", { nonce: "still-here", sent_at });
      peer.cut();
      await sleep(Math.max(0, windowMs - WINDOW_MARGIN_MS), undefined, { signal });
      const after = await context.resume(peer, 0, "V11-6.2-15");
      const last = peer.numbered.length;
      await after.sees("V11-6.5-03", `message ${last}`, (frame) => frame.event_seq === last).catch(() => undefined);
      judge.expect("V11-6.5-03", "the numbers of what was replayed", numbersOf(after.numbered), is(from(1, last)));
    },
    60_000,
  ),
];

/** The longest window that is waited for. */
const MAX_WINDOW_MS = 6000;
/** For machines that are busy. */
const WINDOW_MARGIN_MS = 2000;

export const ackCases = [
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
