/** Journal payloads as JSON text: built once per event, here, and spliced into frames from then on. */
import { InvalidRequestError } from "@arcp/core";

let lastTime = Number.NaN;
let lastTimeText = "";

/** RFC 3339 in UTC with milliseconds. */
export function timestamp(ms: number): string {
  if (ms !== lastTime) {
    lastTime = ms;
    lastTimeText = new Date(ms).toISOString();
  }
  return lastTimeText;
}

/** In JSON text, where every quote inside a string is escaped: a member that clients refuse to read. */
const UNCARRIED_NAME = '"__proto__":';

/** `value` as JSON. Throws {@link InvalidRequestError} for what JSON cannot hold or carry: cycles, BigInt, `__proto__`. */
export function jsonOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new InvalidRequestError("the value cannot be written as JSON", { cause });
  }
  if (text === undefined) return "null";
  if (text.includes(UNCARRIED_NAME)) throw new InvalidRequestError("a member is named __proto__");
  // Unpaired surrogates come out as escapes that other peers refuse to read.
  return text.includes("\\ud")
    ? text.replace(UNPAIRED, (match, escaped) => (escaped === "\\" ? match : "\ufffd"))
    : text;
}

/** In JSON text: a backslash that was written as such, or an unpaired surrogate. */
const UNPAIRED = /\\(\\|ud[89a-f][0-9a-f]{2})/g;

/** Has `text` more than `maxBytes` bytes in UTF-8? */
export const isLonger = (text: string, maxBytes: number): boolean =>
  // A code unit is one to three bytes: most texts need not be measured.
  text.length > maxBytes || (text.length * 3 > maxBytes && Buffer.byteLength(text) > maxBytes);

/** The same; `undefined` if that would be longer than `maxBytes`, which is noticed before it is written down. */
export function jsonWithin(value: unknown, maxBytes: number): string | undefined {
  if (isSurelyLonger(value, maxBytes)) return undefined;
  const text = jsonOf(value);
  return isLonger(text, maxBytes) ? undefined : text;
}

/** Stands behind what an object holds, in what is still to be looked at. */
class EndOf {
  readonly value: object;

  constructor(value: object) {
    this.value = value;
  }
}

/** Does `value` take more than `maxBytes` as JSON, whatever its `toJSON` methods return? */
function isSurelyLonger(value: unknown, maxBytes: number): boolean {
  const open: unknown[] = [value];
  const around = new Set<object>();
  for (let bytes = 0; open.length > 0; ) {
    const next = open.pop();
    if (next instanceof EndOf) {
      around.delete(next.value);
      continue;
    }
    bytes += 1;
    if (typeof next === "string") bytes += next.length;
    else if (ArrayBuffer.isView(next)) bytes += next.byteLength;
    else if (typeof next === "object" && next !== null && !("toJSON" in next)) {
      if (around.has(next)) throw new InvalidRequestError("the value cannot be written as JSON: it holds itself");
      const names = Array.isArray(next) ? [] : Object.keys(next);
      bytes += Array.isArray(next) ? next.length : names.reduce((sum, name) => sum + name.length, 0);
      if (bytes > maxBytes) return true;
      around.add(next);
      open.push(new EndOf(next));
      if (Array.isArray(next)) for (const item of next) open.push(item);
      for (const name of names) open.push((next as Record<string, unknown>)[name]);
    }
    if (bytes > maxBytes) return true;
  }
  return false;
}

/** The payload of a `job.event`. `kind` is a checked name, `body` is JSON already. */
export const eventText = (kind: string, ts: number, body: string): string =>
  `{"kind":"${kind}","ts":"${timestamp(ts)}","body":${body}}`;

/** The payload of `job.result` or `job.error`. `members` is the rest of it, JSON without braces; it may be empty. */
export const terminalText = (jobId: string, status: string, members: string): string =>
  `{"job_id":"${jobId}","final_status":"${status}"${members === "" ? "" : ","}${members}}`;
