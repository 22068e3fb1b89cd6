import type { Command } from "commander";
import { escapeLine } from "../escape.ts";
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
  arcp agents --json | jq -r .name`;

export function addAgents(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("agents")
    .description("List the agents of a runtime, with their versions")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((options: Options) => run(() => agents(options)));
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
