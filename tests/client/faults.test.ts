import type { FrameFate } from "@arcp/core";
import { expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";

/** The same numbers for the same seed, so that a failure can be run again. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

it.each([1, 2, 3, 4])("every event arrives once and in order over a bad network (seed %i)", async (seed) => {
  covers("V11-8.3-05", "V11-6.3-03", "V11-7.2-10");
  const random = randomFrom(seed);
  const fate = (frame: string): FrameFate => {
    const chance = random();
    if (chance < 0.002) return "cut";
    if (chance < 0.004) return "duplicate";
    // A lost reply shows only in a timeout; a lost number shows at once.
    return chance < 0.007 && frame.includes('"event_seq"') ? "drop" : "deliver";
  };
  await using harness = startHarness({
    agents: {
      count: async (input, context) => {
        const { upTo } = input as { upTo: number };
        for (let n = 1; n <= upTo; n += 1) {
          await context.log("info", String(n));
          if (n % 37 === 0) await context.flush();
        }
        return upTo;
      },
    },
    faults: () => ({ right: { onSend: fate } }),
  });
  const client = await harness.persistentClient();
  let losses = 0;
  client.on("state", ({ phase }) => {
    if (phase === "reconnecting") losses += 1;
  });
  const follow = async (upTo: number): Promise<void> => {
    const job = await client.submit({ agent: "count", input: { upTo } });
    const seen: string[] = [];
    for await (const event of job) if (event.kind === "log") seen.push(event.body.message);
    expect(seen).toEqual(Array.from({ length: upTo }, (_, index) => String(index + 1)));
    expect((await job.done).result).toBe(upTo);
  };
  await Promise.all([200, 250, 300, 350, 400].map(follow));
  expect(losses).toBeGreaterThan(0);
});

it("a history whose reply was lost with the connection is told once, questions included", async () => {
  covers("V11-7.6-08");
  const isAsked = Promise.withResolvers<void>();
  let cuts = 0;
  const fate = (frame: string): FrameFate => {
    if (!frame.includes('"job.subscribed"') || cuts === 2) return "deliver";
    cuts += 1;
    return "cut";
  };
  await using harness = startHarness({
    agents: {
      two: async (_input, context) => {
        await context.log("info", "one");
        const answer = context.requestHumanInput({ prompt: "Which?", responseSchema: { type: "string" } });
        isAsked.resolve();
        await context.log("info", `two: ${String((await answer).value)}`);
      },
    },
    faults: () => ({ right: { onSend: fate } }),
  });
  const submitter = await harness.client();
  const { jobId } = await submitter.submit({ agent: "two" });
  await isAsked.promise;
  const observer = await harness.persistentClient();
  const subscription = await observer.subscribe(jobId, { history: true });
  const told: string[] = [];
  const reading = (async () => {
    for await (const event of subscription) {
      if (event.kind === "log") told.push(event.body.message);
      else told.push(event.kind === "vendor" ? event.name : event.kind);
      const [question] = observer.questions;
      if (question) await observer.respond(question.id, { value: "this" });
    }
  })();
  await reading;
  expect(cuts).toBe(2);
  expect(told).toEqual([
    "one",
    "x-vendor.arcp.question",
    "x-vendor.arcp.state",
    "x-vendor.arcp.answer",
    "x-vendor.arcp.state",
    "two: this",
  ]);
});
