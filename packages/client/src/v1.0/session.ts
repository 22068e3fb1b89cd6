/** A session of wire 1.0 as its client knows it, across the connections that have carried it (RFC §9). */
import { type ARCPError, UnauthenticatedError } from "@arcp/core";
import {
  type Capabilities10,
  type MessageOf10,
  negotiate10,
  type RuntimeMessage10,
  type ToolInventoryEntry,
} from "@arcp/core/v1.0";

/** What was agreed when a session was opened (RFC §7, §8.3). */
export interface ToolSessionFacts {
  readonly sessionId: string;
  readonly runtime: {
    readonly kind: string;
    readonly version: string;
    readonly fingerprint: string | undefined;
    readonly trustLevel: string | undefined;
  };
  /** What both sides can do. */
  readonly capabilities: Capabilities10;
  /** When the runtime's admission ends, unless it is renewed. RFC 3339. */
  readonly leaseExpiresAt: string | undefined;
  /** What the runtime says that can be invoked. */
  readonly tools: readonly ToolInventoryEntry[];
}

export class ToolSession {
  readonly facts: ToolSessionFacts;
  #lastMessageId: string;

  constructor(facts: ToolSessionFacts, acceptedId: string) {
    this.facts = facts;
    this.#lastMessageId = acceptedId;
  }

  get id(): string {
    return this.facts.sessionId;
  }

  /** The last message of the session that was received: what `resume` names (RFC §19). */
  get lastMessageId(): string {
    return this.#lastMessageId;
  }

  /** A message of the session has come. */
  observe(type: string, messageId: string): void {
    if (!isPlaceless(type)) this.#lastMessageId = messageId;
  }
}

/**
 * Messages whose ids tell no place in a session: a question has one id for every session that is asked, and a sign of
 * life is nobody's history. What comes again because they were passed over is known by its id.
 */
const PLACELESS: ReadonlySet<string> = new Set<RuntimeMessage10["type"]>([
  "human.input.request",
  "human.choice.request",
  "permission.request",
  "job.heartbeat",
]);

/** Does a message of that type tell no place to go on from? */
export const isPlaceless = (type: string): boolean => PLACELESS.has(type);

/**
 * The session that `session.accepted` opens. Throws {@link UnauthenticatedError} for a runtime that is not the one that
 * was pinned (RFC §8.3).
 */
export function sessionOf(
  { id, session_id, payload }: MessageOf10<"session.accepted">,
  requested: Capabilities10,
  pinnedFingerprint: string | undefined,
): ToolSession {
  const { runtime, capabilities, lease } = payload;
  if (pinnedFingerprint !== undefined && runtime.fingerprint !== pinnedFingerprint) {
    throw new UnauthenticatedError("the runtime is not the one that was pinned", {
      details: { expected: pinnedFingerprint, actual: runtime.fingerprint ?? null },
    }) as ARCPError;
  }
  return new ToolSession(
    {
      sessionId: session_id,
      runtime: {
        kind: runtime.kind,
        version: runtime.version,
        fingerprint: runtime.fingerprint,
        trustLevel: runtime.trust_level,
      },
      // Some runtimes name what they have, whatever was asked for.
      capabilities: negotiate10(capabilities, { ...requested, required: [] }),
      leaseExpiresAt: lease?.expires_at,
      tools: capabilities.agents ?? [],
    },
    id,
  );
}
