import type { Command } from "commander";
import { escapeLine, jsonLines } from "../escape.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { printJson } from "../json-view.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Options extends RuntimeAddress {
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp agents
  arcp agents --json | jq -r .name
  arcp agents research                     what it does, and what input it takes
  arcp agents research@2.0.0 --json | jq .input_schema`;

export function addAgents(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("agents")
    .description("List the agents of a runtime, with their versions, or tell what one of them takes")
    .argument("[agent]", "name, or name@version: tell what this one takes")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((agent: string | undefined, options: Options) =>
    run(() => (agent === undefined ? agents(options) : describeAgent(agent, options))),
  );
}

async function describeAgent(reference: string, options: Options): Promise<ExitCode> {
  await using client = await connectTo(options);
  const { agent, description, inputSchema } = await client.describeAgent(reference);
  if (options.json ?? !process.stdout.isTTY) {
    await printJson(process.stdout, { agent, description, input_schema: inputSchema });
    return EXIT.success;
  }
  const terminal = new Terminal(process.stdout);
  const input = inputSchema === undefined ? "any JSON, as far as the runtime knows" : jsonLines(inputSchema);
  const about = description === undefined ? [] : [...description.split("\n").map(escapeLine), ""];
  const lines = [terminal.style("bold", escapeLine(agent)), ...about, `Input: ${input}`];
  await terminal.print(lines.join("\n"));
  return EXIT.success;
}

async function agents(options: Options): Promise<ExitCode> {
  await using client = await connectTo(options);
  const inventory = client.session?.agents ?? [];
  if (options.json ?? !process.stdout.isTTY) {
    for (const agent of inventory) await printJson(process.stdout, agent);
    return EXIT.success;
  }
  const terminal = new Terminal(process.stdout);
  const rows = inventory.map(({ name, versions, default: chosen }) => [
    terminal.style("bold", escapeLine(name)),
    escapeLine(chosen ?? ""),
    escapeLine(versions.filter((version) => version !== chosen).join(", ")),
  ]);
  const nothing = "the runtime has no agents";
  await terminal.print(rows.length === 0 ? nothing : table(terminal, ["AGENT", "DEFAULT", "OTHER VERSIONS"], rows));
  return EXIT.success;
}
