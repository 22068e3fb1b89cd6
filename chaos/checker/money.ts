/** I7: budgets bound what is spent, and what is spent is counted once; I8: every credential is revoked, and nobody's twice. */
import { BUDGET_USD } from "../agents.ts";
import type { Stored } from "./stored.ts";
import { grouped, type Story } from "./story.ts";
import type { Report } from "./violation.ts";

const MICROS = 1_000_000;

export function checkBudgets({ lines }: Story, stored: Stored, report: Report): void {
  const spent = lines.filter((line) => line.kind === "spent");
  for (const [root, all] of grouped(spent, (line) => line.root)) {
    const micros = all.reduce((sum, line) => sum + line.micros, 0);
    if (micros > BUDGET_USD * MICROS) {
      report("I7", `job ${root} and those it delegated to spent ${micros / MICROS} of ${BUDGET_USD}`);
    }
  }
  const byJob = grouped(spent, (line) => line.job);
  for (const { id, agent, status, budget } of stored.jobs.values()) {
    // Of a job that was alone with its budget, and of which nothing was cut short.
    if (agent !== "spender" || status !== "success" || budget === null) continue;
    const own = byJob.get(id) ?? [];
    if (own.some((line) => line.root !== id)) continue;
    const expected = BUDGET_USD * MICROS - own.reduce((sum, line) => sum + line.micros, 0);
    // To the last digit: what is counted in binary fractions is wrong there.
    const left = budget["USD"];
    if (left !== expected / MICROS)
      report("I7", `job ${id}: ${left} are said to be left of its budget, ${expected / MICROS} are`);
  }
}

export function checkCredentials({ lines, acceptances }: Story, { outstanding }: Stored, report: Report): void {
  const owners = new Map<string, string>();
  for (const { job, values } of acceptances) {
    for (const value of values) {
      const owner = owners.get(value) ?? job;
      owners.set(value, owner);
      if (owner !== job) report("I8", `jobs ${owner} and ${job} were given the same credential`);
    }
  }
  for (const line of lines) {
    if (line.kind === "credential" && line.isLive)
      report("I8", `credential ${line.alias} is alive after everything has ended`);
  }
  for (const { alias, lastError } of outstanding) {
    if (lastError === "HTTP 404") report("I8", `credential ${alias} is to be revoked for ever: there is none`);
  }
}
