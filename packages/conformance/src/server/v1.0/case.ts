/** What the cases of wire 1.0 have in common. */
import type { Case } from "../../case.ts";
import type { Frame } from "../../frame.ts";
import type { Claim } from "../../judge.ts";
import type { ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";

export function v10(
  id: string,
  title: string,
  requirements: readonly string[],
  needs: readonly string[],
  run: (context: ServerContext) => Promise<void>,
): Case<ServerContext> {
  return { id, wire: "1.0", title, requirements: requirements.map((name) => `V10-${name}`), needs, run };
}

export const ENDS = ["tool.result", "tool.error", "job.completed", "job.failed", "job.cancelled"];
export const DURABLE_ENDS = ENDS.slice(2);
export const CODES = [
  ...[
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
  ],
  ...[
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
  ],
  ...["DATA_LOSS", "UNAUTHENTICATED", "HEARTBEAT_LOST", "LEASE_EXPIRED", "LEASE_REVOKED", "BACKPRESSURE_OVERFLOW"],
];

export const isEnd =
  (jobId: string) =>
  (frame: Frame): boolean =>
    frame.job_id === jobId && ENDS.includes(frame.type);
export const ofJob = (peer: Peer, jobId: string): readonly Frame[] =>
  peer.frames.filter(({ job_id }) => job_id === jobId);
export const ending = (peer: Peer, jobId: string, requirement?: string): Promise<Frame> =>
  peer.sees(requirement, `the end of ${jobId}`, isEnd(jobId));

/** @throws Violation unless it is a refusal with one of these codes. */
export function isNack(
  context: ServerContext,
  requirement: Claim,
  frame: Frame,
  codes: readonly string[],
  what: string,
): void {
  const isRefusal = ["nack", "tool.error", "job.failed"].includes(frame.type);
  context.judge.that(
    requirement,
    `${what}: a nack with ${codes.join(" or ")}`,
    isRefusal && codes.includes(frame.payload?.code ?? frame.payload?.error?.code),
    frame,
  );
}
