/** RFC §10.6: `job.schedule`, and its end. */
import { type Lease, parseTrace } from "@arcp/core";
import type { Schedule } from "../../../engine/schedules/schedule.ts";
import { type Caller, type Command, requireCapability } from "./command.ts";

/** Answered as a job that waits; each of its runs is a job of its own, caused by it. */
export const jobSchedule: Command<"job.schedule"> = async (message, caller, reply) => {
  requireCapability(caller, "scheduled_jobs");
  const { job, when } = message.payload;
  const { lease_request, lease_constraints, max_runtime_sec } = job.payload;
  const [agent, input] =
    job.type === "tool.invoke" ? [job.payload.tool, job.payload.arguments] : [job.payload.workflow, job.payload.inputs];
  // What nobody can run is not put off.
  await caller.engine.submission.assertRuns(agent, input, caller.principal);
  const scheduled = {
    ...{ agent, input, maxRuntimeSec: max_runtime_sec, traceId: parseTrace(message)?.traceId },
    leaseRequest: lease_request as Lease | undefined,
    leaseConstraints: lease_constraints?.expires_at === undefined ? undefined : lease_constraints,
  };
  const { schedules } = caller.engine;
  const { idempotency_key: key } = message;
  const { id, schedule } =
    key === undefined
      ? withId(schedules.schedule(caller.session, when, scheduled))
      : await schedules.scheduleOnce(caller.session, when, scheduled, key);
  // A key may stand for a schedule that is over.
  const payload = schedule === undefined ? { job_id: id, state: "completed" } : acceptedPayload(schedule);
  caller.engine.journal.afterCommit(() =>
    reply(() => caller.outbox.reply(message, "job.accepted", payload, { job_id: id })),
  );
};

const withId = (schedule: Schedule) => ({ id: schedule.id, schedule });

const at = (ms: number): string => new Date(ms).toISOString();

const acceptedPayload = ({ id, acceptedAt, nextAt, when }: Schedule): object => ({
  ...{ job_id: id, state: "queued", accepted_at: at(acceptedAt) },
  schedule: { next_at: at(nextAt), when },
});

/** Ends the schedule of that id: no run begins any more. Returns what tells of it; `undefined` if there is none. */
export async function cancelSchedule(
  caller: Caller,
  id: string,
  reason: string | undefined,
): Promise<(() => void) | undefined> {
  if (!(await caller.engine.schedules.cancel(id, caller.principal, caller.session))) return undefined;
  const payload = { job_id: id, reason: reason ?? "cancelled by the client", code: "CANCELLED", source: "client" };
  return () => caller.outbox.send("job.cancelled", payload, { job_id: id, priority: "critical" });
}
