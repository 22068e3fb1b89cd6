/** What our own client does, judged by the suite for clients. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientCases } from "../../packages/conformance/src/client/cases.ts";
import { ClientBench, NOT_OURS } from "./client-bench.ts";

let bench: ClientBench;
beforeAll(async () => {
  bench = await ClientBench.open();
});
afterAll(() => bench[Symbol.asyncDispose]());

/** What did not pass, with all that was said. */
const failuresOf = (verdicts: Awaited<ReturnType<ClientBench["judge"]>>): readonly object[] =>
  verdicts
    .filter(({ outcome, reason = "" }) => outcome === "failed" || (outcome === "skipped" && !NOT_OURS.includes(reason)))
    .map((verdict) => ({ ...verdict, frames: verdict.frames.map(({ direction, text }) => `${direction} ${text}`) }));

const CARRIERS = [
  ["websocket", 24],
  ["http", 24],
  // A process per connection.
  ["stdio", 8],
] as const;

describe.each(["1.1", "1.0"] as const)("wire %s", (wire) => {
  test.each(CARRIERS)("over %s every case passes", { timeout: 180_000 }, async (carrier, concurrency) => {
    expect(failuresOf(await bench.judge(clientCases(wire), { carrier, concurrency }))).toEqual([]);
  });
});
