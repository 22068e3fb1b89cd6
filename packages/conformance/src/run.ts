/** Carries cases out, several at a time, each within its time. */
import type { Case, CaseRun, Verdict } from "./case.ts";
import { Judge, NotHere, Violation } from "./judge.ts";
import { Recording } from "./recording.ts";
import { strictest } from "./requirements.ts";

/** Where cases are carried out: against a runtime, or with a client. */
export interface Bench<Context> {
  /** Why a case cannot be carried out here; `undefined` if it can. */
  lacks(aCase: Case<Context>): string | undefined;
  /** Makes ready for one case. What it made goes when it is disposed of. */
  open(run: CaseRun, aCase: Case<Context>): Promise<Context & AsyncDisposable>;
}

/** How much is asked at once, for how long, and which part of it. */
export interface RunOptions {
  /** How many cases at a time. Default: 16. */
  readonly concurrency?: number;
  /** How long one case may take, in milliseconds, unless it says itself. Default: 30,000. */
  readonly deadlineMs?: number;
  readonly onVerdict?: (verdict: Verdict) => void;
  readonly signal?: AbortSignal;
}

const DEFAULT_CONCURRENCY = 16;
const DEFAULT_DEADLINE_MS = 30_000;

/** The verdicts, in the order of the cases. Never rejects because of a peer. */
export async function runCases<Context>(
  cases: readonly Case<Context>[],
  bench: Bench<Context>,
  options: RunOptions = {},
): Promise<readonly Verdict[]> {
  const verdicts: Verdict[] = [];
  const waiting = cases.entries();
  const worker = async (): Promise<void> => {
    for (const [place, aCase] of waiting) {
      options.signal?.throwIfAborted();
      const verdict = await carryOut(aCase, bench, options);
      verdicts[place] = verdict;
      options.onVerdict?.(verdict);
    }
  };
  await Promise.all(Array.from({ length: options.concurrency ?? DEFAULT_CONCURRENCY }, worker));
  return verdicts;
}

async function carryOut<Context>(
  aCase: Case<Context>,
  bench: Bench<Context>,
  { deadlineMs = DEFAULT_DEADLINE_MS, signal }: RunOptions,
): Promise<Verdict> {
  const lacking = bench.lacks(aCase);
  const recording = new Recording();
  const judge = new Judge(aCase.requirements);
  const started = performance.now();
  const conclude = (outcome: Verdict["outcome"], more: Partial<Verdict> = {}): Verdict => ({
    case: aCase.id,
    wire: aCase.wire,
    title: aCase.title,
    requirements: aCase.requirements,
    level: strictest(aCase.requirements),
    outcome,
    judged: [...judge.judged],
    frames: [...recording.frames],
    ms: Math.round(performance.now() - started),
    ...more,
  });
  if (lacking !== undefined) return conclude("skipped", { reason: lacking });
  const limitMs = aCase.deadlineMs ?? deadlineMs;
  const over = new AbortController();
  const timer = setTimeout(
    () => over.abort(new Violation(undefined, `the case to be over within ${limitMs} ms`, "it was not")),
    limitMs,
  );
  try {
    await attempt(aCase, bench, {
      judge,
      recording,
      signal: signal ? AbortSignal.any([over.signal, signal]) : over.signal,
    });
    return conclude("passed");
  } catch (thrown) {
    signal?.throwIfAborted();
    if (thrown instanceof NotHere) return conclude("skipped", { reason: thrown.message });
    if (!(thrown instanceof Violation)) {
      return conclude("failed", { expected: "the case to be carried through", seen: String(thrown) });
    }
    const { requirements, expected, seen } = thrown;
    const [violated, ...alsoViolated] = requirements;
    if (violated === undefined) return conclude("failed", { expected, seen });
    const level = strictest(requirements);
    return conclude("failed", {
      expected,
      seen,
      violated,
      level,
      ...(alsoViolated.length > 0 ? { alsoViolated } : {}),
    });
  } finally {
    clearTimeout(timer);
  }
}

/** Rejects at the end of its time, whatever the case waits for. */
async function attempt<Context>(aCase: Case<Context>, bench: Bench<Context>, run: CaseRun): Promise<void> {
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {
    // Who races with it is told.
  });
  const onAbort = (): void => over.reject(run.signal.reason);
  run.signal.addEventListener("abort", onAbort, { once: true });
  const opened = bench.open(run, aCase);
  try {
    const context = await Promise.race([opened, over.promise]);
    await Promise.race([aCase.run(context), over.promise]);
  } finally {
    run.signal.removeEventListener("abort", onAbort);
    // What a hung peer holds on to must not hold the run up.
    void opened
      .then((context) => context[Symbol.asyncDispose]())
      .catch(() => {
        // It could not be opened: that is the verdict already.
      });
  }
}
