import type { Command } from "commander";
import type { ExitCode } from "../exit-code.ts";
import { readJobId } from "../job-id.ts";
import { type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { useColors } from "../use-colors.ts";
import { followJob } from "../watch.ts";

interface Options extends RuntimeAddress {
  readonly json?: boolean;
  readonly color: boolean;
}

const EXAMPLES = `
Examples:
  arcp watch job_01J…                 its events, budget, lease and questions, until it ends
  arcp watch job_01J… --json | jq -c 'select(.kind == "log").body'

Keys: a answers what it asks, c cancels it after a question, r shows what it thinks in full, q leaves. A lost connection, or
a restarted runtime, is found again by itself, and nothing is missed.
Exit codes: 0 success, 1 not found or lost, 2 the job failed, 64 wrong arguments, 130 left: the job goes on.`;

export function addWatch(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("watch")
    .description("Look at one job until it ends, answer its questions, cancel it")
    .argument("<job>", "the job's id")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .option("--no-color", "without colours, as NO_COLOR does")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((job: string, options: Options) =>
    run(() => {
      useColors(options.color);
      return followJob(readJobId(job), options, { history: true, isJson: options.json, isAttended: true });
    }),
  );
}
