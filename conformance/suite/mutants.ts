/** Does every case catch what it is for? One broken runtime for each MUST that a case judges. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requirementsOf, runServerSuite, serverCases, type Verdict, type Wire } from "@arcp/conformance";
import { memoryTarget } from "./memory-target.ts";
import type { Mutant } from "./mutant.ts";
import { mutants10 } from "./mutants-10.ts";
import { mutants11 } from "./mutants-11.ts";
import { MANIFEST, startRuntime, TOKEN, TOKEN_B, TOKEN_BRIEF, TOKEN_OBSERVER, WINDOW_SECONDS } from "./runtime.ts";

/** As long as a mutant that says nothing is waited for: ours answers within that, and what comes in between renews it. */
const PATIENCE_MS = 2500;
const LONG_PATIENCE_MS = 12_000;
const AT_ONCE = 16;

const MUTANTS: Readonly<Record<Wire, readonly Mutant[]>> = { "1.1": mutants11, "1.0": mutants10 };

export interface MutantReport {
  /** How many there were. */
  readonly mutants: number;
  /** What is wrong with the table, and the mutants that were not caught by the case that should. */
  readonly problems: readonly string[];
}

export async function mutantProblems(wire: Wire, only?: readonly string[]): Promise<MutantReport> {
  const mutants = MUTANTS[wire].filter(({ requirement }) => only === undefined || only.includes(requirement));
  const problems: string[] = only === undefined ? [...tableProblems(wire)] : [];
  const doubtful: Mutant[] = [];
  const waiting = mutants.values();
  const worker = async (): Promise<void> => {
    for (const mutant of waiting) {
      if ((await survival(wire, mutant, PATIENCE_MS)) !== undefined) doubtful.push(mutant);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  // Where the machine was too slow for so many at once, it has all the time there is.
  for (const mutant of doubtful) {
    const problem = await survival(wire, mutant, LONG_PATIENCE_MS);
    if (problem !== undefined) problems.push(problem);
  }
  return { mutants: mutants.length, problems };
}

/** The MUSTs and SHOULDs that a case judges and no mutant breaks. */
function tableProblems(wire: Wire): readonly string[] {
  const requirements = requirementsOf(wire);
  const judged = new Set(serverCases(wire).flatMap((aCase) => aCase.requirements));
  const broken = new Set(MUTANTS[wire].map(({ requirement }) => requirement));
  const binding = [...judged].filter((id) => requirements.get(id)?.level !== "MAY");
  return binding.filter((id) => !broken.has(id)).map((id) => `${id}: a case judges it, and no mutant breaks it`);
}

async function survival(wire: Wire, mutant: Mutant, patienceMs: number): Promise<string | undefined> {
  // One of its own: what a mutant does must not be seen by another.
  const directory = mutant.case.startsWith("credentials/") ? await mkdtemp(join(tmpdir(), "arcp-mutant-")) : undefined;
  const runtime = startRuntime({
    ...(directory !== undefined && { directory }),
    ...(mutant.case === "resume/window" && { resumeWindowSeconds: WINDOW_SECONDS }),
  });
  const { kind, isEverywhere = false } = mutant;
  const options = { tamper: mutant.start(), isEverywhere, ...(kind === undefined ? {} : { kind }) };
  const target = memoryTarget(runtime, options);
  try {
    const report = await runServerSuite({
      ...{
        target,
        wire,
        token: TOKEN,
        tokenB: TOKEN_B,
        tokenBrief: TOKEN_BRIEF,
        tokenObserver: TOKEN_OBSERVER,
        only: [mutant.case],
      },
      ...{ manifest: MANIFEST, patienceMs, quietMs: patienceMs / 5 },
    });
    const verdict = report.verdicts.find(({ case: id }) => id === mutant.case);
    return isCaught(verdict, mutant) ? undefined : describe(verdict, mutant);
  } finally {
    await runtime.close();
    if (directory !== undefined) {
      await runtime.eventLog.close();
      await rm(directory, { recursive: true });
    }
  }
}

function isCaught(verdict: Verdict | undefined, { requirement }: Mutant): boolean {
  if (verdict?.outcome !== "failed") return false;
  return verdict.violated === requirement || (verdict.alsoViolated ?? []).includes(requirement);
}

function describe(verdict: Verdict | undefined, mutant: Mutant): string {
  const named = `${mutant.requirement}: the mutant for ${mutant.case}`;
  if (verdict === undefined) return `${named} names no case`;
  if (verdict.outcome !== "failed") return `${named} ${verdict.outcome}${verdict.reason ? `: ${verdict.reason}` : ""}`;
  return `${named} was caught for ${verdict.violated ?? "nothing"}: expected ${verdict.expected}; seen ${(verdict.seen ?? "").slice(0, 300)}`;
}
