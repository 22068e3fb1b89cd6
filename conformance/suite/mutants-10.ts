/** A broken runtime for each MUST and SHOULD of wire 1.0 that a case judges. */
import type { Mutant } from "./mutant.ts";
import { envelopeMutants } from "./mutants-10/envelope.ts";
import { jobsMutants } from "./mutants-10/jobs.ts";
import { observersMutants } from "./mutants-10/observers.ts";
import { peopleMutants } from "./mutants-10/people.ts";
import { sessionsMutants } from "./mutants-10/sessions.ts";
import { streamsMutants } from "./mutants-10/streams.ts";
import { telemetryMutants } from "./mutants-10/telemetry.ts";

export const mutants10: readonly Mutant[] = [
  ...envelopeMutants,
  ...sessionsMutants,
  ...jobsMutants,
  ...streamsMutants,
  ...peopleMutants,
  ...observersMutants,
  ...telemetryMutants,
];
