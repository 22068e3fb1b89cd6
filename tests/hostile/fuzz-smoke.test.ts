import { expect, test } from "vitest";
import { fuzzDecoding } from "../../fuzz/decoding.ts";
import { fuzzSessions } from "../../fuzz/sessions.ts";

const SEED = 1;

/** How long things take is for the fuzzer itself to judge, on a machine that does nothing else. */
const isStall = ({ problem }: { readonly problem: string }): boolean => /^(took|stall)/.test(problem);

/** A condition that is true after so many parts of a run: a fixed seed and a fixed number of parts are the same run. */
function after(parts: number): () => boolean {
  let begun = 0;
  return () => {
    begun += 1;
    return begun > parts;
  };
}

test("a short run over the decoders finds nothing", async () => {
  const { frames, failures } = await fuzzDecoding(SEED, after(10));
  expect(failures.filter((failure) => !isStall(failure))).toEqual([]);
  expect(frames).toBe(2_000);
});

test("a short run over the session machine finds nothing", async () => {
  const { frames, failures } = await fuzzSessions(SEED, after(20));
  expect(failures.filter((failure) => !isStall(failure))).toEqual([]);
  expect(frames).toBeGreaterThan(2_000);
});
