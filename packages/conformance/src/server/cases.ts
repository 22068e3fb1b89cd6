/** Every case of the server suite. */
import type { Case } from "../case.ts";
import type { Wire } from "../requirements.ts";
import type { ServerContext } from "./context.ts";
import { cases10 } from "./v1.0/cases.ts";
import { boundCases } from "./v1.1/bounds.ts";
import { budgetCases } from "./v1.1/budgets.ts";
import { cancellationCases } from "./v1.1/cancellation.ts";
import { closingCases } from "./v1.1/closing.ts";
import { credentialCases } from "./v1.1/credentials.ts";
import { delegationCases } from "./v1.1/delegation.ts";
import { errorCases, lifecycleCases } from "./v1.1/endings.ts";
import { envelopeCases } from "./v1.1/envelope.ts";
import { eventCases, resultCases } from "./v1.1/events.ts";
import { handshakeCases } from "./v1.1/handshake.ts";
import { heartbeatCases } from "./v1.1/heartbeats.ts";
import { expiryCases, leaseCases } from "./v1.1/leases.ts";
import { listingCases } from "./v1.1/listing.ts";
import { modelCases } from "./v1.1/models.ts";
import { ackCases, resumeCases } from "./v1.1/resume.ts";
import { idempotencyCases, submissionCases } from "./v1.1/submission.ts";
import { subscriptionCases } from "./v1.1/subscriptions.ts";
import { versionCases } from "./v1.1/versions.ts";

const CASES: readonly Case<ServerContext>[] = [
  ...envelopeCases,
  ...handshakeCases,
  ...resumeCases,
  ...heartbeatCases,
  ...ackCases,
  ...listingCases,
  ...closingCases,
  ...submissionCases,
  ...idempotencyCases,
  ...lifecycleCases,
  ...cancellationCases,
  ...versionCases,
  ...errorCases,
  ...subscriptionCases,
  ...eventCases,
  ...resultCases,
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
