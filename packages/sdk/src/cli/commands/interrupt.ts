import { newMessageId } from "@arcp/core";
import type { Command } from "commander";
import { Conversation } from "../../conversation.ts";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { interruptible } from "../interruptible.ts";
import { readJobId } from "../job-id.ts";
import { printJson } from "../json-view.ts";
import { credentialsFor, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";

interface Options extends RuntimeAddress {
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp interrupt job_01J…
  arcp interrupt job_01J… "Which branch should it be?"

The job pauses at what it does next, and its people are asked; it goes on when somebody answers with \`arcp respond\`, or
nobody does for five minutes.
Exit codes: 0 it was interrupted, 1 the runtime refused, 64 wrong arguments.`;

export function addInterrupt(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("interrupt")
    .description("Pause a job, and have its people asked what it should do")
    .argument("<job>", "the job's id")
    .argument("[prompt]", "what to ask them")
    .option("--json", "a line of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((job: string, prompt: string | undefined, options: Options) =>
    run(() => interruptible((signal) => interrupt(job, prompt, options, signal))),
  );
}

async function interrupt(
  job: string,
  prompt: string | undefined,
  options: Options,
  signal: AbortSignal,
): Promise<ExitCode> {
  const jobId = readJobId(job);
  await using conversation = await Conversation.open(options.url, { ...(await credentialsFor(options)), signal });
  const aim = { target: "job", target_id: jobId, prompt };
  await conversation.ask({ id: newMessageId(), type: "interrupt", job_id: jobId, payload: aim }, signal);
  if (options.json ?? !process.stdout.isTTY) {
    await printJson(process.stdout, { type: "job.interrupted", job_id: jobId, prompt });
  } else process.stdout.write(`${jobId} was interrupted; \`arcp respond\` tells it what to do\n`);
  return EXIT.success;
}
