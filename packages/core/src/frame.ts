import { InvalidRequestError } from "./errors.ts";
import type { FrameLimits } from "./limits.ts";

/** A decoded JSON object whose keys are safe to read: no duplicates, no `__proto__`. */
export type JsonObject = { readonly [key: string]: unknown };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
/** The longest decimal that a double always holds exactly. */
const SAFE_DIGITS = 15;

/**
 * Decodes one frame into an object, or throws {@link InvalidRequestError}.
 *
 * The text is scanned once before `JSON.parse` sees it, so that what the parser would accept and a second reader
 * would understand differently never gets in: duplicate keys, `__proto__`, numbers beyond a double, deep nesting,
 * text that cannot be stored. The scan is linear and stops at the first bound.
 */
export function decodeFrame(text: string, limits: FrameLimits): JsonObject {
  if (text.length > limits.maxFrameBytes) throw new InvalidRequestError("the frame is larger than allowed");
  if (limits.unstorableText === "refuse" && !text.isWellFormed()) {
    throw new InvalidRequestError("the frame holds an unpaired surrogate");
  }
  scan(text, limits);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new InvalidRequestError("the frame is not valid JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidRequestError("the frame is not a JSON object");
  }
  return value as JsonObject;
}

const UTF8 = new TextEncoder();
const MAX_BYTES_PER_UNIT = 3;

/** Bytes of `text` in UTF-8; its length alone, where that says whether they are more than `max`. */
export function frameBytes(text: string, max: number): number {
  const isClear = text.length > max || text.length * MAX_BYTES_PER_UNIT <= max;
  return isClear ? text.length : UTF8.encode(text).length;
}

/** One open object or array: the keys seen so far, or `undefined` for an array. */
type Scope = Set<string> | undefined;

/** Bounds only; the grammar is left to `JSON.parse`, which sees the same text next. */
function scan(text: string, limits: FrameLimits): void {
  const scopes: Scope[] = [];
  let escapeAt = text.indexOf("\\");
  let at = 0;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = closingQuote(text, at + 1, escapeAt);
      const hasEscape = escapeAt !== -1 && escapeAt < end;
      const scope = scopes[scopes.length - 1];
      if (scope !== undefined && isKey(text, end + 1)) {
        addKey(scope, hasEscape ? stringOf(text.slice(at, end + 1)) : text.slice(at + 1, end), limits);
      }
      if (hasEscape) {
        if (limits.unstorableText === "refuse") refuseUnstorable(text, at, end);
        escapeAt = text.indexOf("\\", end);
      }
      at = end + 1;
    } else if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (scopes.length >= limits.maxDepth) throw new InvalidRequestError("the frame is nested too deeply");
      scopes.push(code === OPEN_BRACE ? new Set() : undefined);
      at += 1;
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      scopes.pop();
      at += 1;
    } else if (code >= DIGIT_0 && code <= DIGIT_9) {
      at = skipNumber(text, at);
    } else {
      at += 1;
    }
  }
}

/** The index of the quote that ends the string whose content starts at `from`; the length of the text if none does. */
function closingQuote(text: string, from: number, firstEscape: number): number {
  const end = text.indexOf('"', from);
  if (end === -1) return text.length;
  if (firstEscape === -1 || firstEscape > end) return end;
  // One by one from the first escape on: a search for each quote would cost a call per escaped one.
  for (let at = Math.max(firstEscape, from); at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return text.length;
}

/** Is the string that ended just before `at` a member name? */
function isKey(text: string, at: number): boolean {
  let next = at;
  for (;;) {
    const code = text.charCodeAt(next);
    if (code === COLON) return true;
    if (code !== 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return false;
    next += 1;
  }
}

function stringOf(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch (cause) {
    throw new InvalidRequestError("the frame is not valid JSON", { cause });
  }
}

function addKey(scope: Set<string>, key: string, limits: FrameLimits): void {
  if (limits.refusedNames.has(key))
    throw new InvalidRequestError(`the member name ${JSON.stringify(key)} is not allowed`);
  if (scope.has(key)) throw new InvalidRequestError("an object names the same member twice");
  if (scope.size >= limits.maxKeys) throw new InvalidRequestError("an object has too many members");
  scope.add(key);
}

const UNSTORABLE_ESCAPE = /\\u(?:0000|[dD][89a-fA-F])/;

function refuseUnstorable(text: string, from: number, to: number): void {
  const literal = text.slice(from, to + 1);
  if (!UNSTORABLE_ESCAPE.test(literal)) return;
  const value = stringOf(literal);
  if (value.includes("\u0000")) throw new InvalidRequestError("a string holds U+0000");
  if (!value.isWellFormed()) throw new InvalidRequestError("a string holds an unpaired surrogate");
}

const isNumberPart = (code: number): boolean =>
  (code >= DIGIT_0 && code <= DIGIT_9) ||
  code === 0x2e || // .
  code === 0x2b || // +
  code === 0x2d || // -
  code === 0x65 || // e
  code === 0x45; // E

function skipNumber(text: string, from: number): number {
  let end = from + 1;
  while (isNumberPart(text.charCodeAt(end))) end += 1;
  if (end - from > SAFE_DIGITS || /[eE]/.test(text.slice(from, end))) {
    if (!Number.isFinite(Number(text.slice(from, end)))) throw new InvalidRequestError("a number is out of range");
  }
  return end;
}
