/** The connection is cut at any frame, any number of times, and nobody notices (RFC §6.4, §9, §19). */
import type { FrameFate } from "@arcp/core";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { cutAt } from "../support/faulty.ts";
import { CARRIERS, type Carrier, type HarnessOptions, startHarness } from "../support/harness.ts";
import { collect, logsOf, toolClient } from "./support.ts";

interface Work {
  readonly logs: number;
  readonly chunks: number;
  /** Does it ask a person for its result? */
  readonly asks: boolean;
}

interface Cut {
  readonly received?: number;
  readonly sent?: number;
}

const works = fc.array(fc.record({ logs: fc.nat({ max: 8 }), chunks: fc.nat({ max: 4 }), asks: fc.boolean() }), {
  minLength: 1,
  maxLength: 4,
});
const cuts = fc.array(
  fc.oneof(
    fc.record({ received: fc.integer({ min: 1, max: 24 }) }),
    fc.record({ sent: fc.integer({ min: 1, max: 10 }) }),
  ),
  { minLength: 1, maxLength: 6 },
);

/** Does the works over connections that are cut as planned, and checks what is seen of each. */
async function survive(
  carrier: Carrier,
  planned: readonly Work[],
  plan: readonly Cut[],
  faults?: HarnessOptions["faults"],
): Promise<void> {
  const runs = new Map<number, number>();
  await using harness = startHarness({
    ...{ carrier, ...(faults && { faults }) },
    agents: {
      work: async (input, context) => {
        const { logs, chunks, asks, at } = input as Work & { at: number };
        runs.set(at, (runs.get(at) ?? 0) + 1);
        const stream = context.openStream({ kind: "text" });
        for (let n = 0; n < Math.max(logs, chunks); n += 1) {
          if (n < logs) await context.log("info", `${at}.${n}`);
          if (n < chunks) await stream.write(`<${n}>`);
          if (n % 3 === 0) await context.flush();
        }
        await stream.close();
        return { at, said: asks ? (await context.requestHumanInput({ prompt: String(at) })).value : null };
      },
    },
  });
  let connections = 0;
  await using client = await toolClient(harness, {}, async () => {
    const cut = plan[connections - 1];
    connections += 1;
    const transport = await harness.transport();
    // The first session has to be opened: without one there is nothing to come back to.
    return cut === undefined ? transport : cutAt(transport, cut);
  });
  const asked: string[] = [];
  client.onHumanInput(({ prompt }) => {
    asked.push(prompt);
    return { value: `answer ${prompt}` };
  });
  harness.cutAll();
  const seen = await Promise.all(
    planned.map(async (work, at) => {
      const invocation = client.invoke("work", { ...work, at });
      const events = collect(invocation);
      const texts = (async () => {
        const all: string[] = [];
        for await (const stream of invocation.streams()) all.push(await stream.text());
        return all;
      })();
      const { value } = await invocation.done;
      return { logs: logsOf(await events), texts: await texts, value };
    }),
  );
  expect(seen).toEqual(
    planned.map(({ logs, chunks, asks }, at) => ({
      logs: Array.from({ length: logs }, (_, n) => `${at}.${n}`),
      texts: [Array.from({ length: chunks }, (_, n) => `<${n}>`).join("")],
      value: { at, said: asks ? `answer ${at}` : null },
    })),
  );
  expect([...runs.values()]).toEqual(planned.map(() => 1));
  expect(asked.sort()).toEqual(planned.flatMap(({ asks }, at) => (asks ? [String(at)] : [])));
}

describe("work is seen once and in order, whatever becomes of its connections", () => {
  test("over memory", async () => {
    covers("V10-19-01", "V10-19-02", "V10-19-07", "V10-9-03", "V10-6.4-02", "V10-6.1.1-15", "V10-4.3-02");
    await fc.assert(
      fc.asyncProperty(works, cuts, (planned, plan) => survive("memory", planned, plan)),
      { numRuns: 150 },
    );
  });

  test("over a memory that says everything twice now and then", async () => {
    covers("V10-6.4-02", "V10-6.1.1-14", "V10-6.1.1-15");
    await fc.assert(
      fc.asyncProperty(works, cuts, fc.integer({ min: 2, max: 9 }), async (planned, plan, every) => {
        let frames = 0;
        const onSend = (frame: string): FrameFate => {
          frames += 1;
          // A handshake has one of each.
          return frames % every === 0 && !frame.includes('"type":"session.') ? "duplicate" : "deliver";
        };
        await survive("memory", planned, plan, () => ({ left: { onSend }, right: { onSend } }));
      }),
      { numRuns: 50 },
    );
  });

  test.each(CARRIERS.filter((carrier) => carrier !== "memory"))("over %s", async (carrier) => {
    covers("V10-4.1-01");
    await fc.assert(
      fc.asyncProperty(works, cuts, (planned, plan) => survive(carrier, planned, plan)),
      { numRuns: 15 },
    );
  });
});
