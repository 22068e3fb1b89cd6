/** Steps of jobs that are not durable: tried again and bounded in time as others are, and kept nowhere. */
import { type Clock, newCallId } from "@arcp/core";
import { agentError } from "../agent-failure.ts";
import type { Job } from "../job.ts";
import { delayBefore, mayPass, pause } from "../retry.ts";
import type { StepContext, StepOptions } from "./durable-run.ts";
import { assertStepOptions, inTime } from "./timing.ts";

/** What `act` returns. Rejects with what it throws in the end. */
export async function doStep<Value>(
  job: Job,
  clock: Clock,
  name: string,
  act: (step: StepContext) => Value | Promise<Value>,
  { retry, timeoutMs }: StepOptions,
): Promise<Value> {
  assertStepOptions({ retry, timeoutMs });
  const idempotencyKey = `${job.id}:${newCallId()}`;
  for (let attempt = 1; ; attempt += 1) {
    job.assertLive();
    if (job.isDoubtful) await job.mayAct();
    try {
      return await inTime(job, clock, timeoutMs, name, (signal) => act({ signal, attempt, idempotencyKey }));
    } catch (thrown) {
      const failure = agentError(thrown);
      if (retry === undefined || !mayPass(failure) || attempt >= retry.maxAttempts) throw thrown;
      await pause(job, clock, delayBefore(attempt, failure, retry, Math.random));
    }
  }
}
