/** The board once, for where nothing can be painted over. */
import type { ARCPClient } from "@arcp/client";
import { budgetText } from "../budget.ts";
import { escapeLine } from "../escape.ts";
import { progressText } from "../event-line.ts";
import { duration } from "../gauge.ts";
import { printJson } from "../json-view.ts";
import { listedFacts } from "../listed-facts.ts";
import { questionFacts } from "../question-view.ts";
import { STATUS_STYLES } from "../status-style.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";
import { Board, isOver } from "./board.ts";
import { type BoardFilter, type BoardRow, select } from "./selection.ts";

export interface BoardOnce {
  readonly client: ARCPClient;
  readonly since: number;
  readonly filter: BoardFilter;
}

/** On standard output: a table, or lines of JSON. Rejects with what the runtime refuses. */
export async function printBoard({ client, since, filter }: BoardOnce, isJson: boolean): Promise<void> {
  const board = new Board({ client, since });
  try {
    await board.lookOnce();
    const { rows } = select(board.jobs, client.questions, filter);
    if (isJson) for (const row of rows) await printJson(process.stdout, factsOf(row));
    else await printTable(rows);
  } finally {
    board.close();
  }
}

const factsOf = ({ job, questions }: BoardRow): object => ({
  ...listedFacts(job.summary),
  status: job.status,
  ...(job.phase === undefined ? {} : { phase: job.phase }),
  ...(job.progress === undefined ? {} : { progress: job.progress }),
  budget_left: Object.fromEntries([...job.budget].map(([currency, { left }]) => [currency, left])),
  needs_me: questions.length > 0,
  questions: questions.map(questionFacts),
});

async function printTable(rows: readonly BoardRow[]): Promise<void> {
  const terminal = new Terminal(process.stdout);
  if (rows.length === 0) return terminal.print("no jobs");
  const lines = rows.map(({ job, depth, questions }) => [
    questions.length > 0
      ? terminal.style("yellow", "needs you")
      : terminal.style(STATUS_STYLES[job.status] ?? "white", escapeLine(job.status)),
    `${"  ".repeat(depth)}${depth > 0 ? "↳ " : ""}${escapeLine(job.summary.agent)}`,
    escapeLine(job.summary.jobId),
    duration(Date.now() - job.createdAt),
    job.progress === undefined || isOver(job.status) ? "" : escapeLine(progressText(job.progress)),
    [...job.budget].map(([currency, { left, cap }]) => budgetText(left, cap, currency)).join(", "),
  ]);
  return terminal.print(table(terminal, ["STATUS", "AGENT", "JOB", "AGE", "PROGRESS", "BUDGET LEFT"], lines));
}
