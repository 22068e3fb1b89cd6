/** The names of capabilities, and what kind of thing each one's patterns match (§9.2). */
import type { Lease } from "@arcp/core";

/** What the patterns of a capability match; `text` is what a vendor makes of it. */
export type TargetKind = "path" | "url" | "name" | "agent" | "text";

/** The reserved namespaces. */
const RESERVED = {
  "fs.read": "path",
  "fs.write": "path",
  "net.fetch": "url",
  "tool.call": "name",
  "agent.delegate": "agent",
  "cost.budget": "amount",
  "model.use": "name",
} as const satisfies Record<string, TargetKind | "amount">;

const VENDOR_CAPABILITY = /^x-vendor\.[a-z0-9_-]+(\.[a-z0-9_-]+)+$/;
const MAX_NAME_LENGTH = 128;

/** Is it a capability that the specification names (§9.2)? */
export const isReservedCapabilityName = (name: string): boolean => Object.hasOwn(RESERVED, name);

/** Reserved names, and vendor names in lower case. */
export const isValidCapabilityName = (name: string): boolean =>
  isReservedCapabilityName(name) || (name.length <= MAX_NAME_LENGTH && VENDOR_CAPABILITY.test(name));

/** The kind of a valid capability's patterns; undefined for a name that is none. */
export function kindOf(capability: string): TargetKind | "amount" | undefined {
  if (isReservedCapabilityName(capability)) return RESERVED[capability as keyof typeof RESERVED];
  return isValidCapabilityName(capability) ? "text" : undefined;
}

/** What `lease` itself says about `capability`. */
export const grantedBy = (lease: Lease, capability: string): readonly string[] =>
  (Object.hasOwn(lease, capability) && lease[capability]) || [];
