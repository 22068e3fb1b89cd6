/** The server suite, as one call. */
import type { Verdict } from "../case.ts";
import { Judge, Violation } from "../judge.ts";
import { type Manifest, REFERENCE_MANIFEST } from "../manifest.ts";
import { Recording } from "../recording.ts";
import { countsOf, type Report, type Unseen, unseenOf } from "../report/report.ts";
import type { Wire } from "../requirements.ts";
import { type RunOptions, runCases } from "../run.ts";
import { serverCases } from "./cases.ts";
import type { Target } from "./connection.ts";
import { ServerContext, serverBench } from "./context.ts";
import type { PeerOptions } from "./peer.ts";
import { UNSEEN } from "./unseen.ts";

/** How long there is to say which agents there are. */
const PROBE_MS = 60_000;

/** Which runtime {@link runServerSuite} judges, and as whom. */
export interface ServerSuiteOptions extends RunOptions, Partial<PeerOptions> {
  readonly target: Target;
  readonly token: string;
  readonly tokenB?: string;
  /** A token whose credentials end within seconds after it was shown (wire 1.0). */
  readonly tokenBrief?: string;
  /** A token of somebody whom the operator lets observe the jobs of `token`. */
  readonly tokenObserver?: string;
  /** Default: 1.1. */
  readonly wire?: Wire;
  /** Default: those agents of the reference fixture that the runtime says it has. */
  readonly manifest?: Manifest;
  /** Cases and requirements, by id or by the beginning of it. Default: all. */
  readonly only?: readonly string[];
}

/**
 * Asks a runtime for everything that a wire can show, and reports what came of it. Rejects when `signal` aborts, when
 * there is no manifest and no connection at all, and with a RangeError when `only` names nothing.
 */
export async function runServerSuite(options: ServerSuiteOptions): Promise<Report> {
  const { target, wire = "1.1", only } = options;
  const cases = serverCases(wire).filter(
    ({ id, requirements }) =>
      only === undefined || only.some((wanted) => id.startsWith(wanted) || requirements.includes(wanted)),
  );
  if (cases.length === 0) throw new RangeError(`no case of wire ${wire} is called ${(only ?? []).join(" or ")}`);
  const startedAt = new Date();
  const started = performance.now();
  const manifest = options.manifest ?? (await referenceAgentsOf(options));
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
    unseen: unseenByServerSuite(wire),
  };
}

/** The requirements of runtimes that no case of a wire can decide, and why, in the order of the specification. */
export function unseenByServerSuite(wire: Wire): readonly Unseen[] {
  return unseenOf(wire, UNSEEN);
}

/** The agents of the reference fixture, as far as the welcome lists them; all of them if nobody is welcomed. */
async function referenceAgentsOf(options: ServerSuiteOptions): Promise<Manifest> {
  const { agents } = REFERENCE_MANIFEST;
  const all = { ...REFERENCE_MANIFEST, agents };
  const signal = AbortSignal.any([AbortSignal.timeout(PROBE_MS), ...(options.signal ? [options.signal] : [])]);
  const run = { judge: new Judge([]), recording: new Recording(), signal };
  await using context = new ServerContext(run, { ...options, manifest: all });
  const peer = await context.connect().catch((thrown: Violation) => {
    throw new Error(`no connection to ${options.target.name}: ${thrown.seen}`, { cause: thrown });
  });
  try {
    const { payload } = await context.greet(peer);
    const listed: readonly unknown[] = payload?.capabilities?.agents ?? [];
    const names = new Set(
      listed.map((agent) => (typeof agent === "string" ? agent : (agent as { name?: string }).name)),
    );
    return { ...all, agents: Object.fromEntries(Object.entries(agents).filter(([, name]) => names.has(name))) };
  } catch (thrown) {
    if (!(thrown instanceof Violation)) throw thrown;
    return all;
  }
}
