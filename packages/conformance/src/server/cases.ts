/** Every case of the server suite. */
import type { Case } from "../case.ts";
import type { Wire } from "../requirements.ts";
import type { ServerContext } from "./context.ts";
import { cases10 } from "./v1.0/cases.ts";
import { authorityCases } from "./v1.1/authority.ts";
import { envelopeCases } from "./v1.1/envelope.ts";
import { handshakeCases } from "./v1.1/handshake.ts";
import { jobCases } from "./v1.1/jobs.ts";
import { observationCases } from "./v1.1/observation.ts";
import { sessionCases } from "./v1.1/sessions.ts";

const CASES: readonly Case<ServerContext>[] = [
  ...envelopeCases,
  ...handshakeCases,
  ...sessionCases,
  ...jobCases,
  ...observationCases,
  ...authorityCases,
  ...cases10,
];

/** The cases for runtimes of a wire, in the order of its specification. */
export function serverCases(wire: Wire): readonly Case<ServerContext>[] {
  return CASES.filter((aCase) => aCase.wire === wire);
}
