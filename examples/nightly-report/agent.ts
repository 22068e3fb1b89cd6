/** Reports on the days of a shop: on every one that is over and has no report yet. */
import type { AgentOptions, JobContext } from "@arcp/sdk";
import OpenAI from "openai";

export const version = "1.0.0";

const DIRECTORY = { type: "string", pattern: "^/" } as const;

export const options: AgentOptions = {
  description: "Reports on the days of sales that have no report yet",
  // A night that is interrupted goes on where it was.
  durable: true,
  inputSchema: { type: "object", properties: { sales: DIRECTORY, reports: DIRECTORY }, required: ["sales", "reports"] },
};

/** `sales` has a file for each day, `reports` gets one: `2027-03-01.csv` becomes `2027-03-01.md`. */
export default async function nightlyReport(input: unknown, ctx: JobContext) {
  const { sales, reports } = input as { readonly sales: string; readonly reports: string };

  // A schedule that was missed runs once, however often it was missed. So what is to be done is what is not done, and no
  // run believes that it is about one night. That is another answer tomorrow: it belongs into a step, as all that follows.
  const days = await ctx.step("which days", async () => {
    const written = new Set(await namesIn(ctx, reports));
    return (await namesIn(ctx, sales)).filter((day) => !written.has(day));
  });

  const pages: string[] = [];
  for (const day of days) {
    const totals = await ctx.step(`add up ${day}`, async () =>
      totalsOf(await ctx.fs.read(`${sales}/${day}.csv`, "utf8")),
    );
    const sentence = await ctx.step(`sum up ${day}`, () => summaryOf(ctx, totals), { retry: { maxAttempts: 3 } });
    const page = `# ${day}\n\n${totals.items} sold for EUR ${totals.revenue}. ${sentence}\n`;
    // It replaces what is there: to do it twice does no harm.
    await ctx.step(`write ${day}`, () => ctx.fs.write(`${reports}/${day}.md`, page));
    pages.push(page);
    await ctx.progress(pages.length, { total: days.length, units: "days" });
  }
  return {
    scheduledFor: ctx.scheduledFor,
    days,
    report: await ctx.putArtifact(pages.join("\n"), { mediaType: "text/markdown" }),
  };
}

/** The days that a directory has files of, oldest first. */
async function namesIn({ fs }: JobContext, directory: string): Promise<readonly string[]> {
  return (await fs.list(directory)).map(({ name }) => name.replace(/\.\w+$/, ""));
}

interface Totals {
  readonly items: number;
  /** EUR. */
  readonly revenue: string;
  readonly bestseller: string;
}

/** Of lines of `product,items,price`. */
function totalsOf(csv: string): Totals {
  const sold = csv
    .trim()
    .split("\n")
    .map((line) => line.split(","))
    .map(([product = "", items, price]) => ({ product, items: Number(items), revenue: Number(items) * Number(price) }));
  const [best] = sold.toSorted((a, b) => b.revenue - a.revenue);
  return {
    items: sold.reduce((sum, { items }) => sum + items, 0),
    revenue: sold.reduce((sum, { revenue }) => sum + revenue, 0).toFixed(2),
    bestseller: best?.product ?? "nothing",
  };
}

/** What the model has to say about a day. The job pays for it with what its budget has of tokens. */
async function summaryOf(ctx: JobContext, totals: Totals): Promise<string> {
  const model = process.env["OPENAI_MODEL"] ?? "gpt-5-mini";
  return ctx.useModel(
    model,
    async ({ report, signal }) => {
      const openai = new OpenAI({ fetch: ctx.fetch });
      const { choices, usage } = await openai.chat.completions.create(
        {
          model,
          messages: [
            { role: "system", content: "Say in one sentence what the owner of the shop should know about this day." },
            { role: "user", content: JSON.stringify(totals) },
          ],
        },
        { signal },
      );
      await report({ name: "cost.model", value: usage?.total_tokens ?? 0, unit: "tokens" });
      return choices[0]?.message.content ?? "";
    },
    { cost: { tokens: 1000 } },
  );
}
