/** Every case of the server suite. */
import type { Case } from "../case.ts";
import type { Wire } from "../requirements.ts";
import type { ServerContext } from "./context.ts";
import { cases10 } from "./v1.0/cases.ts";
import { boundCases } from "./v1.1/bounds.ts";
import { budgetCases, modelCases } from "./v1.1/budgets.ts";
import { cancellationCases } from "./v1.1/cancellation.ts";
import { credentialCases } from "./v1.1/credentials.ts";
import { delegationCases } from "./v1.1/delegation.ts";
import { errorCases, lifecycleCases } from "./v1.1/endings.ts";
import { envelopeCases } from "./v1.1/envelope.ts";
import { handshakeCases } from "./v1.1/handshake.ts";
import { expiryCases, leaseCases } from "./v1.1/leases.ts";
import { observationCases } from "./v1.1/observation.ts";
import { sessionCases } from "./v1.1/sessions.ts";
import { idempotencyCases, submissionCases } from "./v1.1/submission.ts";
import { versionCases } from "./v1.1/versions.ts";

const CASES: readonly Case<ServerContext>[] = [
  ...envelopeCases,
  ...handshakeCases,
  ...sessionCases,
  ...submissionCases,
  ...idempotencyCases,
  ...lifecycleCases,
  ...cancellationCases,
  ...versionCases,
  ...errorCases,
  ...observationCases,
  ...leaseCases,
  ...expiryCases,
  ...budgetCases,
  ...modelCases,
  ...credentialCases,
  ...delegationCases,
  ...boundCases,
  ...cases10,
];

/** The cases for runtimes of a wire, in the order of its specification. */
export function serverCases(wire: Wire): readonly Case<ServerContext>[] {
  return CASES.filter((aCase) => aCase.wire === wire);
}
