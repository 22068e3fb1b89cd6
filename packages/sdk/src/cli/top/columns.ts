/** A board's columns: as many as the window has room for, the one that says most with what is left. */

export type ColumnName = "status" | "agent" | "owner" | "job" | "age" | "progress" | "budget" | "says";

export interface Column {
  readonly name: ColumnName;
  readonly title: string;
  /** Where it begins, from 0. */
  readonly column: number;
  readonly width: number;
}

interface Wish {
  readonly name: ColumnName;
  readonly title: string;
  readonly width: number;
  /** The narrowest window that has it. */
  readonly from: number;
  /** How much of the room that is left it gets. */
  readonly share: number;
}

/** In the order in which they stand. */
const WISHES: readonly Wish[] = [
  { name: "status", title: "STATUS", width: 11, from: 0, share: 0 },
  { name: "agent", title: "AGENT", width: 16, from: 0, share: 1 },
  { name: "owner", title: "OWNER", width: 12, from: 96, share: 0 },
  { name: "job", title: "JOB", width: 8, from: 72, share: 0 },
  { name: "age", title: "AGE", width: 8, from: 40, share: 0 },
  { name: "progress", title: "PROGRESS", width: 15, from: 60, share: 0 },
  { name: "budget", title: "BUDGET LEFT", width: 24, from: 100, share: 0 },
  { name: "says", title: "SAYS", width: 12, from: 84, share: 2 },
];

/** The mark of the row that is chosen. */
const MARK_COLUMNS = 2;
const GAP = 1;

/** @param hasOwners Is it known of any job whose it is? */
export function columnsFor(windowColumns: number, hasOwners: boolean): readonly Column[] {
  const wanted = WISHES.filter(({ name, from }) => windowColumns >= from && (hasOwners || name !== "owner"));
  const used = wanted.reduce((sum, { width }) => sum + width + GAP, MARK_COLUMNS);
  const left = Math.max(windowColumns - used, 0);
  const shares = wanted.reduce((sum, { share }) => sum + share, 0);
  const columns: Column[] = [];
  let column = MARK_COLUMNS;
  for (const { name, title, width, share } of wanted) {
    const own = Math.min(width + Math.floor((left * share) / Math.max(shares, 1)), Math.max(windowColumns - column, 0));
    columns.push({ name, title, column, width: own });
    column += own + GAP;
  }
  return columns;
}
