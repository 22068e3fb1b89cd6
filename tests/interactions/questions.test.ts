/** Questions of jobs to people: asked, answered, expired (RFC §12). */
import { CancelledError } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { settle } from "../support/puppet.ts";
import { asked, askingJob, choose, closingsOf, requestsOf, respond, statesOf, watched } from "./asking.ts";

const BRANCH = {
  type: "object",
  properties: { branch: { type: "string", minLength: 1 } },
  required: ["branch"],
};
const MINUTE_MS = 60_000;

describe("a question for a value", () => {
  test("says what is asked, blocks the job, and goes on with the answer", async () => {
    covers("V10-12.1-01", "V10-12.1-02", "V10-12.1-03", "V10-12.1-04", "V10-12.4-01", "V10-10.2-02");
    await using job = await askingJob();
    const { client, run, clock } = job;
    const timers = clock.pending;
    const answer = watched(
      run.context.requestHumanInput({
        prompt: "Which branch?",
        responseSchema: BRANCH,
        default: { branch: "fix/auto" },
        expiresInMs: MINUTE_MS,
        destinations: ["ntfy:phone"],
      }),
    );
    const request = await asked(client);
    expect(request).toMatchObject({
      type: "human.input.request",
      job_id: job.jobId,
      payload: {
        prompt: "Which branch?",
        response_schema: BRANCH,
        default: { branch: "fix/auto" },
        expires_at: new Date(clock.now() + MINUTE_MS).toISOString(),
        destinations: ["ntfy:phone"],
      },
    });
    expect(statesOf(client)).toEqual(["blocked"]);
    expect(answer.isSettled).toBe(false);
    const at = new Date(clock.now() - 1000).toISOString();
    const reply = await respond(
      client,
      request,
      { branch: "fix/jwt" },
      { responded_by: "ntfy:phone", responded_at: at },
    );
    expect(reply).toMatchObject({ type: "ack", payload: { status: "applied" } });
    await client.sees(({ payload }) => payload.name === "human.input.resolved");
    expect(answer.value).toEqual({
      ...{ value: { branch: "fix/jwt" }, isDefault: false },
      ...{ respondedBy: "ntfy:phone", respondedAt: at },
    });
    expect(statesOf(client)).toEqual(["blocked", "running"]);
    expect(clock.pending).toBe(timers);
    expect(closingsOf(client, request.id)).toMatchObject([
      { type: "event.emit", payload: { data: { outcome: "answered", responded_by: "ntfy:phone" } } },
    ]);
    run.finish("done");
    expect((await client.ending(job.jobId)).type).toBe("tool.result");
  });

  test("shows in the heartbeats of the job", async () => {
    await using job = await askingJob();
    const { client, run, clock } = job;
    run.context.requestHumanInput({ prompt: "?", expiresInMs: 45_000, default: 1 }).catch(() => {});
    await asked(client);
    clock.advance(30_000);
    clock.advance(30_000);
    await client.fence();
    expect(client.ofType("job.heartbeat").map(({ payload }) => payload.state)).toEqual(["blocked", "running"]);
  });

  test("has five minutes if nobody says, and seven days at most", async () => {
    await using job = await askingJob();
    const { client, run, clock } = job;
    const expected = [
      [{}, 5 * MINUTE_MS],
      [{ expiresInMs: 365 * 24 * 60 * MINUTE_MS }, 7 * 24 * 60 * MINUTE_MS],
      [{ expiresAt: new Date(clock.now() + 90_000).toISOString(), expiresInMs: MINUTE_MS }, MINUTE_MS],
      [{ expiresAt: new Date(clock.now() + 30_000).toISOString(), expiresInMs: MINUTE_MS }, 30_000],
    ] as const;
    for (const [index, [options, ms]] of expected.entries()) {
      run.context.requestHumanInput({ prompt: "?", ...options }).catch(() => {});
      const { payload } = await asked(client, index);
      expect(Date.parse(payload.expires_at) - clock.now()).toBe(ms);
    }
    run.finish();
    await client.ending(job.jobId);
  });
});

describe("a question with answers to choose from", () => {
  test("names them, and takes one of them alone", async () => {
    covers("V10-12.2-01", "V10-12.2-02", "V10-12.2-03");
    await using job = await askingJob();
    const { client, run } = job;
    const options = [
      { id: "fix", label: "Fix and re-run", description: "Costs a minute" },
      { id: "skip", label: "Skip" },
    ];
    const answer = watched(run.context.requestHumanChoice({ prompt: "Three tests failed.", options }));
    const request = await asked(client);
    expect(request).toMatchObject({
      type: "human.choice.request",
      payload: { prompt: "Three tests failed.", options, expires_at: expect.any(String) },
    });
    const wrong = await choose(client, request, "abort");
    expect(wrong).toMatchObject({ type: "nack", payload: { code: "INVALID_ARGUMENT" } });
    expect(answer.isSettled).toBe(false);
    expect(await choose(client, request, "skip")).toMatchObject({ type: "ack" });
    await settle();
    expect(answer.value).toMatchObject({ choiceId: "skip", respondedBy: "alice", isDefault: false });
  });
});

describe("an answer that will not do", () => {
  const unfit: readonly (readonly [string, unknown])[] = [
    ["keeps the schema not", { branch: "" }],
    ["lacks what is required", {}],
    ["is no object", "main"],
    ["is null", null],
  ];
  test.each(unfit)("%s: it is refused, and the question stays open", async (_what, value) => {
    covers("V10-12.1-05", "V10-12.1-06");
    await using job = await askingJob();
    const { client, run } = job;
    const answer = watched(run.context.requestHumanInput({ prompt: "?", responseSchema: BRANCH }));
    const request = await asked(client);
    expect(await respond(client, request, value)).toMatchObject({
      type: "nack",
      payload: { code: "INVALID_ARGUMENT", retryable: false },
    });
    expect(answer.isSettled).toBe(false);
    expect(closingsOf(client, request.id)).toEqual([]);
    expect(await respond(client, request, { branch: "x" })).toMatchObject({ type: "ack" });
    await settle();
    expect(answer.value?.value).toEqual({ branch: "x" });
  });
});

describe("nobody answers", () => {
  test("in time: the default is the answer, and everybody hears so", async () => {
    covers("V10-12.4-02", "V10-12.4-03");
    await using job = await askingJob();
    const { client, run, clock } = job;
    const answer = watched(
      run.context.requestHumanInput({ prompt: "?", responseSchema: BRANCH, default: { branch: "a" } }),
    );
    const request = await asked(client);
    clock.advance(5 * MINUTE_MS);
    await client.sees(({ type }) => type === "human.input.response");
    expect(answer.value).toMatchObject({ value: { branch: "a" }, respondedBy: "default", isDefault: true });
    expect(closingsOf(client, request.id)).toMatchObject([
      { type: "human.input.response", payload: { value: { branch: "a" }, responded_by: "default" } },
    ]);
  });

  test("in time to a choice: its default is the answer", async () => {
    await using job = await askingJob();
    const { client, run, clock } = job;
    const options = [{ id: "a", label: "A" }];
    const answer = watched(run.context.requestHumanChoice({ prompt: "?", options, default: "a" }));
    const request = await asked(client);
    clock.advance(5 * MINUTE_MS);
    await client.sees(({ type }) => type === "human.choice.response");
    expect(answer.value).toMatchObject({ choiceId: "a", isDefault: true });
    expect(closingsOf(client, request.id)).toHaveLength(1);
  });

  test("in time, and there is no default: the question fails, and the job with it unless its agent knows better", async () => {
    covers("V10-12.4-02", "V10-12.4-04");
    await using job = await askingJob();
    const { client, run, clock } = job;
    const answer = run.context.requestHumanInput({ prompt: "?" });
    const outcome = watched(answer);
    const request = await asked(client);
    clock.advance(5 * MINUTE_MS - 1);
    await settle();
    expect(outcome.isSettled).toBe(false);
    clock.advance(1);
    await client.sees(({ type }) => type === "human.input.cancelled");
    expect(outcome.error).toBeInstanceOf(CanonicalError);
    expect(outcome.error.canonicalCode).toBe("DEADLINE_EXCEEDED");
    expect(closingsOf(client, request.id)).toMatchObject([
      { type: "human.input.cancelled", payload: { code: "DEADLINE_EXCEEDED" } },
    ]);
    run.fail(outcome.error);
    expect(await client.ending(job.jobId)).toMatchObject({
      type: "tool.error",
      payload: { code: "DEADLINE_EXCEEDED" },
    });
  });

  test("and who answers later changes nothing", async () => {
    covers("V10-12.4-05");
    await using job = await askingJob();
    const { client, run, clock } = job;
    const answer = watched(run.context.requestHumanInput({ prompt: "?", default: 1 }));
    const request = await asked(client);
    clock.advance(5 * MINUTE_MS);
    await client.sees(({ type }) => type === "human.input.response");
    const late = await respond(client, request, 2);
    expect(late).toMatchObject({ type: "nack", payload: { code: "FAILED_PRECONDITION" } });
    expect(answer).toMatchObject({ value: { value: 1 }, times: 1 });
    expect(closingsOf(client, request.id)).toHaveLength(1);
  });
});

class SetForward extends ManualClock {
  #byMs = 0;

  override now(): number {
    return super.now() + this.#byMs;
  }

  /** Moves the wall clock alone. */
  setForward(ms: number): void {
    this.#byMs += ms;
  }
}

test("the end of a question is reached when either clock says so", async () => {
  covers("V10-12.4-05");
  const clock = new SetForward();
  await using job = await askingJob({ clock });
  const answer = watched(job.run.context.requestHumanInput({ prompt: "?" }));
  const request = await asked(job.client);
  clock.setForward(5 * MINUTE_MS);
  expect(await respond(job.client, request, 1)).toMatchObject({
    type: "nack",
    payload: { code: "FAILED_PRECONDITION" },
  });
  expect(answer.error.canonicalCode).toBe("DEADLINE_EXCEEDED");
  expect(closingsOf(job.client, request.id)).toHaveLength(1);
});

describe("the job stops while it asks", () => {
  test("it is cancelled: the question ends first, and with it what its agent waits for", async () => {
    await using job = await askingJob();
    const { client, run } = job;
    const answer = watched(run.context.requestHumanInput({ prompt: "?" }));
    const request = await asked(client);
    await client.ask("cancel", { target: "job", target_id: job.jobId, reason: "never mind" });
    await client.sees(({ type }) => type === "human.input.cancelled");
    expect(answer.error).toBeInstanceOf(CancelledError);
    expect(answer.error.message).toBe("never mind");
    run.fail(answer.error);
    const end = await client.ending(job.jobId);
    const [closing] = closingsOf(client, request.id);
    expect(closing).toMatchObject({ type: "human.input.cancelled", payload: { code: "CANCELLED" } });
    expect(client.frames.indexOf(closing as typeof end)).toBeLessThan(client.frames.indexOf(end));
    expect(closingsOf(client, request.id)).toHaveLength(1);
  });

  test("it ends: the question ends before it, and the job does not go on in between", async () => {
    await using job = await askingJob();
    const { client, run } = job;
    const answer = watched(run.context.requestHumanInput({ prompt: "?" }));
    const request = await asked(client);
    run.finish("done without it");
    const end = await client.ending(job.jobId);
    const [closing, ...more] = closingsOf(client, request.id);
    expect([closing?.type, more]).toEqual(["human.input.cancelled", []]);
    expect(client.frames.indexOf(closing as typeof end)).toBeLessThan(client.frames.indexOf(end));
    expect(statesOf(client)).toEqual(["blocked"]);
    expect(answer.error.code).toBe("CANCELLED");
    const late = await respond(client, request, 1);
    expect(late).toMatchObject({ type: "nack", payload: { code: "FAILED_PRECONDITION" } });
  });

  test("its agent withdraws the question", async () => {
    await using job = await askingJob();
    const { client, run } = job;
    const stop = new AbortController();
    const answer = watched(run.context.requestHumanInput({ prompt: "?", signal: stop.signal }));
    const request = await asked(client);
    stop.abort(new Error("found it out"));
    await client.sees(({ type }) => type === "human.input.cancelled");
    expect(answer.error.message).toBe("found it out");
    expect(closingsOf(client, request.id)).toHaveLength(1);
    expect(statesOf(client)).toEqual(["blocked", "running"]);
  });
});

describe("what cannot be asked is refused, and nobody hears of it", () => {
  const wrong: readonly (readonly [string, object, string])[] = [
    ["a prompt is there", { prompt: "" }, "prompt"],
    ["a schema is one", { prompt: "?", responseSchema: { type: "strong" } }, ""],
    ["a schema refers to itself alone", { prompt: "?", responseSchema: { $ref: "http://169.254.169.254/" } }, ""],
    ["a default keeps the schema", { prompt: "?", responseSchema: BRANCH, default: { branch: 1 } }, "default"],
    ["the end is yet to come", { prompt: "?", expiresInMs: 0 }, "ended"],
    ["an instant is one", { prompt: "?", expiresAt: "tomorrow" }, "RFC 3339"],
    ["a quorum is a number of sessions", { prompt: "?", quorum: 0.5 }, "quorum"],
  ];
  test.each(wrong)("%s", async (_what, options, message) => {
    await using job = await askingJob();
    const { client, run } = job;
    const refused = run.context.requestHumanInput(options as { prompt: string });
    await expect(refused).rejects.toMatchObject({ code: "INVALID_REQUEST", message: expect.stringContaining(message) });
    await client.fence();
    expect(requestsOf(client)).toEqual([]);
    expect(statesOf(client)).toEqual([]);
  });

  const noChoice: readonly (readonly [string, object])[] = [
    ["there are options", { options: [] }],
    ["there are at most 100", { options: Array.from({ length: 101 }, (_, id) => ({ id: String(id), label: "x" })) }],
    [
      "each has its own id",
      {
        options: [
          { id: "a", label: "A" },
          { id: "a", label: "B" },
        ],
      },
    ],
    ["an id can be named", { options: [{ id: "a b", label: "A" }] }],
    ["the default is one of them", { options: [{ id: "a", label: "A" }], default: "b" }],
  ];
  test.each(noChoice)("of a choice: %s", async (_what, options) => {
    await using job = await askingJob();
    const { client, run } = job;
    const refused = run.context.requestHumanChoice({ prompt: "?", ...options } as never);
    await expect(refused).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await client.fence();
    expect(requestsOf(client)).toEqual([]);
  });

  test("once the agent's own signal has aborted", async () => {
    await using job = await askingJob();
    const signal = AbortSignal.abort(new Error("too late"));
    await expect(job.run.context.requestHumanInput({ prompt: "?", signal })).rejects.toThrow("too late");
    await job.client.fence();
    expect(requestsOf(job.client)).toEqual([]);
  });

  test("once the job was told to stop, or has", async () => {
    await using job = await askingJob();
    const { client, run } = job;
    await client.ask("cancel", { target: "job", target_id: job.jobId, reason: "enough" });
    await expect(run.context.requestHumanInput({ prompt: "?" })).rejects.toThrow("enough");
    run.finish();
    await client.ending(job.jobId);
    await expect(run.context.requestHumanInput({ prompt: "?" })).rejects.toMatchObject({ code: "CANCELLED" });
    expect(requestsOf(client)).toEqual([]);
  });

  test("a job asks no more than 32 questions at a time", async () => {
    await using job = await askingJob();
    const { run } = job;
    for (let n = 0; n < 32; n += 1) run.context.requestHumanInput({ prompt: String(n) }).catch(() => {});
    await settle();
    await expect(run.context.requestHumanInput({ prompt: "one more" })).rejects.toMatchObject({
      details: { limit: "maxOpenQuestions" },
    });
  });
});
