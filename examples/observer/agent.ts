/** Works in two halves, and waits between them until it is told to go on. */
import type { JobContext } from "@arcp/sdk";

export const version = "1.0.0";

export default async function build(_input: unknown, ctx: JobContext): Promise<string> {
  for (const step of [1, 2]) await ctx.progress(step, { total: 4, units: "steps" });
  await ctx.log("info", "half of it is done");
  await ctx.requestHumanChoice({ prompt: "Go on?", options: [{ id: "yes", label: "Yes" }] });
  for (const step of [3, 4]) await ctx.progress(step, { total: 4, units: "steps" });
  return "built";
}
