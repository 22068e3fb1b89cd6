/** Who is asked, who may answer, and which answer counts (RFC §12.3). */
import { EXTENSION_FEATURE } from "@arcp/core";
import { CanonicalError } from "@arcp/core/v1.0";
import { QUORUM_EXTENSION } from "@arcp/runtime";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import { ALL_FEATURES } from "../support/raw-client.ts";
import { ALL_CAPABILITIES, type RawClient10 } from "../support/raw-client-10.ts";
import {
  type Asking,
  asked,
  askingJob,
  auditedJob,
  auditOf,
  choose,
  closingsOf,
  requestsOf,
  respond,
  watched,
} from "./asking.ts";

const QUIET = ALL_FEATURES.filter((name) => name !== "heartbeat");

const capable = (more: object): object => ({ capabilities: { ...ALL_CAPABILITIES, ...more } });
const deaf = capable({ human_input: false });

/** A job whose own session cannot be asked. */
async function deafJob(server: Parameters<typeof askingJob>[0] = {}): Promise<Asking> {
  return askingJob(server, deaf);
}

describe("a question goes to every session of the principal that can show it", () => {
  test("all are told, the first valid answer counts, and the others hear that it did", async () => {
    covers("V10-12.3-01", "V10-12.3-02", "V10-12.3-03", "V10-12.3-04");
    await using job = await auditedJob();
    const { harness, client, run } = job;
    const phone = await harness.rawSession10();
    const desk = await harness.rawSession([...QUIET, EXTENSION_FEATURE]);
    const bystander = await harness.rawSession10("alice", deaf);
    const stranger = await harness.rawSession10("bob");
    const answer = watched(run.context.requestHumanInput({ prompt: "?" }));
    const request = await asked(client);
    const same = await asked(phone);
    expect(same).toMatchObject({ id: request.id, job_id: job.jobId, payload: request.payload });
    const event = await desk.sees(({ payload }) => payload.kind === "x-vendor.arcp.question");
    expect(event.payload.body).toMatchObject({ id: request.payload.request_id, question: "input", prompt: "?" });
    expect(await respond(phone, same, "left", { responded_by: "ntfy:phone" })).toMatchObject({ type: "ack" });
    await client.sees(({ type }) => type === "human.input.cancelled");
    const told = await desk.sees(({ payload }) => payload.kind === "x-vendor.arcp.answer");
    expect(told.payload.body).toMatchObject({ outcome: "answered", value: "left", responded_by: "ntfy:phone" });
    expect(closingsOf(client, request.id)[0]).toMatchObject({
      type: "human.input.cancelled",
      payload: { code: "CANCELLED", reason: "answered elsewhere" },
    });
    expect(closingsOf(phone, request.id).map(({ type }) => type)).toEqual(["event.emit"]);
    const late = await respond(client, request, "right");
    expect(late).toMatchObject({ type: "ack", payload: { status: "ignored" } });
    expect(answer).toMatchObject({ value: { value: "left", respondedBy: "ntfy:phone" }, times: 1 });
    for (const other of [bystander, stranger]) {
      await other.fence();
      expect(requestsOf(other)).toEqual([]);
    }
    await client.fence();
    const audit = await auditOf(job);
    expect(audit.filter(({ action }) => action.startsWith("question."))).toMatchObject([
      { action: "question.asked" },
      {
        action: "question.answered",
        principal: "alice",
        facts: { responded_by: "ntfy:phone", session_id: phone.sessionId },
      },
      { action: "question.ignored_answer", principal: "alice", facts: { session_id: client.sessionId } },
    ]);
  });

  test("a session that does not follow the job gets nothing else of it, and can be resumed from there", async () => {
    await using job = await askingJob();
    const { harness, client, run } = job;
    const phone = await harness.rawSession10();
    run.context.requestHumanInput({ prompt: "?" }).catch(() => {});
    await run.context.log("info", "in between");
    const request = await asked(phone);
    phone.cut();
    await settle();
    await respond(client, await asked(client), 1);
    run.finish();
    await client.ending(job.jobId);
    const again = await harness.rawSession10();
    const resumed = await again.ask("resume", { after_message_id: request.id }, { session_id: phone.sessionId });
    expect(resumed.type).toBe("ack");
    expect(closingsOf(again, request.id).map(({ type }) => type)).toEqual(["human.input.cancelled", "event.emit"]);
    expect([...phone.ofJob(job.jobId), ...again.ofJob(job.jobId)].map(({ type }) => type)).toEqual([
      ...["human.input.request", "human.input.cancelled", "event.emit"],
    ]);
  });

  test("a connection that carries two sessions answers for the one that it names", async () => {
    await using job = await askingJob();
    const { harness, client, run } = job;
    client.cut();
    await settle();
    const again = await harness.rawSession10();
    await again.ask("resume", {}, { session_id: client.sessionId });
    run.context.requestHumanInput({ prompt: "?" }).catch(() => {});
    const request = await again.sees(
      ({ type, session_id }) => type === "human.input.request" && session_id === client.sessionId,
    );
    const members = { correlation_id: request.id, session_id: client.sessionId };
    expect((await again.ask("human.input.response", { value: 1 }, members)).type).toBe("ack");
    const told = await again.sees(({ type }) => type === "human.input.cancelled");
    expect(told.session_id).toBe(again.sessionId);
    await again.sees(({ payload }) => payload.name === "human.input.resolved");
  });

  test("a session that opens later is asked too, after its acceptance", async () => {
    await using job = await askingJob();
    const { harness, run } = job;
    const first = watched(run.context.requestHumanInput({ prompt: "first" }));
    await asked(job.client);
    const second = watched(run.context.requestHumanChoice({ prompt: "second", options: [{ id: "a", label: "A" }] }));
    await asked(job.client, 1);
    const later = await harness.rawSession10();
    const [one, two] = [await asked(later), await asked(later, 1)];
    expect([one.payload.prompt, two.payload.prompt]).toEqual(["first", "second"]);
    expect(later.frames[0]?.type).toBe("session.accepted");
    await choose(later, two, "a");
    await respond(later, one, true);
    await settle();
    expect([first.value?.value, second.value?.choiceId]).toEqual([true, "a"]);
    expect(closingsOf(later, one.id)).toHaveLength(1);
  });

  test("an answer over wire 1.1 is checked, counts, and is acknowledged", async () => {
    await using job = await askingJob();
    const { harness, run } = job;
    const desk = await harness.rawSession([...QUIET, EXTENSION_FEATURE]);
    const schema = { type: "integer" };
    const answer = watched(run.context.requestHumanInput({ prompt: "?", responseSchema: schema }));
    const { payload } = await desk.sees((frame) => frame.payload.kind === "x-vendor.arcp.question");
    const say = (value: unknown) =>
      desk.ask("x-vendor.arcp.human.input.response", { request_id: payload.body.id, value, responded_by: "desk" });
    // Its reply names the message, as every reply does, and not the question.
    const id = desk.send("x-vendor.arcp.human.input.response", { request_id: payload.body.id, value: "x" });
    const refused = await desk.sees(({ correlation_id }) => correlation_id === id);
    expect(refused).toMatchObject({ type: "session.error", payload: { code: "INVALID_REQUEST", request_id: id } });
    expect(await say(7)).toMatchObject({ type: "x-vendor.arcp.ack", payload: { status: "applied" } });
    await settle();
    expect(answer.value).toMatchObject({ value: 7, respondedBy: "desk" });
  });
});

describe("nobody can be asked", () => {
  test("the default is the answer at once, and nobody hears of a question", async () => {
    await using job = await deafJob();
    const input = await job.run.context.requestHumanInput({ prompt: "?", default: 5 });
    const options = [{ id: "a", label: "A" }];
    const choice = await job.run.context.requestHumanChoice({ prompt: "?", options, default: "a" });
    expect([input, choice]).toMatchObject([
      { value: 5, respondedBy: "default", isDefault: true },
      { choiceId: "a", isDefault: true },
    ]);
    await job.client.fence();
    expect(requestsOf(job.client)).toEqual([]);
  });

  test("without a default it fails at once", async () => {
    await using job = await deafJob();
    const error = await job.run.context.requestHumanInput({ prompt: "?" }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(CanonicalError);
    expect(error).toMatchObject({ canonicalCode: "FAILED_PRECONDITION", details: { reason: "nobody_to_ask" } });
  });

  test("a session that is away can still come back: the question waits for it", async () => {
    await using job = await deafJob();
    const { harness, run } = job;
    const phone = await harness.rawSession10();
    phone.cut();
    await settle();
    const answer = watched(run.context.requestHumanInput({ prompt: "?" }));
    await settle();
    expect(answer.isSettled).toBe(false);
    const again = await harness.rawSession10();
    await respond(again, await asked(again), "here");
    await settle();
    expect(answer.value?.value).toBe("here");
  });
});

describe("an answer that does not count", () => {
  type Attempt = (job: Asking, request: { readonly id: string }) => Promise<{ type: string; payload: object }>;
  const attempts: readonly (readonly [string, Attempt, object])[] = [
    [
      "to a question that there is not",
      ({ client }) => client.ask("human.input.response", { value: 1 }, { correlation_id: "msg_nothing" }),
      { code: "NOT_FOUND" },
    ],
    [
      "of another principal: as if there were no such question",
      async ({ harness }, { id }) => {
        const other = await harness.rawSession10("mallory");
        return other.ask("human.input.response", { value: 1 }, { correlation_id: id });
      },
      { code: "NOT_FOUND", message: "there is no such question" },
    ],
    [
      "of another kind",
      ({ client }, { id }) => client.ask("human.choice.response", { choice_id: "a" }, { correlation_id: id }),
      { code: "INVALID_ARGUMENT" },
    ],
    [
      "that is a decision about a permission",
      ({ client }, { id }) => client.ask("permission.grant", {}, { correlation_id: id }),
      { code: "INVALID_ARGUMENT" },
    ],
    [
      "that names no question",
      ({ client }) => client.ask("human.input.response", { value: 1 }),
      { code: "INVALID_ARGUMENT" },
    ],
    [
      "without a value",
      ({ client }, { id }) => client.ask("human.input.response", {}, { correlation_id: id }),
      { code: "INVALID_ARGUMENT" },
    ],
    [
      "that is larger than answers are",
      ({ client }, { id }) =>
        client.ask("human.input.response", { value: "x".repeat(100_000) }, { correlation_id: id }),
      { code: "INVALID_ARGUMENT" },
    ],
    [
      "of a session that never agreed to answer",
      async ({ harness }, { id }) => {
        const other = await harness.rawSession10("alice", deaf);
        return other.ask("human.input.response", { value: 1 }, { correlation_id: id });
      },
      { code: "UNIMPLEMENTED" },
    ],
  ];
  test.each(attempts)("%s", async (_what, attempt, expected) => {
    covers("V10-15.4-07");
    await using job = await askingJob();
    const answer = watched(job.run.context.requestHumanInput({ prompt: "?" }));
    const request = await asked(job.client);
    expect(await attempt(job, request)).toMatchObject({ type: "nack", payload: expected });
    expect(answer.isSettled).toBe(false);
    expect(closingsOf(job.client, request.id)).toEqual([]);
    await respond(job.client, request, "now");
    await settle();
    expect(answer).toMatchObject({ value: { value: "now" }, times: 1 });
  });

  test("of a session of wire 1.1 that has not negotiated it", async () => {
    await using job = await askingJob();
    const plain = await job.harness.rawSession(QUIET);
    job.run.context.requestHumanInput({ prompt: "?" }).catch(() => {});
    const { payload } = await asked(job.client);
    const id = plain.send("x-vendor.arcp.human.input.response", { request_id: payload.request_id, value: 1 });
    expect(await plain.reply(id)).toMatchObject({
      type: "session.error",
      payload: { code: "INVALID_REQUEST", details: { feature: EXTENSION_FEATURE } },
    });
    expect(plain.numbered).toEqual([]);
  });

  test("an agent cannot speak as the runtime does", async () => {
    await using job = await askingJob();
    const forged = job.run.context.emitEvent("x-vendor.arcp.question", { id: "q_1", prompt: "harmless" });
    await expect(forged).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    await expect(job.run.context.emitEvent("x-vendor.acme.question", {})).resolves.toBeUndefined();
  });

  test("a client is not called as the default is, and its answers are not of the future", async () => {
    await using job = await askingJob();
    const answer = watched(job.run.context.requestHumanInput({ prompt: "?" }));
    const responded_at = new Date(job.clock.now() + 1_000_000).toISOString();
    await respond(job.client, await asked(job.client), 1, { responded_by: "default", responded_at });
    await settle();
    expect(answer.value).toMatchObject({
      ...{ respondedBy: "alice", isDefault: false },
      respondedAt: new Date(job.clock.now()).toISOString(),
    });
  });
});

describe("answers that come together", () => {
  test("are looked at side by side, and the first valid one counts", async () => {
    covers("V10-12.3-01");
    await using job = await askingJob();
    const { harness, client, run } = job;
    const others = [await harness.rawSession10(), await harness.rawSession10(), await harness.rawSession10()];
    const answer = watched(run.context.requestHumanInput({ prompt: "?", responseSchema: { type: "integer" } }));
    const request = await asked(client);
    const values: readonly unknown[] = ["wrong", 1, 2];
    const replies = await Promise.all(others.map((other, n) => respond(other, request, values[n])));
    expect(replies.map(({ type, payload }) => [type, payload.status ?? payload.code])).toEqual([
      ["nack", "INVALID_ARGUMENT"],
      ["ack", "applied"],
      ["ack", "ignored"],
    ]);
    await settle();
    expect(answer).toMatchObject({ value: { value: 1 }, times: 1 });
  });
});

describe("an operator says who may answer", () => {
  test("others are not asked, and are refused", async () => {
    covers("V10-15.4-07");
    let boss: string | undefined;
    const seen: unknown[] = [];
    await using job = await auditedJob({
      interactionPolicy: (question, session) => {
        seen.push([question.kind, question.principal, session.principal]);
        return session.sessionId === boss;
      },
    });
    const { harness, client, run } = job;
    const [clerk, chief] = [await harness.rawSession10(), await harness.rawSession10()];
    boss = chief.sessionId;
    const answer = watched(run.context.requestHumanInput({ prompt: "?" }));
    const request = await asked(chief);
    // It is an event of the job, which its own session follows.
    await asked(client);
    await clerk.fence();
    expect(requestsOf(clerk)).toEqual([]);
    for (const one of [clerk, client]) {
      expect(await respond(one, request, 1)).toMatchObject({ type: "nack", payload: { code: "PERMISSION_DENIED" } });
    }
    await respond(chief, request, 2);
    await settle();
    expect(answer.value?.value).toBe(2);
    expect(new Set(seen.map(String))).toEqual(new Set(["input,alice,alice"]));
    const audit = await auditOf(job);
    expect(audit.filter(({ action }) => action === "question.refused")).toHaveLength(2);
  });

  test("by a policy that fails nobody may", async () => {
    await using job = await askingJob({
      interactionPolicy: () => {
        throw new Error("out of order");
      },
    });
    await expect(job.run.context.requestHumanInput({ prompt: "?" })).rejects.toMatchObject({
      details: { reason: "nobody_to_ask" },
    });
  });
});

describe("a quorum", () => {
  const voter = capable({ extensions: [QUORUM_EXTENSION] });

  test("decides by so many equal answers of different sessions", async () => {
    covers("V10-12.3-01");
    await using job = await askingJob({}, voter);
    const { harness, client, run } = job;
    const voters: readonly RawClient10[] = [
      client,
      await harness.rawSession10("alice", voter),
      await harness.rawSession10("alice", voter),
    ];
    const plain = await harness.rawSession10();
    const answer = watched(run.context.requestHumanInput({ prompt: "?", quorum: 2 }));
    const request = await asked(client);
    expect(request.payload.quorum).toBe(2);
    await plain.fence();
    expect(requestsOf(plain)).toEqual([]);
    const says = (n: number, value: unknown) => respond(voters[n] as RawClient10, request, value);
    expect((await says(0, { a: 1, b: 2 })).payload.status).toBe("counted");
    expect((await says(0, { a: 1, b: 2 })).payload.status).toBe("counted");
    expect((await says(1, { a: 1, b: 3 })).payload.status).toBe("counted");
    expect(await respond(plain, request, { a: 1, b: 2 })).toMatchObject({
      type: "nack",
      payload: { code: "FAILED_PRECONDITION" },
    });
    expect(answer.isSettled).toBe(false);
    expect((await says(2, { b: 2, a: 1 })).payload.status).toBe("applied");
    await settle();
    expect(answer).toMatchObject({ value: { value: { a: 1, b: 2 } }, times: 1 });
  });

  test("that is not reached in time is no answer", async () => {
    await using job = await askingJob({}, voter);
    const answer = watched(job.run.context.requestHumanInput({ prompt: "?", quorum: 2, default: 0 }));
    await respond(job.client, await asked(job.client), 1);
    job.clock.advance(300_000);
    await settle();
    expect(answer.value).toMatchObject({ value: 0, isDefault: true });
  });
});
