/** A stream that a person looks at: lines that stay, and below them a few live ones that are painted again and again. */
import { styleText } from "node:util";
import { eastAsianWidth } from "get-east-asian-width";
import { atExit } from "./at-exit.ts";

type Style = Parameters<typeof styleText>[0];

/** What {@link Terminal} needs of `process.stdout`. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  hasColors?(): boolean;
  write(text: string): boolean;
  once(event: "drain", listener: () => void): unknown;
}

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
/** Lines held back while a question is on the screen; beyond it, whoever prints waits. */
const MAX_HELD_LINES = 500;
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const CLEAR_BELOW = "\u001b[J";
/** What is wider than it was thought to be is cut off at the edge, and does not push what is below it down. */
const NO_WRAP = "\u001b[?7l";
const WRAP = "\u001b[?7h";

/** Who listens to single keys, and leaves them to a question while there is one. */
export interface KeyListener {
  start(): void;
  stop(): void;
}

/** Where text for people goes: lines that stay, and below them one that is painted over. */
export class Terminal {
  readonly #stream: TerminalStream;
  /** Can lines be painted over? Not in a pipe, a file, or on a terminal that says it is dumb. */
  readonly isLive: boolean;
  readonly #hasColors: boolean;
  /** Columns of each line that was painted: a window that has become narrower shows it in more rows. */
  #painted: readonly number[] = [];
  #live: readonly string[] = [];
  #held: string[] | undefined;
  #onRelease: (() => void)[] = [];
  #keys: KeyListener | undefined;
  #forgetExit: (() => void) | undefined;

  constructor(stream: TerminalStream, environment: NodeJS.ProcessEnv = process.env) {
    this.#stream = stream;
    this.isLive = stream.isTTY === true && environment["TERM"] !== "dumb";
    this.#hasColors = stream.isTTY === true && (stream.hasColors?.() ?? false);
  }

  get columns(): number {
    return this.#stream.columns ?? DEFAULT_COLUMNS;
  }

  /** `text` in a style, where the stream shows styles. */
  style(style: Style, text: string): string {
    return this.#hasColors ? styleText(style, text, { validateStream: false }) : text;
  }

  /** Adds lines above the live ones. Resolves when the stream has room again. */
  async print(text: string): Promise<void> {
    if (this.#held !== undefined) {
      this.#held.push(text);
      if (this.#held.length >= MAX_HELD_LINES) await new Promise<void>((resolve) => this.#onRelease.push(resolve));
      return;
    }
    const hasRoom = this.#stream.write(`${this.#erase()}${text}\n${this.#paint()}`);
    if (!hasRoom) await new Promise<void>((resolve) => this.#stream.once("drain", resolve));
  }

  /** Puts `lines` in place of the live ones. Each is cut to the width. Does nothing where nothing can be painted over. */
  setLive(lines: readonly string[]): void {
    if (!this.isLive) return;
    this.#live = lines;
    if (this.#held === undefined) this.#stream.write(this.#erase() + this.#paint());
  }

  /** Has `keys` listen while no question has the screen, until {@link close}. */
  listen(keys: KeyListener): void {
    this.#keys = keys;
    if (this.#held === undefined) keys.start();
  }

  /** Gives the screen to a question: prints and paints wait until {@link release}. */
  hold(): void {
    if (this.#held !== undefined) return;
    this.#keys?.stop();
    this.#stream.write(this.#erase() + (this.isLive ? SHOW_CURSOR : ""));
    this.#held = [];
  }

  release(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#keys?.start();
    this.#stream.write(held.map((text) => `${text}\n`).join("") + this.#paint());
    for (const resume of this.#onRelease.splice(0)) resume();
  }

  /** Removes the live lines and shows the cursor again. */
  close(): void {
    this.release();
    this.#keys?.stop();
    this.#keys = undefined;
    this.#live = [];
    const erased = this.#erase();
    if (this.isLive) this.#stream.write(erased + SHOW_CURSOR);
    this.#forgetExit?.();
    this.#forgetExit = undefined;
  }

  #erase(): string {
    if (this.#painted.length === 0) return "";
    const rows = this.#painted.reduce((sum, width) => sum + Math.max(Math.ceil(width / this.columns), 1), 0);
    this.#painted = [];
    return `\u001b[${rows}A\r${CLEAR_BELOW}`;
  }

  #paint(): string {
    if (this.#live.length === 0) return "";
    this.#forgetExit ??= atExit(() => this.#stream.write(WRAP + SHOW_CURSOR));
    // What is higher than the window could not be painted over.
    const room = Math.max((this.#stream.rows ?? DEFAULT_ROWS) - 1, 1);
    const lines = this.#live.slice(0, room).map((line) => cutToWidth(line, this.columns - 1));
    this.#painted = lines.map(displayWidth);
    return `${HIDE_CURSOR}${NO_WRAP}${lines.map((line) => `${line}\n`).join("")}${WRAP}`;
  }
}

const STYLE_SEQUENCE = /\u001b\[[0-9;]*m/y;
const COMBINING = /^\p{M}$/u;

/** Columns that a printable character takes. */
function columnsOf(character: string): number {
  const codePoint = character.codePointAt(0) ?? 0;
  if (codePoint < 0x300) return 1;
  return COMBINING.test(character) ? 0 : eastAsianWidth(codePoint);
}

/** Columns that printable `text` takes, styles apart. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text.replace(new RegExp(STYLE_SEQUENCE.source, "g"), "")) width += columnsOf(character);
  return width;
}

/** `text` cut to `columns`, with an ellipsis if something is missing. Styles in it are kept whole and closed. */
export function cutToWidth(text: string, columns: number): string {
  if (columns <= 0) return "";
  if (displayWidth(text) <= columns) return text;
  let width = 0;
  let kept = "";
  for (let at = 0; at < text.length; ) {
    STYLE_SEQUENCE.lastIndex = at;
    const sequence = STYLE_SEQUENCE.exec(text)?.[0];
    const character = sequence ?? String.fromCodePoint(text.codePointAt(at) ?? 0);
    at += character.length;
    if (sequence === undefined) {
      width += columnsOf(character);
      if (width > columns - 1) break;
    }
    kept += character;
  }
  return `${kept}…${kept.includes("\u001b[") ? "\u001b[0m" : ""}`;
}

/** `text` in exactly so many columns: cut, or with spaces behind it. */
export function fitToWidth(text: string, columns: number): string {
  const cut = cutToWidth(text, columns);
  return cut + " ".repeat(Math.max(columns - displayWidth(cut), 0));
}
