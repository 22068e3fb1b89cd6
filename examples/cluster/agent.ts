/**
 * Sends letters, one step each. Which node it runs on does not matter, and may change: whoever goes on with the job is told
 * which letters were sent, and sends the one that was under way with the same key, by which the post office knows it.
 */
import type { JobContext } from "@arcp/sdk";

export interface Mailing {
  /** Where the post office is. */
  readonly office: string;
  readonly letters: number;
  /** Between two letters, in milliseconds: long enough to be killed in. */
  readonly pauseMs: number;
}

export const version = "1.0.0";
export const options = { durable: true };

/** Input: a {@link Mailing}. */
export default async function mailing(input: unknown, ctx: JobContext) {
  const { office, letters, pauseMs } = input as Mailing;
  for (let number = 1; number <= letters; number += 1) {
    await ctx.step(`letter ${number}`, async ({ signal, idempotencyKey }) => {
      const headers = { "content-type": "application/json", "idempotency-key": idempotencyKey };
      const body = JSON.stringify({ about: number });
      const response = await ctx.fetch(`${office}/letters`, { method: "POST", headers, body, signal });
      if (!response.ok) throw new Error(`the post office answers ${response.status}`);
    });
    await ctx.log("info", `letter ${number} is sent`);
    await ctx.progress(number, { total: letters, units: "letters" });
    await ctx.sleep(pauseMs);
  }
  return { sent: letters };
}
