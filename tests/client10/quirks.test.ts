/** What other runtimes of wire 1.0 really send, and that the client gets along with it. */
import type { ToolEvent } from "@arcp/client";
import { codeOf10 } from "@arcp/core/v1.0";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { settle } from "../support/puppet.ts";
import { ScriptedServer, scripted } from "./scripted-runtime.ts";
import { collect, logsOf } from "./support.ts";

const outcomeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => ({ value }),
    (error) => ({ code: codeOf10(error), message: error.message }),
  );

describe("the first ending counts, whatever it is called", () => {
  test.each([
    ["tool.result (TypeScript)", "tool.result", { value: 7 }, { value: 7 }],
    ["job.completed (Ruby, F#, Rust)", "job.completed", { value: 7, result_ref: null }, { value: 7 }],
    ["job.completed with result (TypeScript)", "job.completed", { result: 7 }, { value: 7 }],
    ["a value that is null", "tool.result", { value: null }, { value: null }],
    ["workflow.complete", "workflow.complete", { outputs: 7 }, { value: 7 }],
    [
      "tool.error",
      "tool.error",
      { code: "NOT_FOUND", message: "no such tool" },
      { code: "NOT_FOUND", message: "no such tool" },
    ],
    ["job.failed", "job.failed", { code: "ABORTED", message: "killed" }, { code: "ABORTED", message: "killed" }],
    ["an alias", "tool.error", { code: "RATE_LIMITED", message: "m" }, { code: "RESOURCE_EXHAUSTED", message: "m" }],
    [
      "job.cancelled with a reason (TypeScript)",
      "job.cancelled",
      { reason: "r", source: "client" },
      { code: "CANCELLED", message: "r" },
    ],
    ["job.cancelled with nothing (F#)", "job.cancelled", {}, { code: "CANCELLED", message: "the job was cancelled" }],
    ["nack", "nack", { code: "UNAVAILABLE", message: "later" }, { code: "UNAVAILABLE", message: "later" }],
  ])("%s", async (_what, type, payload, expected) => {
    covers("V10-6.3-04", "V10-6.3-05", "V10-6.3-06", "V10-6.3-08", "V10-18.1-01", "V10-18.2-03");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    const members = { correlation_id: id, job_id: "job_1" };
    scene.runtime.send(type, payload, members);
    scene.runtime.send("tool.result", { value: "late" }, members);
    const outcome = await outcomeOf(invocation.done.then(({ value }) => value));
    expect(outcome).toEqual(expected);
  });

  test.each([
    ["without correlation, by the job (TypeScript)", { correlation_id: undefined, job_id: "job_1" }],
    ["without a job, by correlation (Rust)", { job_id: undefined }],
  ])("%s", async (_what, members) => {
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    scene.runtime.send("job.failed", { code: "HEARTBEAT_LOST", message: "m" }, { correlation_id: id, ...members });
    expect(await outcomeOf(invocation.done)).toEqual({ code: "HEARTBEAT_LOST", message: "m" });
  });
});

describe("an acceptance", () => {
  test("with the job on the envelope only (Ruby)", async () => {
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    await scene.runtime.answer("tool.invoke", "job.accepted", { detail: null }, { job_id: "job_r" });
    expect(await invocation.accepted).toMatchObject({ jobId: "job_r" });
  });

  test("that is an ack, and then the job", async () => {
    covers("V10-6.3-02");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const command = await scene.runtime.answer("tool.invoke", "ack", {});
    scene.runtime.send("job.started", { job_id: "job_a" }, { job_id: "job_a", correlation_id: command.id });
    expect(await invocation.accepted).toMatchObject({ jobId: "job_a" });
  });

  test("that comes after the first word of the job", async () => {
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const events = collect(invocation);
    const heard: unknown[] = [];
    scene.client.on("work", (work) => void heard.push(work.jobId));
    const { id } = await scene.runtime.next("tool.invoke");
    const { runtime } = scene;
    runtime.send("job.started", { job_id: "job_1" }, { job_id: "job_1" });
    runtime.send("log", { level: "info", message: "early" }, { job_id: "job_1" });
    runtime.send("log", { level: "info", message: "elsewhere" }, { job_id: "job_9" });
    runtime.send("job.accepted", { job_id: "job_1" }, { job_id: "job_1", correlation_id: id });
    runtime.send("tool.result", { value: 1 }, { job_id: "job_1", correlation_id: id });
    await invocation.done;
    expect((await events).map(({ kind }) => kind)).toEqual(["started", "log"]);
    expect(heard).toEqual(["job_9"]);
  });

  test("that is followed by a failure (Rust)", async () => {
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    scene.runtime.send("job.failed", { code: "DUPLICATE_KEY", message: "m" }, { correlation_id: id });
    await expect(invocation.done).rejects.toMatchObject({ code: "DUPLICATE_KEY" });
  });
});

test("a nack may name its command in the payload only (TypeScript)", async () => {
  covers("V10-6.1.1-09");
  await using scene = await scripted();
  const ping = scene.client.ping();
  const invocation = scene.client.invoke("tool");
  const { id } = await scene.runtime.next("tool.invoke");
  scene.runtime.send("nack", { code: "UNIMPLEMENTED", message: "no such tool", ack_for: id });
  expect(await outcomeOf(invocation.done)).toEqual({ code: "UNIMPLEMENTED", message: "no such tool" });
  await expect(invocation.accepted).rejects.toMatchObject({ message: "no such tool" });
  const [sent] = scene.runtime.ofType("ping");
  scene.runtime.send("pong", { ack_for: sent?.id, received_at: "2026-01-01T00:00:00Z" });
  expect((await ping).receivedAt).toBe("2026-01-01T00:00:00Z");
});

test("a pong may say when, or nothing at all", async () => {
  covers("V10-6.2-03");
  await using scene = await scripted();
  const ping = scene.client.ping();
  await scene.runtime.answer("ping", "pong", {});
  expect((await ping).receivedAt).toBeUndefined();
});

describe("a cancel is answered", () => {
  test.each([
    [
      "by its own id (TypeScript)",
      (cancel: string, _invoke: string) => ({ correlation_id: cancel }),
      { target_id: "job_1" },
    ],
    ["by the id of the invocation (Ruby)", (_cancel: string, invoke: string) => ({ correlation_id: invoke }), {}],
    ["by nothing (F#)", () => ({}), {}],
  ])("%s", async (_what, members, payload) => {
    covers("V10-10.4-02");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const invoke = await scene.runtime.acceptJob();
    await invocation.accepted;
    const accepted = invocation.cancel("enough");
    const cancel = await scene.runtime.next("cancel");
    expect(cancel.payload).toEqual({ target: "job", target_id: "job_1", reason: "enough" });
    scene.runtime.send("cancel.accepted", payload, members(cancel.id, invoke.id));
    await accepted;
    const refused = invocation.cancel({ reason: "again", deadlineMs: 10 });
    const second = await scene.runtime.next("cancel");
    expect(second.payload).toMatchObject({ deadline_ms: 10 });
    scene.runtime.send("cancel.refused", { reason: "already terminal" }, members(second.id, invoke.id));
    await expect(refused).rejects.toMatchObject({ reason: "already terminal" });
  });

  test("by the end of the job", async () => {
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    await invocation.accepted;
    const cancelled = invocation.cancel();
    await scene.runtime.next("cancel");
    scene.runtime.send("job.cancelled", { reason: "r" }, { job_id: "job_1", correlation_id: id });
    await cancelled;
  });
});

describe("streams", () => {
  test.each([
    ["from 0, by related_job_id (TypeScript)", 0, { kind: "text", related_job_id: "job_1" }, { stream_id: "str_1" }],
    ["from 1, with the kind in an object (F#)", 1, { kind: { type: "text" } }, { stream_id: "str_1", job_id: "job_1" }],
    [
      "from 1, with the text in content (Ruby)",
      1,
      { kind: "text", sidecar: false },
      { stream_id: "str_1", correlation_id: true },
    ],
  ])("count %s", async (what, first, open, envelope) => {
    covers("V10-11.1-05");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    const { runtime } = scene;
    const members = { ...envelope, ...("correlation_id" in envelope && { correlation_id: id }) };
    runtime.send("stream.open", open, members);
    for (const [at, text] of ["a", "b", "c"].entries()) {
      const content = what.includes("content") ? { content: text } : { data: text };
      runtime.send("stream.chunk", { sequence: at + first, ...content }, { stream_id: "str_1" });
    }
    runtime.send("stream.close", { reason: "done" }, { stream_id: "str_1" });
    runtime.send("tool.result", { value: null }, { correlation_id: id });
    const texts: string[] = [];
    for await (const stream of invocation.streams()) texts.push(await stream.text());
    expect(texts).toEqual(["abc"]);
  });
});

describe("artifacts", () => {
  const bytes = new TextEncoder().encode("hello");
  const data = "aGVsbG8=";

  test.each([
    [
      "artifact.put (TypeScript)",
      "artifact.put",
      { artifact_id: "art_1", media_type: "text/plain", data, encoding: "base64" },
    ],
    ["artifact.put without an id (F#)", "artifact.put", { media_type: "text/plain", data }],
    [
      "artifact.ref with data (Ruby)",
      "artifact.ref",
      { artifact_id: "art_1", media_type: "text/plain", data, size: 5 },
    ],
  ])("are fetched by %s", async (_what, type, payload) => {
    covers("V10-16.2-04");
    await using scene = await scripted();
    const fetched = scene.client.fetchArtifact("art_1");
    await scene.runtime.answer("artifact.fetch", type, payload);
    expect(await fetched).toEqual(bytes);
  });

  test("are refused by tool.error (F#) or nack", async () => {
    covers("V10-16.3-03");
    await using scene = await scripted();
    for (const type of ["tool.error", "nack"]) {
      const fetched = scene.client.fetchArtifact("art_1");
      await scene.runtime.answer("artifact.fetch", type, { code: "NOT_FOUND", message: "gone" });
      expect(await outcomeOf(fetched)).toEqual({ code: "NOT_FOUND", message: "gone" });
    }
  });

  test("are released without an answer (TypeScript), or with one", async () => {
    covers("V10-16.2-06");
    await using scene = await scripted();
    const silent = scene.client.releaseArtifact("art_1");
    await scene.runtime.next("artifact.release");
    await silent;
    const said = scene.client.releaseArtifact("art_1");
    await scene.runtime.answer("artifact.release", "ack", { detail: "released" });
    await said;
  });

  test("are put with everything that anybody asks for", async () => {
    covers("V10-16.2-01", "V10-16.2-02", "V10-16.1-01");
    await using scene = await scripted();
    const put = scene.client.putArtifact("hello", { ttlSeconds: 60 });
    const command = await scene.runtime.next("artifact.put");
    const sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    expect(command.payload).toEqual({
      ...{ artifact_id: expect.stringMatching(/^art_/), media_type: "text/plain", data, encoding: "base64" },
      ...{ size: 5, sha256, ttl_seconds: 60 },
    });
    const ref = {
      artifact_id: "art_1",
      uri: "arcp://session/sess_1/artifact/art_1",
      media_type: "text/plain",
      size: 5,
    };
    scene.runtime.send("artifact.ref", { ...ref, sha256, data: null }, { correlation_id: command.id });
    expect(await put).toMatchObject({ ...ref, sha256 });
  });
});

describe("subscriptions", () => {
  const progress = { percent: 1 };
  const event = (id: string, payload: unknown = progress) => ({
    ...{
      arcp: "1.0",
      id,
      type: "job.progress",
      timestamp: "2026-01-01T00:00:00Z",
      session_id: "sess_9",
      job_id: "job_9",
    },
    payload,
  });

  test.each([
    [
      "event.emit with a name (TypeScript)",
      { type: "event.emit", payload: { name: "subscription.backfill_complete" } },
    ],
    ["event.emit with a type", { type: "event.emit", payload: { type: "subscription.backfill_complete" } }],
    ["no message at all (F#)", { type: "subscription.backfill_complete" }],
  ])("the end of the history is %s", async (_what, marker) => {
    covers("V10-13.3-01", "V10-13.3-02");
    await using scene = await scripted();
    const opening = scene.client.openSubscription({ jobId: "job_9" }, { since: "msg_0" });
    const command = await scene.runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1" });
    expect(command.payload).toEqual({ filter: { job_id: ["job_9"] }, since: { after_message_id: "msg_0" } });
    const subscription = await opening;
    const tell = (one: object): unknown =>
      scene.runtime.send("subscribe.event", { event: one }, { subscription_id: "sub_1" });
    tell(event("msg_a"));
    tell({ arcp: "1.0", id: "msg_m", timestamp: "2026-01-01T00:00:00Z", ...marker });
    tell(event("msg_b"));
    await subscription.backfillComplete;
    const seen = subscription[Symbol.asyncIterator]();
    expect([(await seen.next()).value, (await seen.next()).value]).toMatchObject([
      { id: "msg_a", type: "job.progress", payload: progress, isHistory: true },
      { id: "msg_b", isHistory: false },
    ]);
  });

  test("an event may not say of which one it is (Ruby), and wrap what it says (F#)", async () => {
    await using scene = await scripted();
    const { client, runtime } = scene;
    const jobs = client.openSubscription({ types: ["job.progress"] });
    await runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1", detail: null });
    const logs = client.openSubscription({ types: ["log"] });
    await runtime.answer("subscribe", "subscribe.accepted", {}, { subscription_id: "sub_2" });
    const [seenJobs, seenLogs] = [(await jobs)[Symbol.asyncIterator](), (await logs)[Symbol.asyncIterator]()];
    runtime.send("subscribe.event", {
      event: { ...event("msg_l"), type: "log", payload: { level: "info", message: "m" } },
    });
    runtime.send("subscribe.event", { event: event("msg_a", { type: "job_progress", payload: { item: progress } }) });
    expect((await seenJobs.next()).value).toMatchObject({ id: "msg_a", payload: progress });
    expect((await seenLogs.next()).value).toMatchObject({ id: "msg_l", payload: { message: "m" } });
  });

  test("one is left by payload and by envelope, answered or not", async () => {
    covers("V10-13.4-01");
    await using scene = await scripted();
    const opening = scene.client.openSubscription();
    await scene.runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1" });
    const subscription = await opening;
    const ended = collect(subscription);
    await subscription.close();
    expect(await ended).toEqual([]);
    const left = await scene.runtime.next("unsubscribe");
    expect(left).toMatchObject({ subscription_id: "sub_1", payload: { subscription_id: "sub_1" } });
    await subscription.close();
    expect(scene.runtime.ofType("unsubscribe")).toHaveLength(1);
  });

  test.each([
    ["nack", { code: "PERMISSION_DENIED", message: "not yours" }],
    ["subscribe.closed", { code: "PERMISSION_DENIED", reason: "not yours" }],
  ])("a refusal is %s", async (type, payload) => {
    covers("V10-13.2-03");
    await using scene = await scripted();
    const opening = scene.client.openSubscription({ sessionId: "sess_9" });
    await scene.runtime.answer("subscribe", type, payload);
    expect(await outcomeOf(opening)).toEqual({ code: "PERMISSION_DENIED", message: "not yours" });
  });

  test("the runtime may end one, with a code or without", async () => {
    covers("V10-13.4-02", "V10-13.4-03");
    await using scene = await scripted();
    for (const [payload, expected] of [
      [
        { reason: "BACKPRESSURE_OVERFLOW", code: "BACKPRESSURE_OVERFLOW" },
        { code: "BACKPRESSURE_OVERFLOW", message: "BACKPRESSURE_OVERFLOW" },
      ],
      [{ reason: "unsubscribed" }, { value: [] }],
      [{ code: "OK", reason: "closed" }, { value: [] }],
    ] as const) {
      const opening = scene.client.openSubscription();
      await scene.runtime.answer("subscribe", "subscribe.accepted", { subscription_id: "sub_1" });
      const ended = outcomeOf(collect(await opening));
      scene.runtime.send("subscribe.closed", payload, { subscription_id: "sub_1" });
      expect(await ended).toEqual(expected);
    }
  });
});

describe("a resume", () => {
  test("that succeeds in silence has succeeded (F#), and what was not answered is asked again", async () => {
    covers("V10-6.1.1-15", "V10-6.1.1-14");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool", { n: 1 });
    const first = await scene.runtime.next("tool.invoke");
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    const resume = await second.next("resume");
    expect(resume).toMatchObject({ session_id: "sess_1", payload: { after_message_id: expect.any(String) } });
    const again = await second.next("tool.invoke");
    expect(again).toMatchObject({
      id: first.id,
      idempotency_key: (first as { idempotency_key?: string }).idempotency_key,
    });
    expect(again.payload).toEqual(first.payload);
    second.send("tool.result", { value: 1 }, { correlation_id: again.id });
    expect((await invocation.done).value).toBe(1);
  });

  test("that succeeds in silence may not have, which is a problem of what is under way", async () => {
    await using scene = await scripted({ silenceMs: 1 });
    const problems: string[] = [];
    scene.client.on("problem", (problem) => void problems.push(codeOf10(problem)));
    const invocation = scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    await invocation.accepted;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    await second.next("resume");
    while (problems.length === 0) await settle();
    expect(problems).toEqual(["UNAVAILABLE"]);
  });

  test("may be unknown to the runtime, which says nothing (Rust): the job is asked for once more", async () => {
    await using scene = await scripted({
      ...{ silenceMs: 1, compat: { silentResume: "lost" }, reconnect: { onDataLoss: "continue" } },
    });
    const invocation = scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    await invocation.accepted;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    const again = await second.acceptJob();
    second.send("job.completed", { value: 1 }, { job_id: "job_1", correlation_id: again.id });
    expect((await invocation.done).value).toBe(1);
  });

  test("waits for its answer while the runtime still tells what was missed", async () => {
    await using scene = await scripted({ silenceMs: 200 });
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.next("tool.invoke");
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    const resume = await second.next("resume");
    const old = { session_id: "sess_1", job_id: "job_1" };
    second.send("job.accepted", { job_id: "job_1" }, { ...old, correlation_id: id });
    second.send("ack", {}, { correlation_id: resume.id });
    await invocation.accepted;
    await settle();
    expect(second.ofType("tool.invoke")).toEqual([]);
    second.send("tool.result", { value: "missed" }, { ...old, correlation_id: id });
    expect((await invocation.done).value).toBe("missed");
  });

  test("that brings everything once more brings nothing twice (TypeScript)", async () => {
    covers("V10-6.4-02");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const events: ToolEvent[] = [];
    const seen = (async () => {
      for await (const event of invocation) events.push(event);
    })();
    const { id } = await scene.runtime.acceptJob();
    const frames = [1, 2, 3].map((percent) => ({
      ...{ arcp: "1.0", id: `msg_p${percent}`, type: "job.progress", timestamp: "2026-01-01T00:00:00Z" },
      ...{ session_id: "sess_1", job_id: "job_1", payload: { percent } },
    }));
    for (const frame of frames.slice(0, 2)) scene.runtime.sendFrame(frame);
    await invocation.accepted;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    const resume = await second.next("resume");
    expect(resume.payload.after_message_id).toBe("msg_p2");
    for (const frame of frames) second.sendFrame(frame);
    second.send("ack", {}, { correlation_id: resume.id });
    second.send("tool.result", { value: 1 }, { session_id: "sess_1", job_id: "job_1", correlation_id: id });
    await invocation.done;
    await seen;
    expect(events.flatMap((event) => (event.kind === "progress" ? [event.body.percent] : []))).toEqual([1, 2, 3]);
  });

  test("names no question and no sign of life, whose ids tell no place", async () => {
    covers("V10-19-02", "V10-19-04");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    await invocation.accepted;
    const last = scene.runtime.send("log", { level: "info", message: "last" }, { job_id: "job_1" });
    scene.runtime.send("job.heartbeat", { sequence: 1 }, { job_id: "job_1" });
    scene.runtime.send("permission.request", { permission: "p", resource: "r", operation: "o" }, { job_id: "job_1" });
    await settle();
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    expect((await second.next("resume")).payload).toEqual({ after_message_id: last });
  });

  test("after which two sessions tell of the same job is told of once", async () => {
    covers("V10-6.4-02", "V10-9-03");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.next("tool.invoke");
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    await second.answer("resume", "ack");
    await second.next("tool.invoke");
    // The runtime had heard it after all.
    const old = { session_id: "sess_1", job_id: "job_1" };
    const own = { session_id: "sess_2", job_id: "job_1" };
    second.send("job.accepted", { job_id: "job_1" }, { ...old, correlation_id: id });
    second.send("job.started", {}, old);
    second.send("job.accepted", { job_id: "job_1" }, { ...own, correlation_id: id });
    for (const message of ["1", "2"]) {
      for (const members of [old, own]) second.send("log", { level: "info", message }, members);
    }
    second.send("tool.result", { value: "own" }, { ...own, correlation_id: id });
    second.send("log", { level: "info", message: "3" }, old);
    second.send("tool.result", { value: "old" }, { ...old, correlation_id: id });
    expect((await invocation.done).value).toBe("old");
    expect(logsOf(await collect(invocation))).toEqual(["1", "2", "3"]);
  });

  test("of an earlier session is made again over the connection after the next", async () => {
    covers("V10-9-03");
    await using scene = await scripted();
    const invocation = scene.client.invoke("tool");
    const { id } = await scene.runtime.acceptJob();
    await invocation.accepted;
    let peer = scene.runtime;
    for (const _loss of [1, 2]) {
      peer.drop();
      peer = await scene.server.connection();
      await peer.accept();
      const resumes = [await peer.next("resume")];
      while (resumes.at(-1)?.session_id !== "sess_1") resumes.push(await peer.next("resume"));
      for (const resume of peer.ofType("resume")) peer.send("ack", {}, { correlation_id: resume.id });
      await settle();
    }
    peer.send("tool.result", { value: 1 }, { session_id: "sess_1", job_id: "job_1", correlation_id: id });
    expect((await invocation.done).value).toBe(1);
    // Of a session in which nothing is under way any more, only the last is taken up.
    peer.drop();
    peer = await scene.server.connection();
    await peer.accept();
    await peer.next("resume");
    await settle();
    expect(peer.ofType("resume").map(({ session_id }) => session_id)).toEqual(["sess_3"]);
  });

  test.each(["nack", "tool.error"])("refused with %s is data loss", async (type) => {
    covers("V10-19-06");
    await using scene = await scripted();
    const losses: unknown[] = [];
    scene.client.on("dataLoss", ({ sessionId, error, invocations }) => {
      losses.push([sessionId, codeOf10(error), invocations.length]);
    });
    const invocation = scene.client.invoke("tool");
    await scene.runtime.acceptJob();
    await invocation.accepted;
    scene.runtime.drop();
    const second = await scene.server.connection();
    await second.accept();
    await second.answer("resume", type, { code: "DATA_LOSS", message: "too long ago" });
    await expect(invocation.done).rejects.toMatchObject({ code: "RESUME_WINDOW_EXPIRED", message: "too long ago" });
    expect(losses).toEqual([["sess_1", "DATA_LOSS", 1]]);
    // The client goes on.
    const next = scene.client.invoke("tool");
    const { id } = await second.next("tool.invoke");
    second.send("tool.result", { value: 2 }, { correlation_id: id });
    expect((await next.done).value).toBe(2);
  });
});

test("a lease may be extended without a word of the request (TypeScript)", async () => {
  covers("V10-15.5-02");
  await using scene = await scripted();
  scene.runtime.send("lease.granted", {
    lease_id: "lease_1",
    permission: "p",
    resource: "r",
    operation: "o",
    expires_at: null,
  });
  const extended = scene.client.leases.refresh("lease_1", 60);
  const refresh = await scene.runtime.next("lease.refresh");
  expect(refresh.payload).toEqual({ lease_id: "lease_1", requested_seconds: 60 });
  scene.runtime.send("lease.extended", { lease_id: "lease_1", expires_at: "2099-01-01T00:00:00Z" });
  expect(await extended).toMatchObject({ permission: "p", expiresAt: "2099-01-01T00:00:00Z" });
});

test("a question that an interrupt leads to answers it (TypeScript, Ruby)", async () => {
  await using scene = await scripted();
  const invocation = scene.client.invoke("tool");
  await scene.runtime.acceptJob();
  await invocation.accepted;
  for (const member of ["causation_id", "correlation_id"]) {
    const interrupted = invocation.interrupt("stop");
    const { id, payload } = await scene.runtime.next("interrupt");
    expect(payload).toEqual({ target: "job", target_id: "job_1", prompt: "stop" });
    const nulls = { prompt: "stop", response_schema: null, expires_at: null };
    scene.runtime.send("human.input.request", nulls, { job_id: "job_1", [member]: id });
    await interrupted;
  }
});

test("an answer to a question may not be answered itself (TypeScript)", async () => {
  await using scene = await scripted();
  scene.client.onHumanInput(() => ({ value: 1 }));
  scene.runtime.send("human.input.request", { prompt: "?" }, { job_id: "job_1" });
  const answer = await scene.runtime.next("human.input.response");
  expect(answer.payload).toMatchObject({ value: 1, responded_by: "arcp-client", responded_at: expect.any(String) });
  while (scene.client.questions.length > 0) await settle();
});

test("a session may be spoken of as wire 1.1 does (Rust)", async () => {
  await using scene = await scripted({}, { resume_token: "rt_1" });
  const id = scene.runtime.send("session.ping", { nonce: "n" }, { arcp: "1.1" });
  const pong = await scene.runtime.next("session.pong");
  expect(pong).toMatchObject({ correlation_id: id, payload: { ping_nonce: "n", received_at: expect.any(String) } });
});

test("F# is written to as it reads", async () => {
  const server = new ScriptedServer();
  const opening = scripted({ compat: { dialect: "fsharp" } });
  await using scene = await opening;
  expect(scene.runtime.ofType("session.open")[0]?.payload).toMatchObject({ arcp: "1.0" });
  const invocation = scene.client.invoke("tool", {}, { priority: "high" });
  const command = await scene.runtime.acceptJob();
  expect(command).toMatchObject({ priority: { type: "high" }, payload: { arguments: {} } });
  await invocation.accepted;
  void invocation.interrupt("why").catch(() => {});
  expect((await scene.runtime.next("interrupt")).payload).toEqual({ job_id: "job_1", reason: "why" });
  expect(server.connections).toEqual([]);
});

test("an unknown type is refused, unless it may be ignored, and nothing else happens", async () => {
  covers("V10-21.3-01", "V10-21.3-02", "V10-21.3-03", "V10-21.3-04", "V10-6.1.1-17");
  await using scene = await scripted();
  const { runtime, client } = scene;
  const core = runtime.send("job.teleported", {}, { job_id: "job_1", unknown_member: 1 });
  const extension = runtime.send("arcpx.acme.note.v1", {});
  runtime.send("arcpx.acme.note.v1", {}, { extensions: { optional: true } });
  const invocation = client.invoke("tool");
  const { id } = await runtime.acceptJob();
  runtime.send("tool.result", { value: 1, surprise: true }, { correlation_id: id });
  expect((await invocation.done).value).toBe(1);
  expect(
    runtime.ofType("nack").map(({ correlation_id, payload }) => [correlation_id, payload.code, payload.ack_for]),
  ).toEqual([
    [core, "UNIMPLEMENTED", core],
    [extension, "UNIMPLEMENTED", extension],
  ]);
});

test("what cannot be read is a problem, and fails what it answers", async () => {
  await using scene = await scripted();
  const problems: string[] = [];
  scene.client.on("problem", ({ message }) => void problems.push(message));
  scene.runtime.transport.send("{");
  scene.runtime.transport.send('{"arcp":"2.0","id":"x","type":"log","payload":{}}');
  scene.runtime.send("log", { level: "loud" });
  const refresh = scene.client.leases.refresh("lease_1");
  const { id } = await scene.runtime.next("lease.refresh");
  scene.runtime.send("lease.extended", { lease_id: 7 }, { correlation_id: id });
  await expect(refresh).rejects.toMatchObject({ code: "INVALID_REQUEST" });
  expect(problems).toHaveLength(3);
});
