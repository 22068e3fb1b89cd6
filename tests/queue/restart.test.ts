/** What waits when the runtime ends is begun by the next one. */
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JobId } from "@arcp/core";
import { type AgentOptions, type ARCPServerOptions, type Store, sqliteStore } from "@arcp/runtime";
import { describe, expect, onTestFinished, test } from "vitest";
import { LEASE, Mint } from "../credentials/mint.ts";
import { covers } from "../support/covers.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";

type Life = (harness: Harness, puppet: Puppet) => Promise<void>;

interface Options {
  readonly agent?: AgentOptions;
  readonly server?: Partial<ARCPServerOptions>;
}

/** Runs one life of a runtime after the other over one file. */
async function lives(first: Life, second: Life, { agent, server }: Options = {}): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "arcp-queue-"));
  try {
    for (const life of [first, second]) {
      const store = sqliteStore({ path: join(directory, "runtime.db") });
      const puppet = new Puppet();
      {
        await using harness = startHarness({ server: { eventLog: store, concurrency: { jobs: 1 }, ...server } });
        harness.server.registerAgent("puppet", puppet.handler, agent);
        await life(harness, puppet);
      }
      await store.close();
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const finishAll = async (harness: Harness, puppet: Puppet, jobIds: readonly string[]): Promise<unknown[]> => {
  const client = await harness.rawSession();
  const ends = [];
  for (const job_id of jobIds) {
    const run = await puppet.next();
    run.finish(run.input);
    await client.ask("job.subscribe", { job_id, history: true });
    ends.push((await client.end(job_id)).payload.result);
  }
  return ends;
};

describe.each([
  ["a durable agent", { durable: true }],
  ["an agent that is not durable", {}],
] as const)("of %s, jobs that had not begun", (_name, agent) => {
  test("are begun in their order", async () => {
    covers("V11-7.3-01");
    const ids: string[] = [];
    await lives(
      async (harness) => {
        const client = await harness.rawSession();
        for (const input of [0, 1, 2, 3]) ids.push((await client.submit("puppet", input)).job_id as string);
        client.send("job.cancel", {}, { job_id: ids[0] as string });
        await settle();
        const [, second] = await client.listJobs();
        expect(second).toMatchObject({ status: "pending" });
      },
      async (harness, puppet) => {
        // Those that had begun are gone on with, or are over.
        if ("durable" in agent) (await puppet.next()).finish();
        expect(await finishAll(harness, puppet, ids.slice(1))).toEqual([1, 2, 3]);
      },
      { agent },
    );
  });

  test("have their whole time still", async () => {
    covers("V11-7.3-07");
    const clock = new ManualClock();
    let jobId = "";
    await lives(
      async (harness) => {
        const client = await harness.rawSession(QUIET_FEATURES);
        await client.submit("puppet", 0);
        jobId = (await client.submit("puppet", 1, { max_runtime_sec: 10 })).job_id as string;
        clock.advance(60_000);
      },
      async (harness, puppet) => {
        if ("durable" in agent) (await puppet.next()).finish();
        const run = await puppet.next();
        expect(run.input).toBe(1);
        const client = await harness.rawSession(QUIET_FEATURES);
        clock.advance(9_000);
        await settle();
        expect(run.context.signal.aborted).toBe(false);
        clock.advance(1_000);
        await client.ask("job.subscribe", { job_id: jobId, history: true });
        expect((await client.end(jobId)).payload).toMatchObject({ final_status: "timed_out" });
        run.finish();
      },
      { agent, server: { clock } },
    );
  });

  test("are the same for the same keys", async () => {
    let jobId = "";
    const key = { idempotency_key: "k" };
    await lives(
      async (harness) => {
        const client = await harness.rawSession();
        await client.submit("puppet", 0);
        jobId = (await client.submit("puppet", 1, key)).job_id as string;
      },
      async (harness, puppet) => {
        const client = await harness.rawSession();
        expect((await client.submit("puppet", 1, key)).job_id).toBe(jobId);
        if ("durable" in agent) (await puppet.next()).finish();
        (await puppet.next()).finish("once");
        expect((await client.end(jobId)).payload).toMatchObject({ result: "once" });
      },
      { agent },
    );
  });
});

test("a job waits for its agent, and holds nobody up meanwhile", async () => {
  let jobId = "";
  await lives(
    async (harness) => {
      const other = new Puppet();
      harness.server.registerAgent("other", other.handler);
      const client = await harness.rawSession();
      await client.submit("puppet", 0);
      jobId = (await client.submit("other", 1)).job_id as string;
    },
    async (harness, puppet) => {
      const client = await harness.rawSession();
      const { job_id } = await client.submit("puppet", 2);
      const run = await puppet.next();
      expect(run.input).toBe(2);
      const [listed] = await client.listJobs({ filter: { agent: "other" } });
      expect(listed).toMatchObject({ job_id: jobId, status: "pending" });
      harness.server.registerAgent("other", puppet.handler);
      await settle();
      expect(puppet.runs).toHaveLength(1);
      run.finish();
      await client.end(job_id as string);
      const late = await puppet.next();
      expect(late.input).toBe(1);
      late.finish();
      await client.ask("job.subscribe", { job_id: jobId, history: true });
      await client.end(jobId);
    },
  );
});

test("a delegated job that had not begun ends with its parent", async () => {
  let childId = "";
  await lives(
    async (harness, puppet) => {
      const child = new Puppet();
      harness.server.registerAgent("child", child.handler, { concurrency: 1 });
      const client = await harness.rawSession();
      await client.submit("puppet", 0, { lease_request: { "agent.delegate": ["child"] } });
      const parent = await puppet.next();
      const delegated = [parent.context.delegate({ agent: "child" }), parent.context.delegate({ agent: "child" })];
      childId = (await delegated[1]?.accepted)?.jobId as string;
    },
    async (harness) => {
      const client = await harness.rawSession();
      await client.ask("job.subscribe", { job_id: childId, history: true });
      expect((await client.end(childId)).payload).toMatchObject({ final_status: "cancelled" });
    },
    { server: { concurrency: {} } },
  );
});

test("a durable job that had begun is not shown as pending again, and goes before those that had not", async () => {
  covers("V11-7.3-01");
  const ids: string[] = [];
  await lives(
    async (harness) => {
      const client = await harness.rawSession();
      for (const input of [0, 1]) ids.push((await client.submit("puppet", input)).job_id as string);
    },
    async (harness, puppet) => {
      const client = await harness.rawSession();
      expect((await client.listJobs()).map(({ status }) => status)).toEqual(["running", "pending"]);
      const run = await puppet.next();
      expect(run.input).toBe(0);
      expect((await client.listJobs()).map(({ status }) => status)).toEqual(["running", "pending"]);
      run.finish();
      (await puppet.next()).finish();
      for (const job_id of ids) {
        await client.ask("job.subscribe", { job_id, history: true });
        await client.end(job_id);
      }
    },
    { agent: { durable: true } },
  );
});

test("what was asked for over wire 1.0 is answered by the next runtime", async () => {
  covers("V10-10.2-02");
  let command: { jobId: string; id: string } | undefined;
  await lives(
    async (harness) => {
      const client = await harness.rawSession10();
      await client.invoke("puppet", 0);
      const accepted = await client.invoke("puppet", { n: 1 });
      command = { jobId: accepted.job_id as string, id: accepted.correlation_id as string };
    },
    async (harness, puppet) => {
      const client = await harness.rawSession10();
      await client.ask("job.subscribe", { job_id: command?.jobId, history: true });
      const run = await puppet.next();
      expect(run.input).toEqual({ n: 1 });
      run.finish("answered");
      expect(await client.ending(command?.jobId)).toMatchObject({
        type: "tool.result",
        correlation_id: command?.id,
        payload: { value: "answered" },
      });
      const types = client.ofJob(command?.jobId).map(({ type }) => type);
      expect(types.filter((type) => type === "job.started")).toHaveLength(1);
    },
  );
});

test("a job that waited has credentials of the new runtime, and those of the old one are dead", async () => {
  covers("V11-9.8.2-07");
  const mint = new Mint();
  let jobId = "";
  await lives(
    async (harness) => {
      const client = await harness.rawSession();
      await client.submit("puppet", 0);
      jobId = (await client.submit("puppet", 1, { lease_request: LEASE })).job_id as string;
    },
    async (harness, puppet) => {
      const run = await puppet.next();
      const [old, fresh] = mint.minted;
      expect(run.context.credentials.map((credential) => credential.reveal())).toEqual([fresh?.value]);
      expect(mint.live).toEqual([fresh]);
      expect(old?.request.jobId).toBe(jobId);
      run.finish();
      const client = await harness.rawSession();
      await client.ask("job.subscribe", { job_id: jobId, history: true });
      await client.end(jobId);
    },
    { server: { credentialProvisioners: [mint] } },
  );
  expect(mint.live).toEqual([]);
});

test("a runtime that is killed as it calls an agent leaves a job that begins no second time", async () => {
  const directory = mkdtempSync(join(tmpdir(), "arcp-queue-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, "runtime.db");
  /** What is on disk when the agent is called, by input. */
  const images: string[] = [];
  const begun: unknown[] = [];
  const gate = Promise.withResolvers<void>();
  const agent = async (input: unknown): Promise<unknown> => {
    begun.push(input);
    const image = join(directory, `image-${input}`);
    for (const suffix of ["", "-wal"]) copyFileSync(path + suffix, image + suffix);
    images.push(image);
    await gate.promise;
    return input;
  };
  const life = async (store: Store, use: (harness: Harness) => Promise<void>): Promise<void> => {
    await using harness = startHarness({ server: { eventLog: store, concurrency: { jobs: 1 } } });
    harness.server.registerAgent("agent", agent);
    await use(harness);
  };
  const store = sqliteStore({ path });
  const ids: string[] = [];
  await life(store, async (harness) => {
    const client = await harness.rawSession();
    for (const input of [0, 1, 2]) await client.submit("agent", input);
    gate.resolve();
    for (const input of [0, 1, 2]) {
      ids.push((await client.nextWhere(({ payload }) => payload.result === input)).job_id as string);
    }
  });
  await store.close();
  expect(images).toHaveLength(3);
  // The first had room at once: it may think before its acceptance is on disk, like any other.
  for (const input of [1, 2]) {
    begun.length = 0;
    const left = sqliteStore({ path: images[input] as string });
    await life(left, async (harness) => {
      await harness.rawSession();
      while (harness.server.runningJobs > 0) await settle();
    });
    expect(begun).toEqual([2].filter((each) => each > input));
    expect(await left.findJob(ids[input] as JobId)).toMatchObject({ status: "error" });
    await left.close();
  }
});
