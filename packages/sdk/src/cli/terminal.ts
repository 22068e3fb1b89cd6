/** A stream that a person looks at: lines that stay, and below them a few live ones that are painted again and again. */
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** What {@link Terminal} needs of `process.stdout`. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  hasColors?(): boolean;
  write(text: string): boolean;
  once(event: "drain", listener: () => void): unknown;
}

const DEFAULT_COLUMNS = 80;
/** Lines held back while a question is on the screen; beyond it, whoever prints waits. */
const MAX_HELD_LINES = 500;
const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const CLEAR_BELOW = "\u001b[J";

export class Terminal {
  readonly #stream: TerminalStream;
  /** Can lines be painted over? Not in a pipe, a file, or on a terminal that says it is dumb. */
  readonly isLive: boolean;
  readonly #hasColors: boolean;
  #painted = 0;
  #live: readonly string[] = [];
  #held: string[] | undefined;
  #onRelease: (() => void)[] = [];

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

  /** Gives the screen to a question: prints and paints wait until {@link release}. */
  hold(): void {
    if (this.#held !== undefined) return;
    this.#stream.write(this.#erase() + (this.isLive ? SHOW_CURSOR : ""));
    this.#held = [];
  }

  release(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    this.#stream.write(held.map((text) => `${text}\n`).join("") + this.#paint());
    for (const resume of this.#onRelease.splice(0)) resume();
  }

  /** Removes the live lines and shows the cursor again. */
  close(): void {
    this.release();
    this.#live = [];
    const erased = this.#erase();
    if (this.isLive) this.#stream.write(erased + SHOW_CURSOR);
  }

  #erase(): string {
    if (this.#painted === 0) return "";
    const up = `\u001b[${this.#painted}A\r`;
    this.#painted = 0;
    return up + CLEAR_BELOW;
  }

  #paint(): string {
    if (this.#live.length === 0) return "";
    this.#painted = this.#live.length;
    return HIDE_CURSOR + this.#live.map((line) => `${cutToWidth(line, this.columns - 1)}\n`).join("");
  }
}

const STYLE_SEQUENCE = /\u001b\[[0-9;]*m/y;
/** Characters that take two columns: East Asian wide and full width, and pictographs. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]/u;
const NARROW = /^[\u0020-\u10ff]$/;
const COMBINING = /^\p{M}$/u;

/** Columns that a printable character takes. */
function columnsOf(character: string): number {
  if (COMBINING.test(character)) return 0;
  return !NARROW.test(character) && WIDE.test(character) ? 2 : 1;
}

/** Columns that printable `text` takes, styles apart. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text.replace(new RegExp(STYLE_SEQUENCE.source, "g"), "")) width += columnsOf(character);
  return width;
}

/** `text` cut to `columns`, with an ellipsis if something is missing. Styles in it are kept whole and closed. */
export function cutToWidth(text: string, columns: number): string {
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
