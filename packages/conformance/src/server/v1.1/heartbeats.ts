/** §6.4: heartbeats. */
import type { Frame } from "../../frame.ts";
import { NotHere } from "../../judge.ts";
import { aTimestamp, is, nothing, shape, someText } from "../../matcher.ts";
import { FEATURES, jobOf, type ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";
import { v11 } from "./case.ts";

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

export const heartbeatCases = [
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
