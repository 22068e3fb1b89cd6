/** Target 1: whatever arrives, the decoders give a message or {@link InvalidRequestError}, and do not take long. */
import {
  CLIENT_FRAME_LIMITS,
  decodeClientMessage,
  decodeFrame,
  decodeRuntimeMessage,
  InvalidRequestError,
  RUNTIME_FRAME_LIMITS,
} from "@arcp/core";
import { CanonicalError, decodeAnyMessage10, decodeClientMessage10, decodeRuntimeMessage10 } from "@arcp/core/v1.0";
import { ALL_FRAMES, OTHER_FRAMES } from "./corpus.ts";
import { ALL_FRAMES_10 } from "./corpus-10.ts";
import { minimiseText } from "./minimise.ts";
import { mutate } from "./mutation.ts";
import { Random, seedOf } from "./random.ts";
import type { Failure, Figures } from "./report.ts";

/** What one frame may take, at most. A garbage collection can fall into any frame: the best of several tries counts. */
const MAX_MS = 50;
const TRIES = 5;
const MAX_ERROR_CHARS = 2_048;
/** Frames between two looks at the clock. */
const PART = 200;
const FRAMES = [...ALL_FRAMES, ...OTHER_FRAMES, ...ALL_FRAMES_10];

/** Decodes mutants until `isOver`. Failures are reduced to what is needed for them. */
export async function fuzzDecoding(seed: number, isOver: () => boolean): Promise<Figures> {
  const failures: Failure[] = [];
  let frames = 0;
  let slowestMs = 0;
  for (const text of ALL_FRAMES) decodeClientMessage(decodeFrame(text, CLIENT_FRAME_LIMITS));
  for (const text of ALL_FRAMES_10) decodeAnyMessage10(decodeFrame(text, CLIENT_FRAME_LIMITS));
  for (let part = 0; !isOver() && failures.length === 0; part += 1) {
    const partSeed = seedOf(seed, part);
    const random = new Random(partSeed);
    for (let n = 0; n < PART; n += 1) {
      const mutant = mutate(random.pick(FRAMES), random, random.pick(FRAMES));
      const { problem, elapsedMs } = check(mutant.text, mutant.mustBeRefused);
      slowestMs = Math.max(slowestMs, elapsedMs);
      frames += 1;
      if (problem === undefined) continue;
      const kind = kindOf(problem);
      const text = minimiseText(mutant.text, (shorter) => {
        const other = problemWith(shorter, mutant.mustBeRefused && shorter === mutant.text);
        return other !== undefined && kindOf(other) === kind;
      });
      failures.push({ target: "decoding", seed, partSeed, problem, reproducer: text });
      break;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { target: "decoding", frames, slowestMs, failures };
}

/** What is wrong with how `text` is decoded; `undefined` if nothing is. */
export const problemWith = (text: string, mustBeRefused: boolean): string | undefined =>
  check(text, mustBeRefused).problem;

function check(
  text: string,
  mustBeRefused: boolean,
): { readonly problem: string | undefined; readonly elapsedMs: number } {
  const outcome = decoded(text);
  let { elapsedMs } = outcome;
  if (elapsedMs > MAX_MS) elapsedMs = Math.min(...Array.from({ length: TRIES }, () => decoded(text).elapsedMs));
  let { problem } = outcome;
  if (outcome.isTaken && mustBeRefused) problem ??= "taken: the decoder must refuse this";
  if (Object.hasOwn(Object.prototype, "polluted")) problem ??= "polluted: a prototype was changed";
  if (elapsedMs > MAX_MS) problem ??= `took ${Math.round(elapsedMs)} ms, at most ${MAX_MS} are allowed`;
  return { problem, elapsedMs };
}

interface Decoded {
  /** By a runtime, from a client. */
  readonly isTaken: boolean;
  readonly problem: string | undefined;
  /** The longest of both directions and both wires. */
  readonly elapsedMs: number;
}

function decoded(text: string): Decoded {
  const toRuntime = [decodeClientMessage, decodeClientMessage10].map((decode) =>
    attempt(() => decode(decodeFrame(text, CLIENT_FRAME_LIMITS))),
  );
  const toClient = [decodeRuntimeMessage, decodeRuntimeMessage10].map((decode) =>
    attempt(() => decode(decodeFrame(text, RUNTIME_FRAME_LIMITS))),
  );
  const attempts = [...toRuntime, ...toClient];
  return {
    isTaken: toRuntime.some(({ isTaken }) => isTaken),
    problem: attempts.find(({ problem }) => problem !== undefined)?.problem,
    elapsedMs: Math.max(...attempts.map(({ elapsedMs }) => elapsedMs)),
  };
}

function attempt(decode: () => unknown): Decoded {
  const startedAt = performance.now();
  let thrown: unknown;
  try {
    decode();
  } catch (error) {
    thrown = error;
  }
  const elapsedMs = performance.now() - startedAt;
  return { isTaken: thrown === undefined, problem: thrown === undefined ? undefined : problemOf(thrown), elapsedMs };
}

function problemOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof InvalidRequestError || thrown instanceof CanonicalError)) return `threw ${String(thrown)}`;
  const isLong = JSON.stringify(thrown.toWire()).length > MAX_ERROR_CHARS;
  return isLong ? "repeated too much in its refusal" : undefined;
}

const kindOf = (problem: string): string => problem.split(" ", 1)[0] as string;
