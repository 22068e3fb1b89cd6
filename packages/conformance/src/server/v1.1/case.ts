/** What the cases of wire 1.1 have in common. */
import type { Case } from "../../case.ts";
import type { Frame } from "../../frame.ts";
import type { ServerContext } from "../context.ts";
import type { Peer } from "../peer.ts";

/** A case for `id`, which judges what it names. `needs` are behaviours and abilities. */
export function v11(
  id: string,
  title: string,
  requirements: readonly string[],
  needs: readonly string[],
  run: (context: ServerContext) => Promise<void>,
  deadlineMs?: number,
): Case<ServerContext> {
  const full = requirements.map((name) => `V11-${name}`);
  return {
    id,
    wire: "1.1",
    title,
    requirements: full,
    needs,
    run,
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  };
}

let keys = 0;
/** A key that nobody has used. */
export const newKey = (): string => {
  keys += 1;
  return `suite-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}-${keys}`;
};

/** Waits for the first event of a job. */
export function begun(peer: Peer, jobId: string): Promise<Frame> {
  return peer.sees(
    undefined,
    `the first event of ${jobId}`,
    ({ job_id, event_seq }) => job_id === jobId && event_seq !== undefined,
  );
}

/** Asks for the cancellation of a job. Returns the answer. */
export async function cancel(peer: Peer, jobId: string, requirement?: string): Promise<Frame> {
  const answer = await peer.ask(requirement, "job.cancel", { job_id: jobId, reason: "suite" }, { job_id: jobId });
  return answer;
}
