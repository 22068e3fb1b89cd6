import type { Lease, LeaseConstraints } from "@arcp/core";
import { canonicalJson } from "../../store/canonical-json.ts";

/** What was given, and what was asked for if that was something else (§9). */
export function leaseFacts(
  given: Lease,
  asked: Lease | undefined,
  constraints: LeaseConstraints | null,
): { readonly lease: Lease; readonly lease_request?: Lease; readonly lease_constraints?: LeaseConstraints } {
  const isSame = asked === undefined || canonicalJson(asked) === canonicalJson(given);
  return {
    lease: given,
    ...(!isSame && { lease_request: asked }),
    ...(constraints && { lease_constraints: constraints }),
  };
}
