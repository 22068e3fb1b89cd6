import { setTimeout as sleep } from "node:timers/promises";
import type { AgentHandler } from "@arcp/sdk";

/** Resolves when the next number may come. */
export type Pause = (n: number, signal: AbortSignal) => Promise<void>;

/** Slow enough that somebody can cut the network meanwhile. */
const slowly: Pause = (_n, signal) => sleep(150, undefined, { signal });

/** An agent that counts. */
export const counter =
  (pause: Pause): AgentHandler =>
  async (input, ctx) => {
    const { to } = input as { readonly to: number };
    for (let n = 1; n <= to; n += 1) {
      await pause(n, ctx.signal);
      await ctx.log("info", String(n));
    }
    return { counted: to };
  };

export default counter(slowly);
