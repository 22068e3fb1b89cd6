/** Decides the invariants from what a run has left behind. */
import { join } from "node:path";
import { readHistory } from "../history.ts";
import { FILES } from "../runtime-settings.ts";
import type { StoreSettings } from "../stores.ts";
import { checkAudit } from "./audit.ts";
import { checkCancellation, checkEffects, checkIdempotency } from "./effects.ts";
import { checkLeases } from "./leases.ts";
import { checkArtifacts, checkLiveness, checkMemory } from "./liveness.ts";
import { checkLosses } from "./losses.ts";
import { checkBudgets, checkCredentials } from "./money.ts";
import { checkNumbering } from "./numbering.ts";
import { checkOwnership, checkStaleEffects, Ownership } from "./ownership.ts";
import { checkIsolation, checkSessions } from "./sessions.ts";
import { readStored, type Stored } from "./stored.ts";
import { type Story, storyOf } from "./story.ts";
import { checkTerminals } from "./terminals.ts";
import { whyVoid } from "./validity.ts";
import type { Invariant, Violation } from "./violation.ts";

/** Of one invariant no more are kept: a fault that is everywhere says the same a thousand times. */
const MAX_PER_INVARIANT = 10;

/** What is wrong with `story` and `stored`; empty if nothing is. */
export function violationsOf(story: Story, stored: Stored): readonly Violation[] {
  const violations: Violation[] = [];
  const report = (invariant: Invariant, what: string): void => {
    if (violations.filter((known) => known.invariant === invariant).length < MAX_PER_INVARIANT) {
      violations.push({ invariant, what });
    }
  };
  checkTerminals(story, stored, report);
  checkNumbering(story, report);
  checkLosses(story, stored, report);
  checkIdempotency(story, report);
  const ownership = new Ownership(story.lines);
  checkOwnership(ownership, report);
  checkStaleEffects(story, ownership, report);
  checkEffects(story, ownership, report);
  checkBudgets(story, stored, report);
  checkCredentials(story, stored, report);
  checkLeases(story, stored, report);
  checkAudit(stored, report);
  checkCancellation(story, ownership, report);
  checkSessions(story, report);
  checkIsolation(story, stored, report);
  checkMemory(story, report);
  checkLiveness(story, stored, report);
  checkArtifacts(story, stored, report);
  return violations;
}

/** What passed in a run. */
export interface Counts {
  readonly sessions: number;
  readonly jobs: number;
  readonly events: number;
  readonly resumes: number;
}

export interface Verdict {
  readonly violations: readonly Violation[];
  readonly counts: Counts;
  /** Why it shows nothing, if it does not. */
  readonly voidBecause: string | undefined;
}

/**
 * Reads what an episode has left, and decides.
 *
 * @param integrity Of a database that is no file, as it sees itself.
 */
export async function checkEpisode(
  directory: string,
  store: StoreSettings,
  integrity?: () => Promise<string>,
): Promise<Verdict> {
  const story = storyOf(readHistory([join(directory, FILES.history), join(directory, FILES.ledger)]));
  // Nobody was told anything: there need not even be a database.
  if (story.acceptances.length === 0) return { violations: [], counts: countsOf(story), voidBecause: whyVoid(story) };
  const sessions = story.connections.filter(({ wire }) => wire === "1.1").flatMap(({ sessionId }) => sessionId ?? []);
  const stored = await readStored(store, new Set(sessions), await integrity?.());
  return { violations: violationsOf(story, stored), counts: countsOf(story), voidBecause: whyVoid(story) };
}

function countsOf({ connections, acceptances }: Story): Counts {
  const opened = connections.flatMap(({ sessionId }) => sessionId ?? []);
  const received = connections.flatMap((connection) => connection.received);
  return {
    sessions: new Set(opened).size,
    jobs: new Set(acceptances.map(({ job }) => job)).size,
    events: received.filter(({ message }) => message.event_seq !== undefined || message.job_id !== undefined).length,
    resumes: opened.length - new Set(opened).size,
  };
}
