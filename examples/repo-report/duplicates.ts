/**
 * Blocks of code that occur more than once.
 *
 * Every line that says something becomes a number, and every run of {@link WINDOW} such lines a window. Equal windows
 * form a class. A class with several members is grown, all members together, to the left and to the right for as long
 * as they agree: that is the longest block these places share. Linear in the number of lines for ordinary code.
 */
import type { Narrator } from "./narration.ts";
import type { SourceFile } from "./source-file.ts";

/** Shorter blocks repeat by nature. */
export const WINDOW = 6;
/** Bounds the memory: about 30 bytes for each line. Files beyond it are not compared. */
const MAX_LINES = 3_000_000;
const NONE = -1;

export interface Place {
  readonly path: string;
  readonly firstLine: number;
  readonly lastLine: number;
  readonly isTest: boolean;
}

export interface DuplicateBlock {
  /** Lines that say something; blank, comment, import and bracket-only lines are not counted. */
  readonly lines: number;
  /** In the order of the files, and at least two. */
  readonly places: readonly Place[];
  /** What one shared copy would save: lines × (places − 1). */
  readonly savedLines: number;
}

export interface DuplicateReport {
  /** Most saved lines first; no line is in two blocks. */
  readonly blocks: readonly DuplicateBlock[];
  readonly savedLines: number;
  readonly comparedLines: number;
  readonly filesLeftOut: number;
}

interface FileSpan {
  readonly path: string;
  readonly isTest: boolean;
  readonly start: number;
}

/** A block before places that overlap others are dropped. */
interface Candidate {
  /** The first member of the class it was grown from; the others follow in the class's chain. */
  readonly member: number;
  /** How many lines before each member the block starts. */
  readonly before: number;
  readonly length: number;
  readonly savedLines: number;
}

export class DuplicateFinder {
  readonly #files: FileSpan[] = [];
  #filesLeftOut = 0;
  #length = 0;
  /** Per line that says something: what it says, and where it stands in its file. */
  #said = new Uint32Array(1 << 16);
  #lineNumber = new Uint32Array(1 << 16);

  add(file: SourceFile): void {
    if (this.#length + file.lines.length > MAX_LINES) {
      this.#filesLeftOut += 1;
      return;
    }
    this.#reserve(file.lines.length);
    this.#files.push({ path: file.path, isTest: file.isTest, start: this.#length });
    let isInImport = false;
    for (const [index, line] of file.lines.entries()) {
      const said = normalise(line, file.language.lineComment);
      isInImport = isInImport ? !IMPORT_END.test(line) : IMPORT_OPENING.test(line);
      if (said === "" || isInImport) continue;
      this.#said[this.#length] = hashText(said);
      this.#lineNumber[this.#length] = index + 1;
      this.#length += 1;
    }
  }

  async find(narrator: Narrator): Promise<DuplicateReport> {
    const classes = await this.#classify(narrator);
    const candidates = await grow(classes, narrator);
    const blocks = await this.#choose(candidates, classes, narrator);
    return {
      blocks,
      savedLines: blocks.reduce((sum, block) => sum + block.savedLines, 0),
      comparedLines: this.#length,
      filesLeftOut: this.#filesLeftOut,
    };
  }

  #reserve(lines: number): void {
    if (this.#length + lines <= this.#said.length) return;
    const capacity = Math.max(this.#said.length * 2, this.#length + lines);
    this.#said = enlarged(this.#said, capacity);
    this.#lineNumber = enlarged(this.#lineNumber, capacity);
  }

  async #classify(narrator: Narrator): Promise<WindowClasses> {
    const classes = new WindowClasses(this.#said.subarray(0, this.#length));
    for (const [index, file] of this.#files.entries()) {
      const end = this.#files[index + 1]?.start ?? this.#length;
      for (let window = file.start; window + WINDOW <= end; window++) classes.add(window);
      await narrator.progress(index + 1, { total: this.#files.length, units: "files", message: "comparing" });
    }
    return classes;
  }

  /** Takes the candidates that save most, and gives every line to one block only. */
  async #choose(
    candidates: readonly Candidate[],
    classes: WindowClasses,
    narrator: Narrator,
  ): Promise<DuplicateBlock[]> {
    const isTaken = new Uint8Array(this.#length);
    const blocks: DuplicateBlock[] = [];
    for (const { member, before, length } of candidates) {
      await narrator.breathe();
      const starts = freeStarts(classes.members(member), before, length, isTaken);
      if (starts.length < 2) continue;
      for (const start of starts) isTaken.fill(1, start, start + length);
      const places = starts.map((start) => this.#place(start, length));
      blocks.push({ lines: length, places, savedLines: length * (starts.length - 1) });
    }
    return blocks.sort((a, b) => b.savedLines - a.savedLines);
  }

  #place(start: number, length: number): Place {
    const file = this.#fileAt(start);
    const firstLine = this.#lineNumber[start] ?? 0;
    const lastLine = this.#lineNumber[start + length - 1] ?? 0;
    return { path: file?.path ?? "", isTest: file?.isTest ?? false, firstLine, lastLine };
  }

  #fileAt(position: number): FileSpan | undefined {
    let low = 0;
    let high = this.#files.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#files[middle]?.start ?? 0) <= position) low = middle;
      else high = middle;
    }
    return this.#files[low];
  }
}

/** Which windows are equal. A window is known by the position of its first line, a class by its first window. */
class WindowClasses {
  readonly #said: Uint32Array;
  /** Hash table: the newest class of each bucket, and the class that was there before. */
  readonly #bucket: Int32Array;
  readonly #olderClass: Int32Array;
  /** Per window: its class, or NONE where no window starts (the last lines of a file). */
  readonly #classOf: Int32Array;
  /** Per window: the next member of its class. */
  readonly #next: Int32Array;
  /** Per class: how many members, and the newest of them. */
  readonly #size: Int32Array;
  readonly #newest: Int32Array;

  constructor(said: Uint32Array) {
    const buckets = 1 << Math.ceil(Math.log2(said.length + 2));
    this.#said = said;
    this.#bucket = new Int32Array(buckets).fill(NONE);
    this.#olderClass = new Int32Array(said.length).fill(NONE);
    this.#classOf = new Int32Array(said.length).fill(NONE);
    this.#next = new Int32Array(said.length).fill(NONE);
    this.#size = new Int32Array(said.length);
    this.#newest = new Int32Array(said.length);
  }

  add(window: number): void {
    const bucket = this.#hash(window) & (this.#bucket.length - 1);
    let found = this.#bucket[bucket] ?? NONE;
    while (found !== NONE && !this.#isEqual(found, window)) found = this.#olderClass[found] ?? NONE;
    if (found === NONE) {
      found = window;
      this.#olderClass[window] = this.#bucket[bucket] ?? NONE;
      this.#bucket[bucket] = window;
    } else {
      this.#next[this.#newest[found] ?? NONE] = window;
    }
    this.#classOf[window] = found;
    this.#newest[found] = window;
    this.#size[found] = (this.#size[found] ?? 0) + 1;
  }

  /** The classes with several members, in the order of their first one. */
  *repeated(): Generator<number, void, undefined> {
    for (let window = 0; window < this.#classOf.length; window++) {
      if (this.#classOf[window] === window && this.sizeOf(window) > 1) yield window;
    }
  }

  sizeOf(ofClass: number): number {
    return this.#size[ofClass] ?? 0;
  }

  /** The class that all windows at `offset` from the members of `ofClass` have in common, or NONE. */
  sharedClass(ofClass: number, offset: number): number {
    const shared = this.#classOf[ofClass + offset] ?? NONE;
    if (shared === NONE) return NONE;
    for (let member = this.#next[ofClass] ?? NONE; member !== NONE; member = this.#next[member] ?? NONE) {
      if (this.#classOf[member + offset] !== shared) return NONE;
    }
    return shared;
  }

  /** Between two members of the class that follow each other. */
  smallestDistance(ofClass: number): number {
    let smallest = this.#said.length;
    let previous = ofClass;
    for (let member = this.#next[ofClass] ?? NONE; member !== NONE; member = this.#next[member] ?? NONE) {
      smallest = Math.min(smallest, member - previous);
      previous = member;
    }
    return smallest;
  }

  *members(ofClass: number): Generator<number, void, undefined> {
    for (let member = ofClass; member !== NONE; member = this.#next[member] ?? NONE) yield member;
  }

  #hash(window: number): number {
    let hash = 0;
    for (let line = window; line < window + WINDOW; line++)
      hash = Math.imul(hash, 0x01000193) ^ (this.#said[line] ?? 0);
    return hash ^ (hash >>> 15);
  }

  #isEqual(a: number, b: number): boolean {
    for (let line = 0; line < WINDOW; line++) if (this.#said[a + line] !== this.#said[b + line]) return false;
    return true;
  }
}

/** Every class with several members, grown as far as its members agree. Most saved lines first. */
async function grow(classes: WindowClasses, narrator: Narrator): Promise<Candidate[]> {
  const candidates: Candidate[] = [];
  const isInside = new Set<number>();
  for (const member of classes.repeated()) {
    if (isInside.has(member)) continue;
    await narrator.breathe();
    const size = classes.sizeOf(member);
    const extend = (direction: 1 | -1): number => {
      let distance = 0;
      for (;;) {
        const neighbour = classes.sharedClass(member, direction * (distance + 1));
        if (neighbour === NONE) return distance;
        // As many members, all next to ours: growing that class would give this very block again.
        if (classes.sizeOf(neighbour) === size) isInside.add(neighbour);
        distance += 1;
      }
    };
    const before = extend(-1);
    const reach = before + WINDOW + extend(1);
    // A text that repeats with a short period overlaps itself when it grows: then one period is the block.
    const length = Math.min(reach, Math.max(classes.smallestDistance(member), WINDOW));
    candidates.push({ member, before, length, savedLines: length * (size - 1) });
  }
  return candidates.sort((a, b) => b.savedLines - a.savedLines || b.length - a.length || a.member - b.member);
}

/** Where the block can stand without sharing a line with another block, or with itself. */
function freeStarts(members: Iterable<number>, before: number, length: number, isTaken: Uint8Array): number[] {
  const starts: number[] = [];
  let free = 0;
  for (const member of members) {
    const start = member - before;
    if (start < free || isTaken.subarray(start, start + length).includes(1)) continue;
    starts.push(start);
    free = start + length;
  }
  return starts;
}

const COMMENT_START: Readonly<Record<SourceFile["language"]["lineComment"], RegExp>> = {
  "//": /^(?:\/\/|\/\*|\*|<!--)/,
  "#": /^#/,
  "--": /^--/,
  ";": /^;/,
  "%": /^%/,
  "": /^<!--/,
};
const IMPORT_START = /^(?:(?:import|from|#include|using|use|package|require)\b|export (?:type )?[{*]|\} from )/;
/** A list of imported names that goes on for several lines, and the line that ends it. */
const IMPORT_OPENING = /^(?:(?:import|from|use)\b[^=;]*|export (?:type )?)[{(]$/;
const IMPORT_END = /^[})]/;
/** A letter or digit of any script. */
const SAYS_SOMETHING = /[a-z0-9\u0080-\uffff]/i;

/** The line without indentation and repeated blanks, or "" if it says nothing worth comparing. */
function normalise(line: string, lineComment: SourceFile["language"]["lineComment"]): string {
  const said = line.trim();
  if (!SAYS_SOMETHING.test(said) || COMMENT_START[lineComment].test(said) || IMPORT_START.test(said)) return "";
  return said.replace(/\s+/g, " ");
}

/** FNV-1a over UTF-16 code units. Two different lines meet once in four thousand million; a block needs six such. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

function enlarged(array: Uint32Array<ArrayBuffer>, capacity: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(capacity);
  larger.set(array);
  return larger;
}
