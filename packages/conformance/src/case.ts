/** What a case is, and what comes of it. */
import type { Judge } from "./judge.ts";
import type { RecordedFrame, Recording } from "./recording.ts";
import type { Level, Wire } from "./requirements.ts";

/** One thing that a runtime or a client is asked to do, and what has to come of it. */
export interface Case<Context> {
  /** Unique within a wire and a role: `resume/replay`. */
  readonly id: string;
  readonly wire: Wire;
  /** Every requirement that it judges. */
  readonly requirements: readonly string[];
  readonly title: string;
  /** What the peer has to have for it: behaviours of the manifest, or abilities of the connection. Default: nothing. */
  readonly needs?: readonly string[];
  /** How long it may take in all. Default: the run's. */
  readonly deadlineMs?: number;
  run(context: Context): Promise<void>;
}

/** What a case is carried out with. Both suites give their cases more than that. */
export interface CaseRun {
  readonly judge: Judge;
  readonly recording: Recording;
  /** Aborts when the case's time is over, or the whole run is. */
  readonly signal: AbortSignal;
}

/** How a case ended. `skipped` comes with the reason. */
export type Outcome = "passed" | "failed" | "skipped";

/** What one case has found out, with the frames that show it. */
export interface Verdict {
  readonly case: string;
  readonly wire: Wire;
  readonly title: string;
  readonly requirements: readonly string[];
  /** The strictest of what it judges; of a failed case, of what was violated. */
  readonly level: Level;
  readonly outcome: Outcome;
  /** Why it was skipped. */
  readonly reason?: string;
  /** The requirement that was not kept. Absent if the case could not be carried through so far that one was judged. */
  readonly violated?: string;
  /** Others that say the same of what was seen. */
  readonly alsoViolated?: readonly string[];
  readonly expected?: string;
  readonly seen?: string;
  /** The requirements that were looked at. */
  readonly judged: readonly string[];
  /** What was said, in both directions. */
  readonly frames: readonly RecordedFrame[];
  readonly ms: number;
}
