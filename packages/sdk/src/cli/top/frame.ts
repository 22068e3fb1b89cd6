/** The board as rows of cells: a pure function of what there is. Whatever others wrote is escaped, and cut to its cell. */
import type { ConnectionState, Question } from "@arcp/client";
import { budgetBar, budgetText } from "../budget.ts";
import { escapeLine } from "../escape.ts";
import { amount, progressText } from "../event-line.ts";
import type { Cell, Row } from "../full-screen.ts";
import { bar, duration } from "../gauge.ts";
import { askedIn, deadlineText } from "../question-view.ts";
import { STATUS_STYLES } from "../status-style.ts";
import { displayWidth, fitToWidth, type Terminal } from "../terminal.ts";
import { type BoardJob, isOver } from "./board.ts";
import { type Column, columnsFor } from "./columns.ts";
import type { BoardFilter, BoardRow, Selection } from "./selection.ts";

type Style = Parameters<Terminal["style"]>[0];

export interface Facts {
  readonly columns: number;
  readonly rows: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly terminal: Pick<Terminal, "style">;
  readonly url: string;
  /** The runtime's name and version, once it is known. */
  readonly runtime: string;
  readonly connection: ConnectionState;
  /** When the runtime was heard of last. */
  readonly learntAt: number | undefined;
  readonly problem: string | undefined;
  readonly selection: Selection;
  /** How many jobs there are, whether they pass the filter or not. */
  readonly total: number;
  readonly rates: { readonly events: number; readonly ends: number };
  readonly filter: BoardFilter;
  /** The first row that is shown. */
  readonly offset: number;
  readonly chosen: string | undefined;
  /** Since when nothing moves; `undefined`: it moves. */
  readonly pausedAt: number | undefined;
  /** What stands in place of the keys: a question, or what is being typed. */
  readonly prompt: string | undefined;
  /** What became of the last thing that was done. */
  readonly message: string | undefined;
  readonly showsHelp: boolean;
}

const STATUSES = ["running", "pending", "success", "error", "cancelled", "timed_out"] as const;
const HEAD_ROWS = 4;
const FOOT_ROWS = 3;
const BAR_COLUMNS = 8;
const GAUGE_COLUMNS = 6;

/** How many jobs a window of so many rows shows. */
export const bodyRows = (rows: number): number => Math.max(rows - HEAD_ROWS - FOOT_ROWS, 1);

export function frame(facts: Facts): readonly Row[] {
  const { terminal, rows, columns } = facts;
  const board = columnsFor(columns, facts.selection.hasOwners);
  const height = bodyRows(rows);
  const shown = facts.selection.rows.slice(facts.offset, facts.offset + height);
  const body = facts.showsHelp
    ? HELP.map((line) => [cell(2, fitToWidth(line, columns - 2))])
    : shown.length === 0
      ? emptyRows(facts)
      : shown.map((row) => jobRow(row, board, facts));
  const chosen = facts.selection.rows.find(({ job }) => job.summary.jobId === facts.chosen);
  return [
    titleRow(facts),
    countsRow(facts),
    filterRow(facts),
    board.map(({ column, title, width }) => cell(column, terminal.style("gray", fitToWidth(title, width)))),
    ...Array.from({ length: height }, (_, at) => body[at] ?? []),
    detailRow(chosen, facts),
    facts.message === undefined ? [] : whole(escapeLine(facts.message), facts, "yellow"),
    footRow(facts, shown.length),
  ]
    .slice(0, Math.max(rows, 1))
    .map((row) => row.filter(({ column }) => column < columns));
}

const cell = (column: number, text: string): Cell => ({ column, text });

/** One cell, from edge to edge. */
const whole = (text: string, { columns, terminal }: Facts, style?: Style): Row => {
  const fitted = fitToWidth(text, columns);
  return [cell(0, style === undefined ? fitted : terminal.style(style, fitted))];
};

/** Text at the left, and at the right what must be seen whole. */
function between(left: string, right: string, { columns }: Facts): Row {
  const width = displayWidth(right);
  const room = columns - width - 1;
  if (room < 1) return [cell(0, fitToWidth(right, columns))];
  return [cell(0, fitToWidth(left, room)), cell(columns - width, right)];
}

function titleRow(facts: Facts): Row {
  const { terminal, url, runtime, pausedAt, now } = facts;
  const name = `${terminal.style("bold", "arcp top")} ${escapeLine(url)}${runtime === "" ? "" : ` · ${escapeLine(runtime)}`}`;
  const [style, word] = connectionText(facts);
  const paused = pausedAt === undefined ? "" : `${terminal.style("yellow", `PAUSED ${duration(now - pausedAt)}`)}  `;
  return between(name, `${paused}${terminal.style(style, word)}`, facts);
}

/** What is on the screen is as old as it says. */
function connectionText({ connection, learntAt, now, problem }: Facts): readonly [Style, string] {
  const asOf = learntAt === undefined ? "" : `, this is ${duration(now - learntAt)} old`;
  switch (connection.phase) {
    case "connected":
      if (problem !== undefined) return ["yellow", `○ not up to date${asOf}`];
      return learntAt === undefined ? ["gray", "○ asking…"] : ["green", "● live"];
    case "reconnecting":
      return ["yellow", `○ offline, reconnecting (${connection.attempt})${asOf}`];
    case "idle":
    case "connecting":
      return ["yellow", `○ connecting${asOf}`];
    case "disconnected":
    case "closed":
      return ["red", `○ closed${asOf}`];
  }
}

function countsRow(facts: Facts): Row {
  const { terminal, selection, rates } = facts;
  const { counts, needing } = selection;
  const need = terminal.style(needing > 0 ? ["yellow", "bold"] : "gray", `${amount(needing)} need you`);
  const told = STATUSES.map((name) => {
    const count = counts.get(name) ?? 0;
    return terminal.style(count === 0 ? "gray" : (STATUS_STYLES[name] ?? "white"), `${amount(count)} ${wordFor(name)}`);
  });
  const pace = terminal.style("gray", `${rates.events.toFixed(1)} events/s · ${rates.ends} ended/min`);
  return between([need, ...told].join(" · "), pace, facts);
}

const wordFor = (status: string): string => status.replace("_", " ");

function filterRow(facts: Facts): Row {
  const { status, agent, text } = facts.filter;
  const parts = [
    ...(status.length === 0 ? [] : [`status ${status.map(wordFor).join(", ")}`]),
    ...(agent === "" ? [] : [`agent ${agent}`]),
    ...(text === "" ? [] : [`text “${text}”`]),
  ];
  return parts.length === 0 ? [] : whole(escapeLine(`only: ${parts.join(" · ")}`), facts, "cyan");
}

function jobRow(row: BoardRow, board: readonly Column[], facts: Facts): Row {
  const { terminal, chosen } = facts;
  const isChosen = row.job.summary.jobId === chosen;
  const cells = board.map(({ name, column, width }) => {
    const [text, style] = cellText(name, row, width, facts);
    const fitted = fitToWidth(text, width);
    const styled = style === undefined ? fitted : terminal.style(style, fitted);
    return cell(column, isChosen ? terminal.style("bold", styled) : styled);
  });
  return [cell(0, isChosen ? terminal.style(["cyan", "bold"], "›") : " "), ...cells];
}

function cellText(
  name: Column["name"],
  { job, depth, questions }: BoardRow,
  width: number,
  facts: Facts,
): readonly [text: string, style?: Style] {
  const { summary, status, createdAt, progress } = job;
  switch (name) {
    case "status":
      if (questions.length > 0) return [`? needs you`, ["yellow", "bold"]];
      return [`${SIGNS[status] ?? "·"} ${escapeLine(wordFor(status))}`, STATUS_STYLES[status] ?? "white"];
    case "agent":
      return [`${"  ".repeat(Math.min(depth, 6))}${depth > 0 ? "↳ " : ""}${escapeLine(summary.agent)}`];
    case "owner":
      return [escapeLine(summary.owner?.principal ?? ""), "gray"];
    case "job":
      return [escapeLine(summary.jobId.slice(-width)), "gray"];
    case "age":
      return [ageText(facts.now - createdAt), "gray"];
    case "progress": {
      if (progress === undefined) return [""];
      const { current, total } = progress;
      if (total === undefined || total <= 0) return [escapeLine(amount(current))];
      const share = current / total;
      return [`${facts.terminal.style("green", bar(share, BAR_COLUMNS))} ${Math.floor(share * 100)}%`];
    }
    case "budget": {
      const [currency, budget] = job.budget.entries().next().value ?? [];
      if (currency === undefined || budget === undefined) return [""];
      const more = job.budget.size > 1 ? ` +${job.budget.size - 1}` : "";
      const { left, cap } = budget;
      const gauge =
        left === undefined ? " ".repeat(GAUGE_COLUMNS) : budgetBar(left, cap, GAUGE_COLUMNS, facts.terminal);
      return [`${gauge} ${budgetText(left, cap, currency)}${more}`];
    }
    case "says":
      return [saying(job, questions)];
  }
}

const SIGNS: Readonly<Record<string, string>> = {
  running: "●",
  pending: "○",
  success: "✔",
  error: "✖",
  cancelled: "✖",
  timed_out: "✖",
};

const DAY_MS = 86_400_000;
const ageText = (ms: number): string => (ms < DAY_MS ? duration(ms) : `${Math.floor(ms / DAY_MS)} d`);

function saying({ status, phase, progress, summary }: BoardJob, [question]: readonly Question[]): string {
  if (question !== undefined) return escapeLine(askedIn(question));
  if (isOver(status)) return "";
  if (summary.place !== undefined && status === "pending") {
    return `waits, ${amount(summary.place.position)} of ${amount(summary.place.length)}`;
  }
  const said = [phase, progress?.message].filter((part) => part !== undefined);
  return escapeLine(said.join(": "));
}

/** What does not fit into the row of the job that is chosen. */
function detailRow(row: BoardRow | undefined, facts: Facts): Row {
  if (row === undefined) return [];
  const { job, questions } = row;
  const [question] = questions;
  const facts_ = [
    job.summary.jobId,
    ...(question === undefined ? [] : [`asks: ${askedIn(question)}`, deadlineText(question, facts.now)]),
    ...(job.progress === undefined || isOver(job.status) ? [] : [progressText(job.progress)]),
  ];
  return whole(escapeLine(facts_.join(" · ")), facts, question === undefined ? "gray" : "yellow");
}

const KEYS = "↑↓ move  ⏎ open  a answer  c cancel  / find  s status  p pause  ? help  q quit";

function footRow(facts: Facts, shownCount: number): Row {
  if (facts.prompt !== undefined) return whole(escapeLine(facts.prompt), facts, "bold");
  const { offset, selection, total, terminal } = facts;
  const count = selection.rows.length;
  const of = count === total ? amount(count) : `${amount(count)}, ${amount(total)} in all`;
  const place = count === 0 ? `0 of ${amount(total)}` : `${offset + 1}–${offset + shownCount} of ${of}`;
  return between(terminal.style("gray", KEYS), terminal.style("gray", place), facts);
}

function emptyRows(facts: Facts): readonly Row[] {
  const { learntAt, total } = facts;
  if (learntAt === undefined) return [[], whole("  asking for jobs…", facts, "gray")];
  if (total > 0) return [[], whole("  no job passes the filter; Esc shows all", facts, "gray")];
  return [
    [],
    whole("  no jobs yet. Submit one with", facts),
    whole('    arcp submit echo --input \'{"hello":"world"}\'', facts),
  ];
}

const HELP = [
  "",
  "↑ ↓  k j          the job above, or below",
  "PgUp PgDn  g G    a page; the first, the last",
  "Enter             opens the job: its events, its questions, its end",
  "a                 answers what the job asks",
  "c                 asks the job to stop, when you have said yes",
  "/                 shows those with a text in id, agent, owner, phase or question; Esc shows all again",
  "s                 shows those of the next status, n those that need you",
  "p                 holds everything still, and lets it go on",
  "q, Ctrl-C         leaves; the jobs go on",
  "",
  "any key goes back",
] as const;
