import { existsSync } from "node:fs";
import { type Command, Option } from "commander";
import { openDatabase } from "../database.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { FramePrinter } from "../frame-printer.ts";
import { interruptible } from "../interruptible.ts";
import { readJobId } from "../job-id.ts";
import { JournalPrinter } from "../journal-printer.ts";
import { LogFollower } from "../log-follower.ts";
import { observe } from "../observe.ts";
import { isPostgres } from "../postgres.ts";
import { type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { followJob } from "../watch.ts";

interface Options extends RuntimeAddress {
  readonly history?: boolean;
  readonly follow: boolean;
  readonly types?: readonly string[];
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp tail job_01J…                  everything so far, then live until the job ends
  arcp tail job_01J… --no-history     only what happens from now on
  arcp tail job_01J… --json | jq -c 'select(.kind == "log").body'
  arcp tail                           whatever your jobs and those of your other sessions tell from now on
  arcp tail --history --types log tool.result
  arcp tail path/to/runtime.db        what a runtime writes to its database, whether it runs or not

A lost connection, or a restarted runtime, is found again by itself.
Exit codes: 0 success, 1 not found or lost, 2 the job failed, 64 wrong arguments, 130 ended by Ctrl-C.`;

export function addTail(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("tail")
    .description("Watch a job, all of your sessions, or a database")
    .argument("[job|database]", "the job's id, a file, or postgresql://… (default: every message of your sessions)")
    .addOption(new Option("--history", "with what has happened so far (default for a job and a database)"))
    .addOption(new Option("--no-history", "only what happens from now on (default for sessions)"))
    .option("--no-follow", "of a database: end when everything is printed")
    .option("--types <type...>", "of sessions: only messages of these types of wire 1.0")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((target: string | undefined, options: Options) =>
    run(() => tail(target, options)),
  );
}

async function tail(target: string | undefined, options: Options): Promise<ExitCode> {
  const { history, types, follow } = options;
  const isFile = target !== undefined && isDatabase(target);
  if (types !== undefined && target !== undefined) throw new UsageError("--types is for sessions: name no job or file");
  if (!follow && !isFile) throw new UsageError("--no-follow is for a database");
  if (target !== undefined && !isFile) {
    return followJob(readJobId(target), options, { history: history ?? true, isJson: options.json, isAttended: false });
  }
  return interruptible(async (signal) => {
    if (target !== undefined) await tailFile(target, history ?? true, options, signal);
    else {
      const filter = types === undefined ? {} : { types };
      const printer = new FramePrinter({ ...jsonOption(options), namesJobs: true });
      await observe(options, { filter, history: history ?? false, printer, signal });
    }
    return EXIT.success;
  });
}

const jsonOption = ({ json }: Options): { readonly json?: boolean } => (json === undefined ? {} : { json });

/** A job's id names a job, whatever lies around here. */
function isDatabase(target: string): boolean {
  if (target.startsWith("job_")) return false;
  if (isPostgres(target)) return true;
  const isPath = /[/\\.]/.test(target);
  if (isPath && !existsSync(target)) throw new UsageError(`there is no file ${target}`);
  return isPath || existsSync(target);
}

async function tailFile(path: string, history: boolean, options: Options, signal: AbortSignal): Promise<void> {
  const store = await openDatabase(path);
  try {
    const printer = new JournalPrinter(options.json ?? !process.stdout.isTTY);
    const told = new Set<string>();
    let latest = "";
    for await (const { job, entry } of new LogFollower(store, { history, follows: options.follow, signal }).entries()) {
      // For people it says again whose entries come next; a program can tell by the id.
      if (!told.has(job.jobId) || (printer.isForPeople && latest !== job.jobId)) await printer.printJob(job);
      told.add(job.jobId);
      latest = job.jobId;
      await printer.printEntry(entry);
      if (entry.type !== "job.event") told.delete(job.jobId);
    }
  } finally {
    await store.close();
  }
}
