/**
 * The whole window of a terminal: rows of cells, each at a column of its own, of which those are painted again that have
 * changed. What was on the screen before is there again afterwards.
 */
import { atExit } from "./at-exit.ts";
import { fitToWidth } from "./terminal.ts";

/** What {@link FullScreen} needs of `process.stdout`. */
export interface FullScreenStream {
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): boolean;
  on(event: "resize" | "drain", listener: () => void): unknown;
  off(event: "resize" | "drain", listener: () => void): unknown;
}

/** Printable text and styles, as wide as the cell. */
export interface Cell {
  /** From 0. */
  readonly column: number;
  readonly text: string;
}

export type Row = readonly Cell[];

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const ENTER = "\u001b[?1049h\u001b[?25l\u001b[?7l";
const LEAVE = "\u001b[?7h\u001b[?25h\u001b[?1049l";
/** A terminal that knows it shows what is between at once. */
const BEGIN = "\u001b[?2026h";
const END = "\u001b[?2026l";

export class FullScreen {
  readonly #stream: FullScreenStream;
  readonly #onResize: () => void;
  readonly #onDrain: () => void;
  #shown: readonly string[] = [];
  #isFull = false;
  #forgetExit: (() => void) | undefined;

  /** @param onResize Also when a slow terminal has room again: paint what there is now. */
  constructor(stream: FullScreenStream, onResize: () => void) {
    this.#stream = stream;
    this.#onResize = () => {
      this.#shown = [];
      onResize();
    };
    this.#onDrain = () => {
      this.#isFull = false;
      onResize();
    };
  }

  get columns(): number {
    return this.#stream.columns || DEFAULT_COLUMNS;
  }

  get rows(): number {
    return this.#stream.rows || DEFAULT_ROWS;
  }

  get isEntered(): boolean {
    return this.#forgetExit !== undefined;
  }

  enter(): void {
    if (this.isEntered) return;
    this.#forgetExit = atExit(() => this.#stream.write(LEAVE));
    this.#stream.on("resize", this.#onResize);
    this.#stream.on("drain", this.#onDrain);
    this.#shown = [];
    this.#isFull = false;
    this.#stream.write(ENTER);
  }

  leave(): void {
    if (!this.isEntered) return;
    this.#forgetExit?.();
    this.#forgetExit = undefined;
    this.#stream.off("resize", this.#onResize);
    this.#stream.off("drain", this.#onDrain);
    this.#stream.write(LEAVE);
  }

  /** Forgets what is on the screen: others may have written to it. */
  forget(): void {
    this.#shown = [];
  }

  /** Rows from the top; what they do not cover is empty. Nothing while the terminal has not taken what it was sent. */
  paint(rows: readonly Row[]): void {
    if (!this.isEntered || this.#isFull) return;
    const height = this.rows;
    const next = Array.from({ length: height }, (_, at) => rendered(rows[at] ?? [], at));
    const changed = this.#shown.length === height ? next.filter((row, at) => row !== this.#shown[at]) : next;
    this.#shown = next;
    if (changed.length > 0) this.#isFull = !this.#stream.write(BEGIN + changed.join("") + END);
  }
}

/**
 * Each cell is placed by itself: one that a terminal shows wider or narrower than it was thought to be moves no other, and is
 * painted over where it would reach into the next.
 */
const rendered = (cells: Row, at: number): string =>
  `\u001b[${at + 1};1H\u001b[K${cells.map(({ column, text }) => `\u001b[${at + 1};${column + 1}H${text}`).join("")}`;

/** As it looks: for tests, and for screens in documents. */
export function plainText(cells: Row): string {
  let text = "";
  for (const { column, text: cell } of cells) text = fitToWidth(text, column) + cell.replace(/\u001b\[[0-9;]*m/g, "");
  return text.trimEnd();
}
