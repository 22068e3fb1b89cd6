/**
 * Power cuts: a real runtime works for a while, and every write and sync of it is noted. Then, for many instants, the disk
 * is made as a power cut at that instant may have left it, a real runtime is started on it, clients of before go on with
 * their sessions, and the history up to the cut decides whether anything that was acknowledged is gone.
 *
 * What it shows: that what the runtime acknowledges was synced before, over WAL, checkpoints and blobs. What it cannot
 * show: that the kernel, the file system and the disk keep what they have said is synced.
 */
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Random, seedOf } from "../../fuzz/random.ts";
import { checkEpisode } from "../checker/check.ts";
import { INVARIANTS, type Violation } from "../checker/violation.ts";
import { playEpisode } from "../episode.ts";
import { type HistoryLine, Recorder, readHistory, sharedNow } from "../history.ts";
import { FILES } from "../runtime-settings.ts";
import { STORE_FILES } from "../stores.ts";
import { goOn } from "./aftermath.ts";
import { writeImage } from "./disk.ts";
import { type FileOperation, readTrace, tracing, whyNoTrace } from "./trace.ts";

export interface PowerLossOptions {
  readonly seed: number;
  /** Power cuts per setting of the database. */
  readonly cuts: number;
  readonly signal: AbortSignal;
}

const WORK_MS = 3_000;
const SETTLE_MS = 15_000;
/** The two clocks that are compared agree on this. */
const CLOCK_MARGIN_MS = 1;
const TRACE_FILE = "trace.txt";
/** A traced process has ended a little before its trace has. */
const TRACE_END_MS = 1_000;
const REPORTS = fileURLToPath(new URL("../../reports/", import.meta.url));

/** Returns the exit code: 1 if FULL has lost anything, or if NORMAL is not seen to. */
export async function powerLoss(options: PowerLossOptions): Promise<number> {
  const reason = whyNoTrace();
  if (reason !== undefined) {
    console.log(`power loss: skipped, ${reason}`);
    return 0;
  }
  const full = await cutsOf("FULL", options);
  const normal = await cutsOf("NORMAL", options);
  if (options.signal.aborted) return 1;
  const isCaught = normal.violations.some(({ invariant }) => invariant === "I3");
  console.log(`FULL ${full.violations.length === 0 ? "loses nothing" : "HAS LOST SOMETHING"}`);
  console.log(`NORMAL ${isCaught ? "is seen to lose what was acknowledged" : "WAS NOT SEEN to lose anything"}`);
  return full.violations.length === 0 && isCaught ? 0 : 1;
}

interface Cuts {
  readonly violations: readonly Violation[];
}

async function cutsOf(synchronous: "FULL" | "NORMAL", options: PowerLossOptions): Promise<Cuts> {
  const { seed, cuts, signal } = options;
  const directory = mkdtempSync(join(tmpdir(), "arcp-power-"));
  try {
    const { operations, lines, offsetMs } = await recorded(directory, synchronous, options);
    const random = new Random(seedOf(seed, 7));
    const violations: Violation[] = [];
    let unsynced = 0;
    let cutsDone = 0;
    for (; cutsDone < cuts && !signal.aborted; cutsDone += 1) {
      // What NORMAL loses need not be counted.
      if (synchronous === "NORMAL" && violations.some(({ invariant }) => invariant === "I3")) break;
      const at = instantIn(operations, random);
      const image = join(directory, "image");
      const cut = writeImage(operations, storeOf(directory), image, at, random);
      unsynced += cut.unsynced;
      const known = lines.filter((line) => line.at + offsetMs < at - CLOCK_MARGIN_MS);
      const found = await afterCut(image, known, synchronous, signal);
      if (found.length > 0 && synchronous === "FULL") keep(image, seed, cutsDone);
      for (const violation of found) violations.push(violation);
      if (found.length > 0) explain(synchronous, cutsDone, cut.way, found);
      rmSync(image, { recursive: true, force: true });
    }
    const syncs = operations.filter(({ kind }) => kind === "sync").length;
    console.log(
      `${synchronous}: ${cutsDone} power cuts among ${operations.length} writes with ${syncs} syncs; ` +
        `${unsynced} unsynced writes dropped, reordered or torn; ${violations.length} violations`,
    );
    return { violations };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const storeOf = (directory: string): string => join(directory, "store");

/** A runtime at work, without any fault. */
async function recorded(
  directory: string,
  synchronous: "FULL" | "NORMAL",
  { seed, signal }: PowerLossOptions,
): Promise<{
  readonly operations: readonly FileOperation[];
  readonly lines: readonly HistoryLine[];
  /** From the clock of the history to that of the trace. */
  readonly offsetMs: number;
}> {
  const trace = join(directory, TRACE_FILE);
  mkdirSync(storeOf(directory));
  const offsetMs = performance.timeOrigin + performance.now() - sharedNow();
  const pause = { afterMs: WORK_MS, fault: { do: "cut all", way: "reset" } } as const;
  await playEpisode({
    ...{ directory, signal, mutant: undefined, disk: undefined, nodes: undefined },
    store: { kind: "sqlite", directory: storeOf(directory), synchronous },
    ...{ wires: ["1.1", "1.0"], plan: { seed, forMs: WORK_MS, steps: [pause] }, settleMs: SETTLE_MS },
    prefix: tracing(trace),
  });
  await new Promise((resolve) => setTimeout(resolve, TRACE_END_MS));
  const operations = readTrace(trace, storeOf(directory));
  const lines = readHistory([join(directory, FILES.history), join(directory, FILES.ledger)]);
  return { operations, lines, offsetMs };
}

/** Just after something was written, or while it is synced. */
function instantIn(operations: readonly FileOperation[], random: Random): number {
  const operation = random.pick(operations);
  if (operation.kind === "sync") return operation.at + random.next() * (operation.endedAt - operation.at);
  return operation.at + random.next() * 3;
}

async function afterCut(
  image: string,
  known: readonly HistoryLine[],
  synchronous: "FULL" | "NORMAL",
  signal: AbortSignal,
): Promise<readonly Violation[]> {
  // What a client was told about revocations needs an upstream that goes on: that is another test.
  const isPast = ({ kind }: HistoryLine): boolean => kind !== "settled" && kind !== "credential";
  writeFileSync(
    join(image, FILES.history),
    known
      .filter(isPast)
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(""),
  );
  writeFileSync(join(image, FILES.ledger), "");
  if (!existsSync(join(image, STORE_FILES.database)) && known.every(({ kind }) => kind !== "received")) return [];
  using recorder = new Recorder(join(image, FILES.history));
  recorder.write({ kind: "died", life: 1, how: "power cut" });
  const problems = await goOn({ directory: image, synchronous, recorder, known, signal });
  if (problems.length > 0) return problems.map((what) => ({ invariant: "I13", what }));
  return (await checkEpisode(image, { kind: "sqlite", directory: image, synchronous })).violations;
}

const reportOf = (seed: number, cut: number): string => join(REPORTS, `chaos-power-${seed}-${cut}`);

function keep(image: string, seed: number, cut: number): void {
  rmSync(reportOf(seed, cut), { recursive: true, force: true });
  cpSync(image, reportOf(seed, cut), { recursive: true });
  appendFileSync(
    join(reportOf(seed, cut), "again"),
    `npm run chaos -- --power-loss --seed ${seed} --cuts ${cut + 1}\n`,
  );
}

function explain(synchronous: string, cut: number, way: string, violations: readonly Violation[]): void {
  const seen = new Set<string>();
  for (const { invariant, what } of violations) {
    if (seen.has(invariant)) continue;
    seen.add(invariant);
    console.log(`  ${synchronous}, cut ${cut + 1} (${way}): ${invariant} (${INVARIANTS[invariant]}): ${what}`);
  }
}
