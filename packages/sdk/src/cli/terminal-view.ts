import type { ConnectionState, FinalStatus, JobEvent, JobEventOf, JobResult } from "@arcp/client";
import type { ARCPError } from "@arcp/core";
import { initialBudgetFromLease } from "@arcp/runtime/lease";
import { remedyFor } from "./denial.ts";
import { escapeLine, escapeText } from "./escape.ts";
import { amount, bytes, eventLine, progressText } from "./event-line.ts";
import { bar, duration, spinner } from "./gauge.ts";
import type { JobView, Outcome, WatchedChild, WatchedJob } from "./job-view.ts";
import type { Terminal } from "./terminal.ts";

export interface TerminalViewOptions {
  /** Milliseconds that never go backwards. Default: this machine's. */
  readonly now?: () => number;
  /** Print the result at the end. Default: true. */
  readonly showsResult?: boolean;
}

const REPAINT_MS = 100;
/** Where no bar can be painted, a progress line at most this often. */
const PROGRESS_LINE_MS = 1_000;
const BAR_COLUMNS = 24;
const REMAINING = "cost.budget.remaining";
const COST_PREFIX = "cost.";

type Progress = JobEventOf<"progress">["body"];

interface Gauge {
  readonly cap: number;
  left: number;
}

/**
 * A job for people: its events as lines, and on a real terminal, below them, a bar, a gauge per budgeted currency and the
 * state of the connection. Whatever others wrote is escaped.
 */
export class TerminalView implements JobView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #showsResult: boolean;
  readonly #startedAt: number;
  readonly #gauges = new Map<string, Gauge>();
  #repainting: ReturnType<typeof setInterval> | undefined;
  #phase = "running";
  #progress: Progress | undefined;
  #progressLineAt = Number.NEGATIVE_INFINITY;
  #resultCharacters = 0;
  #connection: "up" | "lost" | "closed" = "up";
  #attempt = 0;

  constructor(terminal: Terminal, options: TerminalViewOptions = {}) {
    this.#terminal = terminal;
    this.#now = options.now ?? (() => performance.now());
    this.#showsResult = options.showsResult ?? true;
    this.#startedAt = this.#now();
  }

  async onJob(job: WatchedJob): Promise<void> {
    const terminal = this.#terminal;
    for (const [currency, cap] of initialBudgetFromLease(budgetOnly(job))) {
      this.#gauges.set(currency, { cap, left: job.budget?.[currency] ?? cap });
    }
    const agent = job.agent === undefined ? "" : ` ${escapeLine(job.agent)}`;
    await terminal.print(`${terminal.style("cyan", "●")} ${terminal.style("bold", escapeLine(job.jobId))}${agent}`);
    for (const line of authorityLines(job)) await terminal.print(terminal.style("gray", `  ${line}`));
    if (!terminal.isLive) return;
    this.#repainting = setInterval(() => this.paint(), REPAINT_MS);
    this.#repainting.unref();
    this.paint();
  }

  async onEvent(event: JobEvent): Promise<void> {
    if (event.kind === "progress") return this.#onProgress(event);
    if (event.kind === "result_chunk") {
      this.#resultCharacters += event.body.data.length;
      return;
    }
    if (event.kind === "status") {
      this.#phase = event.body.phase;
      this.#progress = undefined;
      this.#progressLineAt = Number.NEGATIVE_INFINITY;
    }
    if (event.kind === "metric" && this.#isOnGauge(event.body)) return;
    await this.#terminal.print(eventLine(event, this.#terminal));
  }

  async onChild(child: WatchedChild): Promise<void> {
    const terminal = this.#terminal;
    const facts = [child.agent, child.delegateId && `as ${child.delegateId}`].filter((fact) => fact !== undefined);
    const name = terminal.style("bold", escapeLine(child.jobId));
    const lines = authorityLines(child).map((line) => terminal.style("gray", `      ${line}`));
    // In one piece: the events of its parent come at the same time.
    await terminal.print(
      [`  ${terminal.style("cyan", "↳")} ${name} ${escapeLine(facts.join(" "))}`, ...lines].join("\n"),
    );
  }

  async onChildEnd(child: WatchedChild, status: FinalStatus, error: ARCPError | undefined): Promise<void> {
    const terminal = this.#terminal;
    const word = error === undefined ? `✔ ${status}` : `✖ ${status.replace("_", " ")}`;
    const why = error === undefined ? "" : ` · ${escapeLine(`${error.code}: ${error.message}`)}`;
    const shown = terminal.style(error === undefined ? "green" : "red", word);
    await terminal.print(`  ${terminal.style("cyan", "↳")} ${escapeLine(child.jobId)} ${shown}${why}`);
  }

  onConnection(state: ConnectionState): void {
    const terminal = this.#terminal;
    if (state.phase === "reconnecting") {
      this.#attempt = state.attempt;
      if (this.#connection === "up") void terminal.print(terminal.style("yellow", "  connection lost, reconnecting…"));
      this.#connection = "lost";
    } else if (state.phase === "connected" && this.#connection === "lost") {
      this.#connection = "up";
      const word = state.isResumed
        ? "resumed, nothing missed"
        : "reconnected in a new session, following the job again";
      void terminal.print(terminal.style("green", `  ${word}`));
    } else if (state.phase === "closed") this.#connection = "closed";
    this.paint();
  }

  async onEnd(outcome: Outcome): Promise<void> {
    this.#stopPainting();
    const terminal = this.#terminal;
    const took = `after ${((this.#now() - this.#startedAt) / 1000).toFixed(1)} s`;
    if (outcome.status !== "success") {
      const { code, message } = outcome.error;
      const remedy = remedyFor(outcome.error);
      const word = outcome.status.replace("_", " ");
      await terminal.print(
        `${terminal.style("red", `✖ ${word}`)} ${took} · ${escapeLine(code)}: ${indented(escapeText(message))}${remedy === undefined ? "" : `\n    ${escapeLine(remedy)}`}`,
      );
      return;
    }
    const { result, savedTo } = outcome;
    if (this.#showsResult && savedTo === undefined) await this.#printResult(result);
    const summary = result.summary === undefined ? "" : ` · ${escapeLine(result.summary)}`;
    const saved = savedTo === undefined ? "" : ` · saved to ${escapeLine(savedTo)}`;
    await terminal.print(`${terminal.style("green", "✔ success")} ${took}${summary}${saved}`);
  }

  async onDetach(jobId: string): Promise<void> {
    this.#stopPainting();
    const id = escapeLine(jobId);
    await this.#terminal.print(`detached: the job goes on. Watch it again with\n  arcp tail ${id}`);
  }

  close(): void {
    this.#stopPainting();
    this.#terminal.close();
  }

  /** Paints the live lines as they are now. */
  paint(): void {
    if (!this.#terminal.isLive || this.#repainting === undefined) return;
    const lines = [this.#progressLine(), ...this.#gaugeLines()];
    if (this.#connection === "lost") {
      lines.push(this.#terminal.style("yellow", `  reconnecting… attempt ${this.#attempt}`));
    }
    this.#terminal.setLive(lines);
  }

  async #onProgress(event: JobEventOf<"progress">): Promise<void> {
    this.#progress = event.body;
    if (this.#terminal.isLive) return;
    const { current, total } = event.body;
    const now = this.#now();
    if (now - this.#progressLineAt < PROGRESS_LINE_MS && current !== total) return;
    this.#progressLineAt = now;
    await this.#terminal.print(eventLine(event, this.#terminal));
  }

  /** Takes what is left of a budget. Returns whether a gauge shows what the metric says: then it needs no line. */
  #isOnGauge({ name, value, unit = "" }: JobEventOf<"metric">["body"]): boolean {
    const gauge = this.#gauges.get(unit);
    if (gauge === undefined || !name.startsWith(COST_PREFIX)) return false;
    if (name === REMAINING) gauge.left = value;
    return this.#terminal.isLive;
  }

  #progressLine(): string {
    const terminal = this.#terminal;
    const elapsed = this.#now() - this.#startedAt;
    const head = `${terminal.style("cyan", spinner(elapsed))} ${terminal.style("bold", escapeLine(this.#phase))}`;
    const received = this.#resultCharacters === 0 ? "" : ` · result ${bytes(this.#resultCharacters)}`;
    const time = terminal.style("gray", `${duration(elapsed)}${received}`);
    const progress = this.#progress;
    if (progress === undefined) return `${head} ${time}`;
    const text = escapeLine(progressText(progress));
    if (progress.total === undefined || progress.total === 0) return `${head} ${time} ${text}`;
    return `${head} ${terminal.style("green", bar(progress.current / progress.total, BAR_COLUMNS))} ${time} ${text}`;
  }

  #gaugeLines(): string[] {
    return [...this.#gauges].map(([currency, { cap, left }]) => {
      const share = cap === 0 ? 0 : left / cap;
      const style = share > 0.5 ? "green" : share > 0.2 ? "yellow" : "red";
      const gauge = this.#terminal.style(style, bar(share, BAR_COLUMNS));
      return `  budget ${gauge} ${amount(left)} of ${amount(cap)} ${escapeLine(currency)} left`;
    });
  }

  async #printResult({ result }: JobResult): Promise<void> {
    if (result === undefined || result === null) return;
    const text =
      result instanceof Uint8Array
        ? `(${bytes(result.length)} that are not text: run it with --output FILE)`
        : typeof result === "string"
          ? result
          : JSON.stringify(result, null, 2);
    await this.#terminal.print(`\n${escapeText(text).trimEnd()}\n`);
  }

  #stopPainting(): void {
    clearInterval(this.#repainting);
    this.#repainting = undefined;
    this.#terminal.setLive([]);
  }
}

/** The budget alone, if it can be read: what another runtime granted may look otherwise. */
function budgetOnly({ lease }: WatchedJob): WatchedJob["lease"] {
  const amounts = (lease["cost.budget"] ?? []).filter((text) => /^[A-Za-z][\w-]*:\d{1,15}(\.\d{1,9})?$/.test(text));
  return amounts.length === 0 ? {} : { "cost.budget": amounts };
}

function authorityLines({ lease, expiresAt }: Pick<WatchedJob, "lease" | "expiresAt">): string[] {
  const lines = Object.entries(lease).map(([name, patterns]) => `${name}: ${patterns.join(", ")}`);
  if (expiresAt !== undefined) lines.push(`until ${expiresAt}`);
  return lines.map(escapeLine);
}

const indented = (text: string): string => text.replaceAll("\n", "\n    ");
