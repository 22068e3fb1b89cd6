/**
 * Masks the secrets of a job in what its agent emits: plain, in base64 at any alignment, in hexadecimal, percent-encoded
 * and JSON-escaped. It keeps secrets out of logs and histories by accident, not from an agent that hides them on purpose.
 *
 * Text is read once by an automaton that knows every encoded form, through up to three readers: as it is, with percent
 * escapes undone, and with JSON escapes undone. So the time is linear, whatever the text.
 */

import { Buffer } from "node:buffer";
import { REDACTED } from "@arcp/core";

export interface Masked {
  readonly text: string;
  /** Was there a secret? */
  readonly found: boolean;
}

/** From `from` up to, not including, `to`. */
interface Span {
  readonly from: number;
  readonly to: number;
}

/** Aho and Corasick's automaton over all forms; children are lists, as most nodes have one. */
class Automaton {
  readonly #code: number[] = [0];
  readonly #firstChild: number[] = [0];
  readonly #sibling: number[] = [0];
  readonly #fallback: number[] = [0];
  /** Of the way to the node. */
  readonly depth: number[] = [0];
  /** Of the longest form that ends at the node; 0 for none. */
  readonly found: number[] = [0];

  constructor(forms: Iterable<string>) {
    for (const form of forms) this.#add(form);
    this.#link();
  }

  next(node: number, code: number): number {
    for (let from = node; ; from = this.#fallback[from] as number) {
      const child = this.#child(from, code);
      if (child !== 0) return child;
      if (from === 0) return 0;
    }
  }

  #child(node: number, code: number): number {
    let child = this.#firstChild[node] as number;
    while (child !== 0 && this.#code[child] !== code) child = this.#sibling[child] as number;
    return child;
  }

  #add(form: string): void {
    let node = 0;
    for (let i = 0; i < form.length; i += 1) {
      const code = form.charCodeAt(i);
      let child = this.#child(node, code);
      if (child === 0) {
        child = this.#code.push(code) - 1;
        this.#firstChild.push(0);
        this.#sibling.push(this.#firstChild[node] as number);
        this.#fallback.push(0);
        this.depth.push(i + 1);
        this.found.push(0);
        this.#firstChild[node] = child;
      }
      node = child;
    }
    this.found[node] = form.length;
  }

  /** Nodes nearer to the root first: each falls back to one that is done. */
  #link(): void {
    const queue = [0];
    for (let at = 0; at < queue.length; at += 1) {
      const node = queue[at] as number;
      for (let child = this.#firstChild[node] as number; child !== 0; child = this.#sibling[child] as number) {
        if (node !== 0) {
          const fallback = this.next(this.#fallback[node] as number, this.#code[child] as number);
          this.#fallback[child] = fallback;
          if (this.found[child] === 0) this.found[child] = this.found[fallback] as number;
        }
        queue.push(child);
      }
    }
  }
}

/** Reads characters, each of which stands at some place of the text, and says where forms are. */
class Reader {
  readonly #automaton: Automaton;
  readonly #spans: Span[];
  #node = 0;
  /** Where the last characters began: as many as the longest form has, by their number modulo that. */
  readonly #begins: number[];
  #count = 0;

  constructor(automaton: Automaton, longest: number, spans: Span[]) {
    this.#automaton = automaton;
    this.#spans = spans;
    this.#begins = new Array(longest).fill(0);
  }

  read(code: number, from: number, to: number): void {
    const { found } = this.#automaton;
    this.#node = this.#automaton.next(this.#node, code);
    this.#begins[this.#count % this.#begins.length] = from;
    this.#count += 1;
    const length = found[this.#node] as number;
    if (length > 0) this.#spans.push({ from: this.#begin(length), to });
  }

  /** Forgets what it was in the middle of. */
  reset(): void {
    this.#node = 0;
  }

  /** Where the longest form may have begun that is not complete; undefined for none. */
  get begun(): number | undefined {
    const depth = this.#automaton.depth[this.#node] as number;
    return depth === 0 ? undefined : this.#begin(depth);
  }

  #begin(charactersAgo: number): number {
    return this.#begins[(this.#count - charactersAgo) % this.#begins.length] as number;
  }
}

type OnCharacter = (code: number, from: number, to: number) => void;

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const NO_DIGIT = -1;
const SHORT_ESCAPES = new Map([...'bfnrt"\\/'].map((letter, index) => [letter, '\b\f\n\r\t"\\/'.charCodeAt(index)]));

interface Character extends Span {
  readonly code: number;
}

/** Undoes one kind of escape: what begins with `mark`. A sequence that is none stands for its characters. */
class Unescaper {
  readonly #mark: number;
  readonly #decode: (sequence: string) => number | "more" | "none";
  readonly #emit: OnCharacter;
  /** An unfinished escape. */
  #sequence: Character[] = [];

  constructor(mark: number, decode: (sequence: string) => number | "more" | "none", emit: OnCharacter) {
    this.#mark = mark;
    this.#decode = decode;
    this.#emit = emit;
  }

  read(code: number, from: number, to: number): void {
    const [first] = this.#sequence;
    if (first === undefined && code !== this.#mark) {
      this.#emit(code, from, to);
      return;
    }
    const sequence = [...this.#sequence, { code, from, to }];
    const meaning = this.#decode(String.fromCharCode(...sequence.map((character) => character.code)));
    this.#sequence = meaning === "more" ? sequence : [];
    if (meaning === "more") return;
    if (meaning !== "none") {
      this.#emit(meaning, first?.from ?? from, to);
      return;
    }
    // Its mark stands for itself; what follows may begin anew.
    const [mark, ...rest] = sequence;
    if (mark !== undefined) this.#emit(mark.code, mark.from, mark.to);
    for (const character of rest) this.read(character.code, character.from, character.to);
  }

  get begun(): number | undefined {
    return this.#sequence[0]?.from;
  }
}

const hexOf = (digits: string): number => (/^[0-9A-Fa-f]+$/.test(digits) ? Number.parseInt(digits, 16) : NO_DIGIT);

function percentEscape(sequence: string): number | "more" | "none" {
  if (sequence.length > 1 && hexOf(sequence.slice(1)) === NO_DIGIT) return "none";
  return sequence.length < 3 ? "more" : hexOf(sequence.slice(1));
}

function jsonEscape(sequence: string): number | "more" | "none" {
  if (sequence.length === 1) return "more";
  if (sequence.charCodeAt(1) !== LETTER_U) return SHORT_ESCAPES.get(sequence.charAt(1)) ?? "none";
  if (sequence.length > 2 && hexOf(sequence.slice(2)) === NO_DIGIT) return "none";
  return sequence.length < 6 ? "more" : hexOf(sequence.slice(2));
}

/** Everything that reads one text: each character goes to each reader. */
class Readers {
  readonly #plain: Reader;
  readonly #escaped: readonly { readonly reader: Reader; readonly unescaper: Unescaper }[];

  constructor(automaton: Automaton, longest: number, spans: Span[]) {
    const reader = (): Reader => new Reader(automaton, longest, spans);
    this.#plain = reader();
    this.#escaped = (
      [
        [PERCENT, percentEscape],
        [BACKSLASH, jsonEscape],
      ] as const
    ).map(([mark, decode]) => {
      const own = reader();
      return { reader: own, unescaper: new Unescaper(mark, decode, (code, from, to) => own.read(code, from, to)) };
    });
  }

  read(code: number, from: number, to: number): void {
    this.#plain.read(code, from, to);
    for (const { unescaper } of this.#escaped) unescaper.read(code, from, to);
  }

  reset(): void {
    this.#plain.reset();
    for (const { reader } of this.#escaped) reader.reset();
  }

  /** Where something may have begun; `end` if nothing has. */
  begun(end: number): number {
    let first = this.#plain.begun ?? end;
    for (const { reader, unescaper } of this.#escaped) {
      first = Math.min(first, reader.begun ?? end, unescaper.begun ?? end);
    }
    return first;
  }
}

/** Pieces of one text, masked as if they were one. */
export class MaskStream {
  readonly #readers: Readers;
  readonly #spans: Span[] = [];
  /** What is held back, and where it begins in the whole text. */
  #held = "";
  #heldFrom = 0;
  #hasFound = false;

  constructor(automaton: Automaton, longest: number) {
    this.#readers = new Readers(automaton, longest, this.#spans);
  }

  /** Has a secret been masked so far? */
  get found(): boolean {
    return this.#hasFound;
  }

  /**
   * What can be said of the text up to and with `piece`: all but an end that may be the beginning of a secret, which is
   * ASCII. Bytes are given as a string of codes up to 255.
   */
  push(piece: string): string {
    const from = this.#heldFrom + this.#held.length;
    for (let i = 0; i < piece.length; i += 1) this.#readers.read(piece.charCodeAt(i), from + i, from + i + 1);
    this.#held += piece;
    return this.#emit(this.#readers.begun(from + piece.length));
  }

  /** The rest. */
  end(): string {
    this.#readers.reset();
    return this.#emit(this.#heldFrom + this.#held.length);
  }

  /** Gives out what stands before `limit`, or before the end of a secret that it is in. */
  #emit(limit: number): string {
    const spans = merged(this.#spans, this.#heldFrom);
    const last = spans.findLast(({ from }) => from < limit);
    const until = Math.max(limit, last?.to ?? 0);
    const { text, rest } = replaced(this.#held, this.#heldFrom, spans, until);
    this.#hasFound ||= spans.some(({ from }) => from < until);
    this.#held = this.#held.slice(until - this.#heldFrom);
    this.#heldFrom = until;
    this.#spans.length = 0;
    this.#spans.push(...rest);
    return text;
  }
}

/** The spans as far as they lie after `begin`, in order, without overlaps. */
function merged(spans: readonly Span[], begin: number): Span[] {
  const list: Span[] = [];
  for (const { from, to } of [...spans].sort((a, b) => a.from - b.from)) {
    if (to <= begin) continue;
    const last = list.at(-1);
    if (last !== undefined && from <= last.to) list[list.length - 1] = { from: last.from, to: Math.max(last.to, to) };
    else list.push({ from: Math.max(from, begin), to });
  }
  return list;
}

/** `text`, which begins at `begin`, up to `until`, with the spans in it replaced; and the spans after that. */
function replaced(text: string, begin: number, spans: readonly Span[], until: number): { text: string; rest: Span[] } {
  let result = "";
  let at = begin;
  for (const { from, to } of spans) {
    if (from >= until) break;
    result += text.slice(at - begin, from - begin) + REDACTED;
    at = to;
  }
  return { text: result + text.slice(at - begin, until - begin), rest: spans.filter(({ from }) => from >= until) };
}

/** The forms in which values are looked for. Values are visible ASCII. */
export class SecretMask {
  readonly #automaton: Automaton;
  readonly #longest: number;
  readonly #shortest: number;

  constructor(values: readonly string[]) {
    const forms = new Set(values.flatMap(formsOf));
    this.#automaton = new Automaton(forms);
    const lengths = [...forms].map(({ length }) => length);
    this.#longest = Math.max(1, ...lengths);
    this.#shortest = Math.min(...lengths);
  }

  /** Plain text, or any string that is a value of its own. */
  mask(text: string): Masked {
    if (text.length < this.#shortest) return { text, found: false };
    const stream = this.stream();
    const masked = stream.push(text) + stream.end();
    return { text: masked, found: stream.found };
  }

  /** JSON text, of which the strings and the members' names are masked. It stays JSON of the same shape. */
  maskJson(json: string): Masked {
    if (json.length < this.#shortest) return { text: json, found: false };
    const spans: Span[] = [];
    const readers = new Readers(this.#automaton, this.#longest, spans);
    const unescaper = new Unescaper(BACKSLASH, jsonEscape, (code, from, to) => readers.read(code, from, to));
    let isInString = false;
    let isEscaped = false;
    for (let i = 0; i < json.length; i += 1) {
      const code = json.charCodeAt(i);
      if (code === 0x22 && !isEscaped) {
        isInString = !isInString;
        readers.reset();
        continue;
      }
      if (!isInString) continue;
      isEscaped = code === BACKSLASH && !isEscaped;
      unescaper.read(code, i, i + 1);
    }
    const { text } = replaced(json, 0, merged(spans, 0), json.length);
    return { text, found: spans.length > 0 };
  }

  /** For a text that comes in pieces. */
  stream(): MaskStream {
    return new MaskStream(this.#automaton, this.#longest);
  }
}

/** As it is, in hexadecimal, and what base64 makes of it wherever in a text it stands. Escapes are undone by readers. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value);
  const hex = bytes.toString("hex");
  const encoded = [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), bytes]);
    // Characters that depend on a neighbour's bits are not the value's own.
    const [first, last] = [Math.ceil((before * 8) / 6), Math.floor((padded.length * 8) / 6)];
    return (["base64", "base64url"] as const).map((encoding) => padded.toString(encoding).slice(first, last));
  });
  return [value, hex, hex.toUpperCase(), ...encoded];
}
