/** The tables of docs/conformance-suite.md, made of the suite's own data. */
import { readFileSync } from "node:fs";
import { BEHAVIOURS, requirementsOf, serverCases, unseenByServerSuite, type Wire } from "@arcp/conformance";

export const PAGE = new URL("../../docs/conformance-suite.md", import.meta.url);
const BEGIN = "<!-- from here on made by npm run conformance-suite -- --docs -->\n";

/** The page as it has to be. */
export function page(): string {
  const text = readFileSync(PAGE, "utf8");
  return text.slice(0, text.indexOf(BEGIN) + BEGIN.length) + generated();
}

function generated(): string {
  const behaviours = Object.entries(BEHAVIOURS).map(([name, does]) => `| \`${name}\` | ${cell(does)} |`);
  return `
## What the agents do

The input is in braces. Without a manifest, agents are looked for as \`suite.echo\`, \`suite.count\` and so on.

| Behaviour | The agent |
| --- | --- |
${behaviours.join("\n")}
${wireSection("1.1")}${wireSection("1.0")}`;
}

function wireSection(wire: Wire): string {
  const cases = serverCases(wire);
  const requirements = requirementsOf(wire);
  const ids = new Set(cases.flatMap((aCase) => aCase.requirements));
  const musts = [...ids].filter((id) => requirements.get(id)?.level.startsWith("MUST"));
  const rows = cases.map((aCase) => `| \`${aCase.id}\` | ${cell(aCase.title)} | ${aCase.requirements.join(" ")} |`);
  const byReason = Map.groupBy(unseenByServerSuite(wire), ({ reason }) => reason);
  const unseen = [...byReason].map(([reason, list]) => `| ${cell(reason)} | ${list.map(({ id }) => id).join(" ")} |`);
  return `
## Cases of wire ${wire}

${cases.length} cases judge ${ids.size} requirements, ${musts.length} of them MUST.

| Case | What is so | Requirements |
| --- | --- | --- |
${rows.join("\n")}

What no case of wire ${wire} can decide, and why:

| Reason | Requirements |
| --- | --- |
${unseen.join("\n")}
`;
}

const cell = (text: string): string => text.replaceAll("|", "\\|");
