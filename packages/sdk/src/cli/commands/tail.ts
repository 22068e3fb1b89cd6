import type { Command } from "commander";
import { EXIT, type ExitCode } from "../exit-code.ts";
import { readJobId } from "../job-id.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { openScreen, watchJob } from "../watch.ts";

interface Options extends RuntimeAddress {
  readonly history: boolean;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp tail job_01J…                  everything so far, then live until the job ends
  arcp tail job_01J… --no-history     only what happens from now on
  arcp tail job_01J… --json | jq -c 'select(.kind == "log").body'

A lost connection, or a restarted runtime, is found again by itself.
Exit codes: 0 success, 1 not found or lost, 2 the job failed, 64 wrong arguments, 130 detached by Ctrl-C.`;

export function addTail(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = program
    .command("tail")
    .description("Watch a job, from its beginning, until it ends")
    .argument("<job>", "the job's id")
    .option("--no-history", "leave out what has happened so far")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((job: string, options: Options) => run(() => tail(job, options)));
}

async function tail(job: string, options: Options): Promise<ExitCode> {
  const jobId = readJobId(job);
  const giveUp = new AbortController();
  const onInterrupt = (): void => giveUp.abort(new Error("interrupted"));
  process.once("SIGINT", onInterrupt);
  try {
    await using client = await connectTo(options, giveUp.signal);
    await using subscription = await client.subscribe(jobId, { history: options.history });
    process.off("SIGINT", onInterrupt);
    const { agent, lease, leaseConstraints, budget, traceId } = subscription.subscribed;
    const facts = { jobId, agent, lease, expiresAt: leaseConstraints?.expiresAt, budget, traceId };
    return await watchJob({
      ...openScreen(options.json),
      client,
      job: subscription,
      facts: { ...facts, relation: "observed" },
    });
  } catch (thrown) {
    if (giveUp.signal.aborted) return EXIT.interrupted;
    throw thrown;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}
