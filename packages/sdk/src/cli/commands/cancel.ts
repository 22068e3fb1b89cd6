import type { Command } from "commander";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { readJobId } from "../job-id.ts";
import { printJson } from "../json-view.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";

interface Options extends RuntimeAddress {
  readonly reason?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp cancel job_01J…
  arcp cancel job_01J… --reason "wrong directory"

The agent is asked to stop; what it does not stop within the runtime's grace period is ended. A runtime other than
\`arcp serve\` may let only the session that submitted a job cancel it.
Exit codes: 0 the runtime agreed, 1 it refused, or the job had ended, 64 wrong arguments.`;

export function addCancel(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("cancel")
    .description("Ask a job to stop")
    .argument("<job>", "the job's id")
    .option("--reason <text>", "why; the runtime passes it on")
    .option("--json", "a line of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((job: string, options: Options) => run(() => cancel(job, options)));
}

async function cancel(job: string, options: Options): Promise<ExitCode> {
  const { reason } = options;
  const jobId = readJobId(job);
  await using client = await connectTo(options);
  await client.cancelJob(jobId, reason === undefined ? {} : { reason });
  if (options.json ?? !process.stdout.isTTY) {
    await printJson(process.stdout, { type: "job.cancelled", job_id: jobId, reason });
  } else process.stdout.write(`${jobId} was asked to stop\n`);
  return EXIT.success;
}
