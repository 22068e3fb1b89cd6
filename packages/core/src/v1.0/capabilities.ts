/** Capability negotiation (RFC §7): what a session can do is what both sides offered. */
import { z } from "zod";
import { absentOr, counter } from "../messages/envelope.ts";
import { text, word } from "./envelope.ts";
import { CanonicalError } from "./errors.ts";

/** The capabilities that are either there or not. */
export const CAPABILITY_FLAGS = [
  "streaming",
  "durable_jobs",
  "checkpoints",
  "binary_streams",
  "agent_handoff",
  "human_input",
  "artifacts",
  "subscriptions",
  "scheduled_jobs",
  "interrupt",
  "anonymous",
] as const;

/** A capability that is there or not (RFC §7). */
export type CapabilityFlag = (typeof CAPABILITY_FLAGS)[number];
/** How bytes travel: as text, or in a frame of their own that follows (RFC §11.3). */
export type BinaryEncoding = "base64" | "sidecar";
/** What becomes of a job whose heartbeats stop (RFC §10.3). */
export type HeartbeatRecovery = "fail" | "block";

/** Seconds between the heartbeats of a job when nobody says (RFC §10.3). */
export const DEFAULT_HEARTBEAT_SECONDS = 30;

/** How long artifacts are kept, in seconds (RFC §16.3). */
export interface ArtifactRetention {
  readonly default_seconds: number;
  readonly max_seconds: number;
}

/** A tool or agent as a runtime lists it. */
export interface ToolInventoryEntry {
  readonly name: string;
  readonly versions: readonly string[];
  readonly default?: string | undefined;
}

/** What one side offers, or what both agreed on. Every flag is there: an absent one is false (RFC §7). */
export type Capabilities10 = Readonly<Record<CapabilityFlag, boolean>> & {
  readonly extensions: readonly string[];
  readonly binary_encoding: readonly BinaryEncoding[];
  readonly heartbeat_interval_seconds?: number | undefined;
  readonly heartbeat_recovery?: HeartbeatRecovery | undefined;
  readonly artifact_retention?: ArtifactRetention | undefined;
  /** Flags and extensions without which the sender wants no session. */
  readonly required: readonly string[];
  /** Other SDKs' list of what can be invoked. */
  readonly agents?: readonly ToolInventoryEntry[] | undefined;
};

const flag = z
  .boolean()
  .nullish()
  .transform((value) => value ?? false);
const flags = Object.fromEntries(CAPABILITY_FLAGS.map((name) => [name, flag])) as Record<CapabilityFlag, typeof flag>;

const names = z
  .array(z.string().max(256))
  .max(256)
  .nullish()
  .transform((value) => value ?? []);

const encodings = z
  .array(z.unknown())
  .max(16)
  .nullish()
  .transform((list) => {
    const known = new Set((list ?? []).map((entry) => word(["base64", "sidecar"]).safeParse(entry).data));
    return (["base64", "sidecar"] as const).filter((encoding) => known.has(encoding));
  });

const inventory = z.array(
  z.union([
    z.string().transform((name) => ({ name, versions: [], default: undefined })),
    z.object({ name: z.string(), versions: names, default: text(256) }),
  ]),
);

/** Capabilities as any peer sends them. What is `null` or absent is not offered; unknown members are ignored. */
export const capabilities10 = z
  .object({
    ...flags,
    extensions: names,
    binary_encoding: encodings,
    heartbeat_interval_seconds: absentOr(z.number().positive().max(86_400)),
    heartbeat_recovery: absentOr(word(["fail", "block"])),
    artifact_retention: absentOr(z.object({ default_seconds: counter, max_seconds: counter })),
    required: names,
    agents: absentOr(inventory).catch(undefined),
  })
  .transform((read): Capabilities10 => read);

/** Nothing but what is named: the whole of a set of which only some members are given. */
export const capabilitiesOf = (given: Partial<Capabilities10> = {}): Capabilities10 => ({
  ...capabilities10.parse({}),
  ...given,
});

/**
 * What a session between a runtime that offers `offered` and a client that asks for `requested` can do (RFC §7): flags
 * and extensions that both name, the shorter heartbeat interval (30 s if neither says), `base64` and the binary encodings
 * that both have. How lost jobs and artifacts are treated is the runtime's word.
 *
 * @throws CanonicalError `UNIMPLEMENTED`, with `details.missing`, when the result lacks what `requested.required` names.
 */
export function negotiate10(offered: Capabilities10, requested: Capabilities10): Capabilities10 {
  const agreed = Object.fromEntries(CAPABILITY_FLAGS.map((name) => [name, offered[name] && requested[name]]));
  const asked = new Set(requested.extensions);
  const extensions = offered.extensions.filter((name) => asked.has(name));
  const missing = requested.required.filter((name) => agreed[name] !== true && !extensions.includes(name));
  if (missing.length > 0) {
    const named = missing.map((name) => name.slice(0, 64)).slice(0, 8);
    throw new CanonicalError("UNIMPLEMENTED", `required but not offered: ${named.join(", ")}`, {
      details: { missing: named },
    });
  }
  const isSidecar = offered.binary_encoding.includes("sidecar") && requested.binary_encoding.includes("sidecar");
  const intervals = [offered.heartbeat_interval_seconds, requested.heartbeat_interval_seconds].filter(
    (seconds) => seconds !== undefined,
  );
  return {
    ...(agreed as Record<CapabilityFlag, boolean>),
    extensions,
    binary_encoding: isSidecar ? ["base64", "sidecar"] : ["base64"],
    heartbeat_interval_seconds: intervals.length === 0 ? DEFAULT_HEARTBEAT_SECONDS : Math.min(...intervals),
    heartbeat_recovery: offered.heartbeat_recovery ?? "fail",
    artifact_retention: agreed["artifacts"] === true ? offered.artifact_retention : undefined,
    required: [],
    agents: offered.agents,
  };
}
