import { readFile } from "node:fs/promises";
import { text as readAll } from "node:stream/consumers";
import type { SubmitOptions } from "@arcp/client";
import { AGENT_REFERENCE } from "@arcp/core";
import type { Command } from "commander";
import { ChildJobs } from "../child-jobs.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { parseSeconds, readInstant } from "../instant.ts";
import { parseJson } from "../json-text.ts";
import { printJson } from "../json-view.ts";
import { type LeaseOptions, readLease, withLease } from "../lease-option.ts";
import { ResultFile } from "../result-file.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { openScreen, watchJob } from "../watch.ts";

interface Options extends RuntimeAddress, LeaseOptions {
  readonly input?: string;
  readonly inputFile?: string;
  readonly expiresAt?: string;
  readonly idempotencyKey?: string;
  readonly maxRuntime?: number;
  readonly detach?: boolean;
  readonly json?: boolean;
  readonly output?: string;
}

const EXAMPLES = `
Examples:
  arcp submit echo --input '{"hello":"world"}'
  arcp submit repo-report --input '{"directory":"."}' --output report.md
  arcp submit research@2.0.0 --input-file question.json --budget USD:5 --expires 2h
  arcp submit tidy --lease 'fs.read=/srv/app/**' --lease 'fs.write=/srv/app/out/*'
  generate | arcp submit summarize --input-file - --json | jq -r 'select(.type == "job.result").result'
  JOB=$(arcp submit nightly --detach)        # prints the job's id; follow it with: arcp watch "$JOB"

Exit codes: 0 success, 1 not submitted or lost, 2 the job failed, 64 wrong arguments, 130 detached by Ctrl-C.`;

export function addSubmit(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const command = withLease(
    program
      .command("submit")
      .description("Submit a job and watch it until it ends")
      .argument("<agent>", "name, or name@version")
      .option("--input <json>", "the input, as JSON (default: null)")
      .option("--input-file <file>", "a file with the input, as JSON; - reads standard input"),
  )
    .option("--expires, --expires-at <time>", "when the lease ends: RFC 3339, or from now: 90s, 30m, 2h, 1d")
    .option("--idempotency-key <key>", "submitting again with the same key gives the same job")
    .option("--max-runtime <seconds>", "end the job after so many seconds", parseSeconds)
    .option("--detach", "print the job's id and leave; the job goes on")
    .option("--output <file>", "save the result to a file")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((agent: string, options: Options) => run(() => submit(agent, options)));
}

async function submit(agent: string, options: Options): Promise<ExitCode> {
  const request = await readRequest(agent, options);
  if (options.detach === true && options.output !== undefined) {
    throw new UsageError("--output needs the job's end, which --detach does not wait for");
  }
  const output = options.output === undefined ? undefined : await ResultFile.open(options.output);
  const giveUp = new AbortController();
  const onInterrupt = (): void => giveUp.abort(new Error("interrupted"));
  process.once("SIGINT", onInterrupt);
  try {
    await using client = await connectTo(options, giveUp.signal);
    using children = new ChildJobs(client);
    const job = await client.submit({ ...request, signal: giveUp.signal });
    process.off("SIGINT", onInterrupt);
    if (options.detach === true) {
      if (options.json === true) await printJson(process.stdout, { type: "job.accepted", job_id: job.jobId });
      else process.stdout.write(`${escapeLine(job.jobId)}\n`);
      return EXIT.success;
    }
    const { accepted } = job;
    return await watchJob({
      ...openScreen(options.json),
      client,
      job,
      facts: {
        jobId: job.jobId,
        agent: accepted.agent ?? agent,
        lease: accepted.lease,
        expiresAt: accepted.leaseConstraints?.expiresAt,
        budget: accepted.budget,
        traceId: accepted.traceId,
        relation: "submitted",
      },
      output,
      children,
      isAttended: true,
    });
  } catch (thrown) {
    if (giveUp.signal.aborted) return EXIT.interrupted;
    throw thrown;
  } finally {
    process.off("SIGINT", onInterrupt);
    await output?.discard();
  }
}

async function readRequest(agent: string, options: Options): Promise<SubmitOptions> {
  if (!AGENT_REFERENCE.test(agent)) throw new UsageError(`not an agent: "${agent}"; expected name or name@version`);
  const { idempotencyKey, maxRuntime, expiresAt } = options;
  const lease = readLease(options);
  return {
    agent,
    input: await readInput(options),
    ...(lease === undefined ? {} : { leaseRequest: lease }),
    ...(expiresAt === undefined ? {} : { leaseConstraints: { expiresAt: readInstant(expiresAt, "--expires") } }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(maxRuntime === undefined ? {} : { maxRuntimeSec: maxRuntime }),
  };
}

async function readInput({ input, inputFile }: Options): Promise<unknown> {
  if (input !== undefined && inputFile !== undefined) {
    throw new UsageError("--input and --input-file exclude each other");
  }
  if (input !== undefined) return parseJson(input, "--input");
  if (inputFile === undefined) return null;
  if (inputFile === "-") return parseJson(await readAll(process.stdin), "standard input");
  const content = await readFile(inputFile, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(`--input-file ${inputFile}: ${error.code ?? error.message}`);
  });
  return parseJson(content, inputFile);
}
