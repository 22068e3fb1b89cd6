import type { NodeRecord } from "@arcp/runtime";
import type { Command } from "commander";
import { stateOf, withNodes } from "../cluster-nodes.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { duration } from "../gauge.ts";
import { printJson } from "../json-view.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Options {
  readonly db?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp nodes --db postgresql://arcp@db/arcp
  ARCP_DB=postgresql://arcp@db/arcp arcp nodes --all     those that were up within a day, too
  arcp nodes --json | jq -r 'select(.state == "up") | .name'

STATE is up, draining (it was asked to stop), silent (it has not said for its time that it lives) or gone. LAG is how long
what other nodes commit has taken lately to be seen by it.`;

export function addNodes(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("nodes")
    .description("List the nodes that share a database on PostgreSQL, the oldest first")
    .option("--db <url>", "postgresql://…; else ARCP_DB")
    .option("--all", "those that were up within a day, too")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES)
    .action((options: Options) =>
      run(() => withNodes(options.db, async (store) => nodes(await store.nodes(), options))),
    );
}

async function nodes(records: readonly NodeRecord[], { all = false, json }: Options): Promise<ExitCode> {
  const shown = records.filter((node) => all || node.isUp).toReversed();
  if (json ?? !process.stdout.isTTY) for (const node of shown) await printJson(process.stdout, wireForm(node));
  else await printTable(shown);
  return EXIT.success;
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

const wireForm = (node: NodeRecord): object => ({
  ...{
    id: node.id,
    name: node.name,
    state: stateOf(node),
    version: node.version,
    level: node.level ?? 1,
    labels: node.labels,
  },
  ...{ agents: node.agents, jobs: node.jobs, sessions: node.sessions, lag_ms: node.lagMs },
  ...{ started_at: isoTime(node.startedAt), last_seen_at: isoTime(node.beatAt), silent_ms: node.silentMs },
});

const STATE_STYLES = { up: "green", draining: "yellow", silent: "red", gone: "gray" } as const;

async function printTable(shown: readonly NodeRecord[]): Promise<void> {
  const terminal = new Terminal(process.stdout);
  if (shown.length === 0) return terminal.print("no nodes");
  const heading = ["NODE", "NAME", "STATE", "VERSION", "UP", "JOBS", "SESSIONS", "LAG", "LABELS", "AGENTS"];
  const rows = shown.map((node) => {
    const state = stateOf(node);
    const labels = Object.entries(node.labels).map(([name, value]) => `${name}=${value}`);
    return [
      ...[escapeLine(node.id), escapeLine(node.name), terminal.style(STATE_STYLES[state], state)],
      ...[escapeLine(node.version), duration(node.beatAt + (node.isUp ? node.silentMs : 0) - node.startedAt)],
      ...[String(node.jobs), String(node.sessions), `${node.lagMs} ms`],
      ...[escapeLine(labels.join(" ")), escapeLine(node.agents.join(" "))],
    ];
  });
  return terminal.print(table(terminal, heading, rows));
}
