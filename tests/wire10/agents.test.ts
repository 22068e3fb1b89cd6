/** Work for an agent by name, and work taken over from another runtime (RFC §14). */
import type { HandoffConnector, HandoffRequest } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";

const ME = "sha256:aaaa";

describe("agent.delegate", () => {
  test("is a job of the agent, under the trace of the context", async () => {
    covers("V10-14-01", "V10-14-02", "V10-14-03", "V10-17.1-02");
    await using harness = startHarness({ agents: { research: (input, { traceId }) => ({ input, traceId }) } });
    const client = await harness.rawSession10();
    const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const context = { trace_id, shared_memory_ref: "art_mem_001", permissions_inherited: ["filesystem.read"] };
    const accepted = await client.ask("agent.delegate", { target: "research", task: "Summarize RFCs", context });
    expect(accepted).toMatchObject({ type: "job.accepted", trace_id });
    expect(await client.ending(accepted.job_id)).toMatchObject({
      type: "job.completed",
      payload: {
        value: { traceId: trace_id, input: { task: "Summarize RFCs", context: { shared_memory_ref: "art_mem_001" } } },
      },
    });
    const unknown = await client.ask("agent.delegate", { target: "nobody", task: "x" });
    expect(unknown).toMatchObject({ type: "nack", payload: { code: "NOT_FOUND" } });
  });
});

describe("agent.handoff", () => {
  const job = { type: "tool.invoke", payload: { tool: "echo", arguments: { n: 1 } } };

  test("is taken over by the runtime that it names, once", async () => {
    covers("V10-14-04");
    let runs = 0;
    const echo = (input: unknown): unknown => {
      runs += 1;
      return input;
    };
    await using harness = startHarness({ agents: { echo }, server: { fingerprint: ME } });
    const client = await harness.rawSession10();
    const payload = { to_runtime: { kind: "test-runtime", fingerprint: ME }, job_id: "job_elsewhere", job };
    const first = await client.ask("agent.handoff", payload);
    expect(first.type).toBe("job.accepted");
    expect(await client.ending(first.job_id)).toMatchObject({ type: "job.completed", payload: { value: { n: 1 } } });
    const again = await client.ask("agent.handoff", payload);
    expect(again).toMatchObject({ type: "job.accepted", job_id: first.job_id });
    expect(runs).toBe(1);
  });

  test.each([
    [
      "another runtime",
      { to_runtime: { kind: "test-runtime", fingerprint: "sha256:bbbb" }, job },
      "FAILED_PRECONDITION",
    ],
    ["a runtime that does not say which", { to_runtime: { kind: "test-runtime" }, job }, "FAILED_PRECONDITION"],
    ["nobody", { job }, "INVALID_ARGUMENT"],
    ["no job", { to_runtime: { kind: "x", fingerprint: ME } }, "INVALID_ARGUMENT"],
  ])("to %s starts nothing", async (_what, payload, code) => {
    covers("V10-14-04");
    await using harness = startHarness({ agents: { echo: (input) => input }, server: { fingerprint: ME } });
    const client = await harness.rawSession10();
    expect(await client.ask("agent.handoff", payload)).toMatchObject({ type: "nack", payload: { code } });
    expect(harness.server.runningJobs).toBe(0);
  });
});

describe("an agent", () => {
  const RUNTIME = { kind: "other", version: "1", fingerprint: "sha256:cccc" };

  test("hands its job over, and it ends here with where it went", async () => {
    covers("V10-14-05");
    const asked: HandoffRequest[] = [];
    const handoff: HandoffConnector = {
      runtimes: ["other"],
      handoff: async (request) => {
        asked.push(request);
        return { runtime: RUNTIME, jobId: "job_there", sessionId: "sess_there" };
      },
    };
    let wentOn = false;
    await using harness = startHarness({
      agents: {
        leaver: async (input, context) => {
          await context.handoff({ runtime: "other", agent: "echo", input });
          wentOn = true;
        },
      },
      server: { handoff },
    });
    const client = await harness.rawSession10();
    const trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    const lease_request = { "agent.delegate": ["echo"] };
    const { job_id } = await client.invoke("leaver", { n: 1 }, { lease_request }, { trace_id });
    const end = await client.ending(job_id);
    expect(end.payload.handoff).toMatchObject({ to_runtime: RUNTIME, job_id: "job_there" });
    expect(client.ofType("agent.handoff")[0]?.payload).toMatchObject({ to_runtime: RUNTIME, job_id: "job_there" });
    expect(asked).toMatchObject([
      { agent: "echo", input: { n: 1 }, trace: { traceId: trace_id }, idempotencyKey: `handoff:${job_id}` },
    ]);
    expect(wentOn).toBe(false);
    const cancel = await client.ask("cancel", { target: "job", target_id: job_id });
    expect(cancel.payload.reason).toBe("already_terminal");
  });

  test("keeps its job when the other side refuses, or its lease does not reach so far", async () => {
    const handoff: HandoffConnector = { runtimes: ["other"], handoff: () => Promise.reject(new Error("gone")) };
    const outcomes: unknown[] = [];
    await using harness = startHarness({
      agents: {
        leaver: async (_input, context) => {
          for (const runtime of ["other", "unknown"]) {
            await context.handoff({ runtime, agent: "echo" }).catch((error) => outcomes.push(error.code));
          }
          return "still here";
        },
      },
      server: { handoff },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("leaver");
    expect((await client.ending(job_id)).payload.value).toBe("still here");
    expect(outcomes).toEqual(["PERMISSION_DENIED", "INVALID_REQUEST"]);
  });
});
