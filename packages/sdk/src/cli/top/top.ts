/** The live board: what keys do, and when it is painted. */
import type { ARCPClient, ConnectionState } from "@arcp/client";
import { ARCPError } from "@arcp/core";
import { answerInPlace } from "../answer-in-place.ts";
import { clackPrompter } from "../clack-prompter.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { FullScreen } from "../full-screen.ts";
import { Keyboard, type KeyName } from "../keyboard.ts";
import { Terminal } from "../terminal.ts";
import { Board, isOver } from "./board.ts";
import { bodyRows, frame } from "./frame.ts";
import { type BoardFilter, type BoardRow, NEEDS_ME, type Selection, select } from "./selection.ts";

export interface TopOptions {
  readonly client: ARCPClient;
  readonly url: string;
  readonly filter: BoardFilter;
  readonly since: number;
  /** Shows one job until it ends or the user leaves it. */
  readonly open: (jobId: string) => Promise<ExitCode>;
}

const FRAME_MS = 100;
/** Ages and countdowns. */
const TICK_MS = 1_000;
/** Making the order anew takes one of so many parts of the time, at most. */
const SELECT_SHARE = 5;
const MAX_TYPED = 200;
const STATUS_CYCLE: readonly (readonly string[])[] = [
  [],
  ["running"],
  ["pending"],
  ["success"],
  ["error", "timed_out"],
  ["cancelled"],
];

type Mode =
  | { readonly name: "browse" }
  | { readonly name: "help" }
  | { readonly name: "find" }
  | { readonly name: "cancel"; readonly jobId: string };

/** Shows the board until the user leaves, or the client ends. Rejects with what ended the client. */
export async function runTop(options: TopOptions): Promise<ExitCode> {
  const top = new Top(options);
  return top.run();
}

class Top {
  readonly #options: TopOptions;
  readonly #terminal = new Terminal(process.stdout);
  readonly #screen = new FullScreen(process.stdout, () => this.#paintSoon());
  readonly #keyboard = new Keyboard(process.stdin, (name, text) => this.#onKey(name, text));
  readonly #board: Board;
  readonly #left = Promise.withResolvers<ExitCode>();
  readonly #stop = new AbortController();
  #filter: BoardFilter;
  #mode: Mode = { name: "browse" };
  #selection: Selection = { rows: [], counts: new Map(), needing: 0, hasOwners: false };
  #isStale = true;
  /** When the order may be made anew, by `performance.now()`. */
  #selectAt = 0;
  #chosen: string | undefined;
  #at = 0;
  #offset = 0;
  #pausedAt: number | undefined;
  #connection: ConnectionState;
  /** What became of what was done last, until the next key. */
  #message: string | undefined;
  #painting: ReturnType<typeof setTimeout> | undefined;
  /** Something else has the terminal. */
  #isAway = false;

  constructor(options: TopOptions) {
    this.#options = options;
    this.#filter = options.filter;
    this.#connection = options.client.state;
    const { client, since } = options;
    this.#board = new Board({ client, since, onChange: () => this.#changed() });
  }

  async run(): Promise<ExitCode> {
    const { client } = this.#options;
    const stopListening = [
      client.on("state", (state) => this.#onState(state)),
      client.on("question", () => this.#changed()),
      client.on("questionEnd", () => this.#changed()),
    ];
    const onInterrupt = (): void => {
      if (!this.#isAway) this.#leave(EXIT.interrupted);
    };
    const onTerminate = (): void => this.#leave(EXIT.interrupted);
    const onContinue = (): void => this.#comeBack();
    process.on("SIGINT", onInterrupt);
    process.on("SIGTERM", onTerminate);
    process.on("SIGHUP", onTerminate);
    process.on("SIGCONT", onContinue);
    const ticking = setInterval(() => this.#paintSoon(), TICK_MS);
    try {
      this.#comeBack();
      this.#board.start();
      return await this.#left.promise;
    } finally {
      clearInterval(ticking);
      clearTimeout(this.#painting);
      for (const stop of stopListening) stop();
      this.#board.close();
      this.#keyboard.stop();
      this.#screen.leave();
      process.off("SIGINT", onInterrupt);
      process.off("SIGTERM", onTerminate);
      process.off("SIGHUP", onTerminate);
      process.off("SIGCONT", onContinue);
    }
  }

  #leave(code: ExitCode): void {
    this.#stop.abort();
    this.#left.resolve(code);
  }

  /** Takes the terminal, at the beginning and after something else had it. */
  #comeBack(): void {
    if (this.#stop.signal.aborted) return;
    this.#isAway = false;
    this.#screen.enter();
    this.#screen.forget();
    this.#keyboard.start();
    this.#paint();
  }

  /** Gives the terminal away, with the screen as it was before. */
  #goAway(): void {
    this.#isAway = true;
    this.#keyboard.stop();
    this.#screen.leave();
  }

  /** Gives the terminal away for as long as `work` takes, and says what became of it. */
  async #meanwhile(work: () => Promise<string | undefined>): Promise<void> {
    this.#goAway();
    let text: string | undefined;
    try {
      text = await work();
    } catch (thrown) {
      text = ARCPError.from(thrown).message;
    }
    if (text !== undefined) this.#say(text);
    this.#board.refresh();
    this.#changed();
    this.#comeBack();
  }

  #onState(state: ConnectionState): void {
    this.#connection = state;
    if (state.phase === "connected") this.#board.refresh();
    if (state.phase === "closed") {
      if (state.error === undefined) this.#leave(EXIT.success);
      else this.#left.reject(state.error);
    }
    this.#changed();
  }

  #changed(): void {
    this.#isStale = true;
    this.#paintSoon();
  }

  #say(text: string): void {
    this.#message = text;
    this.#paintSoon();
  }

  /** At most so many times a second, however much happens. */
  #paintSoon(): void {
    if (this.#painting !== undefined || this.#isAway || this.#stop.signal.aborted) return;
    this.#painting = setTimeout(() => {
      this.#painting = undefined;
      this.#paint();
    }, FRAME_MS);
  }

  #paint(): void {
    if (this.#isAway) return;
    this.#selectAgain();
    const { columns, rows } = this.#screen;
    const now = Date.now();
    const { client, url } = this.#options;
    const runtime = client.session?.runtime;
    this.#screen.paint(
      frame({
        ...{ columns, rows, now, terminal: this.#terminal, url },
        runtime: runtime === undefined ? "" : `${runtime.name} ${runtime.version}`,
        ...{ connection: this.#connection, learntAt: this.#board.learntAt, problem: this.#board.problem },
        ...{ selection: this.#selection, total: this.#board.size, rates: this.#board.rates(now) },
        ...{ filter: this.#filter, offset: this.#offset, chosen: this.#chosen, pausedAt: this.#pausedAt },
        ...{ prompt: this.#prompt(), message: this.#message, showsHelp: this.#mode.name === "help" },
      }),
    );
  }

  #prompt(): string | undefined {
    switch (this.#mode.name) {
      case "find":
        return `/${this.#filter.text}▏  Enter keeps it, Esc shows all`;
      case "cancel": {
        const agent = this.#board.job(this.#mode.jobId)?.summary.agent ?? "";
        return `Ask ${agent} ${this.#mode.jobId} to stop? y, or any other key for no`;
      }
      default:
        return undefined;
    }
  }

  /** What is shown, anew if something has changed and nothing is held still. The job that was chosen stays chosen. */
  #selectAgain(): void {
    const now = performance.now();
    if (this.#isStale && this.#pausedAt === undefined && now >= this.#selectAt) {
      this.#isStale = false;
      this.#selection = select(this.#board.jobs, this.#options.client.questions, this.#filter);
      // Of very many jobs, the order is made anew less often, so that keys are answered all the same.
      this.#selectAt = now + SELECT_SHARE * (performance.now() - now);
    }
    const { rows } = this.#selection;
    const found = rows.findIndex(({ job }) => job.summary.jobId === this.#chosen);
    this.#at = found >= 0 ? found : Math.min(this.#at, Math.max(rows.length - 1, 0));
    this.#chosen = rows[this.#at]?.job.summary.jobId;
    const height = bodyRows(this.#screen.rows);
    const last = Math.max(rows.length - height, 0);
    this.#offset = Math.min(Math.max(this.#offset, this.#at - height + 1), this.#at, last);
    const inView = rows.slice(this.#offset, this.#offset + height);
    this.#board.show(new Set(inView.map(({ job }) => job.summary.jobId)));
  }

  get #row(): BoardRow | undefined {
    return this.#selection.rows[this.#at];
  }

  #move(to: number): void {
    this.#at = Math.min(Math.max(to, 0), Math.max(this.#selection.rows.length - 1, 0));
    this.#chosen = this.#row?.job.summary.jobId;
  }

  #onKey(name: KeyName, text: string): void {
    const { name: mode } = this.#mode;
    this.#message = undefined;
    if (name === "ctrl-c") this.#leave(EXIT.interrupted);
    else if (name === "ctrl-z") this.#suspend();
    else if (mode === "find") this.#onFindKey(name, text);
    else if (mode === "cancel") this.#onCancelKey(name, this.#mode.jobId);
    else if (mode === "help") this.#mode = { name: "browse" };
    else this.#keys[name]?.();
    // A key is answered at once.
    if (!this.#stop.signal.aborted) this.#paint();
  }

  /** What each key does, where nothing is asked or typed. */
  readonly #keys: Readonly<Record<KeyName, () => void>> = {
    q: () => this.#leave(EXIT.success),
    up: () => this.#move(this.#at - 1),
    k: () => this.#move(this.#at - 1),
    down: () => this.#move(this.#at + 1),
    j: () => this.#move(this.#at + 1),
    pageup: () => this.#move(this.#at - bodyRows(this.#screen.rows)),
    pagedown: () => this.#move(this.#at + bodyRows(this.#screen.rows)),
    home: () => this.#move(0),
    g: () => this.#move(0),
    end: () => this.#move(this.#selection.rows.length - 1),
    G: () => this.#move(this.#selection.rows.length - 1),
    return: () => this.#openChosen(),
    enter: () => this.#openChosen(),
    a: () => this.#answerChosen(),
    c: () => this.#confirmCancel(),
    s: () => this.#nextStatus(),
    n: () => this.#filterBy({ status: this.#filter.status.includes(NEEDS_ME) ? [] : [NEEDS_ME] }),
    escape: () => this.#filterBy({ status: [], agent: "", text: "" }),
    "ctrl-l": () => this.#screen.forget(),
    "/": () => {
      this.#mode = { name: "find" };
    },
    "?": () => {
      this.#mode = { name: "help" };
    },
    p: () => {
      this.#pausedAt = this.#pausedAt === undefined ? Date.now() : undefined;
    },
  };

  #onFindKey(name: KeyName, typed: string): void {
    const { text } = this.#filter;
    if (name === "return" || name === "enter") this.#mode = { name: "browse" };
    else if (name === "escape") {
      this.#mode = { name: "browse" };
      this.#filterBy({ text: "" });
    } else if (name === "backspace") this.#filterBy({ text: [...text].slice(0, -1).join("") });
    else if (name === "ctrl-u") this.#filterBy({ text: "" });
    else if (/^[^\p{Cc}]+$/u.test(typed)) this.#filterBy({ text: `${text}${typed}`.slice(0, MAX_TYPED) });
  }

  #onCancelKey(name: KeyName, jobId: string): void {
    this.#mode = { name: "browse" };
    if (name !== "y" && name !== "Y") {
      this.#say("not cancelled");
      return;
    }
    this.#say(`asking ${jobId} to stop…`);
    this.#options.client.cancelJob(jobId, { reason: "cancelled by the user" }).then(
      () => this.#say(`${jobId} was asked to stop`),
      (thrown: unknown) => this.#say(`not cancelled: ${ARCPError.from(thrown).message}`),
    );
  }

  #filterBy(change: Partial<BoardFilter>): void {
    this.#filter = { ...this.#filter, ...change };
    // Whoever filters wants to see what passes now.
    this.#pausedAt = undefined;
    this.#isStale = true;
    this.#selectAt = 0;
  }

  #nextStatus(): void {
    const shown = this.#filter.status.join();
    const at = STATUS_CYCLE.findIndex((status) => status.join() === shown);
    this.#filterBy({ status: STATUS_CYCLE[(at + 1) % STATUS_CYCLE.length] ?? [] });
  }

  #confirmCancel(): void {
    const job = this.#row?.job;
    if (job === undefined) return;
    if (isOver(job.status)) this.#say("it has ended already");
    else if (this.#connection.phase !== "connected") this.#say("not while the runtime cannot be reached");
    else this.#mode = { name: "cancel", jobId: job.summary.jobId };
  }

  #openChosen(): void {
    const jobId = this.#row?.job.summary.jobId;
    if (jobId === undefined) return;
    void this.#meanwhile(async () => {
      const code = await this.#options.open(jobId);
      // Who has left it has seen enough; an end is to be read.
      if (code !== EXIT.interrupted) await this.#anyKey();
      return undefined;
    });
  }

  #answerChosen(): void {
    const question = this.#row?.questions[0];
    if (question === undefined) {
      this.#say("it asks nothing; n shows the jobs that do");
      return;
    }
    const { client } = this.#options;
    void this.#meanwhile(() =>
      answerInPlace({
        ...{ client, question, prompter: clackPrompter, terminal: this.#terminal, signal: this.#stop.signal },
        print: (text) => void process.stdout.write(`${text}\n`),
      }),
    );
  }

  /** Until a key is pressed, below what is on the screen. */
  async #anyKey(): Promise<void> {
    process.stdout.write(`${this.#terminal.style("gray", "any key goes back to the board")}\n`);
    const pressed = Promise.withResolvers<void>();
    const keyboard = new Keyboard(process.stdin, () => pressed.resolve());
    keyboard.start();
    this.#stop.signal.addEventListener("abort", () => pressed.resolve(), { once: true });
    await pressed.promise;
    keyboard.stop();
  }

  /** Ctrl-Z: as a shell expects. The signal that wakes the process brings the board back. */
  #suspend(): void {
    this.#goAway();
    process.kill(process.pid, "SIGTSTP");
  }
}
