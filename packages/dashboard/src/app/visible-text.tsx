/** Text of agents. It is shown as text, and what nobody would see of it is made visible. */
import type { ComponentChildren } from "preact";

/** C0 except tab and newline, DEL, C1; what reorders text or takes no room; halves of characters. As `arcp` escapes them. */
const CONTROLS = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f";
const INVISIBLE =
  "\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e0fff}";
const UNSAFE = new RegExp(`[${CONTROLS}${INVISIBLE}\\ud800-\\udfff]`, "gu");

const MAX_SHOWN = 200_000;

/** Nothing in `value` is markup. At most `max` characters are shown, and it is said that there are more. */
export function Text({ value, max = MAX_SHOWN }: { readonly value: string; readonly max?: number }) {
  const text = value.length > max ? value.slice(0, max) : value;
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const match of text.matchAll(UNSAFE)) {
    parts.push(text.slice(from, match.index), <Invisible character={match[0]} />);
    from = match.index + match[0].length;
  }
  parts.push(text.slice(from));
  return (
    <bdi class="said">
      {parts}
      {value.length > max ? <span class="more">… {(value.length - max).toLocaleString()} more characters</span> : null}
    </bdi>
  );
}

function Invisible({ character }: { readonly character: string }) {
  const code = (character.codePointAt(0) ?? 0).toString(16);
  return (
    <span class="invisible" title={`U+${code.toUpperCase().padStart(4, "0")}, made visible`}>{`\\u{${code}}`}</span>
  );
}

/** The same for attributes and titles, which have no elements. */
export const visible = (text: string): string =>
  text.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);

/** `value` as JSON, on several lines. */
export function Json({ value, max }: { readonly value: unknown; readonly max?: number }) {
  return (
    <pre class="json">
      <Text value={jsonText(value)} {...(max !== undefined && { max })} />
    </pre>
  );
}

export const jsonText = (value: unknown): string => JSON.stringify(value, undefined, 2) ?? "undefined";
