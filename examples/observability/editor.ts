/** An agent that has a story looked into by somebody else, and has a model write it up. */
import type { JobContext } from "@arcp/sdk";

export default async (
  input: { readonly topic: string; readonly reporter: string },
  ctx: JobContext,
): Promise<object> => {
  await ctx.log("info", `asks for research on ${input.topic}`);
  const research = await ctx.delegate({
    ...{ agent: input.reporter, input },
    lease_request: { "agent.delegate": ["researcher"], "tool.call": ["search"], "cost.budget": ["USD:0.10"] },
  }).done;
  const text = await ctx.useModel(
    "small",
    async ({ report }) => {
      // Where a real agent would call a model, and read what it took.
      await report({
        ...{ name: "cost.inference", value: 0.002, unit: "USD" },
        dimensions: { input_tokens: 210, output_tokens: 64 },
      });
      return `A story about ${input.topic}.`;
    },
    { cost: { USD: 0.01 } },
  );
  return { text, research: research.result };
};
