import {
  AgentNotAvailableError,
  ARCPError,
  BudgetExhaustedError,
  CancelledError,
  ERROR_CODES,
  errorFromWire,
  InternalError,
  LeaseExpiredError,
  PermissionDeniedError,
  pairMemoryTransports,
  StaticBearerVerifier,
  silentLogger,
} from "@arcp/core";
import { type AgentHandler, ARCPServer, type Store, sqliteStore } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { Puppet, settle } from "../support/puppet.ts";
import { ALL_FEATURES, type Frame, QUIET_FEATURES, RawClient } from "../support/raw-client.ts";

const SECRET = "canary-4f1d";

/** What a client is sent about one run of `agent`. */
async function runOf(agent: AgentHandler): Promise<{ readonly frames: readonly Frame[]; readonly end: Frame }> {
  await using harness = startHarness({ agents: { agent } });
  const client = await harness.rawSession();
  const { job_id } = (await client.submit("agent")).payload;
  const end = await client.end(job_id);
  return { frames: client.ofJob(job_id), end };
}

/** The payload of the `job.error` of an agent that throws `thrown`. */
async function thrownAs(thrown: unknown): Promise<Frame["payload"]> {
  const { end } = await runOf(() => Promise.reject(thrown));
  expect(end.type).toBe("job.error");
  return end.payload;
}

/** code, message, retryable, perhaps details: nothing is missing, and of the error's own nothing else is there. */
function expectErrorShape(payload: Frame["payload"], ...beside: readonly string[]): void {
  const { code, message, retryable, details, ...rest } = payload;
  expect(code).toMatch(/^[A-Z][A-Z_]+$/);
  expect(message).toBeTypeOf("string");
  expect(message).not.toBe("");
  expect(retryable).toBeTypeOf("boolean");
  if ("details" in payload) expect(details).toBeTypeOf("object");
  expect(Object.keys(rest).sort()).toEqual([...beside].sort());
}

class QuotaError extends ARCPError {
  constructor(options?: ConstructorParameters<typeof ARCPError>[2]) {
    super("ACME_QUOTA", "the quota of ACME is used up", options);
  }
}

describe.each(CARRIERS)("over %s", (carrier) => {
  test("an agent's own code passes through, in the end of a job and in the result of a tool", async () => {
    covers("V11-12-03");
    const details = { limit: 3, resets: "2026-02-01" };
    await using harness = startHarness({
      carrier,
      agents: {
        quota: async (_input, context) => {
          const error = new QuotaError({ retryable: true, details });
          await context.toolResult({ call_id: "c1", error: error.toWire() });
          throw error;
        },
      },
    });
    const client = await harness.client();
    const job = await client.submit({ agent: "quota" });
    const expected = { code: "ACME_QUOTA", message: "the quota of ACME is used up", retryable: true, details };
    for await (const event of job) expect(event).toMatchObject({ kind: "tool_result", body: { error: expected } });
    const error = await job.done.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ARCPError);
    expect(error).toMatchObject(expected);
    expect(job.finalStatus).toBe("error");
  });
});

describe("an agent that throws", () => {
  test.each<[string, unknown, string]>([
    ["an Error", new Error("the disk is full"), "the disk is full"],
    ["an Error of several lines", new Error(`first line\nsecond ${SECRET}`), "first line"],
    ["an Error without a message", new Error(""), "the agent failed"],
    ["an Error with a cause", new TypeError("bad", { cause: new Error(SECRET) }), "bad"],
    [
      "an Error with members",
      Object.assign(new Error("with members"), { token: SECRET, code: "ENOENT" }),
      "with members",
    ],
    ["an Error whose message is no text", Object.assign(new Error("x"), { message: 7 }), "the agent failed"],
    ["a text", SECRET, "the agent failed"],
    ["an object", { code: "ACME", message: SECRET }, "the agent failed"],
    ["null", null, "the agent failed"],
    ["undefined", undefined, "the agent failed"],
  ])("%s has failed with INTERNAL_ERROR, and gives nothing else away", async (_what, thrown, message) => {
    covers("V11-12-07", "V11-12-01");
    const { end } = await runOf(() => Promise.reject(thrown));
    const { payload } = end;
    expect(payload).toEqual({
      job_id: end.job_id,
      ...{ final_status: "error", code: "INTERNAL_ERROR", message, retryable: true },
    });
    expect(JSON.stringify(end)).not.toContain(SECRET);
    expect(JSON.stringify(end)).not.toMatch(/at .*errors\.test/);
  });

  test("at once, without a promise, has failed like any other", async () => {
    covers("V11-12-07");
    const { end } = await runOf(() => {
      throw new Error("at once");
    });
    expect(end.payload).toMatchObject({ code: "INTERNAL_ERROR", message: "at once", retryable: true });
  });

  test("a long message has its beginning sent", async () => {
    const { message } = await thrownAs(new Error("x".repeat(100_000)));
    expect(message).toBe("x".repeat(1024));
  });

  test("a typed error has that error's code, message and details, and not its cause", async () => {
    covers("V11-12-01");
    const cause = new Error(SECRET);
    const payload = await thrownAs(new AgentNotAvailableError("no such helper", { details: { agent: "h" }, cause }));
    expectErrorShape(payload, "job_id", "final_status");
    expect(payload).toMatchObject({ code: "AGENT_NOT_AVAILABLE", message: "no such helper", details: { agent: "h" } });
    expect(JSON.stringify(payload)).not.toContain(SECRET);
  });

  test("CANCELLED of its own accord has failed: nobody has cancelled it", async () => {
    expect(await thrownAs(new CancelledError("I gave up"))).toMatchObject({ code: "CANCELLED", final_status: "error" });
  });

  test.each<[string, unknown]>([
    ["a BigInt", { n: 1n }],
    ["a cycle", ((loop: { self?: unknown }) => Object.assign(loop, { self: loop }))({})],
    ["more than an event may hold", { blob: "x".repeat(2_000_000) }],
  ])("details with %s has failed without them", async (_what, details) => {
    covers("V11-12-01");
    const payload = await thrownAs(new QuotaError({ details: details as Record<string, unknown> }));
    expectErrorShape(payload, "job_id", "final_status");
    expect(payload).toMatchObject({ code: "ACME_QUOTA", message: "the quota of ACME is used up" });
    expect(payload).not.toHaveProperty("details");
  });
});

describe("retryable", () => {
  test.each([
    ["an own code", new QuotaError(), false],
    ["an own code that says so", new QuotaError({ retryable: true }), true],
    ["a canonical code", new PermissionDeniedError("no"), false],
    ["a canonical code that says otherwise", new PermissionDeniedError("not yet", { retryable: true }), true],
    ["INTERNAL_ERROR that says otherwise", new InternalError("no", { retryable: false }), true],
  ])("is what the code or the thrower says: %s", async (_what, thrown, retryable) => {
    covers("V11-12-01", "V11-12-07");
    expect((await thrownAs(thrown)).retryable).toBe(retryable);
  });

  const FINAL = [
    ["LEASE_EXPIRED", LeaseExpiredError],
    ["BUDGET_EXHAUSTED", BudgetExhaustedError],
  ] as const;

  test.each(FINAL)("is false for %s, whoever says otherwise", async (code, ErrorClass) => {
    covers("V11-12-05", "V11-12-06");
    const insisting = { code, message: "try again", retryable: true };
    for (const thrown of [
      new ErrorClass("over", { retryable: true }),
      new ARCPError(code, "over", { retryable: true }),
      // What another runtime said of a job that this agent had run there.
      errorFromWire(insisting),
    ]) {
      expect(await thrownAs(thrown)).toMatchObject({ code, retryable: false });
    }
    const { frames } = await runOf(async (_input, context) => {
      await context.toolResult({ call_id: "c1", error: insisting });
      await context.emitEvent("tool_result", { call_id: "c2", error: insisting });
    });
    for (const { payload } of frames.slice(0, 2))
      expect(payload.body.error).toEqual({ ...insisting, retryable: false });
  });

  test.each(FINAL)("is false for %s when the host ends the job with it", async (code) => {
    covers("V11-12-05", "V11-12-06");
    const puppet = new Puppet();
    await using server = newServer();
    server.registerAgent("puppet", puppet.handler);
    const [left, right] = pairMemoryTransports();
    const context = await server.accept(right);
    const client = new RawClient(left);
    await client.hello();
    const { job_id } = (await client.submit("puppet")).payload;
    const run = await puppet.next();
    expect(context.emitJobError(run.context.jobId, { code, message: "over", retryable: true })).toBe(true);
    expect((await client.end(job_id)).payload).toMatchObject({ code, retryable: false, final_status: "error" });
  });

  test("of INTERNAL_ERROR that came from a peer stays true on the wire, and its word of no retry with it", async () => {
    covers("V11-12-07");
    const fromPeer = errorFromWire({
      ...{ code: "INTERNAL_ERROR", message: "too large", retryable: true },
      details: { retry: "never" },
    });
    expect(fromPeer.retryable).toBe(false);
    expect(await thrownAs(fromPeer)).toMatchObject({ retryable: true, details: { retry: "never" } });
  });
});

const newServer = (eventLog?: Store): ARCPServer =>
  new ARCPServer({
    runtime: { name: "test", version: "1.0.0" },
    capabilities: { encodings: ["json"] },
    bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
    logger: silentLogger,
    ...(eventLog && { eventLog }),
  });

test("every error that the runtime sends has code, message and retryable, with a canonical code", async () => {
  covers("V11-12-01", "V11-12-02");
  await using harness = startHarness({
    agents: {
      echo: (input) => input,
      fail: () => Promise.reject(new Error("failed")),
      sleep: (_input, { signal }) => new Promise((_resolve, reject) => signal.addEventListener("abort", reject)),
    },
    server: { caps: { maxConcurrentJobs: 1 } },
  });
  const client = await harness.rawSession(QUIET_FEATURES);
  const provoked: Frame[] = [];
  const ask = async (...request: Parameters<RawClient["ask"]>): Promise<void> => {
    provoked.push(await client.ask(...request));
  };
  const keyed = { agent: "echo", input: 1, idempotency_key: "k" };
  await ask("no.such.type", {});
  await ask("job.submit", { agent: 7 });
  await ask("job.submit", { agent: "nobody" });
  await ask("job.submit", { agent: "echo@9.9.9" });
  await ask("job.submit", { agent: "echo", lease_request: { "no.such.capability": [] } });
  await client.end((await client.ask("job.submit", keyed)).payload.job_id);
  await ask("job.submit", { ...keyed, input: 2 });
  await ask("job.cancel", { job_id: "job_nobody" });
  await ask("job.subscribe", { job_id: "job_nobody" });
  await ask("session.list_jobs", { cursor: "mine" });
  await ask("session.ack", { last_processed_seq: 1_000 });
  provoked.push(await client.end((await client.ask("job.submit", { agent: "fail" })).payload.job_id));
  const sleeper = (await client.ask("job.submit", { agent: "sleep" })).payload.job_id;
  await ask("job.submit", { agent: "echo" });
  client.send("job.cancel", { job_id: sleeper });
  provoked.push(await client.end(sleeper));
  const mallory = await harness.rawSession(ALL_FEATURES, "mallory");
  provoked.push(await mallory.ask("job.subscribe", { job_id: sleeper }));
  provoked.push(await (await harness.raw()).hello(ALL_FEATURES, "wrong token"));
  provoked.push(await (await harness.raw()).resume({ sessionId: "sess_x", resumeToken: "rt_x" }, 0));
  const text = await harness.rawSession();
  text.sendText("[");
  provoked.push(await text.next("session.error"));

  for (const { type, payload } of provoked) {
    expect(["session.error", "job.error"]).toContain(type);
    const beside = type === "job.error" ? ["job_id", "final_status"] : "request_id" in payload ? ["request_id"] : [];
    expectErrorShape(payload, ...beside);
    expect(ERROR_CODES).toContain(payload.code);
  }
  expect(new Set(provoked.map(({ payload }) => payload.code))).toEqual(
    new Set([
      ...["INVALID_REQUEST", "AGENT_NOT_AVAILABLE", "AGENT_VERSION_NOT_AVAILABLE", "DUPLICATE_KEY", "JOB_NOT_FOUND"],
      ...["INTERNAL_ERROR", "CANCELLED", "PERMISSION_DENIED", "UNAUTHENTICATED", "RESUME_WINDOW_EXPIRED"],
    ]),
  );
});

describe("a runtime whose store fails", () => {
  /** A store whose commits fail on demand. */
  function breakableStore(): { readonly store: Store; break(): void } {
    const inner = sqliteStore();
    let isBroken = false;
    const store = new Proxy(inner, {
      get(target, name) {
        if (name === "commit" && isBroken) return () => Promise.reject(new Error(`disk of ${SECRET} is full`));
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    return {
      store,
      break: () => {
        isBroken = true;
      },
    };
  }

  async function connect(server: ARCPServer): Promise<RawClient> {
    const [left, right] = pairMemoryTransports();
    await server.accept(right);
    const client = new RawClient(left);
    await client.hello();
    return client;
  }

  test("tells every client INTERNAL_ERROR, disconnects it, and claims nothing that is not stored", async () => {
    covers("V11-12-07");
    const { store, break: breakStore } = breakableStore();
    const server = newServer(store);
    const puppet = new Puppet();
    server.registerAgent("puppet", puppet.handler);
    const [owner, other] = [await connect(server), await connect(server)];
    const { job_id } = (await owner.submit("puppet")).payload;
    const run = await puppet.next();
    await run.context.log("info", "stored");
    await owner.find(({ event_seq }) => event_seq === 1);

    breakStore();
    const emitted = run.context.log("info", "lost");
    run.finish("lost");
    const submitted = owner.send("job.submit", { agent: "puppet", input: null });
    const closes = await Promise.all([owner, other].map(({ transport }) => transport.closed));
    for (const client of [owner, other]) {
      const last = client.frames.at(-1);
      expect(last?.type).toBe("session.error");
      expectErrorShape(last?.payload);
      expect(last?.payload).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
      expect(JSON.stringify(client.frames)).not.toContain(SECRET);
    }
    expect(closes.map(({ code }) => code)).toEqual([4500, 4500]);
    // Neither the event, nor the end, nor an acceptance was told to anyone.
    expect(owner.ofJob(job_id).map(({ payload }) => payload.body?.message)).toEqual(["stored"]);
    expect(owner.frames.some(({ payload }) => payload.request_id === submitted)).toBe(false);
    await emitted.catch(() => {});
    await expect(run.context.flush()).rejects.toThrow();

    // Nobody is let in any more, and what runs is stopped.
    const [left, right] = pairMemoryTransports();
    await expect(server.accept(right)).rejects.toThrow();
    expect((await left.closed).code).toBe(1011);
    await settle();
    expect(server.runningJobs).toBe(0);
    expect(puppet.runs).toHaveLength(1);
    await expect(server.close()).rejects.toThrow();
    await store.close();
  });

  test("stops the agents that run", async () => {
    covers("V11-12-07");
    const { store, break: breakStore } = breakableStore();
    const server = newServer(store);
    const puppet = new Puppet();
    server.registerAgent("puppet", puppet.handler);
    const client = await connect(server);
    await client.submit("puppet");
    const { context } = await puppet.next();
    const aborted = new Promise((resolve) => context.signal.addEventListener("abort", resolve));
    breakStore();
    void context.log("info", "lost");
    await aborted;
    expect(context.signal.reason).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
    await expect(server.close()).rejects.toThrow();
    await store.close();
  });
});
