/** What the cases of wire 1.0 have in common. */
import type { Behaviour } from "../../behaviours.ts";
import type { Case } from "../../case.ts";
import type { Frame } from "../../frame.ts";
import type { Claim } from "../../judge.ts";
import { jobOf, type ServerContext } from "../context.ts";
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

/** What a job returned. */
// biome-ignore lint/suspicious/noExplicitAny: it may be anything
export const returned = ({ payload }: Frame): any => payload?.value ?? payload?.result;

/** The code of a failure. */
export const codeOf = ({ payload }: Frame): unknown => payload?.code ?? payload?.error?.code;

/** The logs of a job that came. */
export const logsOf = (peer: Peer, jobId: string): readonly Frame[] =>
  ofJob(peer, jobId).filter(({ type }) => type === "log");

/** Invokes an agent that tells when it is at work, and waits for that. Returns the job. */
export async function working(
  context: ServerContext,
  peer: Peer,
  behaviour: Behaviour,
  input: unknown = {},
  more: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const jobId = jobOf(await context.invoke(peer, behaviour, input, more));
  await peer.sees(undefined, "the job's first log", ({ type, job_id }) => type === "log" && job_id === jobId);
  return jobId;
}

/** Has a job cancelled, whatever comes of it. */
export const stop = (peer: Peer, jobId: string): void => void peer.send("cancel", { target: "job", target_id: jobId });

/** Starts a job that asks, and returns its question. */
export async function asked(
  context: ServerContext,
  peer: Peer,
  behaviour: "ask" | "choose" | "permit" | "use",
  input: object,
  requirement: string,
): Promise<{ readonly jobId: string; readonly question: Frame }> {
  const jobId = jobOf(await context.invoke(peer, behaviour, input));
  const type = {
    ask: "human.input.request",
    choose: "human.choice.request",
    permit: "permission.request",
    use: "permission.request",
  }[behaviour];
  const question = await peer.sees(
    requirement,
    type,
    (frame) => frame.type === type && (frame.job_id === jobId || frame.payload?.job_id === jobId),
  );
  return { jobId, question };
}

/** What a job may be (RFC §10.2). */
export const STATES = ["accepted", "queued", "running", "blocked", "paused", "completed", "failed", "cancelled"];
