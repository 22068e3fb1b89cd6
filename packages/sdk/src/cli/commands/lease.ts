import type { Lease, LeaseConstraints } from "@arcp/core";
import { ARCPError } from "@arcp/core";
import { validateLeaseOp } from "@arcp/runtime/lease";
import type { Command } from "commander";
import { remedyFor } from "../denial.ts";
import { escapeLine } from "../escape.ts";
import { EXIT, type ExitCode, UsageError } from "../exit-code.ts";
import { readInstant } from "../instant.ts";
import { readJobId } from "../job-id.ts";
import { printJson } from "../json-view.ts";
import { readLease } from "../lease-option.ts";
import { connectTo, type RuntimeAddress, withRuntimeAddress } from "../runtime-address.ts";
import { Terminal } from "../terminal.ts";

interface Options extends RuntimeAddress {
  readonly lease?: readonly string[];
  readonly expiresAt?: string;
  readonly at?: string;
  readonly job?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  arcp lease check --lease 'fs.read=/srv/app/**' fs.read /srv/app/main.ts
  arcp lease check --lease 'net.fetch=https://*.example.com/**' net.fetch https://api.example.com/v1 || echo no
  arcp lease check --job job_01J… fs.write /etc/hosts        under the lease of a job

Nothing is done but to compare: the file is not opened, links are not followed, hosts are not looked up.
Exit codes: 0 it would be allowed, 2 it would not, 64 wrong arguments.`;

export function addLease(program: Command, run: (work: () => Promise<ExitCode>) => Promise<void>): void {
  const lease = program.command("lease").description("Tell what a lease covers").addHelpText("after", EXAMPLES);
  const command = lease
    .command("check")
    .description("Would a lease allow this operation?")
    .argument("<capability>", "fs.read, fs.write, net.fetch, tool.call, agent.delegate, model.use, x-vendor.…")
    .argument("<target>", "the path, URL or name")
    .option("--lease <name=pattern>", "what the lease says, e.g. 'fs.read=/data/**'; JSON too; repeatable", collect)
    .option("--expires, --expires-at <time>", "when it ends: RFC 3339, or from now: 90s, 30m, 2h, 1d")
    .option("--at <time>", "as it would be then: RFC 3339, or from now (default: now)")
    .option("--job <job>", "the lease of this job")
    .option("--json", "lines of JSON (default where the output is not a terminal)")
    .option("--no-json", "text for people, wherever the output goes")
    .addHelpText("after", EXAMPLES);
  withRuntimeAddress(command).action((capability: string, target: string, options: Options) =>
    run(() => check(capability, target, options)),
  );
}

async function check(capability: string, target: string, options: Options): Promise<ExitCode> {
  const { lease, constraints } = await leaseOf(options);
  const now = options.at === undefined ? Date.now() : readInstant(options.at, "--at").getTime();
  const isJson = options.json ?? !process.stdout.isTTY;
  const terminal = new Terminal(process.stdout);
  try {
    const canonical = validateLeaseOp(lease, capability, target, { now, constraints });
    if (isJson) await printJson(process.stdout, { allowed: true, capability, target: canonical });
    else await terminal.print(`${terminal.style("green", "allowed")}  ${escapeLine(`${capability} ${canonical}`)}`);
    return EXIT.success;
  } catch (thrown) {
    if (!(thrown instanceof ARCPError)) throw thrown;
    if (isJson) await printJson(process.stdout, { allowed: false, capability, target, error: thrown.toWire() });
    else {
      const remedy = remedyFor(thrown);
      await terminal.print(
        `${terminal.style("red", "denied")}   ${escapeLine(`${thrown.code}: ${thrown.message}`)}${remedy === undefined ? "" : `\n         ${escapeLine(remedy)}`}`,
      );
    }
    return EXIT.jobFailed;
  }
}

interface Checked {
  readonly lease: Lease;
  readonly constraints: LeaseConstraints | undefined;
}

async function leaseOf(options: Options): Promise<Checked> {
  const { job, expiresAt } = options;
  if (job === undefined) {
    const lease = readLease(options);
    if (lease === undefined) throw new UsageError("whose lease? --lease name=pattern, or --job");
    const constraints =
      expiresAt === undefined ? undefined : { expires_at: readInstant(expiresAt, "--expires").toISOString() };
    return { lease, constraints };
  }
  if (options.lease !== undefined || expiresAt !== undefined) {
    throw new UsageError("--job has a lease of its own: it excludes --lease and --expires");
  }
  await using client = await connectTo(options);
  const { subscribed } = await client.subscribe(readJobId(job), { history: false });
  const end = subscribed.leaseConstraints?.expiresAt;
  return { lease: subscribed.lease, constraints: end === undefined ? undefined : { expires_at: end } };
}

const collect = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];
