/** This project's client of wire 1.0. */
import { ARCPToolClient, type TransportFactory } from "@arcp/client";
import type { Submission } from "./submissions.ts";
import { ClientVisitor, later, type VisitingOptions } from "./visitor-client.ts";

export class Visitor10 extends ClientVisitor<ARCPToolClient> {
  protected readonly wire = "1.0";
  protected readonly maxOpenJobs = 5;
  protected readonly maxPauseMs = 160;

  protected connect(dial: TransportFactory, options: VisitingOptions): Promise<ARCPToolClient> {
    return ARCPToolClient.open(dial, options);
  }

  protected async follow(client: ARCPToolClient, submission: Submission, idempotencyKey: string): Promise<void> {
    const { agent, input, lease, cancelAfterMs, maxRuntimeSec } = submission;
    const work = client.invoke(
      agent,
      { ...input },
      {
        ...{ idempotencyKey, durable: this.random.oneIn(2), lease },
        ...(maxRuntimeSec !== undefined && { maxRuntimeSec }),
      },
    );
    later(cancelAfterMs, () => {
      if (work.jobId !== undefined) client.cancelJob(work.jobId).catch(() => {});
    });
    await work.done;
  }

  protected lookAround(client: ARCPToolClient): void {
    if (this.random.oneIn(15)) client.ping().catch(() => {});
  }
}
