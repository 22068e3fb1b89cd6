/** Work and its end: `tool.invoke`, `workflow.start`, `cancel` (RFC §6.3, §10.4). */
import { ARCPError, type JobId, type JsonObject, type Lease } from "@arcp/core";
import { CanonicalError, codeOf10, parseTrace10 } from "@arcp/core/v1.0";
import type { Acceptance } from "../../../engine/session.ts";
import { receivedIn } from "../../../engine/telemetry.ts";
import { acceptedPart } from "../entry-parts.ts";
import type { Caller, Command } from "./command.ts";
import { cancelSchedule } from "./schedules.ts";

const DEFAULT_DEADLINE_MS = 5_000;
const MAX_DEADLINE_MS = 600_000;

/** Asks for work in the name of `message`. */
async function start(
  message: Parameters<Command<"tool.invoke">>[0] | Parameters<Command<"workflow.start">>[0],
  caller: Caller,
  work: { readonly agent: string; readonly input: unknown; readonly mode: "tool" | "durable" },
): Promise<void> {
  const { engine, session } = caller;
  const { lease_request, lease_constraints, max_runtime_sec } = message.payload;
  const origin = { commandId: message.id, mode: work.mode, command: message.type };
  await engine.submission.submit(
    session,
    {
      ...{ agent: work.agent, input: work.input, origin },
      leaseRequest: lease_request as Lease | undefined,
      leaseConstraints:
        lease_constraints?.expires_at === undefined ? undefined : { expires_at: lease_constraints.expires_at },
      idempotencyKey: message.idempotency_key,
      maxRuntimeSec: max_runtime_sec,
      trace: receivedIn(parseTrace10(message)),
    },
    (acceptance) => tellRepeated(message, caller, acceptance, work.mode),
  );
}

/** If the same work was asked for before, it answers this command too, and its acceptance is told anew (RFC §6.4). */
export function tellRepeated(
  message: { readonly id: string; readonly trace_id?: unknown },
  { engine, outbox, outlet, profile }: Caller,
  { jobId, payload, isRepeated }: Acceptance,
  mode: "tool" | "durable",
): void {
  if (!isRepeated) return;
  outlet.answer(jobId, message.id, mode);
  const accepted = acceptedPart(jobId, engine.clock.now(), JSON.parse(payload) as JsonObject, profile).payload;
  outbox.reply(message, "job.accepted", accepted, { job_id: jobId });
}

export const toolInvoke: Command<"tool.invoke"> = (message, caller) => {
  const { tool, arguments: input } = message.payload;
  const mode = message.payload.durable === true ? "durable" : caller.profile.mode;
  return start(message, caller, { agent: tool, input, mode });
};

export const workflowStart: Command<"workflow.start"> = (message, caller) => {
  const { workflow, inputs: input } = message.payload;
  return start(message, caller, { agent: workflow, input, mode: "durable" });
};

/** RFC §10.4. */
export const cancel: Command<"cancel"> = async (message, caller, reply) => {
  const { target, target_id, reason, deadline_ms } = message.payload;
  const { outbox } = caller;
  const refuse = (why: string): void =>
    reply(() => void outbox.reply(message, "cancel.refused", { target, target_id, reason: why }));
  const accept = (then: () => void): void =>
    reply(() => {
      outbox.reply(message, "cancel.accepted", { target, target_id });
      then();
    });
  if (target === "session") {
    if (target_id !== caller.session.id) return refuse("not_found");
    return accept(() => caller.evict("CANCELLED", reason ?? "cancelled"));
  }
  const tellScheduled = target === "job" ? await cancelSchedule(caller, target_id, reason) : undefined;
  if (tellScheduled !== undefined) return accept(tellScheduled);
  const graceMs = Math.min(deadline_ms ?? DEFAULT_DEADLINE_MS, MAX_DEADLINE_MS);
  try {
    if (target === "stream") {
      const stop = await caller.engine.streams.prepareCancel(caller.session, target_id);
      return accept(() => stop(reason));
    }
    const error = new CanonicalError("ABORTED", "the job did not stop in time");
    const terms = { graceMs, overrun: { status: "error", error } } as const;
    accept(await caller.engine.cancellation.prepare(caller.session, target_id as JobId, reason, terms));
  } catch (error) {
    refuse(whyNot(ARCPError.from(error)));
  }
};

function whyNot(error: ARCPError): string {
  const code = codeOf10(error);
  if (code === "NOT_FOUND") return "not_found";
  if (code === "PERMISSION_DENIED") return "permission_denied";
  if (error.details?.["reason"] === "not_cancellable") return "not_cancellable";
  return code === "INVALID_ARGUMENT" || code === "FAILED_PRECONDITION" ? "already_terminal" : "not_cancellable";
}
