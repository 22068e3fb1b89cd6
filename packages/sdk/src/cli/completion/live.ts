/** Jobs and agents of the runtime that a command line is about. */
import { AGENT_REFERENCE } from "@arcp/core";
import { connectTo, DEFAULT_URL } from "../runtime-address.ts";
import type { Candidate, Live } from "./candidates.ts";

/** Who presses a key does not wait longer. */
const LIMIT_MS = 1_500;
const MAX_JOBS = 50;
/** What a shell takes for nothing but itself: it is put on the line as it is. */
const JOB_ID = /^job_[0-9A-Za-z]+$/;

/** Nothing where no runtime answers soon, or this user is not let in: it is no time for an error. */
export async function askRuntime({ kind, options }: Live): Promise<readonly Candidate[]> {
  try {
    const { url = process.env["ARCP_URL"] || DEFAULT_URL, tokenFile } = options;
    const address = { url, ...(tokenFile === undefined ? {} : { tokenFile }) };
    await using client = await connectTo(address, AbortSignal.timeout(LIMIT_MS));
    if (kind === "agents") {
      const { agents = [] } = client.session ?? {};
      return agents
        .map(({ name }) => ({ value: name, description: "" }))
        .filter(({ value }) => AGENT_REFERENCE.test(value));
    }
    const jobs: Candidate[] = [];
    for await (const { jobId, agent, status } of client.jobs({}, { limit: MAX_JOBS })) {
      if (!JOB_ID.test(jobId)) continue;
      jobs.push({ value: jobId, description: AGENT_REFERENCE.test(agent) ? `${agent}, ${status}` : status });
    }
    return jobs.slice(-MAX_JOBS).reverse();
  } catch {
    return []; // The command itself will say why, when it is called.
  }
}
