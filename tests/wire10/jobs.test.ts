/** Work asked for over wire 1.0, from the command to its one end (RFC §6.3, §10). */
import { ARCPError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { CARRIERS, startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { Puppet } from "../support/puppet.ts";
import { ENDINGS, isMeasure } from "../support/raw-client-10.ts";

describe.each(CARRIERS)("over %s", (carrier) => {
  test("a tool is invoked, tells of itself, and ends with its result", async () => {
    covers("V10-6.3-02", "V10-6.3-03", "V10-6.3-04", "V10-6.3-05", "V10-10.1-03", "V10-4.1-01", "V10-22-01");
    await using harness = startHarness({
      carrier,
      agents: {
        counter: async (input, context) => {
          await context.progress(1, { total: 3, message: "step 1" });
          await context.log("info", "half way", { step: 2 });
          return { input };
        },
      },
    });
    const client = await harness.rawSession10();
    const accepted = await client.invoke("counter", { n: 3 });
    const { job_id } = accepted;
    expect(accepted).toMatchObject({ type: "job.accepted", payload: { job_id, accepted_at: expect.any(String) } });
    const end = await client.ending(job_id);
    expect(end).toMatchObject({ type: "tool.result", correlation_id: accepted.correlation_id });
    expect(end.payload).toMatchObject({ value: { input: { n: 3 } } });
    const said = client.ofJob(job_id).filter((frame) => !isMeasure(frame));
    expect(said.map(({ type, payload }) => [type, payload])).toMatchObject([
      ["job.accepted", { job_id }],
      ["job.started", { job_id }],
      ["job.progress", { percent: 33, current: 1, total: 3, message: "step 1" }],
      ["log", { level: "info", message: "half way", attributes: { step: 2 } }],
      ["tool.result", { value: { input: { n: 3 } } }],
    ]);
  });
});

describe("every message", () => {
  test("of a job names session, job, trace and cause, and its id is its own", async () => {
    covers("V10-6.1.1-01", "V10-6.1.1-02", "V10-6.1.1-03", "V10-6.1.1-04", "V10-6.1.1-05", "V10-6.1.1-08");
    covers("V10-6.1.1-09", "V10-6.1.1-10", "V10-6.1.1-11", "V10-17.1-01");
    await using harness = startHarness({ agents: { talker: (_input, context) => context.log("info", "hello") } });
    const client = await harness.rawSession10();
    const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const { job_id, correlation_id } = await client.invoke("talker", {}, {}, { trace_id });
    await client.ending(job_id);
    const frames = client.ofJob(job_id);
    expect(new Set(client.frames.map(({ id }) => id)).size).toBe(client.frames.length);
    for (const frame of frames) {
      expect(frame).toMatchObject({
        arcp: "1.0",
        session_id: client.sessionId,
        trace_id,
        causation_id: correlation_id,
      });
      expect(frame.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
      expect(frame.span_id).toMatch(/^[0-9a-f]{16}$/);
    }
    const answers = frames.filter((frame) => frame.correlation_id === correlation_id).map(({ type }) => type);
    expect(answers).toEqual(["job.accepted", "tool.result"]);
  });
});

describe("a job ends", () => {
  const failing = async (thrown: unknown, payload: object = {}) => {
    await using harness = startHarness({
      agents: {
        failing: () => {
          throw thrown;
        },
      },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("failing", {}, payload);
    const end = await client.ending(job_id);
    await client.fence();
    expect(client.ofJob(job_id).filter(({ type }) => ENDINGS.includes(type))).toHaveLength(1);
    return { type: end.type, ...end.payload };
  };

  test("with tool.error when its tool fails, in the words of the wire", async () => {
    covers("V10-6.3-05", "V10-18.1-01", "V10-18.2-05", "V10-18.3-01");
    expect(await failing(new CanonicalError("UNAVAILABLE", "come back later"))).toMatchObject({
      ...{ type: "tool.error", code: "UNAVAILABLE", message: "come back later", retryable: true },
    });
    expect(await failing(new ARCPError("INVALID_REQUEST", "no"))).toMatchObject({
      code: "INVALID_ARGUMENT",
      retryable: false,
    });
    expect(await failing(new Error("a secret"))).toMatchObject({ type: "tool.error", code: "INTERNAL" });
  });

  test("with job.completed or job.failed when it is durable", async () => {
    covers("V10-6.3-06");
    expect(await failing(new Error("x"), { durable: true })).toMatchObject({ type: "job.failed", code: "INTERNAL" });
    await using harness = startHarness({ agents: { echo: (input) => input } });
    const client = await harness.rawSession10();
    const { job_id } = await client.ask("workflow.start", { workflow: "echo", arguments: { a: 1 } });
    expect(await client.ending(job_id)).toMatchObject({
      type: "job.completed",
      payload: { value: { a: 1 }, result: { a: 1 } },
    });
  });

  test("with job.cancelled when it was cancelled, after the word that it will be", async () => {
    covers("V10-10.4-01", "V10-10.4-02", "V10-10.4-04", "V10-10.4-05");
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler } });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("puppet");
    const run = await puppet.next();
    const cancel = { target: "job", target_id: job_id, reason: "user_aborted", deadline_ms: 5000 };
    expect(await client.ask("cancel", cancel)).toMatchObject({
      type: "cancel.accepted",
      payload: { target: "job", target_id: job_id },
    });
    expect(run.context.signal.aborted).toBe(true);
    run.finish();
    expect(await client.ending(job_id)).toMatchObject({ type: "job.cancelled", payload: { reason: "user_aborted" } });
    expect(await client.ask("cancel", cancel)).toMatchObject({
      type: "cancel.refused",
      payload: { reason: "already_terminal" },
    });
    const unknown = await client.ask("cancel", { ...cancel, target_id: "job_unknown" });
    expect(unknown).toMatchObject({ type: "cancel.refused", payload: { reason: "not_found" } });
  });

  test("with ABORTED when it did not stop by the deadline", async () => {
    covers("V10-10.4-03", "V10-10.4-08", "V10-10.4-09");
    const clock = new ManualClock();
    const puppet = new Puppet();
    await using harness = startHarness({ agents: { puppet: puppet.handler }, server: { clock } });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("puppet");
    await puppet.next();
    await client.ask("cancel", { target: "job", target_id: job_id, deadline_ms: 700 });
    clock.advance(699);
    await client.fence();
    expect(client.ofJob(job_id).some(({ type }) => ENDINGS.includes(type))).toBe(false);
    clock.advance(1);
    expect(await client.ending(job_id)).toMatchObject({ type: "job.failed", payload: { code: "ABORTED" } });
  });
});

describe("a command that cannot be accepted", () => {
  test.each([
    ["an unknown tool", "tool.invoke", { tool: "nobody", arguments: {} }, "NOT_FOUND"],
    ["a tool without a name", "tool.invoke", { arguments: {} }, "INVALID_ARGUMENT"],
    ["a payload that is none", "tool.invoke", [], "INVALID_ARGUMENT"],
    ["an unknown message of the core", "job.dance", {}, "UNIMPLEMENTED"],
    ["an extension that is not here", "arcpx.acme.dance.v1", {}, "UNIMPLEMENTED"],
    ["a word of no namespace", "dance", {}, "UNIMPLEMENTED"],
  ])("is refused and leaves nothing: %s", async (_what, type, payload, code) => {
    covers(
      "V10-6.3-08",
      "V10-6.3-09",
      "V10-21.2-02",
      "V10-21.3-01",
      "V10-21.3-03",
      "V10-21.3-04",
      "V10-18.2-06",
      "V10-18.2-07",
    );
    await using harness = startHarness();
    const client = await harness.rawSession10();
    const id = client.send(type, payload);
    expect(await client.answerTo(id)).toMatchObject({ type: "nack", payload: { code, ack_for: id, retryable: false } });
    await client.fence();
    expect(client.ofType("job.accepted", "job.started")).toEqual([]);
    expect(harness.server.runningJobs).toBe(0);
  });

  test("unless it is an extension that may be ignored", async () => {
    covers("V10-21.3-02");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    client.send("arcpx.acme.dance.v1", {}, { extensions: { optional: true } });
    await client.fence();
    expect(client.ofType("nack")).toEqual([]);
  });
});

describe("the same message", () => {
  test("twice is one job", async () => {
    covers("V10-6.1.1-14", "V10-6.1.1-15", "V10-6.4-02");
    let runs = 0;
    await using harness = startHarness({
      agents: {
        once: () => {
          runs += 1;
          return runs;
        },
      },
    });
    const client = await harness.rawSession10();
    const id = "msg_the-same";
    for (let n = 0; n < 3; n += 1) client.send("tool.invoke", { tool: "once", arguments: {} }, { id });
    await client.sees(({ type }) => type === "tool.result");
    await client.fence();
    expect(runs).toBe(1);
    expect(client.ofType("job.accepted", "tool.result")).toHaveLength(2);
  });

  test("intent under another id has the outcome of the first, in any session of the principal", async () => {
    covers("V10-6.4-05", "V10-6.4-06", "V10-6.4-07");
    let runs = 0;
    await using harness = startHarness({
      agents: {
        refund: () => {
          runs += 1;
          return { refunded: runs };
        },
      },
    });
    const first = await harness.rawSession10();
    const key = { idempotency_key: "refund-ord_4812" };
    const { job_id } = await first.invoke("refund", { order: 1 }, {}, key);
    await first.ending(job_id);
    const second = await harness.rawSession10();
    const again = await second.invoke("refund", { order: 1 }, {}, key);
    expect(again).toMatchObject({ type: "job.accepted", job_id });
    const end = await second.ending(job_id);
    expect(end).toMatchObject({ correlation_id: again.correlation_id, payload: { value: { refunded: 1 } } });
    expect(await second.invoke("refund", { order: 2 }, {}, key)).toMatchObject({
      type: "nack",
      payload: { code: "ALREADY_EXISTS" },
    });
    const other = await harness.rawSession10("bob");
    const { job_id: own } = await other.invoke("refund", { order: 1 }, {}, key);
    expect((await other.ending(own)).payload.value).toEqual({ refunded: 2 });
    expect(runs).toBe(2);
  });
});
