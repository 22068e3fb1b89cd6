/** An agent that hands its job over to another runtime, in another process. */
import type { JobContext } from "@arcp/sdk";

export default (input: unknown, ctx: JobContext): Promise<never> =>
  ctx.handoff({ runtime: "archive", agent: "researcher", input, leaseRequest: { "tool.call": ["search"] } });
