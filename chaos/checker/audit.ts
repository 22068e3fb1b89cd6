/** I16: the chain of the audit verifies, and every job that was accepted is in it. */
import type { Stored } from "./stored.ts";
import type { Report } from "./violation.ts";

export function checkAudit({ audit, jobs }: Stored, report: Report): void {
  if (audit.broken !== undefined) report("I16", `the audit is broken: ${audit.broken}`);
  for (const { id, isDelegated } of jobs.values()) {
    if (!isDelegated && !audit.submitted.has(id)) report("I16", `nobody is on record for the submission of job ${id}`);
  }
}
