/** What a job was asked for: what the runtime tells of it, or what this tab remembers of its submission. */
import type { Lease } from "@arcp/core";
import { useEffect, useState } from "preact/hooks";
import { client } from "./session.ts";
import { inputOf } from "./submitted.ts";

export interface JobAsked {
  /** `undefined`: nobody knows it any more. */
  readonly given: { readonly input: unknown } | undefined;
  /** `undefined`: it is not known whether a lease was asked for. */
  readonly leaseRequest: Lease | undefined;
  readonly maxRuntimeSec: number | undefined;
}

/** Runtimes that do not tell are of no use here, and no failure either: then the tab's memory is all there is. */
export async function askedOf(jobId: string): Promise<JobAsked> {
  try {
    const { input, isInputOmitted, leaseRequest, maxRuntimeSec } = await client().describeJob(jobId);
    return { given: isInputOmitted ? inputOf(jobId) : { input }, leaseRequest, maxRuntimeSec };
  } catch {
    return { given: inputOf(jobId), leaseRequest: undefined, maxRuntimeSec: undefined };
  }
}

/** `undefined` until it is known. */
export function useAsked(jobId: string): JobAsked | undefined {
  const [found, setFound] = useState<{ readonly of: string; readonly asked: JobAsked }>();
  useEffect(() => {
    let isWanted = true;
    void askedOf(jobId).then((asked) => isWanted && setFound({ of: jobId, asked }));
    return () => {
      isWanted = false;
    };
  }, [jobId]);
  return found?.of === jobId ? found.asked : undefined;
}
