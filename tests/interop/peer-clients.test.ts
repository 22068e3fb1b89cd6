import { describe, expect, test } from "vitest";
import { registerAgents } from "../../interop/agents.ts";
import type { PeerClient } from "../../interop/peers/client.ts";
import { fsharp } from "../../interop/peers/fsharp.ts";
import { go } from "../../interop/peers/go.ts";
import { python } from "../../interop/peers/python.ts";
import { ruby } from "../../interop/peers/ruby.ts";
import { typescript } from "../../interop/peers/typescript.ts";
import { type Harness, startHarness } from "../support/harness.ts";
import { ScriptedClient } from "./scripted-client.ts";

async function withAgents(): Promise<Harness> {
  const harness = startHarness();
  registerAgents(harness.server);
  return harness;
}

async function connected(harness: Harness, peer: PeerClient): Promise<ScriptedClient> {
  const client = new ScriptedClient(peer, await harness.transport());
  const welcome = await client.open(peer.hello("alice"));
  expect(welcome.type).toBe("session.welcome");
  return client;
}

describe.each([typescript, go, ruby, fsharp, python])("a $name client, without options", (peer) => {
  test("connects, submits, follows its job and leaves", async () => {
    await using harness = await withAgents();
    const client = await connected(harness, peer);
    const accepted = await client.ask(peer.submit("kinds", {}));
    expect(accepted.type).toBe("job.accepted");
    const streamed = await client.ended(accepted.payload.job_id);
    expect(streamed.type).toBe("job.result");
    expect(client.eventsOf(accepted.payload.job_id).map(({ payload }) => payload.kind)).toContain("tool_result");

    const echoed = await client.ask(peer.submit("echo", { text: "héllo ✓" }));
    const result = await client.ended(echoed.payload.job_id);
    expect(peer.resultOf(result.payload)).toEqual({ text: "héllo ✓" });

    client.send(peer.goodbye);
    if (peer.afterGoodbye !== undefined) await client.find(({ type }) => type === peer.afterGoodbye, "farewell");
    await client.transport.closed;
    expect(client.problems).toEqual([]);
    expect(client.frames.filter(({ type }) => type === "session.error")).toEqual([]);
  });

  test("lists and cancels its job", async () => {
    await using harness = await withAgents();
    const client = await connected(harness, peer);
    const accepted = await client.ask(peer.submit("slow", { ms: 60_000 }));
    const jobId = accepted.payload.job_id as string;
    const listed = await client.ask(peer.list());
    expect(listed.payload.jobs.map((job: { job_id: string }) => job.job_id)).toEqual([jobId]);
    const cancelled = await client.ask(peer.cancel(jobId));
    expect(cancelled.type).toBe("job.cancelled");
    const end = await client.ended(jobId);
    expect(end.payload).toMatchObject({ code: "CANCELLED", retryable: false });
    expect(client.problems).toEqual([]);
  });

  test("is refused in a way that it understands", async () => {
    await using harness = await withAgents();
    const client = await connected(harness, peer);
    const refused = client.send(peer.submit("no-such-agent", {}));
    const error = await client.find(({ type }) => type === "session.error", "refusal");
    expect(error.payload.code).toBe("AGENT_NOT_AVAILABLE");
    if (peer !== typescript && peer !== python) expect(peer.isReply(error, refused, () => false)).toBe(true);
    const failed = await client.ask(peer.submit("fail", {}));
    expect((await client.ended(failed.payload.job_id)).payload.code).toBe("INTERNAL_ERROR");
    expect(client.problems).toEqual([]);
  });

  test("observes a job of another session", async () => {
    await using harness = await withAgents();
    const submitter = await connected(harness, peer);
    const accepted = await submitter.ask(peer.submit("chatter", { n: 5, delay_ms: 10 }));
    const jobId = accepted.payload.job_id as string;
    const observer = await connected(harness, peer);
    const subscribed = await observer.ask(peer.subscribe(jobId));
    expect(subscribed.type).toBe("job.subscribed");
    await observer.ended(jobId);
    const messages = observer.eventsOf(jobId).map(({ payload }) => payload.body.message);
    expect(messages).toEqual(["line 0", "line 1", "line 2", "line 3", "line 4"]);
    expect([...submitter.problems, ...observer.problems]).toEqual([]);
  });

  test("resumes its session and is told what it missed", async () => {
    await using harness = await withAgents();
    const client = await connected(harness, peer);
    const accepted = await client.ask(peer.submit("chatter", { n: 20, delay_ms: 10 }));
    const jobId = accepted.payload.job_id as string;
    await client.find(({ payload }) => payload?.body?.message === "line 1", "second line");
    client.transport.abort("cut");
    const point = client.resumePoint;
    const again = new ScriptedClient(peer, await harness.transport());
    const welcome = await again.open(peer.resume("alice", point));
    expect(welcome.session_id).toBe(client.sessionId);
    await again.ended(jobId);
    const lines = [...client.eventsOf(jobId), ...again.eventsOf(jobId)].map(({ payload }) => payload.body.message);
    expect(lines).toEqual(Array.from({ length: 20 }, (_, line) => `line ${line}`));
    expect([...client.problems, ...again.problems]).toEqual([]);
  });
});
