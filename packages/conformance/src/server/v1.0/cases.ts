/** Wire 1.0 (RFC-0001), in the order of its sections. */
import type { Case } from "../../case.ts";
import type { ServerContext } from "../context.ts";
import { artifactCases } from "./artifacts.ts";
import { envelopeCases } from "./envelope.ts";
import { jobCases } from "./jobs.ts";
import { observabilityCases } from "./observability.ts";
import { observerCases } from "./observers.ts";
import { peopleCases } from "./people.ts";
import { sessionCases } from "./sessions.ts";
import { streamCases } from "./streams.ts";

export const cases10: readonly Case<ServerContext>[] = [
  ...envelopeCases,
  ...sessionCases,
  ...jobCases,
  ...streamCases,
  ...peopleCases,
  ...observerCases,
  ...artifactCases,
  ...observabilityCases,
];
