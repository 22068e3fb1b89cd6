/** Asks for the name of a branch, which it cannot do without, and for a remark, which it can. */
import type { JobContext } from "@arcp/sdk";

export const version = "1.0.0";

const BRANCH = {
  type: "object",
  properties: { branch: { type: "string", pattern: "^[a-z]+/[a-z-]+$" } },
  required: ["branch"],
};

export default async function fix(_input: unknown, ctx: JobContext) {
  // The job is blocked until somebody has given an answer that keeps the schema. Others never get here.
  const { value, respondedBy } = await ctx.requestHumanInput<{ branch: string }>({
    prompt: "What branch should I create for this fix?",
    responseSchema: BRANCH,
  });
  await ctx.log("info", `${respondedBy} wants it on ${value.branch}`);

  // Nobody has to answer this one: when its time is over, the default counts.
  const remark = await ctx.requestHumanInput<string>({
    prompt: "Anything to add to the description?",
    responseSchema: { type: "string" },
    default: "nothing to add",
    expiresInMs: 100,
  });
  return { branch: value.branch, remark: remark.value, remarkBy: remark.respondedBy };
}
