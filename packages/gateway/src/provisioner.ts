/** The gateway as an issuer of credentials for jobs (§9.8). */
import type { ARCPError, JsonObject, Lease } from "@arcp/core";
import {
  type CredentialProvisioner,
  type CredentialReference,
  type CredentialRequest,
  explainUpstreamRefusal,
  type IssuedCredential,
  initialBudgetFromLease,
} from "@arcp/runtime";
import { digestOf, type Keyring, newSecret } from "./keyring.ts";
import { revoked } from "./refusal.ts";
import type { Api } from "./routes.ts";

export interface ProvisionerTools {
  readonly name: string;
  readonly prefix: string;
  readonly keyring: Keyring;
  /** The API whose clients the credential's endpoint is made for. */
  readonly profile: Api;
  /** Where the gateway is reached, without a path. @throws InternalError while that is nowhere. */
  readonly origin: () => string;
}

export class GatewayProvisioner implements CredentialProvisioner {
  readonly name: string;
  readonly #tools: ProvisionerTools;

  constructor(tools: ProvisionerTools) {
    this.name = tools.name;
    this.#tools = tools;
  }

  issuesFor({ lease }: Pick<CredentialRequest, "lease">): boolean {
    return Object.hasOwn(lease, "model.use") && (lease["model.use"]?.length ?? 0) > 0;
  }

  async issue(request: CredentialRequest, signal: AbortSignal): Promise<IssuedCredential> {
    signal.throwIfAborted();
    const { keyring, prefix, profile, origin } = this.#tools;
    const endpoint = profile === "openai" ? `${origin()}/v1` : origin();
    const value = newSecret(prefix);
    keyring.add(
      {
        digest: digestOf(value),
        alias: request.alias,
        lease: request.lease,
        // A job without a budget of its own may be bounded by its parent's.
        currencies: new Set([...request.budget.keys(), ...initialBudgetFromLease(request.lease).keys()]),
        expiresAt: request.expiresAt,
        guard: request.guard,
      },
      revoked(),
    );
    return { scheme: "bearer", value, endpoint, profile, constraints: constraintsOf(request) };
  }

  /** Takes effect at once: what is under way with the key is aborted. */
  async revoke({ alias }: Pick<CredentialReference, "alias">): Promise<void> {
    this.#tools.keyring.remove(alias, revoked());
  }

  explain(error: unknown): ARCPError | undefined {
    return explainUpstreamRefusal(error);
  }
}

function constraintsOf({ lease, leaseConstraints }: CredentialRequest): JsonObject {
  const echoed = (capability: keyof Lease & string): JsonObject => {
    const patterns = lease[capability];
    return patterns === undefined ? {} : { [capability]: [...patterns] };
  };
  const { expires_at } = leaseConstraints;
  return { ...echoed("model.use"), ...echoed("cost.budget"), ...(expires_at !== undefined && { expires_at }) };
}
