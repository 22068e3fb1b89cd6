/** Feature negotiation (§6.2): the effective set is the intersection of what both peers offered. */

/** The eleven negotiable features of wire 1.1, in the specification's order. */
export const V1_1_FEATURES = [
  "heartbeat",
  "ack",
  "list_jobs",
  "subscribe",
  "lease_expires_at",
  "cost.budget",
  "model.use",
  "provisioned_credentials",
  "progress",
  "result_chunk",
  "agent_versions",
] as const;

/** A feature that sessions negotiate (§6.2). */
export type Feature = (typeof V1_1_FEATURES)[number];

/**
 * What wire 1.0 has and wire 1.1 has not, questions to people, permissions, streams, as messages and events that are
 * called `x-vendor.arcp.*`: comes to sessions of wire 1.1 that negotiated this.
 */
export const EXTENSION_FEATURE = "x-vendor.arcp.rfc0001";

/**
 * Agents that say what input they take, submissions that are only checked, and a welcome that says what the session may do:
 * comes to sessions of wire 1.1 that negotiated this.
 */
export const DESCRIBE_FEATURE = "x-vendor.arcp.describe";

/** In `job.subscribed`: the number of this session after which the history comes. Absent where it is 0. */
export const REPLAYED_AFTER_MEMBER = "x-vendor.arcp.replayed_after";

const KNOWN: ReadonlySet<string> = new Set(V1_1_FEATURES);

/** Is it a feature of the specification (§6.2)? */
export const isFeature = (name: string): name is Feature => KNOWN.has(name);

/** An agent as `session.welcome` lists it. */
export interface AgentInventoryEntry {
  readonly name: string;
  readonly versions: readonly string[];
  readonly default?: string;
}

/** What a peer says of itself in `session.hello` or `session.welcome`. */
export interface Capabilities {
  readonly encodings: readonly string[];
  readonly features?: readonly string[];
  readonly agents?: readonly (string | AgentInventoryEntry)[];
  readonly extensions?: readonly string[];
}

/**
 * The features that both sides offer, in the order of {@link V1_1_FEATURES} and then of `ours` for vendor features.
 * Names that only one side knows are left out; an absent list is an empty one.
 */
export function negotiateCapabilities(
  ours: readonly string[] | undefined,
  theirs: readonly string[] | undefined,
): readonly string[] {
  const offered = new Set(theirs ?? []);
  const own = new Set(ours ?? []);
  const core = V1_1_FEATURES.filter((name) => own.has(name) && offered.has(name));
  const vendor = [...own].filter((name) => name.startsWith("x-vendor.") && offered.has(name));
  return [...core, ...vendor];
}
