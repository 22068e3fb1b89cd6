/**
 * PostgreSQL keeps every character but U+0000, which a key or the name of a client may hold. It is stored as an escape of two
 * characters, and so is the character that begins one. Halves of surrogate pairs are no characters: they become U+FFFD, as in
 * every UTF-8.
 */
const ESCAPE = "\u{10FFFD}";
const UNKEEPABLE = /\u0000|\u{10FFFD}/u;

/** What is stored for a text. */
export function storable(text: string): string {
  if (!UNKEEPABLE.test(text)) return text;
  return text.replace(/\u0000|\u{10FFFD}/gu, (character) => `${ESCAPE}${character === ESCAPE ? "1" : "0"}`);
}

/** The text of what was stored. */
export function stored(text: string): string {
  if (!text.includes(ESCAPE)) return text;
  return text.replace(/\u{10FFFD}([01])/gu, (_, which: string) => (which === "1" ? ESCAPE : "\u0000"));
}

/** JSON for a `jsonb`, which refuses what a text cannot hold. What it is made of is escaped, and nothing of it is left to be. */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value);
  if (!/\\u0000|\\u[dD][89a-fA-F]|\u{10FFFD}/u.test(text)) return text;
  const escaped = JSON.stringify(value, (_, member: unknown) =>
    typeof member === "string" ? storable(member.toWellFormed()) : member,
  );
  return escaped.replaceAll(ESCAPE, "\\udbff\\udffd");
}
