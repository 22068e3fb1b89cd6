/** Agents among themselves (RFC §14): `agent.delegate`, and `agent.handoff` from another runtime. */
import type { JsonObject, Lease } from "@arcp/core";
import { CanonicalError, parseTrace10 } from "@arcp/core/v1.0";
import { receivedIn } from "../../../engine/telemetry.ts";
import type { Command } from "./command.ts";

/** A task for an agent by its name, as a durable job. What is inherited names capabilities of the lease (RFC §15.1). */
export const agentDelegate: Command<"agent.delegate"> = (message, caller) => {
  const { target, task, context } = message.payload;
  const { trace_id = message.trace_id, permissions_inherited: _inherited, ...shared } = context as JsonObject;
  return caller.engine.submission.submit(
    caller.session,
    {
      ...{ agent: target, input: { task, context: shared }, leaseRequest: undefined, leaseConstraints: undefined },
      ...{
        idempotencyKey: message.idempotency_key,
        maxRuntimeSec: undefined,
        trace: receivedIn(parseTrace10({ ...message, trace_id })),
      },
      origin: { commandId: message.id, mode: "durable", command: message.type },
    },
    () => {},
  );
};

/**
 * Takes over a job of another runtime. That names this one: a runtime that is not the one meant starts nothing. The same
 * job is taken over once, whatever is sent how often.
 */
export const agentHandoff: Command<"agent.handoff"> = (message, caller) => {
  const { to_runtime, job, job_id } = message.payload;
  const { fingerprint } = caller.runtime;
  if (fingerprint === undefined || to_runtime.fingerprint !== fingerprint) {
    const details = { kind: caller.runtime.kind, ...(fingerprint !== undefined && { fingerprint }) };
    throw new CanonicalError("FAILED_PRECONDITION", "the handoff is meant for another runtime", { details });
  }
  if (job === undefined) throw new CanonicalError("INVALID_ARGUMENT", "payload.job: expected the job to take over");
  const { tool, arguments: input, lease_request, lease_constraints, max_runtime_sec } = job.payload;
  return caller.engine.submission.submit(
    caller.session,
    {
      ...{ agent: tool, input, maxRuntimeSec: max_runtime_sec, trace: receivedIn(parseTrace10(message)) },
      leaseRequest: lease_request as Lease | undefined,
      leaseConstraints: lease_constraints?.expires_at === undefined ? undefined : lease_constraints,
      idempotencyKey: message.idempotency_key ?? (job_id === undefined ? undefined : `handoff:${job_id}`),
      origin: { commandId: message.id, mode: "durable", command: message.type },
    },
    ({ jobId, isRepeated }) => {
      if (!isRepeated) return;
      caller.outlet.answer(jobId, message.id, "durable");
      caller.outbox.reply(message, "job.accepted", { job_id: jobId }, { job_id: jobId });
    },
  );
};
