/** A broken runtime for each MUST and SHOULD of wire 1.1 that a case judges. */
import type { Mutant } from "./mutant.ts";
import { authorityMutants } from "./mutants-11/authority.ts";
import { delegationMutants } from "./mutants-11/delegation.ts";
import { envelopeMutants } from "./mutants-11/envelope.ts";
import { jobsMutants } from "./mutants-11/jobs.ts";
import { observationMutants } from "./mutants-11/observation.ts";
import { sessionsMutants } from "./mutants-11/sessions.ts";

export const mutants11: readonly Mutant[] = [
  ...envelopeMutants,
  ...sessionsMutants,
  ...jobsMutants,
  ...observationMutants,
  ...authorityMutants,
  ...delegationMutants,
];
