/** Reads a text aloud: each word goes out as soon as it is known, with how far it is. */
import type { JobContext } from "@arcp/sdk";

export const version = "1.0.0";

/** Input: `{ text }`. Returns how many words it has. */
export default async function read(input: unknown, ctx: JobContext): Promise<{ words: number }> {
  const words = textOf(input).split(/\s+/).filter(Boolean);
  const stream = ctx.openStream({ kind: "text" });
  for (const [index, word] of words.entries()) {
    // Both wait when the reader does not keep up: an agent that awaits them is as fast as its reader.
    await stream.write(`${word} `);
    await ctx.progress(index + 1, { total: words.length, units: "words" });
  }
  await stream.close();
  return { words: words.length };
}

function textOf(input: unknown): string {
  if (typeof input === "object" && input !== null && "text" in input && typeof input.text === "string") {
    return input.text;
  }
  throw new Error('expected {"text": …}');
}
