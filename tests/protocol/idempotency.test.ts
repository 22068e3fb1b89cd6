import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Store, sqliteStore } from "@arcp/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet } from "../support/puppet.ts";
import { type Frame, QUIET_FEATURES, type RawClient } from "../support/raw-client.ts";

const HOUR_MS = 3_600_000;

/** The payload without what names the request that it answers. */
function ownMembers(accepted: Frame): object {
  const { request_id: _requestId, ...payload } = accepted.payload;
  return payload;
}

const keyed = (client: RawClient, key: string, input: unknown = null, more: object = {}): Promise<Frame> =>
  client.ask("job.submit", { agent: "puppet", input, idempotency_key: key, ...more });

describe("a key", () => {
  test("stands for one job, whose acceptance is repeated word for word", async () => {
    covers("V11-7.2-01", "V11-7.2-02");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const more = { lease_request: { "cost.budget": ["USD:5"], "fs.read": ["/a"] }, max_runtime_sec: 600 };
    const first = await harness.rawSession();
    const accepted = await keyed(first, "k", { n: 1 }, more);
    const { context } = await puppet.next();
    // Neither time nor what was spent meanwhile changes what was said.
    await context.metric({ name: "cost.inference", value: 2, unit: "USD" });
    clock.advance(5_000);
    const again = await keyed(first, "k", { n: 1 }, more);
    const elsewhere = await keyed(await harness.rawSession(), "k", { n: 1 }, more);
    expect(ownMembers(again)).toEqual(ownMembers(accepted));
    expect(ownMembers(elsewhere)).toEqual(ownMembers(accepted));
    expect(elsewhere.payload.budget).toEqual({ USD: 5 });
    expect(puppet.runs).toHaveLength(1);
  });

  test("of one principal is no other principal's", async () => {
    covers("V11-7.2-03");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const alice = await keyed(await harness.rawSession(), "k", "hers");
    const bob = await keyed(await harness.rawSession(undefined, "bob"), "k", "his");
    expect([alice.type, bob.type]).toEqual(["job.accepted", "job.accepted"]);
    expect(alice.payload.job_id).not.toBe(bob.payload.job_id);
    expect(puppet.runs.map(({ input }) => input)).toEqual(["hers", "his"]);
  });

  test("is remembered for 24 hours", async () => {
    covers("V11-7.2-04");
    const clock = new ManualClock();
    await using harness = startHarness({ agents: { puppet: () => "done" }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const first = await keyed(client, "k");
    await client.end(first.payload.job_id);
    clock.advance(23 * HOUR_MS);
    expect((await keyed(client, "k")).payload.job_id).toBe(first.payload.job_id);
    clock.advance(HOUR_MS + 1);
    const later = await keyed(client, "k", "something else");
    expect(later.type).toBe("job.accepted");
    expect(later.payload.job_id).not.toBe(first.payload.job_id);
  });

  test("is remembered for as long as the runtime is told to", async () => {
    const clock = new ManualClock();
    await using harness = startHarness({
      agents: { puppet: () => "done" },
      server: { clock, idempotencyTtlMs: 1_000 },
    });
    const client = await harness.rawSession(QUIET_FEATURES);
    const first = await keyed(client, "k");
    await client.end(first.payload.job_id);
    clock.advance(999);
    expect((await keyed(client, "k")).payload.job_id).toBe(first.payload.job_id);
    clock.advance(2);
    expect((await keyed(client, "k")).payload.job_id).not.toBe(first.payload.job_id);
  });

  test("of a job that still runs does not expire", async () => {
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession(QUIET_FEATURES);
    const first = await keyed(client, "k");
    clock.advance(100 * HOUR_MS);
    expect((await keyed(client, "k")).payload.job_id).toBe(first.payload.job_id);
    expect(puppet.runs).toHaveLength(1);
  });

  test("is free again after a refusal", async () => {
    await using harness = startHarness({ agents: { puppet: () => "done" } });
    const client = await harness.rawSession();
    const refused = await keyed(client, "k", null, { agent: "nobody" });
    expect(refused.payload.code).toBe("AGENT_NOT_AVAILABLE");
    expect((await keyed(client, "k", "other")).type).toBe("job.accepted");
  });
});

describe("submitting again", () => {
  test("while the job runs brings its live events and its end to the other session", async () => {
    covers("V11-7.2-05");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const first = await harness.rawSession();
    const second = await harness.rawSession();
    const jobId = (await keyed(first, "k")).payload.job_id;
    const { context, finish } = await puppet.next();
    await context.log("info", "before");
    await keyed(second, "k");
    await context.log("info", "after");
    finish("done");
    await second.end(jobId);
    expect(second.ofJob(jobId).map((frame) => frame.payload.body?.message ?? frame.payload.result)).toEqual([
      "after",
      "done",
    ]);
    expect(second.numbered.map(({ event_seq }) => event_seq)).toEqual([1, 2]);
    const own = first.ofJob(jobId).map((frame) => frame.payload.body?.message ?? frame.payload.result);
    expect(own).toEqual(["before", "after", "done"]);
  });

  test.each([
    ["a result", () => "done", { final_status: "success", result: "done" }],
    [
      "an error",
      () => {
        throw new Error("no luck");
      },
      { final_status: "error", code: "INTERNAL_ERROR", message: "no luck" },
    ],
  ])("after %s repeats the end of the job", async (_what, handler, end) => {
    covers("V11-7.2-06");
    await using harness = startHarness({ agents: { puppet: handler } });
    const first = await harness.rawSession();
    const jobId = (await keyed(first, "k")).payload.job_id;
    await first.end(jobId);
    const second = await harness.rawSession();
    const again = await keyed(second, "k");
    expect(again.payload.job_id).toBe(jobId);
    const terminal = await second.end(jobId);
    expect(terminal.payload).toMatchObject(end);
    expect(second.frames.indexOf(terminal)).toBeGreaterThan(second.frames.indexOf(again));
    expect(second.numbered).toEqual([terminal]);
  });

  test("with the real client settles in both sessions", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const [one, two] = [await harness.client(), await harness.client()];
    const jobs = [
      await one.submit({ agent: "puppet", idempotencyKey: "k" }),
      await two.submit({ agent: "puppet", idempotencyKey: "k" }),
    ];
    (await puppet.next()).finish({ answer: 42 });
    const results = await Promise.all(jobs.map(({ done }) => done));
    expect(results.map(({ result }) => result)).toEqual([{ answer: 42 }, { answer: 42 }]);
    const late = await two.submit({ agent: "puppet", idempotencyKey: "k" });
    expect((await late.done).result).toEqual({ answer: 42 });
  });
});

describe("submitting a job with a streamed result again", () => {
  test("after its end brings the whole result", async () => {
    covers("V11-7.2-06");
    await using harness = startHarness({
      agents: {
        puppet: async (_input, context) => {
          const stream = context.streamResult();
          for (const piece of ["one ", "two "]) {
            await stream.write(piece);
            await context.log("info", piece);
          }
          await stream.finalize("three");
        },
      },
    });
    const [one, two] = [await harness.client(), await harness.client()];
    for (const client of [one, two, two]) {
      const job = await client.submit({ agent: "puppet", idempotencyKey: "k" });
      expect((await job.done).result).toBe("one two three");
    }
    const plain = await harness.client({ features: QUIET_FEATURES.filter((name) => name !== "result_chunk") });
    const job = await plain.submit({ agent: "puppet", idempotencyKey: "k" });
    expect((await job.done).result).toBe("one two three");
  });

  test("in the middle of it brings what went before, too", async () => {
    covers("V11-7.2-05");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const [one, two] = [await harness.client(), await harness.client()];
    const first = await one.submit({ agent: "puppet", idempotencyKey: "k" });
    const { context } = await puppet.next();
    const stream = context.streamResult();
    await stream.write("one ");
    await context.log("info", "between");
    await stream.write("two ");
    const second = await two.submit({ agent: "puppet", idempotencyKey: "k" });
    const again = await one.submit({ agent: "puppet", idempotencyKey: "k" });
    await stream.finalize("three");
    const results = await Promise.all([first, second, again].map(({ done }) => done));
    expect(results.map(({ result }) => result)).toEqual(Array(3).fill("one two three"));
  });
});

describe("parameters", () => {
  const original = {
    agent: "puppet",
    input: { a: 1, b: [1, 2], c: { d: null } },
    lease_request: { "fs.read": ["/a", "/b"], "fs.write": ["/a"] },
    lease_constraints: { expires_at: "2999-01-01T00:00:00Z" },
    max_runtime_sec: 60,
    idempotency_key: "k",
  };

  test.each([
    ["agent", { agent: "puppet@0.0.0" }],
    ["input", { input: { ...original.input, a: 2 } }],
    ["the order within a list of the input", { input: { ...original.input, b: [2, 1] } }],
    ["lease_request", { lease_request: { "fs.read": ["/a"] } }],
    ["no lease_request", { lease_request: null }],
    ["lease_constraints", { lease_constraints: { expires_at: "2999-01-02T00:00:00Z" } }],
    ["no lease_constraints", { lease_constraints: null }],
    ["max_runtime_sec", { max_runtime_sec: 61 }],
    ["no max_runtime_sec", { max_runtime_sec: null }],
  ])("other in %s are a conflict that leaves the first job alone", async (_what, change) => {
    covers("V11-7.2-07");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const first = await client.ask("job.submit", original);
    const second = await client.ask("job.submit", { ...original, ...change });
    expect(second.type).toBe("session.error");
    expect(second.payload).toMatchObject({ code: "DUPLICATE_KEY", retryable: false });
    expect(await client.listJobs()).toMatchObject([{ job_id: first.payload.job_id, status: "running" }]);
    (await puppet.next()).finish("untouched");
    expect((await client.end(first.payload.job_id)).payload.result).toBe("untouched");
    expect(puppet.runs).toHaveLength(1);
  });

  test("that differ in the order of members and in white space alone are the same", async () => {
    covers("V11-7.2-08");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const first = await client.ask("job.submit", original);
    client.sendText(`{ "payload" :\t{ "idempotency_key":"k","max_runtime_sec": 6.0e1,
      "lease_constraints":{ "expires_at":"2999-01-01T00:00:00Z" },
      "lease_request":{ "fs.write":["\\u002fa"], "fs.read":["/a","/b"] },
      "input":{ "c":{ "d":null }, "b":[1,2], "a":1.0 }, "agent":"puppet" },
      "type":"job.submit", "id":"msg_reordered", "arcp":"1.1" }`);
    const again = await client.find((frame) => frame.payload?.request_id === "msg_reordered");
    expect(again.payload.job_id).toBe(first.payload.job_id);
    expect(puppet.runs).toHaveLength(1);
  });
});

describe("at the same time", () => {
  test("twenty identical submissions over several sessions start one job", async () => {
    covers("V11-7.2-09");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const clients = await Promise.all(Array.from({ length: 5 }, () => harness.rawSession()));
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, index) => keyed(clients[index % 5] as RawClient, "k", { n: 1 })),
    );
    expect(new Set(replies.map(({ type }) => type))).toEqual(new Set(["job.accepted"]));
    expect(new Set(replies.map(({ payload }) => payload.job_id)).size).toBe(1);
    expect(puppet.runs).toHaveLength(1);
  });

  test("two submissions whose look-ups the store answers in one go start one job", async () => {
    const held: (() => void)[] = [];
    await using store = holdingStore(held);
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { eventLog: store.store } });
    const clients = [await harness.rawSession(), await harness.rawSession(), await harness.rawSession()];
    const replies = clients.map((client) => keyed(client, "k"));
    while (held.length < 3) await new Promise((resolve) => setImmediate(resolve));
    for (const release of held.splice(0)) release();
    store.stopHolding();
    const jobIds = (await Promise.all(replies)).map(({ payload }) => payload.job_id);
    expect(new Set(jobIds).size).toBe(1);
    expect(puppet.runs).toHaveLength(1);
  });

  test("whatever principals, keys and inputs are mixed, each key of each principal starts one job", async () => {
    const submission = fc.record({
      session: fc.nat(3),
      key: fc.constantFrom("k1", "k2", "k3"),
      input: fc.constantFrom("same", "same", "other"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(submission, { minLength: 2, maxLength: 25 }), async (submissions) => {
        const puppet = new Puppet();
        await using harness = startHarness({ agents: { puppet: puppet.handler } });
        const sessions = await Promise.all(
          ["alice", "alice", "bob", "bob"].map((token) => harness.rawSession(undefined, token)),
        );
        const replies = await Promise.all(
          submissions.map(({ session, key, input }) => keyed(sessions[session] as RawClient, key, input)),
        );
        const groups = Map.groupBy(submissions.keys(), (index) => {
          const { session, key } = submissions[index] as (typeof submissions)[number];
          return `${session < 2 ? "alice" : "bob"} ${key}`;
        });
        for (const indexes of groups.values()) {
          const accepted = indexes.filter((index) => replies[index]?.type === "job.accepted");
          expect(new Set(accepted.map((index) => replies[index]?.payload.job_id)).size).toBe(1);
          const input = submissions[accepted[0] as number]?.input;
          for (const index of indexes) {
            const expected = submissions[index]?.input === input ? undefined : "DUPLICATE_KEY";
            expect(replies[index]?.payload.code).toBe(expected);
          }
        }
        expect(puppet.runs).toHaveLength(groups.size);
      }),
      { numRuns: 25 },
    );
  });
});

describe("a message that arrives twice", () => {
  test("is processed once", async () => {
    covers("V11-7.2-10");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession();
    const twice = { agent: "puppet", input: null };
    client.send("job.submit", twice, { id: "msg_same" });
    client.send("job.submit", twice, { id: "msg_same" });
    client.send("job.submit", twice, { id: "msg_other" });
    await client.find((frame) => frame.payload?.request_id === "msg_other");
    client.send("job.submit", twice, { id: "msg_same" });
    expect(await client.listJobs()).toHaveLength(2);
    const replies = client.frames.filter((frame) => frame.payload?.request_id === "msg_same");
    expect(replies.map(({ type }) => type)).toEqual(["job.accepted", "job.accepted", "job.accepted"]);
    expect(new Set(replies.map(({ payload }) => payload.job_id)).size).toBe(1);
    expect(puppet.runs).toHaveLength(2);
  });

  test("on a connection that duplicates everything is one job for the real client", async () => {
    const puppet = new Puppet();
    await using harness = startHarness({
      agents: { puppet: puppet.handler },
      faults: () => ({ left: { onSend: (_frame, index) => (index > 0 ? "duplicate" : "deliver") } }),
    });
    const client = await harness.client();
    const jobs = await Promise.all([client.submit({ agent: "puppet" }), client.submit({ agent: "puppet" })]);
    for (const run of [await puppet.next(), await puppet.next()]) run.finish("done");
    const results = await Promise.all(jobs.map(({ done }) => done));
    expect(results.map(({ result }) => result)).toEqual(["done", "done"]);
    expect(puppet.runs).toHaveLength(2);
  });

  test("is refused twice if it is refused", async () => {
    await using harness = startHarness({ agents: { puppet: () => "done" } });
    const client = await harness.rawSession();
    for (let times = 0; times < 2; times += 1) {
      client.send("job.submit", { agent: "nobody", input: null }, { id: "msg_same" });
    }
    await client.listJobs();
    const codes = client.frames.filter(({ type }) => type === "session.error").map(({ payload }) => payload.code);
    expect(codes).toEqual(["AGENT_NOT_AVAILABLE", "AGENT_NOT_AVAILABLE"]);
  });
});

test("keys outlive the runtime that they were given to", async () => {
  const directory = mkdtempSync(join(tmpdir(), "arcp-"));
  const path = join(directory, "journal.db");
  const puppet = new Puppet();
  try {
    const life = async (use: (client: RawClient) => Promise<void>): Promise<void> => {
      const store = sqliteStore({ path });
      {
        await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { eventLog: store } });
        await use(await harness.rawSession());
      }
      await store.close();
    };
    const jobIds: string[] = [];
    await life(async (client) => {
      for (const key of ["finished", "interrupted"]) jobIds.push((await keyed(client, key)).payload.job_id);
      (await puppet.next()).finish("done");
      await client.end(jobIds[0] as string);
    });
    await life(async (client) => {
      const again = [await keyed(client, "finished"), await keyed(client, "interrupted")];
      expect(again.map(({ payload }) => payload.job_id)).toEqual(jobIds);
      expect((await client.end(jobIds[0] as string)).payload).toMatchObject({ result: "done" });
      expect((await client.end(jobIds[1] as string)).payload).toMatchObject({
        code: "INTERNAL_ERROR",
        retryable: true,
        details: { reason: "runtime_restarted" },
      });
      expect((await keyed(client, "finished", "other")).payload.code).toBe("DUPLICATE_KEY");
    });
    expect(puppet.runs).toHaveLength(2);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** A store whose look-ups of keys wait until the test lets them go on. */
function holdingStore(held: (() => void)[]): AsyncDisposable & { readonly store: Store; stopHolding(): void } {
  const store = sqliteStore();
  let isHolding = true;
  const holding = new Proxy(store, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      if (name !== "findIdempotency") return member.bind(target);
      return async (...parameters: Parameters<Store["findIdempotency"]>) => {
        const record = await target.findIdempotency(...parameters);
        if (isHolding) await new Promise<void>((resolve) => held.push(resolve));
        return record;
      };
    },
  });
  return {
    store: holding,
    stopHolding() {
      isHolding = false;
    },
    [Symbol.asyncDispose]: () => store.close(),
  };
}
