/**
 * Text of others on its way to a terminal. A runtime, an agent and whatever an agent read are not trusted to move the
 * cursor, write the clipboard, or make a line read differently from what it says.
 */

/** C0 except tab and newline, DEL, C1. */
const CONTROLS = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f";
/** What reorders text, or takes no room: marks, embeddings, isolates, joiners, fillers, the byte order mark, tags. */
const INVISIBLE =
  "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e0fff}";
const LONE_SURROGATES = "\\ud800-\\udfff";
const UNSAFE = new RegExp(`[${CONTROLS}${INVISIBLE}${LONE_SURROGATES}]`, "gu");
/** Marks that would stand on what is before the text, or pile up over the lines above and below. */
const STRAY_MARKS = /(?<=^|\n)\p{M}+|(?<=\p{M}{4})\p{M}+/gu;
/** What a JSON text may hold raw although a terminal acts on it: the rest, JSON itself escapes. */
const UNSAFE_IN_JSON = new RegExp(`[\\u007f-\\u009f${INVISIBLE}]`, "gu");

/** `text` with everything that a terminal acts on, or nobody sees, shown as `\u{…}`. Keeps tabs and newlines. */
export function escapeText(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(UNSAFE, escapeCharacter)
    .replace(STRAY_MARKS, (marks) => Array.from(marks, escapeCharacter).join(""));
}

const escapeCharacter = (character: string): string => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;

/** {@link escapeText} for a place that has one line: tabs and newlines are shown as well. */
export const escapeLine = (text: string): string => escapeText(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t");

/** `value` as one line of JSON that is safe to show: what is unsafe is written as JSON escapes, so it parses the same. */
export function toSafeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE_IN_JSON, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`,
    ).join(""),
  );
}

/** A JSON value over several lines, each as safe as one. */
export const jsonLines = (value: unknown): string =>
  JSON.stringify(value, undefined, 2).split("\n").map(escapeLine).join("\n");
