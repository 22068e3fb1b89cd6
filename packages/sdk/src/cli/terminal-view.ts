import type { ConnectionState, FinalStatus, JobEvent, JobEventOf, JobResult } from "@arcp/client";
import type { ARCPError } from "@arcp/core";
import { budgetBar, budgetCaps, budgetText, costIn } from "./budget.ts";
import { remedyFor } from "./denial.ts";
import { escapeLine, escapeText } from "./escape.ts";
import { bytes, calledWith, callLine, eventLine, progressText, thoughtsLine } from "./event-line.ts";
import { bar, duration, spinner } from "./gauge.ts";
import type { JobView, Outcome, WatchedChild, WatchedJob } from "./job-view.ts";
import type { Terminal } from "./terminal.ts";

/** How a job is shown in a terminal. */
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
/** Calls without a result that are remembered; what is beyond has a line of its own at once. */
const MAX_CALLS = 256;
/** Thoughts that are folded into one line. */
const MAX_THOUGHTS = 1_000;
const SHOWN_CALLS = 3;
const SHOWN_CHILDREN = 4;
/** When the end of a lease is near. */
const SOON_MS = 60_000;

type Progress = JobEventOf<"progress">["body"];

interface Gauge {
  readonly cap: number;
  left: number;
}

interface RunningChild {
  readonly child: WatchedChild;
  readonly startedAt: number;
}

/**
 * A job for people: its events as lines, and on a real terminal, below them, a bar, a gauge per budgeted currency, how long
 * the lease lasts, calls and delegated jobs that go on, and the state of the connection. There, a call and its result are one
 * line, and so are thoughts that follow each other. Whatever others wrote is escaped.
 */
export class TerminalView implements JobView {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #showsResult: boolean;
  /** When the job began, as far as is known. */
  #startedAt: number;
  #isObserved = false;
  readonly #gauges = new Map<string, Gauge>();
  #repainting: ReturnType<typeof setInterval> | undefined;
  #phase = "running";
  #progress: Progress | undefined;
  #progressLineAt = Number.NEGATIVE_INFINITY;
  #resultCharacters = 0;
  #connection: "up" | "lost" | "closed" = "up";
  #attempt = 0;
  #expiresAt = Number.NaN;
  readonly #calls = new Map<string, JobEventOf<"tool_call">>();
  #thoughts: JobEventOf<"thought">[] = [];
  #foldsThoughts = true;
  readonly #children = new Map<string, RunningChild>();
  #below: () => readonly string[] = () => [];

  constructor(terminal: Terminal, options: TerminalViewOptions = {}) {
    this.#terminal = terminal;
    this.#now = options.now ?? (() => performance.now());
    this.#showsResult = options.showsResult ?? true;
    this.#startedAt = this.#now();
  }

  async onJob(job: WatchedJob): Promise<void> {
    const terminal = this.#terminal;
    this.#expiresAt = Date.parse(job.expiresAt ?? "");
    this.#isObserved = job.relation === "observed";
    for (const [currency, cap] of budgetCaps(job.lease)) {
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
    if (this.#isObserved) {
      // What an observer is told first says how long the job has been there.
      this.#startedAt -= Math.max(Date.now() - (Date.parse(event.ts ?? "") || Date.now()), 0);
      this.#isObserved = false;
    }
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
    if (this.#isOnGauge(event)) return;
    if (this.#terminal.isLive) {
      if (event.kind === "thought" && this.#foldsThoughts) return this.#onThought(event);
      if (event.kind === "tool_call" && this.#calls.size < MAX_CALLS) {
        this.#calls.set(event.body.call_id, event);
        return;
      }
    }
    await this.#unfold();
    const call = event.kind === "tool_result" ? this.#calls.get(event.body.call_id) : undefined;
    if (event.kind !== "tool_result" || call === undefined) {
      await this.#terminal.print(eventLine(event, this.#terminal));
      return;
    }
    this.#calls.delete(event.body.call_id);
    await this.#terminal.print(callLine(call, event, this.#terminal));
  }

  /** Shows what a job thinks in full, or again in one line. Returns whether it is folded now. */
  async toggleThoughts(): Promise<boolean> {
    this.#foldsThoughts = !this.#foldsThoughts;
    const thoughts = this.#thoughts;
    this.#thoughts = [];
    for (const thought of thoughts) await this.#terminal.print(eventLine(thought, this.#terminal));
    return this.#foldsThoughts;
  }

  /** Is it one that the watched job, or one of its children, delegated to and that goes on? */
  isDelegated(jobId: string): boolean {
    return this.#children.has(jobId);
  }

  /** Has these lines painted below everything else. They are asked for with every picture. */
  showBelow(lines: () => readonly string[]): void {
    this.#below = lines;
  }

  async onChild(child: WatchedChild): Promise<void> {
    const terminal = this.#terminal;
    this.#children.set(child.jobId, { child, startedAt: this.#now() });
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
    this.#children.delete(child.jobId);
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
    await this.#printOpen();
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
    await this.#printOpen();
    const id = escapeLine(jobId);
    await this.#terminal.print(`detached: the job goes on. Watch it again with\n  arcp watch ${id}`);
  }

  close(): void {
    this.#stopPainting();
    this.#terminal.close();
  }

  /** Paints the live lines as they are now. */
  paint(): void {
    if (!this.#terminal.isLive || this.#repainting === undefined) return;
    this.#terminal.setLive([
      this.#progressLine(),
      ...this.#gaugeLines(),
      ...this.#leaseLines(),
      ...this.#thoughtLines(),
      ...this.#callLines(),
      ...this.#childLines(),
      ...(this.#connection === "lost"
        ? [this.#terminal.style("yellow", `  reconnecting… attempt ${this.#attempt}`)]
        : []),
      ...this.#below(),
    ]);
  }

  async #onThought(thought: JobEventOf<"thought">): Promise<void> {
    if (this.#thoughts.length >= MAX_THOUGHTS) await this.#unfold();
    this.#thoughts.push(thought);
  }

  /** Prints what was thought so far: something else comes after it. */
  async #unfold(): Promise<void> {
    const thoughts = this.#thoughts;
    const [first] = thoughts;
    if (first === undefined) return;
    this.#thoughts = [];
    const isOne = thoughts.length === 1;
    await this.#terminal.print(isOne ? eventLine(first, this.#terminal) : thoughtsLine(thoughts, this.#terminal));
  }

  /** What has no end yet, when nothing more comes. */
  async #printOpen(): Promise<void> {
    await this.#unfold();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) await this.#terminal.print(eventLine(call, this.#terminal));
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

  /** Takes what is left of a budget. Returns whether a gauge shows what the event says: then it needs no line. */
  #isOnGauge(event: JobEvent): boolean {
    const cost = costIn(event);
    const gauge = cost && this.#gauges.get(cost.currency);
    if (cost === undefined || gauge === undefined) return false;
    if (cost.left !== undefined) gauge.left = cost.left;
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
      const gauge = budgetBar(left, cap, BAR_COLUMNS, this.#terminal);
      return `  budget ${gauge} ${budgetText(left, cap, currency)} left`;
    });
  }

  #leaseLines(): string[] {
    if (Number.isNaN(this.#expiresAt)) return [];
    const left = this.#expiresAt - Date.now();
    const text = left > 0 ? `lease ends in ${duration(left)}` : "lease has ended";
    return [`  ${this.#terminal.style(left > SOON_MS ? "gray" : "yellow", text)}`];
  }

  #thoughtLines(): string[] {
    const last = this.#thoughts.at(-1);
    if (last === undefined) return [];
    const text = escapeLine(last.body.text.trim());
    return [`  ${this.#terminal.style(["magenta", "italic"], `thinks (${this.#thoughts.length}): ${text}`)}`];
  }

  #callLines(): string[] {
    const lines = [...this.#calls.values()].slice(0, SHOWN_CALLS).map((call) => {
      const since = Date.now() - Date.parse(call.ts ?? "");
      const time = Number.isNaN(since) ? "" : ` ${this.#terminal.style("gray", duration(since))}`;
      return `  ${this.#terminal.style("yellow", "→")}${time} ${calledWith(call)}`;
    });
    const more = this.#calls.size - lines.length;
    return more > 0 ? [...lines, this.#terminal.style("gray", `    and ${more} more calls`)] : lines;
  }

  #childLines(): string[] {
    const lines = [...this.#children.values()].slice(-SHOWN_CHILDREN).map(({ child, startedAt }) => {
      const time = this.#terminal.style("gray", duration(this.#now() - startedAt));
      return `  ${this.#terminal.style("cyan", "↳")} ${time} ${escapeLine(`${child.agent ?? ""} ${child.jobId}`.trim())}`;
    });
    const more = this.#children.size - lines.length;
    return more > 0 ? [...lines, this.#terminal.style("gray", `    and ${more} more delegated jobs`)] : lines;
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

function authorityLines({ lease, expiresAt }: Pick<WatchedJob, "lease" | "expiresAt">): string[] {
  const lines = Object.entries(lease).map(([name, patterns]) => `${name}: ${patterns.join(", ")}`);
  if (expiresAt !== undefined) lines.push(`until ${expiresAt}`);
  return lines.map(escapeLine);
}

const indented = (text: string): string => text.replaceAll("\n", "\n    ");
