/** Time: an agent that goes on after its lease is over. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JobContext } from "@arcp/sdk";
import type { Proof } from "./proof.ts";
import type { ShiftedClock } from "./shifted-clock.ts";
import { outcomeOf, type Stage } from "./stage.ts";

const LEASE_MS = 10_000;

export async function boundTime(stage: Stage, clock: ShiftedClock, proof: Proof): Promise<void> {
  const file = join(stage.directory, "log.txt");
  await writeFile(file, "before\n");
  const outcomes: string[] = [];

  /** Writes while it may, lets the lease pass, tries again, and pretends that all is well. */
  async function appender(_input: unknown, { fs }: JobContext): Promise<string> {
    outcomes.push(await outcomeOf(fs.write(file, "in time\n", { mode: "append" })));
    clock.advance(LEASE_MS);
    outcomes.push(await outcomeOf(fs.write(file, "too late\n", { mode: "append" })));
    return "all is well";
  }

  stage.server.registerAgent("appender", appender);
  proof.title(`Time. The lease: fs.write ${file}, for ${LEASE_MS / 1000} seconds; the demo moves the runtime's clock`);
  const job = await stage.run({
    agent: "appender",
    leaseRequest: { "fs.read": [file], "fs.write": [file] },
    leaseConstraints: { expiresAt: new Date(clock.now() + LEASE_MS) },
  });
  proof.code("writes in time", outcomes[0] ?? job.end, "allowed");
  proof.code("writes after expires_at", outcomes[1] ?? job.end, "LEASE_EXPIRED");
  proof.code("what the job's watchers were told of that call", job.refusals[0]?.code ?? "nothing", "LEASE_EXPIRED");
  proof.code('the job, though its agent returned "all is well"', job.end, "LEASE_EXPIRED");
  const text = await readFile(file, "utf8");
  proof.fact("the file has what was written in time, and no more", text === "before\nin time\n");
}
