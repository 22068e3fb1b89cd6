/** The smallest useful agent: it says what it does, takes a few steps if asked to, and returns what it was given. */
import { setTimeout as delay } from "node:timers/promises";
import type { JobContext } from "@arcp/sdk";

export const version = "1.0.0";

interface Pacing {
  readonly steps: number;
  readonly delayMs: number;
}

/** Input: anything. An object may ask for `steps` (progress events) and `delayMs` (the wait before each of them). */
export default async function echo(input: unknown, ctx: JobContext): Promise<{ echoed: unknown }> {
  const { steps, delayMs } = pacingOf(input);
  await ctx.log("info", "echo started", { steps, delayMs });
  for (let step = 1; step <= steps; step++) {
    // The signal fires when the job is cancelled or times out. A wait that is given it ends at once.
    if (delayMs > 0) await delay(delayMs, undefined, { signal: ctx.signal }).catch(() => {});
    ctx.signal.throwIfAborted();
    await ctx.progress(step, { total: steps, units: "steps", message: `step ${step} of ${steps}` });
  }
  await ctx.log("info", "echo finished");
  return { echoed: input };
}

function pacingOf(input: unknown): Pacing {
  const asked: Record<string, unknown> = typeof input === "object" && input !== null ? { ...input } : {};
  return { steps: within(asked["steps"], 1_000), delayMs: within(asked["delayMs"], 60_000) };
}

/** `value` as a whole number from 0 to `max`. The echo agent takes any input, so what is not a number counts as 0. */
function within(value: unknown, max: number): number {
  return typeof value === "number" && value > 0 ? Math.min(Math.floor(value), max) : 0;
}
