/** A well-behaved session that runs beside an attack, and the proof that it did not notice. */
import { expect } from "vitest";
import type { Harness } from "../support/harness.ts";
import { ALL_FEATURES, type Frame, type RawClient } from "../support/raw-client.ts";

const AGENT = "canary";
const BEFORE = 10;
const AFTER = 25;

/** For tests that move time by more than a client may be silent. */
export const WITHOUT_HEARTBEAT: readonly string[] = ALL_FEATURES.filter((name) => name !== "heartbeat");

export interface Canary {
  readonly client: RawClient;
  readonly jobId: string;
  /** Lets the job run to its end, and checks that every number arrived once and in order. */
  completes(): Promise<void>;
}

/** Opens a session of `oscar`, and submits a job that has begun to stream and goes on after the attack. */
export async function startCanary(harness: Harness): Promise<Canary> {
  const gate = Promise.withResolvers<void>();
  harness.server.registerAgent(AGENT, async (_input, context) => {
    for (let n = 1; n <= BEFORE; n += 1) await context.log("info", `before ${n}`);
    await gate.promise;
    for (let n = 1; n <= AFTER; n += 1) await context.log("info", `after ${n}`);
    return "well";
  });
  const client = await harness.rawSession(WITHOUT_HEARTBEAT, "oscar");
  const accepted = await client.submit(AGENT);
  const jobId = accepted.payload.job_id as string;
  await client.nextWhere(({ event_seq }) => event_seq === BEFORE, "the canary's first events");
  return {
    client,
    jobId,
    async completes() {
      gate.resolve();
      const end = await client.ended(jobId);
      expect(end).toMatchObject({ type: "job.result", payload: { result: "well" } });
      const seqs = client.numbered.map((frame) => frame.event_seq);
      expect(seqs).toEqual(Array.from({ length: BEFORE + AFTER + 1 }, (_, index) => index + 1));
      expect(client.frames.filter(isError)).toEqual([]);
      expect(client.transport.isClosed).toBe(false);
    },
  };
}

const isError = ({ type }: Frame): boolean => type === "session.error";
