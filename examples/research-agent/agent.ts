/**
 * Answers a question from the pages of a library: chooses some, has each read by an agent of its own, which is given that page
 * and a part of the money, and writes a report that says where it has what from. If the money does not last, it ends with
 * what it has.
 */
import { ARCPError, BudgetExhaustedError, InvalidRequestError, type JobContext, type ResultStream } from "@arcp/sdk";
import type OpenAI from "openai";
import { z } from "zod";
import { PricedModel } from "./priced-model.ts";
import type { Notes } from "./reader.ts";
import { type Link, linksOf } from "./web-page.ts";

const Commission = z.object({
  question: z.string().describe("What to find out"),
  library: z.url().describe("A page whose links are what there is to read"),
});

export const version = "1.0.0";
export const options = { description: "Answers a question from the pages of a library", inputSchema: Commission };

const CHOOSE = "You lead a research. Call read_page for every page that may help to answer the question.";
const WRITE = `You write a short report, in Markdown, that answers the question from the notes and from nothing else. After each
statement stands the number of its source, such as [1].`;
const PLAN_TOKENS = 300;
const REPORT_TOKENS = 700;
/** How much of the money the readers are given together. */
const READERS_SHARE = 0.8;

interface Source extends Link {
  readonly notes: readonly string[];
  /** For people: how much of it was read, or why nothing. */
  readonly reading: string;
}

/** Input: `{ question, library }`. The result is the report. */
export default async function research(input: unknown, ctx: JobContext): Promise<void> {
  const { question, library } = Commission.parse(input);
  const model = new PricedModel(ctx);

  await ctx.status("choosing");
  const page = await ctx.fetch(library);
  if (!page.ok) throw new InvalidRequestError(`the library answers ${page.status}`);
  const links = linksOf(await page.text(), library);
  const chosen = await choose(question, links, model);

  await ctx.status("reading");
  const sources = await readAll(question, chosen, model, ctx);
  for (const { title, reading } of sources) await ctx.log("info", `${title}: ${reading}`);

  await ctx.status("writing");
  const useful = sources.filter(({ notes }) => notes.length > 0);
  const report = ctx.streamResult();
  await report.write(`# ${question}\n\n`);
  if (useful.length > 0) await write(question, useful, model, report);
  else await report.write("Nothing was found.\n");
  await report.finalize(undefined, { summary: `${useful.length} of ${links.length} pages` });
}

/** What the model says, or the notes if it cannot be paid any more; and the sources. */
async function write(question: string, sources: readonly Source[], model: PricedModel, report: ResultStream) {
  // A line is a chunk: whoever watches reads it while the next one is being written.
  let line = "";
  const add = async (text: string): Promise<void> => {
    line += text;
    const end = line.lastIndexOf("\n") + 1;
    if (end > 0) await report.write(line.slice(0, end));
    line = line.slice(end);
  };
  try {
    await model.tell({ messages: reportPrompt(question, sources), maxTokens: REPORT_TOKENS }, add);
  } catch (error) {
    if (!(error instanceof BudgetExhaustedError)) throw error;
    await add(`The money was used up before the report was written. The notes:\n\n${noted(sources)}`);
  }
  const cited = sources.map(({ title, url, reading }, index) => `[${index + 1}] ${title}, ${url} (${reading})\n`);
  await add(`\n\n${cited.join("")}`);
}

/** What the model calls it with is looked up: it can choose pages, and make none up. */
async function choose(question: string, links: readonly Link[], model: PricedModel): Promise<readonly Link[]> {
  const list = links.map(({ url, title }) => `${url} ${title}`).join("\n");
  const { tool_calls = [] } = await model.ask({
    messages: [
      { role: "system", content: CHOOSE },
      { role: "user", content: `The question: ${question}\n\nThe pages:\n${list}` },
    ],
    tools: [
      {
        type: "function",
        function: { name: "read_page", parameters: z.toJSONSchema(z.object({ url: z.string() })) },
      },
    ],
    maxTokens: PLAN_TOKENS,
  });
  const asked = new Set(tool_calls.map((call) => call.type === "function" && urlIn(call.function.arguments)));
  return links.filter(({ url }) => asked.has(url));
}

function urlIn(args: string): unknown {
  try {
    return JSON.parse(args)?.url;
  } catch {
    return undefined; // A model that cannot write JSON has not chosen anything.
  }
}

/** All at once, each with an equal share of the money, if there is a budget. */
async function readAll(
  question: string,
  links: readonly Link[],
  model: PricedModel,
  ctx: JobContext,
): Promise<readonly Source[]> {
  const left = ctx.budget.get("USD");
  const share =
    left === undefined ? {} : { "cost.budget": [`USD:${((left * READERS_SHARE) / links.length).toFixed(4)}`] };
  const readings = links.map(({ url }) =>
    ctx.delegate({
      agent: "reader",
      input: { url, question },
      lease_request: {
        ...{ ...model.lease, ...share },
        "net.fetch": [url, ...model.lease["net.fetch"]],
      },
    }),
  );
  const ends = await Promise.allSettled(readings.map(({ done }) => done));
  return ends.map((outcome, index) => {
    const link = links[index] as Link;
    if (outcome.status === "rejected") {
      return { ...link, notes: [], reading: `not read, ${ARCPError.from(outcome.reason).code}` };
    }
    const { notes, read, paragraphs } = outcome.value.result as Notes;
    const end = read < paragraphs ? ", then BUDGET_EXHAUSTED" : "";
    return { ...link, notes, reading: `${read} of ${paragraphs} paragraphs${end}` };
  });
}

const reportPrompt = (question: string, sources: readonly Source[]): OpenAI.ChatCompletionMessageParam[] => [
  { role: "system", content: WRITE },
  { role: "user", content: `The question: ${question}\n\nThe notes:\n${noted(sources)}` },
];

const noted = (sources: readonly Source[]): string =>
  sources.flatMap(({ notes }, index) => notes.map((note) => `- ${note} [${index + 1}]`)).join("\n");
