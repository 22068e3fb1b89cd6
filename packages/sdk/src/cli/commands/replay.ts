import { type JsonObject, toSessionId } from "@arcp/core";
import { SessionReplay, type Store } from "@arcp/runtime";
import type { Command } from "commander";
import { chosenDatabase, DEFAULT_DATABASE, openDatabase, shownDatabase } from "../database.ts";
import { amount } from "../event-line.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { FramePrinter } from "../frame-printer.ts";
import { readJobId } from "../job-id.ts";
import { JournalPrinter } from "../journal-printer.ts";

interface Options {
  readonly db?: string;
  readonly job?: string;
  readonly session?: string;
  readonly after?: string;
  readonly raw?: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp replay                                   every job in ./${DEFAULT_DATABASE}
  arcp replay runtime.db --job job_01J…         one job
  arcp replay --job job_01J… --after 100        what came after its 100th entry
  arcp replay --session sess_01J… --json        the messages that a session was sent, with their ids
  arcp replay runtime.db --after msg_01J…       what that message's session was sent after it
  arcp replay --json | jq -c 'select(.type == "job.error")'

Reads the database only, while a server uses it or without one. A session is kept as long as it can be resumed; its jobs are
kept longer.`;

export function addReplay(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  program
    .command("replay")
    .description("Print what happened, from the database of a runtime, offline")
    .argument("[database]", `a file, or postgresql://…; else ARCP_DB (default: ${DEFAULT_DATABASE})`)
    .option("--db <database>", "the same as an option")
    .option("--job <job>", "only this job")
    .option("--session <session>", "what this session was sent, message by message")
    .option("--after <n|message>", "leave out each job's first n entries, or what was sent up to a message")
    .option("--raw", "messages exactly as they were sent")
    .option("--json", "lines of JSON")
    .addHelpText("after", EXAMPLES)
    .action((file: string | undefined, options: Options) => run(() => replay(file, options)));
}

async function replay(file: string | undefined, options: Options): Promise<ExitCode> {
  if (file !== undefined && options.db !== undefined)
    throw new UsageError("--db stands for the database: give one of them");
  const database = chosenDatabase(file ?? options.db);
  const { session, after } = options;
  const isPosition = after === undefined || /^\d{1,15}$/.test(after);
  if (session !== undefined && isPosition && after !== undefined) {
    throw new UsageError("--after: the messages of a session have ids, e.g. msg_01J…");
  }
  const store = await openDatabase(database);
  try {
    if (session === undefined && isPosition)
      await printJobs(store, shownDatabase(database), options, Number(after ?? 0));
    else await printSession(store, shownDatabase(database), options);
    return EXIT.success;
  } finally {
    await store.close();
  }
}

async function printJobs(store: Store, path: string, options: Options, after: number): Promise<void> {
  const jobId = options.job === undefined ? undefined : readJobId(options.job);
  const printer = new JournalPrinter(options.json === true);
  let count = 0;
  for await (const job of store.jobs()) {
    if (jobId !== undefined && job.jobId !== jobId) continue;
    if (options.session !== undefined && job.sessionId !== sessionIdOf(options.session)) continue;
    await printer.printJob(job);
    let entries = 0;
    for await (const entry of store.entries(job.jobId, after)) {
      entries += 1;
      await printer.printEntry(entry);
    }
    const { terminal } = printer;
    if (options.json !== true) await terminal.print(terminal.style("gray", `  ${amount(entries)} entries\n`));
    count += 1;
  }
  if (count === 0 && options.session !== undefined) throw new Error(`${path} has no session ${options.session}`);
  if (count === 0 && jobId !== undefined) throw new Error(`${path} has no job ${jobId}`);
  if (count === 0 && options.json !== true) process.stdout.write("no jobs\n");
}

async function printSession(store: Store, path: string, options: Options): Promise<void> {
  const { session, after } = options;
  const jobId = options.job === undefined ? undefined : readJobId(options.job);
  const found =
    session === undefined
      ? await SessionReplay.ofMessage(store, after ?? "")
      : await SessionReplay.open(store, toSessionId(sessionIdOf(session)));
  if (found === undefined) {
    if (after !== undefined) {
      throw new Error(`${path} has no message ${after}: no session of it was sent that, or it is not kept any more`);
    }
    // Its jobs may be there still.
    await printJobs(store, path, options, 0);
    process.stderr.write("arcp: the session is not kept any more: these are the journals of its jobs\n");
    return;
  }
  const printer = new FramePrinter({ raw: options.raw === true, json: options.json === true, namesJobs: true });
  for await (const sent of found.messages(after)) {
    if (jobId !== undefined && sent.jobId !== jobId) continue;
    await printer.print({ text: sent.text, frame: JSON.parse(sent.text) as JsonObject });
  }
}

/** An id without its prefix means the same. */
const sessionIdOf = (text: string): string => (/^[0-9A-HJKMNP-TV-Z]{26}$/.test(text) ? `sess_${text}` : text);
