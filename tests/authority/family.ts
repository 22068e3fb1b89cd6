/** A runtime with an agent that delegates and one that is delegated to, both in a test's hands. */
import type { JobContext } from "@arcp/runtime";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import type { Run } from "../support/puppet.ts";
import type { Frame } from "../support/raw-client.ts";
import { type AuthorizedJob, authorizedJob, Puppet } from "./authorized-job.ts";

export type Body = Parameters<JobContext["delegate"]>[0];

export class Family implements AsyncDisposable {
  readonly parents = new Puppet();
  readonly children = new Puppet();
  readonly clock = new ManualClock();
  readonly harness: Harness;

  constructor(options: Parameters<typeof startHarness>[0] = {}) {
    this.harness = startHarness({
      ...options,
      agents: { puppet: this.parents.handler, child: this.children.handler, ...options.agents },
      server: { clock: this.clock, cancelGraceMs: 1000, ...options.server },
    });
  }

  parent(lease: object = {}, constraints: object = {}): Promise<AuthorizedJob> {
    return authorizedJob(this.harness, this.parents, { "agent.delegate": ["child"], ...lease }, constraints);
  }

  /** Delegates, and resolves when the child runs. */
  async child(parent: AuthorizedJob, body: Partial<Body> = {}): Promise<Child> {
    const delegation = parent.run.context.delegate(bodyOf(body));
    const { jobId } = await delegation.accepted;
    const accepted = await parent.client.find(isAcceptanceOf(jobId));
    return { delegation, jobId, accepted, run: await this.children.next() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { finish } of [...this.parents.runs, ...this.children.runs]) finish();
    await this.harness[Symbol.asyncDispose]();
  }
}

export interface Child {
  readonly delegation: ReturnType<JobContext["delegate"]>;
  readonly jobId: string;
  readonly accepted: Frame;
  readonly run: Run;
}

export const bodyOf = (body: Partial<Body>): Body =>
  ({ agent: "child", input: null, lease_request: {}, ...body }) as Body;

export const isAcceptanceOf =
  (jobId: string) =>
  ({ type, payload }: Frame): boolean =>
    type === "job.accepted" && payload.job_id === jobId;
