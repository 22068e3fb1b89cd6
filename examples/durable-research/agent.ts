/**
 * A research agent that outlives its runtime: ten steps, each of which does something outside.
 *
 * A step that has returned is never done again. The one that was under way when the runtime died is begun again, with the
 * same key: a server that knows a call by its key does it once. Whatever is not a step has to be the same each time.
 */
import { join } from "node:path";
import type { JobContext, StepContext } from "@arcp/sdk";

export interface Commission {
  readonly question: string;
  /** Where the library is. */
  readonly library: string;
  /** A directory for what the agent writes. */
  readonly notes: string;
}

export const version = "1.0.0";

/** Between two books, and in the night that comes before the last one, in milliseconds. */
const PAUSE_MS = 60;
const NIGHT_MS = 2_000;

/** Input: a {@link Commission}. */
export default async function research(input: unknown, ctx: JobContext) {
  const { question, library, notes } = input as Commission;
  const ask = async <Answer>(path: string, body: object, { signal, idempotencyKey }: StepContext): Promise<Answer> => {
    const headers = { "content-type": "application/json", "idempotency-key": idempotencyKey };
    const response = await ctx.fetch(`${library}${path}`, {
      ...{ method: "POST", headers, body: JSON.stringify(body), signal },
    });
    if (!response.ok) throw new Error(`the library answers ${response.status}`);
    return (await response.json()) as Answer;
  };

  const titles = await ctx.step("search", (step) => ask<readonly string[]>("/searches", { question }, step));
  await ctx.log("info", `found ${titles.length} books`);

  const findings: string[] = [];
  for (const [index, title] of titles.entries()) {
    const finding = await ctx.step(`read ${title}`, async (step) => {
      const { text } = await ask<{ readonly text: string }>("/loans", { title }, step);
      await ctx.fs.write(join(notes, `${index + 1}.md`), `# ${title}\n\n${text}\n`);
      return text;
    });
    findings.push(`- ${finding} (${title})`);
    await ctx.log("info", `has read ${title}`);
    await ctx.progress(index + 1, { total: titles.length, units: "books" });
    await ctx.sleep(index === titles.length - 2 ? NIGHT_MS : PAUSE_MS);
  }

  const report = `# ${question}\n\n${findings.join("\n")}\n`;
  await ctx.step("write the report", () => ctx.fs.write(join(notes, "report.md"), report));
  await ctx.log("info", "has written the report");
  const { id } = await ctx.step("publish it", (step) => ask<{ readonly id: string }>("/reports", { report }, step));
  await ctx.step("tell the readers", (step) => ask("/letters", { about: id }, step));
  await ctx.log("info", `has published it as ${id}`);
  return { report: id, books: titles.length };
}
