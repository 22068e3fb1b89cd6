/** What a job was asked for: told to whoever may observe it, as long as the job is kept. */
import { DESCRIBE_FEATURE, InvalidRequestError } from "@arcp/core";
import { describe, expect, test } from "vitest";
import { CredentialHarness, LEASE } from "../credentials/mint.ts";
import { type HarnessOptions, startHarness } from "../support/harness.ts";
import { Puppet } from "../support/puppet.ts";
import { ALL_FEATURES } from "../support/raw-client.ts";

const TYPE = "x-vendor.arcp.job.describe";
const LIMIT = 64 * 1024;

const started = (options: HarnessOptions = {}) => {
  const harness = startHarness({ ...options, agents: { echo: async (input) => ({ heard: input }) } });
  const puppet = new Puppet();
  harness.server.registerAgent("steady", puppet.handler, { durable: true });
  return Object.assign(harness, { puppet });
};

describe.each(["memory", "http"] as const)("over %s", (carrier) => {
  test("what was asked for is told, while the job runs and afterwards", async () => {
    await using harness = started({ carrier });
    const client = await harness.client();
    const leaseRequest = { "fs.read": ["/srv/**"] };
    const job = await client.submit({ agent: "echo", input: { q: ["ä", 1, null] }, leaseRequest, maxRuntimeSec: 90 });
    await job.done;
    expect(await (await harness.client()).describeJob(job.jobId)).toEqual({
      ...{ jobId: job.jobId, agent: "echo@0.0.0", input: { q: ["ä", 1, null] }, isInputOmitted: false },
      ...{ leaseRequest, maxRuntimeSec: 90 },
    });
    const bare = await client.submit({ agent: "echo" });
    expect(await client.describeJob(bare.jobId)).toMatchObject({ input: null, isInputOmitted: false });
  });
});

test("a durable job has its input stored once, and tells it when it has ended", async () => {
  await using harness = started();
  const client = await harness.client();
  const job = await client.submit({ agent: "steady", input: { only: "once" } });
  const store = harness.server.eventLog as unknown as {
    findRecord(kind: string, id: string): Promise<{ readonly data: string } | undefined>;
    readAsked(id: string): Promise<string | undefined>;
  };
  expect((await store.findRecord("run", job.jobId))?.data).not.toContain("once");
  expect(await store.readAsked(job.jobId)).toBe('{"input":{"only":"once"}}');
  (await harness.puppet.next()).finish(1);
  await job.done;
  expect(await client.describeJob(job.jobId)).toMatchObject({ input: { only: "once" } });
});

test("an input that is too long is not kept, but for a durable job that lives", async () => {
  await using harness = started();
  const client = await harness.client();
  const fits = "x".repeat(LIMIT - 2);
  for (const [input, isInputOmitted] of [
    [fits, false],
    [`${fits}x`, true],
    ["ä".repeat(LIMIT / 2), true],
  ] as const) {
    const { jobId, done } = await client.submit({ agent: "echo", input, maxRuntimeSec: 5 });
    await done;
    const told = { isInputOmitted, input: isInputOmitted ? undefined : input, maxRuntimeSec: 5 };
    expect(await client.describeJob(jobId)).toMatchObject(told);
  }
  const job = await client.submit({ agent: "steady", input: `${fits}x` });
  expect(await client.describeJob(job.jobId)).toMatchObject({ isInputOmitted: false, input: `${fits}x` });
  (await harness.puppet.next()).finish(1);
  await job.done;
  expect(await client.describeJob(job.jobId)).toMatchObject({ isInputOmitted: true });
});

test("a runtime that is not to keep inputs tells none", async () => {
  await using harness = started({ server: { keepInputs: false } });
  const client = await harness.client();
  for (const agent of ["echo", "steady"]) {
    const { jobId, done } = await client.submit({ agent, input: "private" });
    expect(await client.describeJob(jobId)).toMatchObject({ input: undefined, isInputOmitted: true });
    if (agent === "steady") (await harness.puppet.next()).finish(1);
    await done;
  }
});

test.each([false, true])("a stranger is told as if subscribing (hidden: %s)", async (isHidden) => {
  await using harness = started({ server: { hideForeignJobs: isHidden } });
  const owner = await harness.client();
  const { jobId } = await owner.submit({ agent: "echo", input: "private" });
  const stranger = await harness.rawSession([...ALL_FEATURES, DESCRIBE_FEATURE], "mallory");
  const ask = async (id: string): Promise<object> => {
    const described = await stranger.ask(TYPE, { job_id: id });
    const subscribed = await stranger.ask("job.subscribe", { job_id: id });
    const told = ({ type, payload }: typeof described): object => ({ type, ...payload, request_id: "" });
    expect(told(described)).toEqual(told(subscribed));
    return { ...told(described), details: {} };
  };
  const foreign = await ask(jobId);
  expect(foreign).toMatchObject({ code: isHidden ? "JOB_NOT_FOUND" : "PERMISSION_DENIED" });
  const unknown = await ask("job_01J00000000000000000000000");
  if (isHidden) expect(Object.keys(foreign).sort()).toEqual(Object.keys(unknown).sort());
});

test("whoever has not negotiated it is refused", async () => {
  await using harness = started();
  const { jobId } = await (await harness.client()).submit({ agent: "echo" });
  const old = await harness.client({ features: ["subscribe"] });
  await expect(old.describeJob(jobId)).rejects.toThrow(InvalidRequestError);
});

test.each([false, true])(
  "secrets of the job's credentials are masked, and its agent has what was given (durable: %s)",
  async (isDurable) => {
    await using harness = CredentialHarness.start({ agents: {} });
    const given = Promise.withResolvers<unknown>();
    harness.server.registerAgent("worker", async (input) => given.resolve(input), isDurable ? { durable: true } : {});
    const client = await harness.client();
    const secret = "sk-virt-known-before-0123456789";
    harness.mint.nextValue = secret;
    const input = { note: `use ${secret}`, other: "stays" };
    const { jobId, done } = await client.submit({ agent: "worker", input, leaseRequest: LEASE });
    expect(await given.promise).toEqual(input);
    await done;
    const told = await client.describeJob(jobId);
    expect(JSON.stringify(told)).not.toContain(secret);
    expect(told).toMatchObject({ input: { other: "stays" }, leaseRequest: LEASE });
  },
);
