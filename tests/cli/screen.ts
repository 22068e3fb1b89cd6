import type { TerminalStream } from "../../packages/sdk/src/cli/terminal.ts";

/** A terminal without glass: it understands what {@link Terminal} writes, and refuses everything else. */
export class Screen implements TerminalStream {
  readonly isTTY = true;
  readonly columns: number;
  readonly #hasColors: boolean;
  #rows: string[] = [""];
  #row = 0;
  #onDrain: (() => void)[] = [];
  isFull = false;
  isCursorShown = true;
  /** Does a line that is too long go on in the next row? */
  isWrapping = true;

  constructor(columns = 80, hasColors = false) {
    this.columns = columns;
    this.#hasColors = hasColors;
  }

  hasColors(): boolean {
    return this.#hasColors;
  }

  /** What a person sees, line by line. */
  get lines(): readonly string[] {
    return this.#rows.slice(0, -1);
  }

  get text(): string {
    return this.lines.join("\n");
  }

  write(text: string): boolean {
    for (const [token] of text.matchAll(/\u001b\[(\d+A|J|\?(?:25|7)[hl]|[\d;]+m)|\r|\n|[^\u001b\r\n]+/g))
      this.#apply(token);
    const left = text.replaceAll(/\u001b\[(\d+A|J|\?(?:25|7)[hl]|[\d;]+m)|[\n\r]/g, "");
    if (/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(left)) throw new Error(`raw control: ${JSON.stringify(left)}`);
    return !this.isFull;
  }

  #apply(token: string): void {
    const up = /^\u001b\[(\d+)A$/.exec(token);
    if (up) this.#row -= Number(up[1]);
    else if (token === "\u001b[J") this.#rows = [...this.#rows.slice(0, this.#row), ""];
    else if (token === "\u001b[?25l") this.isCursorShown = false;
    else if (token === "\u001b[?25h") this.isCursorShown = true;
    else if (/^\u001b\[\?7[hl]$/.test(token)) this.isWrapping = token.endsWith("h");
    else if (token === "\n") {
      this.#row += 1;
      this.#rows[this.#row] ??= "";
    } else if (token !== "\r") this.#rows[this.#row] += token;
  }

  once(_event: "drain", listener: () => void): void {
    this.#onDrain.push(listener);
  }

  drain(): void {
    this.isFull = false;
    for (const resume of this.#onDrain.splice(0)) resume();
  }
}
