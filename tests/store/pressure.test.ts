import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Batch, StoreError, sqliteStore } from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { until } from "../credentials/ledger.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { QUIET_FEATURES } from "../support/raw-client.ts";
import { EMPTY, freshPath, jobRecord, putJob, storeFailure } from "./files.ts";

const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./failing-disk-process.ts", import.meta.url));

describe("a disk that refuses to write", () => {
  test.skipIf(process.platform === "win32")(
    "stops the runtime, which has acknowledged nothing that is not there",
    async () => {
      const path = freshPath();
      const { stdout, stderr } = spawnSync(
        "sh",
        ["-c", 'ulimit -f 16384 && exec "$0" "$@"', process.execPath, "--import", sources, program, path],
        { encoding: "utf8" },
      );
      expect(stderr).toBe("");
      const { jobId, taken, seen, last, error } = JSON.parse(stdout);
      expect(last).toEqual(["session.error", "INTERNAL_ERROR"]);
      expect(error).toMatchObject({ name: "StoreError", message: "the disk of the database failed" });
      expect(taken).toBeGreaterThan(10);
      const store = sqliteStore({ path });
      const job = await store.findJob(jobId);
      expect(job?.lastN).toBeGreaterThanOrEqual(taken);
      expect(seen).toBeLessThanOrEqual(job?.lastN ?? 0);
      await store.close();
    },
  );
});

describe("another program that holds the write lock", () => {
  test("is waited for: nothing is acknowledged meanwhile, new work is refused, and it goes on where it was", async () => {
    const path = freshPath();
    const clock = new ManualClock();
    const store = sqliteStore({ path });
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock, eventLog: store } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { job_id } = (await client.submit("puppet")).payload;
    const run = await puppet.next();
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    await run.context.log("info", "1");
    run.finish("done");
    await until(async () => (await harness.server.unreadiness()) === "store_busy");
    const { payload } = await client.submit("puppet");
    expect(payload).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { reason: "storage_busy", retry: "after_capacity" },
    });
    clock.advance(1_000);
    await client.fence();
    expect(client.ofJob(job_id)).toEqual([]);

    other.exec("ROLLBACK");
    other.close();
    clock.advance(1_000);
    await client.end(job_id);
    expect(client.ofJob(job_id).map(({ event_seq, type }) => [event_seq, type])).toEqual([
      [1, "job.event"],
      [2, "job.result"],
    ]);
    expect((await client.submit("puppet")).type).toBe("job.accepted");
    (await puppet.next()).finish();
  });

  test("does not keep a runtime from closing: what was not stored is rejected", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    const puppet = new Puppet();
    const harness = startHarness({
      agents: { puppet: puppet.handler },
      server: { clock: new ManualClock(), eventLog: store },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { job_id } = (await client.submit("puppet")).payload;
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    const failure = await storeFailure(() => harness.server.close());
    expect(failure.reason).toBe("busy");
    other.close();
    expect(await store.findJob(job_id)).toMatchObject({ status: "running" });
    await store.close();
  });

  test("is told by its name to who uses the store alone, and the batch can be committed later", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    await putJob(store, 1);
    const other = new Database(path);
    other.exec("BEGIN IMMEDIATE");
    const job = jobRecord();
    const failure = await storeFailure(() => store.commit({ ...EMPTY, jobs: [job] }));
    expect([failure.reason, failure.isTransient]).toEqual(["busy", true]);
    other.close();
    await store.commit({ ...EMPTY, jobs: [job] });
    expect(await store.findJob(job.id)).toEqual(job);
    await store.close();
  });
});

describe("a database that cannot be reached", () => {
  test("is not said to be full: clients, jobs and whoever asks for readiness are told what is wrong", async () => {
    const clock = new ManualClock();
    const store = sqliteStore({ path: freshPath() });
    const puppet = new Puppet();
    let isAway = false;
    const reached = new Proxy(store, {
      get(target, name) {
        if (name === "commit" && isAway) {
          return (_batch: Batch) => Promise.reject(new StoreError("unreachable", "nobody answers"));
        }
        const member: unknown = Reflect.get(target, name);
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock, eventLog: reached } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const { job_id } = (await client.submit("puppet")).payload;
    const run = await puppet.next();
    isAway = true;
    await run.context.log("info", "1");
    await until(async () => (await harness.server.unreadiness()) === "store_unreachable");
    expect((await client.submit("puppet")).payload).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      message: "the runtime cannot reach its database now",
      details: { reason: "storage_unreachable", retry: "after_capacity" },
    });
    isAway = false;
    await until(async () => {
      clock.advance(1_000);
      await settle();
      return (await harness.server.unreadiness()) === undefined;
    });
    run.finish("done");
    await client.end(job_id);
    const phases = client.ofJob(job_id).flatMap(({ payload }) => payload.body?.phase ?? []);
    expect(phases).toEqual(["storage_unreachable", "storage_available"]);
    expect(await harness.server.unreadiness()).toBeUndefined();
  });
});
