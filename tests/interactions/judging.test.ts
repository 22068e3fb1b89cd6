/** Answers that are looked at for different lengths of time are decided on in the order in which they came (RFC §12.3). */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Question } from "../../packages/runtime/src/engine/interactions/question.ts";
import { covers } from "../support/covers.ts";

/** How long it takes to look at an answer, and what comes of that. */
interface Look {
  readonly delay: number;
  readonly verdict: "valid" | "invalid" | "cannot be told";
}

const look: fc.Arbitrary<Look> = fc.record({
  delay: fc.nat(5),
  verdict: fc.constantFrom("valid", "invalid", "cannot be told"),
});

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await Promise.resolve();
};

function questionWith(looks: readonly Look[], begun: number[]): Question {
  const check = async (answer: { readonly kind: string; readonly value?: unknown }): Promise<string | undefined> => {
    const at = Number(answer.value);
    const { delay, verdict } = looks[at] as Look;
    begun.push(at);
    await turns(delay * 7);
    if (verdict === "cannot be told") throw new Error(verdict);
    return verdict === "valid" ? undefined : verdict;
  };
  return new Question({ draft: { check, quorum: 1 } } as unknown as ConstructorParameters<typeof Question>[0]);
}

describe("answers that come together", () => {
  test("are looked at at once, and decided on one after the other, the first valid one first", async () => {
    covers("V10-12.3-01");
    await fc.assert(
      fc.asyncProperty(fc.array(look, { minLength: 1, maxLength: 6 }), async (looks) => {
        const begun: number[] = [];
        const decided: number[] = [];
        const question = questionWith(looks, begun);
        const all = looks.map((_, at) =>
          question.judge({ kind: "input", value: at }, (problem) => {
            decided.push(at);
            if (problem !== undefined) return problem;
            return question.close({ outcome: "cancelled", message: String(at) }) ? "counts" : "late";
          }),
        );
        expect(begun).toEqual(looks.map((_, at) => at));
        const settled = await Promise.allSettled(all);
        const said = settled.map((one) => (one.status === "fulfilled" ? one.value : "cannot be told"));
        const first = looks.findIndex(({ verdict }) => verdict === "valid");
        expect(said).toEqual(
          looks.map(({ verdict }, at) => (verdict !== "valid" ? verdict : at === first ? "counts" : "late")),
        );
        expect(decided).toEqual(looks.flatMap(({ verdict }, at) => (verdict === "cannot be told" ? [] : [at])));
      }),
    );
  });
});
