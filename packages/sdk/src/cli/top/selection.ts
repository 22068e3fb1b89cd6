/** Which jobs are shown, in which order: those that need somebody first, delegated jobs below the one that delegated. */
import type { Question } from "@arcp/client";
import { type BoardJob, isOver } from "./board.ts";

/** All members narrow the list together. */
export interface BoardFilter {
  /** `needs-me`, or statuses of jobs. Empty: all. */
  readonly status: readonly string[];
  /** A name, for all versions, or `name@version`. Empty: all. */
  readonly agent: string;
  /** Part of an id, an agent, an owner or a phase; of a question, too. Empty: all. */
  readonly text: string;
}

export const NEEDS_ME = "needs-me";

export interface BoardRow {
  readonly job: BoardJob;
  /** 0 for a job that nobody shown here delegated to. */
  readonly depth: number;
  /** Open questions of it, oldest first. */
  readonly questions: readonly Question[];
}

export interface Selection {
  readonly rows: readonly BoardRow[];
  /** By status, of what passes the filter but for its statuses. */
  readonly counts: ReadonlyMap<string, number>;
  /** How many of those need somebody. */
  readonly needing: number;
  /** Does the runtime say of any of those whose it is? */
  readonly hasOwners: boolean;
}

export function select(
  jobs: Iterable<BoardJob>,
  questions: readonly Question[],
  { status, agent, text }: BoardFilter,
): Selection {
  const asked = Map.groupBy(questions, ({ jobId }) => String(jobId));
  const counts = new Map<string, number>();
  const passing = new Map<string, BoardJob>();
  const searched = text.toLowerCase();
  let needing = 0;
  let hasOwners = false;
  for (const job of jobs) {
    const { jobId, agent: reference } = job.summary;
    if (agent !== "" && reference !== agent && reference.split("@")[0] !== agent) continue;
    const own = asked.get(jobId) ?? [];
    if (searched !== "" && !textOf(job, own).includes(searched)) continue;
    counts.set(job.status, (counts.get(job.status) ?? 0) + 1);
    if (own.length > 0) needing += 1;
    if (job.summary.owner !== undefined) hasOwners = true;
    if (status.length === 0 || status.includes(job.status) || (own.length > 0 && status.includes(NEEDS_ME))) {
      passing.set(jobId, job);
    }
  }
  return { rows: inOrder(passing, asked), counts, needing, hasOwners };
}

const textOf = ({ summary, phase }: BoardJob, questions: readonly Question[]): string =>
  [
    summary.jobId,
    summary.agent,
    summary.owner?.principal,
    phase,
    ...questions.map((question) => ("prompt" in question ? question.prompt : "")),
  ]
    .join(" ")
    .toLowerCase();

/** Lower comes first. */
const rank = (job: BoardJob, isAsking: boolean): number =>
  isAsking ? 0 : job.status === "running" ? 1 : isOver(job.status) ? 3 : 2;

function inOrder(passing: ReadonlyMap<string, BoardJob>, asked: ReadonlyMap<string, readonly Question[]>): BoardRow[] {
  const ranks = new Map([...passing].map(([jobId, job]) => [jobId, rank(job, asked.has(jobId))]));
  const parentOf = ({ summary: { jobId, parentJobId } }: BoardJob): string | undefined =>
    parentJobId !== undefined && parentJobId !== jobId && passing.has(parentJobId) ? parentJobId : undefined;
  // A tree stands where the one of it stands that needs somebody most.
  for (const job of passing.values()) {
    const own = ranks.get(job.summary.jobId) ?? 3;
    // Above one that stands there already nothing is to be done: its own way up does it.
    for (let at = parentOf(job); at !== undefined && (ranks.get(at) ?? 3) > own; ) {
      ranks.set(at, own);
      at = parentOf(passing.get(at) as BoardJob);
    }
  }
  const rankOf = ({ summary }: BoardJob): number => ranks.get(summary.jobId) ?? 3;
  const sorted = [...passing.values()].sort(
    (a, b) => rankOf(a) - rankOf(b) || b.createdAt - a.createdAt || (a.summary.jobId < b.summary.jobId ? 1 : -1),
  );
  const children = Map.groupBy(sorted, parentOf);
  const rows: BoardRow[] = [];
  const added = new Set<string>();
  const add = (root: BoardJob): void => {
    const waiting: { readonly job: BoardJob; readonly depth: number }[] = [{ job: root, depth: 0 }];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const { job, depth } = next;
      const { jobId } = job.summary;
      if (added.has(jobId)) continue;
      added.add(jobId);
      rows.push({ job, depth, questions: asked.get(jobId) ?? [] });
      const below = children.get(jobId) ?? [];
      for (const child of below.toReversed()) waiting.push({ job: child, depth: depth + 1 });
    }
  };
  for (const root of children.get(undefined) ?? []) add(root);
  // A runtime that says of two jobs that each has delegated the other hides neither.
  for (const job of sorted) add(job);
  return rows;
}
