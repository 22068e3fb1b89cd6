/** This project's client of wire 1.1. */
import { ARCPClient, type TransportFactory } from "@arcp/client";
import type { Submission } from "./submissions.ts";
import { ClientVisitor, later, type VisitingOptions } from "./visitor-client.ts";

export class Visitor11 extends ClientVisitor<ARCPClient> {
  protected readonly wire = "1.1";
  protected readonly maxOpenJobs = 6;
  protected readonly maxPauseMs = 120;

  protected connect(dial: TransportFactory, options: VisitingOptions): Promise<ARCPClient> {
    return ARCPClient.connect(dial, options);
  }

  protected async follow(client: ARCPClient, submission: Submission, idempotencyKey: string): Promise<void> {
    const { agent, input, lease, cancelAfterMs, maxRuntimeSec } = submission;
    const handle = await client.submit({
      ...{ agent, input, leaseRequest: lease, idempotencyKey },
      ...(maxRuntimeSec !== undefined && { maxRuntimeSec }),
    });
    later(cancelAfterMs, () => void handle.cancel().catch(() => {}));
    await handle.done;
  }

  protected lookAround(client: ARCPClient): void {
    if (this.random.oneIn(12)) client.listJobs().catch(() => {});
    if (this.random.oneIn(20)) this.#observe(client).catch(() => {});
  }

  /** Another session's job of the same principal. */
  async #observe(client: ARCPClient): Promise<void> {
    const { jobs } = await client.listJobs();
    if (jobs.length === 0) return;
    const subscription = await client.subscribe(this.random.pick(jobs).jobId, { history: true });
    await subscription.done.catch(() => {});
  }
}
