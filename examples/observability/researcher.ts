/** An agent of the other runtime: it looks things up with a tool. */
import type { JobContext } from "@arcp/sdk";

export default async (input: { readonly topic: string }, ctx: JobContext): Promise<object> => {
  ctx.logger.info({ topic: input.topic }, "looks it up");
  return { found: await ctx.callTool("search", { words: input.topic }) };
};
