/** What outlives a failure, a connection, a session, a runtime (RFC §4.3, §8.5, §9, §10.1, §10.2). */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CanonicalError } from "@arcp/core/v1.0";
import { sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_CAPABILITIES } from "../support/raw-client-10.ts";

describe("an agent that fails for a moment", () => {
  const failing = (failures: number, error: () => unknown) => {
    const clock = new ManualClock();
    const calls: number[] = [];
    const harness = startHarness({ server: { clock } });
    const retry = { maxAttempts: 3, initialDelayMs: 1000 };
    harness.server.registerAgent(
      "flaky",
      async () => {
        calls.push(clock.now());
        if (calls.length <= failures) throw error();
        return "done";
      },
      { retry },
    );
    return { clock, calls, harness };
  };
  const quiet = { capabilities: { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 86_400 } };

  test("is called again, no sooner than the failure asks for, and its clients are told", async () => {
    covers("V10-10.1-01", "V10-18.3-04");
    const error = () => new CanonicalError("UNAVAILABLE", "busy", { details: { retry_after_seconds: 5 } });
    const { clock, calls, harness } = failing(2, error);
    await using _ = harness;
    const client = await harness.rawSession10("alice", quiet);
    const { job_id } = await client.invoke("flaky");
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      await client.sees(() => client.ofType("event.emit").length >= attempt);
      clock.advance(4_999);
      await client.fence();
      expect(calls).toHaveLength(attempt);
      clock.advance(1);
    }
    expect((await client.ending(job_id)).payload.value).toBe("done");
    const told = client.ofType("event.emit").map(({ payload }) => payload.data);
    expect(told).toMatchObject([{ phase: "retrying" }, { phase: "retrying" }]);
    expect(told[0].message).toMatch(/^attempt 2 of 3 in 5000 ms, after /);
  });

  test("fails in the end, and at once when it makes no sense to try again", async () => {
    const always = failing(9, () => new CanonicalError("UNAVAILABLE", "busy"));
    await using _ = always.harness;
    const client = await always.harness.rawSession10("alice", quiet);
    const { job_id } = await client.invoke("flaky");
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      await client.sees(() => client.ofType("event.emit").length >= attempt);
      always.clock.advance(60_000);
    }
    expect((await client.ending(job_id)).payload.code).toBe("UNAVAILABLE");
    expect(always.calls).toHaveLength(3);

    const never = failing(9, () => new CanonicalError("INVALID_ARGUMENT", "no"));
    await using __ = never.harness;
    const other = await never.harness.rawSession10("alice", quiet);
    const refused = await other.invoke("flaky");
    expect((await other.ending(refused.job_id)).payload.code).toBe("INVALID_ARGUMENT");
    expect(never.calls).toHaveLength(1);
  });

  test("is not called again once it is cancelled", async () => {
    const { harness, calls } = failing(9, () => new CanonicalError("UNAVAILABLE", "busy"));
    await using _ = harness;
    const client = await harness.rawSession10("alice", quiet);
    const { job_id } = await client.invoke("flaky");
    await client.next("event.emit");
    await client.ask("cancel", { target: "job", target_id: job_id });
    expect((await client.ending(job_id)).type).toBe("job.cancelled");
    expect(calls).toHaveLength(1);
  });
});

describe("a session", () => {
  test("that is closed lets its jobs go on, or takes them along, as the closer says", async () => {
    covers("V10-9-01", "V10-9-05");
    for (const [dispose_jobs, isCancelled] of [
      ["detach", false],
      ["cancel", true],
      [undefined, false],
    ] as const) {
      const puppet = new Puppet();
      await using harness = startHarness({ agents: { puppet: puppet.handler } });
      const client = await harness.rawSession10();
      const { job_id } = await client.invoke("puppet");
      const run = await puppet.next();
      client.send("session.close", { dispose_jobs });
      await client.transport.closed;
      await settle();
      expect(run.context.signal.aborted).toBe(isCancelled);
      run.finish("done");
      const after = await harness.rawSession10();
      const accepted = client.ofType("job.accepted")[0];
      after.send("resume", { after_message_id: accepted?.id }, { session_id: client.sessionId });
      const end = await after.ending(job_id);
      expect(end.type).toBe(isCancelled ? "job.cancelled" : "tool.result");
    }
  });

  test("that was evicted leaves jobs that a new one can follow", async () => {
    covers("V10-8.5-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const before = await harness.rawSession10();
    const accepted = await before.invoke("puppet");
    const run = await puppet.next();
    await before.ask("cancel", { target: "session", target_id: before.sessionId });
    await before.transport.closed;
    await settle();
    const after = await harness.rawSession10();
    after.send("resume", { after_message_id: accepted.id }, { session_id: before.sessionId });
    run.finish("done");
    expect((await after.ending(accepted.job_id)).payload.value).toBe("done");
  });

  test("of another principal is nobody else's to cancel", async () => {
    covers("V10-10.4-10");
    await using harness = startHarness();
    const alice = await harness.rawSession10();
    const bob = await harness.rawSession10("bob");
    const refused = await bob.ask("cancel", { target: "session", target_id: alice.sessionId });
    expect(refused).toMatchObject({ type: "cancel.refused", payload: { reason: "not_found" } });
    await alice.fence();
  });
});

test("a runtime that is started anew knows every job, how it ended, and who may go on with what", async () => {
  covers("V10-4.3-01", "V10-10.2-03", "V10-10.2-04", "V10-6.4-01");
  const directory = await mkdtemp(join(tmpdir(), "arcp-restart-"));
  const path = join(directory, "runtime.db");
  try {
    let sessionId: string | undefined;
    let lastId = "";
    const jobs: (string | undefined)[] = [];
    {
      const eventLog = sqliteStore({ path });
      const puppet = new Puppet();
      await using harness = startHarness({
        agents: { puppet: puppet.handler, echo: (input) => input },
        server: { eventLog },
      });
      const client = await harness.rawSession10();
      sessionId = client.sessionId;
      const running = await client.invoke("puppet");
      await puppet.next();
      const done = await client.invoke("echo", { n: 1 });
      jobs.push(running.job_id, done.job_id);
      lastId = (await client.ending(done.job_id)).id;
      // It is away while the runtime stops.
      client.cut();
      await settle();
      await harness.server.close();
      await eventLog.close();
    }
    const eventLog = sqliteStore({ path });
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { eventLog } });
    const client = await harness.rawSession10();
    client.send("resume", { after_message_id: lastId }, { session_id: sessionId });
    const end = await client.ending(jobs[0]);
    expect(end).toMatchObject({
      session_id: sessionId,
      payload: { code: "INTERNAL", details: { reason: "runtime_restarted" } },
    });
    expect((await eventLog.findJob(jobs[0] as never))?.status).toBe("error");
    expect((await eventLog.findJob(jobs[1] as never))?.status).toBe("success");
    await harness.server.close();
    await eventLog.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});

test("a terminal message is one, whatever comes together", async () => {
  covers("V10-10.2-03", "V10-6.3-04");
  const puppet = new Puppet();
  await using harness = startHarness({ agents: { puppet: puppet.handler } });
  const client = await harness.rawSession10();
  const { job_id } = await client.invoke("puppet");
  const run = await puppet.next();
  client.send("cancel", { target: "job", target_id: job_id });
  run.finish("done");
  client.send("cancel", { target: "job", target_id: job_id });
  await client.ending(job_id);
  await client.fence();
  await settle();
  const endings = client.ofJob(job_id).filter(({ priority }) => priority === "critical");
  expect(endings).toHaveLength(1);
});
