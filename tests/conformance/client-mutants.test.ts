/** Every case of the client suite can fail: for each MUST and SHOULD there is a client that breaks it, and is found out. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientCases } from "../../packages/conformance/src/client/cases.ts";
import type { Tamper } from "../../packages/conformance/src/client/tamper.ts";
import { UNSEEN } from "../../packages/conformance/src/client/unseen.ts";
import type { Wire } from "../../packages/conformance/src/requirements.ts";
import { levelOf, requirementsOf } from "../../packages/conformance/src/requirements.ts";
import { ClientBench, NOT_OURS } from "./client-bench.ts";
import { MUTANTS_10, MUTANTS_11, type Mutant } from "./client-mutants.ts";

let bench: ClientBench;
beforeAll(async () => {
  bench = await ClientBench.open();
});
afterAll(() => bench[Symbol.asyncDispose]());

const TABLE: readonly (readonly [Wire, readonly Mutant[]])[] = [
  ["1.1", MUTANTS_11],
  ["1.0", MUTANTS_10],
];

describe.each(TABLE)("wire %s", (wire, mutants) => {
  test("every requirement of a client has a case, or a reason why not", () => {
    const judged = new Set(clientCases(wire).flatMap(({ requirements }) => requirements));
    const open = [...requirementsOf(wire).values()]
      .filter(({ id, actor }) => actor !== "runtime" && !judged.has(id) && !(id in UNSEEN))
      .map(({ id }) => id);
    expect(open).toEqual([]);
    expect(Object.keys(UNSEEN).filter((id) => judged.has(id))).toEqual([]);
  });

  test("every MUST and SHOULD that a case judges has a client that breaks it", () => {
    const judged = new Set(clientCases(wire).flatMap(({ requirements }) => requirements));
    const broken = new Set(mutants.map(({ requirement }) => requirement));
    expect([...judged].filter((id) => levelOf(id) !== "MAY" && !broken.has(id))).toEqual([]);
  });

  test("ids of cases are unique", () => {
    const ids = clientCases(wire).map(({ id }) => id);
    expect(ids.filter((id, place) => ids.indexOf(id) !== place)).toEqual([]);
  });

  test("a client that says nothing passes nothing", { timeout: 120_000 }, async () => {
    const silent: Tamper = { hears: () => [] };
    const verdicts = await bench.judge(clientCases(wire), { tamper: silent, patienceMs: 200, concurrency: 48 });
    // There, silence is right.
    const passed = verdicts.filter(({ outcome }) => outcome === "passed").map((verdict) => verdict.case);
    expect(passed.filter((name) => name !== "submit/plain-text")).toEqual([]);
  });

  test("each of them is found out, for that", { timeout: 120_000 }, async () => {
    const seen = await Promise.all(
      mutants.map(async ({ requirement, case: name, what, tamper, carrier, written, slackMs }) => {
        const cases = clientCases(wire).filter(({ id }) => id === name);
        const judging = {
          ...{ tamper, ...(carrier && { carrier }) },
          ...(written !== undefined && { written }),
          ...(slackMs !== undefined && { slackMs }),
        };
        const [verdict] = await bench.judge(cases, judging);
        const violated = [verdict?.violated, ...(verdict?.alsoViolated ?? [])];
        return { requirement, what, outcome: verdict?.outcome, violated, reason: verdict?.reason };
      }),
    );
    const missed = seen.filter(
      ({ outcome, violated, requirement, reason = "" }) =>
        !(outcome === "failed" && violated.includes(requirement)) && !NOT_OURS.includes(reason),
    );
    expect(missed).toEqual([]);
  });
});
