import { setTimeout as sleep } from "node:timers/promises";
import type { AgentHandler } from "@arcp/sdk";

/** Counts, slowly enough that connections break meanwhile. */
const counter: AgentHandler = async (input, ctx) => {
  const { to } = input as { readonly to: number };
  for (let n = 1; n <= to; n += 1) {
    await ctx.log("info", String(n));
    await sleep(100, undefined, { signal: ctx.signal });
  }
  return { counted: to };
};

export default counter;
