/** Interrupts: a job pauses and takes guidance (RFC §10.5). */
import type { Interruption } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import { ALL_CAPABILITIES, type Frame10 } from "../support/raw-client-10.ts";
import { type Asking, asked, askingJob, closingsOf, requestsOf, respond, statesOf, watched } from "./asking.ts";

const interrupt = ({ client, jobId }: Asking, prompt?: string): Promise<Frame10> =>
  client.ask("interrupt", { target: "job", target_id: jobId, ...(prompt !== undefined && { prompt }) });

describe("an interrupt", () => {
  test("blocks the job, asks what to do, and the job goes on with the answer", async () => {
    covers("V10-10.5-01", "V10-10.5-02", "V10-10.2-02");
    await using job = await askingJob();
    const { client, run, clock } = job;
    const heard: Interruption[] = [];
    run.context.onInterrupt((interruption) => void heard.push(interruption));
    const id = client.send("interrupt", {
      ...{ target: "job", target_id: job.jobId, prompt: "Stop before touching production." },
    });
    const request = await asked(client);
    expect(await client.sees(({ type, correlation_id }) => type === "ack" && correlation_id === id)).toBeDefined();
    expect(request).toMatchObject({
      ...{ type: "human.input.request", job_id: job.jobId, causation_id: id, correlation_id: id },
      payload: {
        prompt: "Stop before touching production.",
        response_schema: { type: "object", properties: { guidance: { type: "string" } } },
        expires_at: new Date(clock.now() + 300_000).toISOString(),
      },
    });
    expect(statesOf(client)).toEqual(["blocked"]);
    const said = watched(run.context.log("info", "going on"));
    await settle();
    expect(said.isSettled).toBe(false);
    await respond(client, request, { guidance: "use the copy" }, { responded_by: "chief" });
    await settle();
    expect(said.isSettled).toBe(true);
    const expected = {
      ...{ prompt: "Stop before touching production.", guidance: "use the copy", respondedBy: "chief" },
      respondedAt: expect.any(String),
    };
    expect(heard).toEqual([expected]);
    expect(run.context.guidance).toEqual([expected]);
    expect(statesOf(client)).toEqual(["blocked", "running"]);
    run.finish("done");
    expect((await client.ending(job.jobId)).type).toBe("tool.result");
  });

  test("holds back every operation before it acts, and every delegation", async () => {
    await using job = await askingJob();
    const { client, puppet } = job;
    const lease_request = { "tool.call": ["ship"], "agent.delegate": ["puppet"] };
    const { job_id } = await client.invoke("puppet", {}, { lease_request });
    const run = await puppet.next();
    const leased: Asking = { ...job, jobId: String(job_id), run };
    const acted: string[] = [];
    await interrupt(leased);
    const request = await asked(client);
    const shipped = watched(run.context.operation("tool.call", "ship", () => void acted.push("ship")));
    const child = run.context.delegate({ agent: "puppet" });
    const accepted = watched(child.accepted);
    await settle();
    expect([acted, shipped.isSettled, accepted.isSettled]).toEqual([[], false, false]);
    await respond(client, request, {});
    await child.accepted;
    await settle();
    expect([acted, shipped.isSettled]).toEqual([["ship"], true]);
    expect(run.context.guidance).toMatchObject([{ guidance: undefined, respondedBy: "alice" }]);
  });

  test("that nobody answers ends by itself, and the job goes on", async () => {
    covers("V10-10.5-02");
    await using job = await askingJob();
    const { client, run, clock } = job;
    const heard: Interruption[] = [];
    run.context.onInterrupt((interruption) => void heard.push(interruption));
    await interrupt(job);
    const request = await asked(client);
    expect(request.payload.prompt).not.toBe("");
    const said = watched(run.context.log("info", "going on"));
    clock.advance(299_999);
    await settle();
    expect(said.isSettled).toBe(false);
    clock.advance(1);
    await settle();
    expect(said.isSettled).toBe(true);
    expect(heard).toMatchObject([{ guidance: undefined, respondedBy: undefined }]);
    expect(closingsOf(client, request.id)).toMatchObject([{ payload: { code: "DEADLINE_EXCEEDED" } }]);
    run.finish();
    expect((await client.ending(job.jobId)).type).toBe("tool.result");
  });

  test("that comes beside another one: the job goes on when both are answered", async () => {
    await using job = await askingJob();
    const { client, run } = job;
    await interrupt(job, "one");
    await interrupt(job, "two");
    const [one, two] = [await asked(client), await asked(client, 1)];
    const said = watched(run.context.thought("hm"));
    await respond(client, two, { guidance: "b" });
    await settle();
    expect([said.isSettled, statesOf(client)]).toEqual([false, ["blocked"]]);
    await respond(client, one, { guidance: "a" });
    await settle();
    expect([said.isSettled, statesOf(client)]).toEqual([true, ["blocked", "running"]]);
    expect(run.context.guidance.map(({ guidance }) => guidance)).toEqual(["b", "a"]);
  });

  test("is over when the job is cancelled", async () => {
    covers("V10-10.5-01");
    await using job = await askingJob();
    const { client, run } = job;
    await interrupt(job);
    const request = await asked(client);
    const acted: string[] = [];
    const said = watched(run.context.log("info", "going on"));
    const done = watched(run.context.operation("tool.call", "ship", () => void acted.push("ship")));
    await client.ask("cancel", { target: "job", target_id: job.jobId });
    await settle();
    expect([said.isSettled, done.isSettled, acted]).toEqual([true, true, []]);
    expect(closingsOf(client, request.id)).toMatchObject([{ payload: { code: "CANCELLED" } }]);
    expect(run.context.guidance).toEqual([]);
    run.finish();
    expect((await client.ending(job.jobId)).type).toBe("job.cancelled");
  });

  test("finds a job that asks as much as it may", async () => {
    await using job = await askingJob();
    for (let n = 0; n < 32; n += 1) job.run.context.requestHumanInput({ prompt: String(n) }).catch(() => {});
    await settle();
    expect((await interrupt(job)).type).toBe("ack");
  });

  const answers: readonly (readonly [string, unknown])[] = [
    ["is no object", "stop"],
    ["is a list", []],
    ["has guidance that is no text", { guidance: 1 }],
    ["has guidance without end", { guidance: "x".repeat(65_537) }],
  ];
  test.each(answers)("takes no answer that %s", async (_what, value) => {
    await using job = await askingJob();
    await interrupt(job);
    const request = await asked(job.client);
    expect(await respond(job.client, request, value)).toMatchObject({
      type: "nack",
      payload: { code: "INVALID_ARGUMENT" },
    });
    expect(closingsOf(job.client, request.id)).toEqual([]);
  });

  test("goes to a handler until that is taken away, and one that throws harms nobody", async () => {
    await using job = await askingJob();
    const { client, run } = job;
    const heard: string[] = [];
    const handler = ({ guidance }: Interruption): void => void heard.push(String(guidance));
    const stop = run.context.onInterrupt(handler);
    run.context.onInterrupt(() => {
      throw new Error("no");
    });
    run.context.onInterrupt(handler);
    for (const [n, guidance] of ["a", "b"].entries()) {
      await interrupt(job);
      await respond(client, await asked(client, n), { guidance });
      stop();
    }
    await settle();
    expect(heard).toEqual(["a", "a", "b"]);
  });
});

describe("an interrupt that is refused", () => {
  const away = { capabilities: { ...ALL_CAPABILITIES, interrupt: false } };
  const deaf = { capabilities: { ...ALL_CAPABILITIES, human_input: false } };
  type Attempt = (job: Asking) => Promise<Frame10>;
  const refusals: readonly (readonly [string, Attempt, string])[] = [
    [
      "of a job that there is not",
      ({ client }) => client.ask("interrupt", { target: "job", target_id: "job_x" }),
      "NOT_FOUND",
    ],
    [
      "of another principal's job",
      async (job) => interrupt({ ...job, client: await job.harness.rawSession10("mallory") }),
      "NOT_FOUND",
    ],
    [
      "by a session that may not stop the job",
      async (job) => interrupt({ ...job, client: await job.harness.rawSession10() }),
      "PERMISSION_DENIED",
    ],
    [
      "of a job that is over",
      async (job) => {
        job.run.finish();
        await job.client.ending(job.jobId);
        return interrupt(job);
      },
      "FAILED_PRECONDITION",
    ],
    [
      "without having been negotiated",
      async (job) => interrupt({ ...job, client: await job.harness.rawSession10("alice", away) }),
      "UNIMPLEMENTED",
    ],
    ["of a stream", ({ client }) => client.ask("interrupt", { target: "stream", target_id: "str_1" }), "UNIMPLEMENTED"],
  ];
  test.each(refusals)("%s", async (_what, attempt, code) => {
    covers("V10-10.5-04");
    await using job = await askingJob();
    expect(await attempt(job)).toMatchObject({ type: "nack", payload: { code } });
    await job.client.fence();
    expect([requestsOf(job.client), statesOf(job.client)]).toEqual([[], []]);
    const said = watched(job.run.context.log("info", "not paused"));
    await settle();
    expect(said.isSettled).toBe(true);
    job.run.finish();
    await job.client.ending(job.jobId);
  });

  test("because nobody could say what to do", async () => {
    await using job = await askingJob({}, deaf);
    expect(await interrupt(job)).toMatchObject({ type: "nack", payload: { code: "FAILED_PRECONDITION" } });
    await expect(job.run.context.log("info", "not paused")).resolves.toBeUndefined();
  });
});

test("a runtime says that it can be interrupted, and ask", async () => {
  covers("V10-10.5-03");
  await using job = await askingJob();
  const [accepted] = job.client.frames;
  expect(accepted?.payload.capabilities).toMatchObject({ interrupt: true, human_input: true });
});
