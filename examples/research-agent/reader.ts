/**
 * Reads one page, paragraph by paragraph, and notes what it says about a question; as far as its money goes. What a page says
 * is not to be trusted: whoever reads it has no tools, and a lease that covers this page and nothing else.
 */
import { BudgetExhaustedError, InvalidRequestError, type JobContext } from "@arcp/sdk";
import { z } from "zod";
import { PricedModel } from "./priced-model.ts";
import { paragraphsOf } from "./web-page.ts";

const Reading = z.object({ url: z.url(), question: z.string() });

export interface Notes {
  readonly notes: readonly string[];
  /** Of the page's paragraphs; fewer than there are if the money did not last. */
  readonly read: number;
  readonly paragraphs: number;
}

export const version = "1.0.0";
export const options = { description: "Reads a page with a question in mind", inputSchema: Reading };

const INSTRUCTIONS =
  "You take notes. Say in one sentence what the paragraph says about the question, with its numbers.";
const NOTE_TOKENS = 60;

/** Input: `{ url, question }`. */
export default async function reader(input: unknown, ctx: JobContext): Promise<Notes> {
  const { url, question } = Reading.parse(input);
  const response = await ctx.fetch(url);
  if (!response.ok) throw new InvalidRequestError(`the page answers ${response.status}`);
  const paragraphs = paragraphsOf(await response.text());
  const model = new PricedModel(ctx);
  const notes: string[] = [];
  let read = 0;
  try {
    for (const paragraph of paragraphs) {
      const messages = [
        { role: "system" as const, content: INSTRUCTIONS },
        { role: "user" as const, content: `The question: ${question}\n\nThe paragraph: ${paragraph}` },
      ];
      const { content } = await model.ask({ messages, maxTokens: NOTE_TOKENS });
      if (content) notes.push(content);
      read += 1;
      await ctx.progress(read, { total: paragraphs.length, units: "paragraphs" });
    }
  } catch (error) {
    // Half a page is better than none.
    if (!(error instanceof BudgetExhaustedError)) throw error;
  }
  return { notes, read, paragraphs: paragraphs.length };
}
