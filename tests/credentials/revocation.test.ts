/** However a job ends, its credentials die with it (§9.8.2, §14). */
import type { AgentHandler, JobContext } from "@arcp/runtime";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet } from "../support/puppet.ts";
import { QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";
import { CredentialHarness, LEASE, until } from "./mint.ts";

const untilAborted = ({ signal }: JobContext): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));

const AGENTS: Readonly<Record<string, AgentHandler>> = {
  succeeds: async () => 1,
  crashes: async () => {
    throw new TypeError("a bug");
  },
  waits: (_input, context) => untilAborted(context),
};

interface Ending {
  readonly agent: string;
  readonly status: string;
  readonly more?: object;
  readonly act?: (client: RawClient, jobId: string, clock: ManualClock) => void;
}

const later = (ms: number): object => ({
  lease_constraints: { expires_at: new Date(new ManualClock().now() + ms).toISOString() },
});

const ENDINGS: readonly Ending[] = [
  { agent: "succeeds", status: "success" },
  { agent: "crashes", status: "error" },
  {
    agent: "waits",
    status: "cancelled",
    act: (client, job_id) => void client.send("job.cancel", {}, { job_id }),
  },
  {
    agent: "waits",
    status: "timed_out",
    more: { max_runtime_sec: 5 },
    act: (_client, _jobId, clock) => clock.advance(60_000),
  },
  {
    agent: "waits",
    status: "error",
    more: later(30_000),
    act: (_client, _jobId, clock) => clock.advance(60_000),
  },
];

describe("a credential is revoked", () => {
  it.each(ENDINGS)("when the agent that $agent has ended its job as $status", async (ending) => {
    covers("V11-9.8.2-04");
    const clock = new ManualClock();
    await using harness = CredentialHarness.start({
      agents: AGENTS,
      server: { clock, endJobsAtLeaseExpiry: true },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const accepted = await client.submit(ending.agent, null, { lease_request: LEASE, ...ending.more });
    const jobId: string = accepted.payload.job_id;
    if (ending.act !== undefined) {
      expect(harness.mint.live).toHaveLength(1);
      ending.act(client, jobId, clock);
    }
    const end = await client.ended(jobId);
    expect(end.payload.final_status).toBe(ending.status);
    await until(() => harness.mint.live.length === 0, "the revocation");
    await until(() => harness.server.unrevokedCredentials.length === 0, "its end");
    expect(harness.mint.revocations).toHaveLength(1);
  });

  it("when its submission is refused after all, and when the runtime stops", async () => {
    covers("V11-9.8.2-04");
    const puppet = new Puppet();
    await using harness = CredentialHarness.start({ agents: { worker: puppet.handler } });
    const client = await harness.client();
    await client.submit({ agent: "worker", leaseRequest: LEASE });
    harness.mint.nextValue = harness.mint.values[0];
    await expect(client.submit({ agent: "worker", leaseRequest: LEASE })).rejects.toThrow();
    await until(() => harness.mint.live.length === 1, "the revocation of what was refused");
    await harness.server.close();
    expect(harness.mint.live).toEqual([]);
  });

  it("again and again until that succeeds, and an operator sees which one it is", async () => {
    covers("V11-9.8.2-05", "V11-9.8.2-06", "V11-14-22");
    const clock = new ManualClock();
    await using harness = CredentialHarness.start({ agents: AGENTS, server: { clock } });
    const { mint, server } = harness;
    let isDown = true;
    mint.beforeRevoke = async () => {
      if (isDown) throw new Error(`no: ${mint.values[0]}`);
    };
    const client = await harness.rawSession(QUIET_FEATURES);
    const accepted = await client.submit("succeeds", null, { lease_request: LEASE });
    const { request, value } = mint.minted[0] ?? expect.fail("nothing was issued");
    const id = request.credentialId;
    await client.ended(accepted.payload.job_id);
    const alarms = (): readonly string[] =>
      harness.log.filter((line) => line.includes(id) && JSON.parse(line).level === "error");
    await until(() => {
      clock.advance(5_000);
      return mint.revocations.length > 3 && alarms().length > 0;
    }, "an alarm");
    expect(server.unrevokedCredentials.map(({ credentialId }) => credentialId)).toEqual([id]);
    isDown = false;
    await until(() => {
      clock.advance(5_000);
      return server.unrevokedCredentials.length === 0;
    }, "the revocation");
    expect(mint.live).toEqual([]);
    expect(harness.log.join("\n")).not.toContain(value);
  });

  it("with its parent's: a child has its own, for no more than its own lease", async () => {
    covers("V11-9.8.2-10", "V11-9.8.2-11", "V11-9.8.2-12");
    const parent = new Puppet();
    const child = new Puppet();
    await using harness = CredentialHarness.start({ agents: { parent: parent.handler, child: child.handler } });
    const client = await harness.rawSession();
    const accepted = await client.submit("parent", null, {
      lease_request: { "model.use": ["fast", "dear"], "agent.delegate": ["child"], "cost.budget": ["USD:5"] },
    });
    const run = await parent.next();
    const lease_request = { "model.use": ["fast"], "cost.budget": ["USD:2"] };
    const delegated = run.context.delegate({ agent: "child", input: null, lease_request });
    const { lease } = await delegated.accepted;
    const childRun = await child.next();
    const [own, its] = harness.mint.minted;
    expect(its?.value).not.toBe(own?.value);
    expect(its?.request.lease).toEqual(lease);
    expect(its?.request.lease).toEqual(lease_request);
    expect(its?.request.budget.get("USD")).toBe(2);
    expect(childRun.context.credentials.map((one) => one.reveal())).toEqual([its?.value]);
    const announced = await client.sees(
      ({ type, job_id }) => type === "job.accepted" && job_id === childRun.context.jobId,
    );
    expect(announced.payload.credentials).toMatchObject([{ value: its?.value }]);
    client.send("job.cancel", {}, { job_id: accepted.payload.job_id });
    for (const { context, fail } of [run, childRun]) {
      context.signal.addEventListener("abort", () => fail(context.signal.reason), { once: true });
      if (context.signal.aborted) fail(context.signal.reason);
    }
    await client.end(accepted.payload.job_id);
    await client.end(childRun.context.jobId);
    await until(() => harness.mint.live.length === 0, "the revocation of both");
  });
});
