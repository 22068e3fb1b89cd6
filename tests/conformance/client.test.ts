/** What our own client does, judged by the suite for clients. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientCases } from "../../packages/conformance/src/client/cases.ts";
import type { Tamper } from "../../packages/conformance/src/client/tamper.ts";
import { ClientBench, NOT_OURS } from "./client-bench.ts";
import { HttpRelay } from "./client-http.ts";

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

describe.each(["1.1", "1.0"] as const)("wire %s", (wire) => {
  test("over WebSocket every case passes", { timeout: 120_000 }, async () => {
    expect(failuresOf(await bench.judge(clientCases(wire)))).toEqual([]);
  });

  /** A process per connection takes its time. */
  const OVER_STDIO =
    /^(?:envelopes\/(?:one-line|no-raw-newline|objects)|streams\/no-sidecar|hostile\/no-json|resume\/position)$/;

  test("over standard streams", { timeout: 120_000 }, async () => {
    const cases = clientCases(wire).filter(({ id }) => OVER_STDIO.test(id));
    expect(failuresOf(await bench.judge(cases, { carrier: "stdio", concurrency: 2 }))).toEqual([]);
  });

  /** What is about the carrier itself, or takes away what a connection over HTTP is made of, is not asked of it. */
  const OVER_HTTP =
    /^(?:submit|cancel|subscribe|events|results|errors|credentials|delegation|list|work|people|observe|artifacts)\//;

  test("over HTTP with Server-Sent Events", { timeout: 120_000 }, async () => {
    await using http = await new HttpRelay().listen();
    const tamper: Tamper = {
      asks: (step, terms) => (step === "connect" ? { ...terms, url: http.address(String(terms["url"])) } : terms),
    };
    const cases = clientCases(wire).filter(({ id, needs = [] }) => OVER_HTTP.test(id) && !needs.includes("websocket"));
    expect(failuresOf(await bench.judge(cases, { tamper }))).toEqual([]);
  });
});
