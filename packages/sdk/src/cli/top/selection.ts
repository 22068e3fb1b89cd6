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

interface Node {
  readonly job: BoardJob;
  readonly questions: readonly Question[];
  /** Of it, or of the one below it that comes first. */
  rank: number;
  parent: Node | undefined;
  readonly children: Node[];
  depth: number;
  isPlaced: boolean;
}

const NOTHING_ASKED: readonly Question[] = [];

function inOrder(passing: ReadonlyMap<string, BoardJob>, asked: ReadonlyMap<string, readonly Question[]>): BoardRow[] {
  const nodes = new Map<string, Node>();
  for (const [jobId, job] of passing) {
    const questions = asked.get(jobId) ?? NOTHING_ASKED;
    const place = { parent: undefined, children: [], depth: 0, isPlaced: false };
    nodes.set(jobId, { job, questions, rank: rank(job, questions.length > 0), ...place });
  }
  const all = [...nodes.values()];
  for (const node of all) {
    const { jobId, parentJobId } = node.job.summary;
    if (parentJobId !== undefined && parentJobId !== jobId) node.parent = nodes.get(parentJobId);
  }
  // A tree stands where the one of it stands that needs somebody most.
  for (const { rank: own, parent } of all) {
    // Above one that stands there already nothing is to be done: its own way up does it.
    for (let at = parent; at !== undefined && at.rank > own; at = at.parent) at.rank = own;
  }
  all.sort(
    (a, b) =>
      a.rank - b.rank || b.job.createdAt - a.job.createdAt || (a.job.summary.jobId < b.job.summary.jobId ? 1 : -1),
  );
  for (const node of all) node.parent?.children.push(node);
  const rows: BoardRow[] = [];
  const place = (root: Node): void => {
    const waiting = [root];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (node.isPlaced) continue;
      node.isPlaced = true;
      const { job, depth, questions, children } = node;
      rows.push({ job, depth, questions });
      for (let at = children.length - 1; at >= 0; at -= 1) {
        const child = children[at];
        if (child === undefined) continue;
        child.depth = depth + 1;
        waiting.push(child);
      }
    }
  };
  for (const node of all) if (node.parent === undefined) place(node);
  // A runtime that says of two jobs that each has delegated the other hides neither.
  for (const node of all) place(node);
  return rows;
}
