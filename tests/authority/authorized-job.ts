/** A job with a lease, its agent in a test's hands, and what its submitter sees of it. */
import type { ARCPError, Lease, LeaseConstraints } from "@arcp/core";
import type { Harness } from "../support/harness.ts";
import { Puppet, type Run } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

export interface AuthorizedJob {
  readonly client: RawClient;
  readonly accepted: Frame;
  readonly jobId: string;
  readonly run: Run;
}

/** Submits the agent `puppet`, whose run is taken from `puppet`. */
export async function authorizedJob(
  harness: Harness,
  puppet: Puppet,
  lease: Lease,
  constraints: LeaseConstraints = {},
): Promise<AuthorizedJob> {
  const client = await harness.rawSession(QUIET_FEATURES);
  return jobOf(client, puppet, lease, constraints);
}

/** The same on a session that is there. */
export async function jobOf(
  client: RawClient,
  puppet: Puppet,
  lease: Lease,
  constraints: LeaseConstraints = {},
): Promise<AuthorizedJob> {
  const submission = { lease_request: lease, lease_constraints: constraints };
  const accepted = await client.submit("puppet", null, submission);
  if (accepted.type !== "job.accepted") throw new Error(`not accepted: ${JSON.stringify(accepted.payload)}`);
  return { client, accepted, jobId: accepted.payload.job_id, run: await puppet.next() };
}

/** The bodies of a job's events of `kinds` that have arrived, each with its kind, in order. */
export async function eventsOf(
  { client, jobId, run }: AuthorizedJob,
  ...kinds: readonly string[]
): Promise<Frame["payload"][]> {
  await run.context.flush().catch(() => {});
  await client.listJobs();
  return client
    .ofJob(jobId)
    .filter(({ type, payload }) => type === "job.event" && (kinds.length === 0 || kinds.includes(payload.kind)))
    .map(({ payload }) => ({ kind: payload.kind, ...payload.body }));
}

/** The error that `attempt` rejects with. */
export async function refusalOf(attempt: Promise<unknown>): Promise<ARCPError> {
  const outcome = await attempt.then(
    () => undefined,
    (error: ARCPError) => error,
  );
  if (outcome === undefined) throw new Error("it was not refused");
  return outcome;
}

export { Puppet };
