/** The session that a client has with a runtime, across its connections (§6). */
import {
  type AgentInventoryEntry,
  InvalidRequestError,
  type JsonObject,
  type MessageOf,
  negotiateCapabilities,
  PERMISSIONS_MEMBER,
  type SessionId,
  toSessionId,
} from "@arcp/core";
import type { Acknowledgement } from "./acknowledgement.ts";
import type { SequenceTracker } from "./sequence.ts";

/** The payload of `session.welcome`, with the wire's names. */
export type WelcomePayload = MessageOf<"session.welcome">["payload"];

/** What it takes to resume a session on another connection (§6.3). Protect it like the bearer token. */
export interface ResumeInfo {
  readonly sessionId: string;
  /** The most recent one: it changes with every welcome, and works once. */
  readonly resumeToken: string;
  /** The highest number that was processed. The runtime replays what comes after it. */
  readonly lastEventSeq: number;
}

/** What was agreed when the session was opened, or resumed. */
export interface SessionFacts {
  readonly sessionId: SessionId;
  readonly runtime: { readonly name: string; readonly version: string };
  /** The effective set: offered by both sides (§6.2). */
  readonly features: ReadonlySet<string>;
  /** The runtime's agents. A flat list of names gives entries without versions. */
  readonly agents: readonly AgentInventoryEntry[];
  /** What the credentials permit, e.g. `submit`, `answer`. `undefined`: the runtime does not say. */
  readonly permissions: ReadonlySet<string> | undefined;
  readonly resumeWindowSec: number | undefined;
  readonly heartbeatIntervalSec: number | undefined;
}

/** The resume window of a runtime that does not name one. */
const DEFAULT_RESUME_WINDOW_SEC = 600;

export interface Session {
  facts: SessionFacts;
  /** The token that the latest welcome gave. Without one the session cannot be resumed. */
  resumeToken: string | undefined;
  /** The runtime's replies repeat the request's id: the SDK that does so resumes by `session.resume` only. */
  repeatsIds: boolean;
  /** The runtime numbers what an observer gets by job: the SDK that does so dates its welcome. */
  numbersByJob: boolean;
  readonly sequence: SequenceTracker;
  readonly acknowledgement: Acknowledgement;
}

/** How long the session outlives its connection. */
export const resumeWindowMs = (facts: SessionFacts): number =>
  (facts.resumeWindowSec ?? DEFAULT_RESUME_WINDOW_SEC) * 1000;

/** Throws {@link InvalidRequestError} for a welcome that names no session. */
export function readWelcome(
  welcome: MessageOf<"session.welcome">,
  offered: readonly string[],
  requestedId: string | undefined,
): SessionFacts {
  const { payload } = welcome;
  const named = welcome.session_id ?? (payload as JsonObject)["session_id"] ?? requestedId;
  if (typeof named !== "string" || named === "") throw new InvalidRequestError("the welcome names no session");
  const features = new Set(negotiateCapabilities(offered, payload.capabilities?.features));
  const interval = payload.heartbeat_interval_sec;
  return {
    sessionId: toSessionId(named),
    runtime: payload.runtime,
    features,
    agents: (payload.capabilities?.agents ?? []).map((agent) =>
      typeof agent === "string"
        ? { name: agent, versions: [] }
        : {
            name: agent.name,
            versions: agent.versions,
            ...(agent.default === undefined ? {} : { default: agent.default }),
          },
    ),
    permissions: permissionsOf(payload.capabilities?.[PERMISSIONS_MEMBER]),
    resumeWindowSec: payload.resume_window_sec,
    heartbeatIntervalSec: features.has("heartbeat") && interval !== undefined && interval > 0 ? interval : undefined,
  };
}

const permissionsOf = (told: unknown): ReadonlySet<string> | undefined =>
  Array.isArray(told) ? new Set(told.filter((name) => typeof name === "string")) : undefined;
