/**
 * Fuzzes the decoders and the session machine of the built packages, and ends by itself.
 *
 *   npm run fuzz -- --seconds 20 --seed 7
 *   npm run fuzz -- --replay reports/fuzz-sessions-7-1234.json
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { fuzzDecoding, problemWith } from "./decoding.ts";
import { type Failure, type Figures, writeReproducer } from "./report.ts";
import { fuzzSessions, play, type Step } from "./sessions.ts";

const MS_PER_SECOND = 1000;
/** Of the time, for the decoders; the sessions have the rest. */
const DECODING_SHARE = 0.3;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    seed: { type: "string" },
    replay: { type: "string" },
  },
});

process.exitCode = values.replay === undefined ? await fuzz() : await replay(values.replay);

async function fuzz(): Promise<number> {
  const seconds = Number(values.seconds);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
    console.error("usage: npm run fuzz [-- --seconds <seconds>] [--seed <integer>] [--replay <file>]");
    return 2;
  }
  console.log(`seed ${seed}, ${seconds} s`);
  let isFailed = false;
  for (const [target, share] of [
    [fuzzDecoding, DECODING_SHARE],
    [fuzzSessions, 1 - DECODING_SHARE],
  ] as const) {
    const startedAt = performance.now();
    const endsAt = startedAt + seconds * share * MS_PER_SECOND;
    const figures = await target(seed, () => performance.now() > endsAt);
    print(figures, (performance.now() - startedAt) / MS_PER_SECOND);
    isFailed ||= figures.failures.length > 0;
  }
  return isFailed ? 1 : 0;
}

function print({ target, frames, slowestMs, failures }: Figures, seconds: number): void {
  const rate = Math.round(frames / seconds);
  const stalls = failures.filter(({ problem }) => /^(took|stall|hang)/.test(problem)).length;
  console.log(
    `${target}: ${frames} frames, ${rate} per second, slowest ${slowestMs.toFixed(1)} ms, ` +
      `${failures.length - stalls} failures, ${stalls} stalls`,
  );
  for (const failure of failures) {
    console.error(`${failure.problem}\n  reproducer: ${writeReproducer(failure)}`);
  }
}

async function replay(file: string): Promise<number> {
  const { target, reproducer } = JSON.parse(readFileSync(file, "utf8")) as Failure;
  const problem =
    target === "decoding"
      ? problemWith(reproducer as string, false)
      : (await play(reproducer as readonly Step[])).problem;
  console.log(problem ?? "nothing is wrong any more");
  return problem === undefined ? 0 : 1;
}
