import { ARCPToolClient } from "@arcp/client";
import { type JsonObject, newMessageId } from "@arcp/core";
import { storedSchedules } from "@arcp/runtime";
import type { Command } from "commander";
import { Conversation } from "../../conversation.ts";
import { chosenDatabase, DATABASE_OPTION, openDatabase } from "../database.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { readDuration, readInstant } from "../instant.ts";
import { interruptible } from "../interruptible.ts";
import { readJobId } from "../job-id.ts";
import { parseJson } from "../json-text.ts";
import { printJson } from "../json-view.ts";
import { type LeaseOptions, readLease, withLease } from "../lease-option.ts";
import { credentialsFor, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { table } from "../table.ts";
import { Terminal } from "../terminal.ts";

interface Options extends RuntimeAddress, LeaseOptions {
  readonly at?: string;
  readonly after?: string;
  readonly every?: string;
  readonly args?: string;
  readonly json?: boolean;
}

interface ListOptions {
  readonly db?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp schedule report --at 2027-01-01T09:00:00Z --args '{"year":2026}'
  arcp schedule report --after 10m
  arcp schedule report --every 'FREQ=WEEKLY;BYDAY=MO;BYHOUR=9;BYMINUTE=0'
  arcp schedule report --after 10m --lease 'fs.read=/srv/app/**' --budget USD:5
  arcp schedule list                        from the database of this directory
  arcp schedule cancel job_01J…             nothing more begins; what runs goes on

Each run is a job of its own: \`arcp jobs\` lists them, \`arcp tail\` shows them.
Exit codes: 0 success, 1 refused, 64 wrong arguments.`;

export function addSchedule(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = withLease(
    program
      .command("schedule")
      .description("Have a tool run later, or again and again")
      .argument("<tool>", "name, or name@version")
      .option("--at <time>", "once: RFC 3339, or from now: 90s, 30m, 2h, 1d")
      .option("--after <time>", "once, from now: seconds, or 90s, 30m, 2h, 1d")
      .option("--every <rule>", "again and again: an RFC 5545 rule")
      .option("--args <json>", "the tool's arguments, as JSON (default: {})"),
  )
    .option("--json", "a line of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((tool: string, options: Options) =>
    run(() => interruptible((signal) => schedule(tool, options, signal))),
  );
  command
    .command("list")
    .description("List what is scheduled, from a database")
    .option(...DATABASE_OPTION)
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .action((_options: unknown, list: Command) => run(() => listSchedules(list.optsWithGlobals() as ListOptions)));
  const cancel = command.command("cancel").description("End a schedule").argument("<schedule>", "its id");
  withRuntimeAddress(cancel).action((id: string, _options: unknown, self: Command) =>
    run(() =>
      interruptible(async (signal) => {
        const address = self.optsWithGlobals() as RuntimeAddress;
        await using client = await ARCPToolClient.open(address.url, { ...(await credentialsFor(address)), signal });
        await client.cancelJob(readJobId(id), { signal });
        return EXIT.success;
      }),
    ),
  );
}

async function schedule(tool: string, options: Options, signal: AbortSignal): Promise<ExitCode> {
  const when = whenOf(options);
  const args = options.args === undefined ? {} : parseJson(options.args, "--args");
  const lease = readLease(options);
  await using conversation = await Conversation.open(options.url, { ...(await credentialsFor(options)), signal });
  const terms = lease === undefined ? {} : { lease_request: lease };
  const job = { type: "tool.invoke", payload: { tool, arguments: args, ...terms } };
  const message = { id: newMessageId(), type: "job.schedule", payload: { job, when } };
  const answer = await conversation.ask(message, signal);
  if (answer?.message.type !== "job.accepted") throw new Error(`the runtime answered with ${answer?.message.type}`);
  const { job_id: id } = answer.message;
  const next = nextIn(answer.frame);
  if (options.json ?? !process.stdout.isTTY) {
    await printJson(process.stdout, { type: "schedule", id, next_at: next, when });
  } else {
    const first = next === undefined ? "" : `, next at ${next}`;
    process.stdout.write(`${escapeLine(`${id}${first}`)}\n`);
  }
  return EXIT.success;
}

/** When it runs first, where the runtime says so. */
function nextIn({ payload }: JsonObject): string | undefined {
  const next = ((payload as JsonObject)["schedule"] as JsonObject | undefined)?.["next_at"];
  return typeof next === "string" ? next : undefined;
}

function whenOf({ at, after, every }: Options): object {
  const given = [
    ...(at === undefined ? [] : [{ at: readInstant(at, "--at").toISOString() }]),
    ...(after === undefined ? [] : [{ after: readSeconds(after) }]),
    ...(every === undefined ? [] : [{ every }]),
  ];
  const [when] = given;
  if (when === undefined || given.length > 1) throw new UsageError("expected one of --at, --after and --every");
  return when;
}

function readSeconds(text: string): number {
  const seconds = (readDuration(text) ?? Number(text) * 1000) / 1000;
  if (text.trim() === "" || !(seconds >= 0))
    throw new UsageError(`--after: expected a time such as 10m, got "${text}"`);
  return seconds;
}

async function listSchedules(options: ListOptions): Promise<ExitCode> {
  const store = await openDatabase(chosenDatabase(options.db));
  const isJson = options.json ?? !process.stdout.isTTY;
  const rows: string[][] = [];
  const at = (ms: number): string => new Date(ms).toISOString();
  try {
    for await (const {
      id,
      principal,
      when,
      job,
      nextAt,
      isPaused,
      runs,
      skipped,
      failed,
      lastRunId,
    } of storedSchedules(store)) {
      const { agent } = job as { readonly agent?: unknown };
      const facts = { id, principal, agent, when, next_at: isPaused ? null : at(nextAt) };
      if (isJson)
        await printJson(process.stdout, { type: "schedule", ...facts, runs, skipped, failed, last_run: lastRunId });
      else {
        const next = isPaused ? "paused" : at(nextAt);
        rows.push(
          [id, String(agent), principal, JSON.stringify(when), next, `${runs}`, `${skipped}`, `${failed}`].map(
            escapeLine,
          ),
        );
      }
    }
  } finally {
    await store.close();
  }
  const terminal = new Terminal(process.stdout);
  const heading = ["SCHEDULE", "AGENT", "PRINCIPAL", "WHEN", "NEXT", "RUNS", "SKIPPED", "FAILED"];
  if (!isJson) await terminal.print(rows.length === 0 ? "nothing is scheduled" : table(terminal, heading, rows));
  return EXIT.success;
}
