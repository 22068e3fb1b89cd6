/** What nodes may ask of one another. */
import { InternalError, type JobId, type SessionId } from "@arcp/core";
import type { Cancellation } from "../cancellation.ts";
import { type Checkpoints, CREATE_CHECKPOINT, type RemoteCheckpoint } from "../checkpoints.ts";
import type { ShownLease } from "../grants/grants.ts";
import type { ShownEntry } from "../interactions/interactions.ts";
import type { JobRegistry } from "../job-registry.ts";
import type { People } from "../people.ts";
import type { Schedules } from "../schedules/schedules.ts";
import type { Session } from "../session.ts";
import { CANCEL_STREAM, FORGET_STREAMS, LIMIT_STREAM, type Streams } from "../streams/streams.ts";
import type { Cluster } from "./cluster.ts";
import { CANCEL_CHILD, type ChildCancel } from "./remote-child.ts";

export interface NodeMethodsOptions {
  readonly jobs: JobRegistry;
  readonly cancellation: Cancellation;
  readonly people: People;
  readonly streams: Streams;
  readonly checkpoints: Checkpoints;
  readonly schedules: Schedules;
  readonly rotate: (jobId: JobId, credentialId: string) => Promise<void>;
}

/** What a node tells the others of a schedule that it has made or cancelled. */
export const SCHEDULE_CHANGED = "schedule.changed";

/** A new secret for a credential of a job that the asked node runs. */
interface Rotation {
  readonly jobId: JobId;
  readonly credentialId: string;
}

/** Asks for one. */
export const ROTATE_CREDENTIAL = "credential.rotate";

/** Lets the other nodes ask. */
export function serveNodes(cluster: Cluster, options: NodeMethodsOptions): void {
  const { jobs, cancellation, people, streams, checkpoints, schedules } = options;
  const { calls, remote } = cluster;
  calls.serve("job.cancel", cancellation.cancelFor);
  calls.serve(CREATE_CHECKPOINT, ({ principal, jobId, asked }: RemoteCheckpoint) => {
    if (jobs.get(jobId) === undefined) throw new InternalError("the job is between two nodes", { retryable: true });
    return checkpoints.request({ principal }, jobId, asked);
  });
  calls.serve(CANCEL_STREAM, streams.cancelFor);
  calls.serve(LIMIT_STREAM, streams.limitFor);
  calls.serve(FORGET_STREAMS, ({ sessionId }: { readonly sessionId: SessionId }) => streams.forget(sessionId));
  calls.serve(CANCEL_CHILD, ({ jobId, reason, graceMs }: ChildCancel) => {
    const job = jobs.get(jobId);
    // It has ended, which its parent is about to see, or is between two nodes.
    if (job === undefined) throw new InternalError("the job is not here", { retryable: true });
    job.cancel(reason, graceMs);
  });
  calls.serve(SCHEDULE_CHANGED, ({ id }: { readonly id: string }) => schedules.refresh(id));
  calls.serve("job.interrupt", people.interrupts.interruptFor);
  calls.serve("question.answer", people.interactions.answerFor);
  const isFollowing =
    (jobId: JobId) =>
    ({ feed }: Session): boolean =>
      remote.isFollowedBy(feed, jobId) || jobs.get(jobId)?.isFollowedBy(feed) === true;
  calls.serve("question.show", (entry: ShownEntry) =>
    people.interactions.showFor(entry, isFollowing(entry.view.jobId)),
  );
  calls.serve("lease.change", people.grants.changeFor);
  calls.serve("lease.show", (shown: ShownLease) => people.grants.showFor(shown, isFollowing(shown.jobId)));
  calls.serve(ROTATE_CREDENTIAL, ({ jobId, credentialId }: Rotation) => options.rotate(jobId, credentialId));
}
