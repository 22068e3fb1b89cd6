/** A runtime is killed after each of its commits: what it leaves is a whole chain, and says what the database says. */
import { pairMemoryTransports, silentLogger } from "@arcp/core";
import { auditRows, type Store, sqliteStore, verifyAudit } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { CrashImages, idle, serverOn } from "../durable/crash-images.ts";
import { RawClient } from "../support/raw-client.ts";

const agents = {
  main: { handler: async (input: unknown) => input, options: { durable: false } },
  failing: { handler: () => Promise.reject(new Error("out of order")), options: { durable: false } },
};

/** A session that does what leaves rows: some jobs, some refusals, and a goodbye. */
async function work(store: Store, jobs: number): Promise<void> {
  const server = serverOn(store, agents, { logger: silentLogger });
  const [left, right] = pairMemoryTransports();
  await server.accept(right);
  const client = new RawClient(left);
  await client.hello(undefined, "alice");
  for (let n = 0; n < jobs; n += 1) {
    await client.submit(n % 2 === 0 ? "main" : "failing", { n });
    await client.submit("nobody", { n });
    await client.ask("job.subscribe", { job_id: `job_${n}` });
  }
  await idle(server);
  client.send("session.close");
  await left.closed;
  await server.close();
}

/** The jobs that have rows of `action`, each as often as it has. */
async function jobsOf(store: Store, action: string): Promise<string[]> {
  const jobs: string[] = [];
  for await (const row of auditRows(store)) if (row.action === action) jobs.push(String(row.jobId));
  return jobs.sort();
}

/** Compares what the audit says of jobs with what there is of them. */
async function expectTruth(store: Store): Promise<void> {
  const [made, ended]: [string[], string[]] = [[], []];
  for await (const { jobId, endedAt } of store.jobs()) {
    made.push(jobId);
    if (endedAt !== null) ended.push(jobId);
  }
  expect(await jobsOf(store, "job.submitted")).toEqual(made.sort());
  expect(await jobsOf(store, "job.ended")).toEqual(ended.sort());
}

describe("a runtime that is killed", () => {
  test("leaves a whole chain, which the next one goes on with", async () => {
    using images = new CrashImages();
    const store = images.store(() => undefined);
    await work(store, 6);
    await store.close();
    expect(images.images.length).toBeGreaterThan(10);
    const lengths = new Set<number>();
    for (const { path } of images.images) {
      const left = sqliteStore({ path, synchronous: "NORMAL" });
      const before = await verifyAudit(left);
      expect(before.broken).toBeUndefined();
      lengths.add(before.rows);
      await expectTruth(left);
      await work(left, 1);
      const after = await verifyAudit(left, before.head?.hash);
      expect(after).toMatchObject({ firstSeq: 1, broken: undefined });
      expect(after.rows).toBeGreaterThan(before.rows);
      await expectTruth(left);
      await left.close();
    }
    expect(lengths.size).toBeGreaterThan(10);
  });
});
