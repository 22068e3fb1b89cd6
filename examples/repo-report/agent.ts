/**
 * Analyses a directory and streams a Markdown report about it.
 *
 * The shape of the agent is the shape of this file: check the input, analyse (`analysis.ts`), rank what was found
 * (`findings.ts`), and stream the report (`report.ts`). Everything that the watcher sees goes through `narration.ts`.
 */
import type { JobContext } from "@arcp/sdk";
import { type Analysis, analyse } from "./analysis.ts";
import { type Finding, rankedFindings } from "./findings.ts";
import { readRequest } from "./input.ts";
import { count } from "./markdown.ts";
import { Narrator } from "./narration.ts";
import { reportSections, summaryOf } from "./report.ts";

export const version = "1.0.0";

/** Input: `{ directory: string, title?: string, maxFiles?: number, paceMs?: number }`. The result is the report. */
export default async function repoReport(input: unknown, ctx: JobContext): Promise<unknown> {
  const request = await readRequest(input);
  const narrator = new Narrator(ctx, request.paceMs);
  const analysis = await analyse(request, narrator);
  const findings = rankedFindings(analysis);
  await ctx.thought(thoughtOn(findings));

  await narrator.stage("report", "Writing the report");
  return streamReport(analysis, findings, ctx, narrator);
}

function thoughtOn(findings: readonly Finding[]): string {
  const [first] = findings;
  if (first === undefined) return "Nothing stands out.";
  return `Of ${count(findings.length, "finding")} I would start with this one: ${first.title}.`;
}

/** A section is a chunk: whoever watches reads the first while the last is being written. */
async function streamReport(
  analysis: Analysis,
  findings: readonly Finding[],
  ctx: JobContext,
  narrator: Narrator,
): Promise<void> {
  const stream = ctx.streamResult({});
  for (const section of reportSections(analysis, findings)) {
    await narrator.breathe();
    await stream.write(section, { encoding: "utf8" });
    await narrator.pause();
  }
  await stream.finalize(undefined, { summary: summaryOf(analysis, findings) });
}
