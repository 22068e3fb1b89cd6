/** Wire 1.0 (RFC-0001), in the order of its sections. */
import type { Case } from "../../case.ts";
import type { ServerContext } from "../context.ts";
import { artifactCases } from "./artifacts.ts";
import { authenticationCases } from "./authentication.ts";
import { controlCases } from "./control.ts";
import { envelopeCases } from "./envelope.ts";
import { jobCases } from "./jobs.ts";
import { leaseCases } from "./leases.ts";
import { observabilityCases } from "./observability.ts";
import { observerCases } from "./observers.ts";
import { peopleCases } from "./people.ts";
import { priorityCases } from "./priorities.ts";
import { sessionCases } from "./sessions.ts";
import { streamCases } from "./streams.ts";

export const cases10: readonly Case<ServerContext>[] = [
  ...envelopeCases,
  ...priorityCases,
  ...sessionCases,
  ...authenticationCases,
  ...jobCases,
  ...controlCases,
  ...streamCases,
  ...peopleCases,
  ...leaseCases,
  ...observerCases,
  ...artifactCases,
  ...observabilityCases,
];
