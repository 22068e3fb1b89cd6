/** The server suite, as one call. */
import type { Verdict } from "../case.ts";
import { type Manifest, REFERENCE_MANIFEST } from "../manifest.ts";
import { countsOf, type Report, unseenOf } from "../report/report.ts";
import type { Wire } from "../requirements.ts";
import { type RunOptions, runCases } from "../run.ts";
import { serverCases } from "./cases.ts";
import type { Target } from "./connection.ts";
import { serverBench } from "./context.ts";
import type { PeerOptions } from "./peer.ts";
import { UNSEEN } from "./unseen.ts";

export interface ServerSuiteOptions extends RunOptions, Partial<PeerOptions> {
  readonly target: Target;
  readonly token: string;
  readonly tokenB?: string;
  /** Default: 1.1. */
  readonly wire?: Wire;
  /** Default: the names of the reference fixture. */
  readonly manifest?: Manifest;
  /** Cases and requirements, by id or by the beginning of it. Default: all. */
  readonly only?: readonly string[];
}

/**
 * Asks a runtime for everything that a wire can show, and reports what came of it. Rejects only when `signal` aborts, and
 * with a RangeError when `only` names nothing.
 */
export async function runServerSuite(options: ServerSuiteOptions): Promise<Report> {
  const { target, wire = "1.1", manifest = REFERENCE_MANIFEST, only } = options;
  const cases = serverCases(wire).filter(
    ({ id, requirements }) =>
      only === undefined || only.some((wanted) => id.startsWith(wanted) || requirements.includes(wanted)),
  );
  if (cases.length === 0) throw new RangeError(`no case of wire ${wire} is called ${(only ?? []).join(" or ")}`);
  const startedAt = new Date();
  const started = performance.now();
  const verdicts: readonly Verdict[] = await runCases(cases, serverBench({ ...options, manifest }), {
    // Each connection is a process.
    ...(target.kind === "stdio" ? { concurrency: 4 } : {}),
    ...options,
  });
  return {
    role: "server",
    wire,
    target: target.name,
    startedAt: startedAt.toISOString(),
    ms: Math.round(performance.now() - started),
    counts: countsOf(verdicts),
    verdicts,
    unseen: unseenOf(wire, UNSEEN),
  };
}
