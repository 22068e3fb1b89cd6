import { CancelledError, InternalError } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { collect, connected, reconnecting, settle } from "./fake-runtime.ts";

const SUBSCRIBED = {
  job_id: "job_7",
  current_status: "running",
  agent: "echo@1.0.0",
  lease: { "fs.read": ["/a/**"] },
  lease_constraints: { expires_at: "2030-01-01T00:00:00Z" },
  budget: { USD: "3.58" },
  parent_job_id: null,
  trace_id: "0af7651916cd43dd8448eb211c80319c",
  subscribed_from: 2,
  replayed: true,
};

describe("a subscription", () => {
  it("has the job's facts, its events and its ending, history first or reply first", async () => {
    covers("V11-7.6-01", "V11-7.6-02", "V11-7.7-01");
    for (const order of ["history first", "reply first"]) {
      const { client, runtime } = await connected();
      const subscribing = client.subscribe("job_7", { fromEventSeq: 0, history: true });
      const request = await runtime.next("job.subscribe");
      expect(request.payload).toEqual({ job_id: "job_7", from_event_seq: 0, history: true });
      expect(request.job_id).toBe("job_7");
      if (order === "reply first") runtime.send("job.subscribed", SUBSCRIBED);
      runtime.log("job_7", 1);
      runtime.log("job_7", 2);
      if (order === "history first") runtime.send("job.subscribed", SUBSCRIBED);
      const subscription = await subscribing;
      expect(subscription.subscribed).toEqual({
        jobId: "job_7",
        currentStatus: "running",
        agent: "echo@1.0.0",
        lease: { "fs.read": ["/a/**"] },
        leaseConstraints: { expiresAt: "2030-01-01T00:00:00Z" },
        budget: { USD: 3.58 },
        credentials: [],
        parentJobId: undefined,
        traceId: "0af7651916cd43dd8448eb211c80319c",
        subscribedFrom: 2,
        replayed: true,
        jobLastEventSeq: undefined,
        isHistoryTruncated: false,
      });
      runtime.log("job_7", 3);
      runtime.result("job_7", 4, { result: 1 });
      expect((await collect(subscription)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
      expect((await subscription.done).result).toBe(1);
      await client.close();
    }
  });

  it("ends by unsubscribe, which settles it and tells the runtime once", async () => {
    covers("V11-7.6-18");
    const { client, runtime } = await connected();
    const subscribing = client.subscribe("job_7");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, replayed: false });
    const subscription = await subscribing;
    const reading = collect(subscription);
    runtime.log("job_7", 1);
    await settle();
    subscription.unsubscribe();
    subscription.unsubscribe();
    expect(await reading).toHaveLength(1);
    await expect(subscription.done).rejects.toBeInstanceOf(CancelledError);
    const request = await runtime.next("job.unsubscribe");
    expect(request.payload).toEqual({ job_id: "job_7" });
    runtime.log("job_7", 2);
    await settle();
    expect(runtime.ofType("job.unsubscribe")).toHaveLength(1);
    await client.close();
  });

  it("asks for history once, however often the job is subscribed to", async () => {
    const { client, runtime } = await connected();
    const first = client.subscribe("job_7", { history: true });
    const second = client.subscribe("job_7", { history: true });
    expect((await runtime.next("job.subscribe")).payload).toEqual({ job_id: "job_7", history: true });
    expect((await runtime.next("job.subscribe")).payload).toEqual({ job_id: "job_7" });
    runtime.send("job.subscribed", SUBSCRIBED);
    runtime.send("job.subscribed", SUBSCRIBED);
    const [one, other] = [await first, await second];
    one.unsubscribe();
    runtime.result("job_7", 1, { result: 1 });
    expect((await other.done).result).toBe(1);
    await expect(one.done).rejects.toBeInstanceOf(CancelledError);
    expect(runtime.ofType("job.unsubscribe")).toEqual([]);
    await client.close();
  });

  it("with the submitter's numbers goes on after the last of them in a new session", async () => {
    const { client, server, runtime } = await reconnecting({ reconnect: { onExpired: "reattach" } });
    const subscribing = client.subscribe("job_7");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, replayed: false });
    const events = collect(await subscribing);
    runtime.event("job_7", 41, "thought", { text: "a" }, { session_id: "ses_of_another" });
    await settle();
    runtime.drop();
    const fresh = await server.accept();
    fresh.sessionId = "sess_2";
    await fresh.welcome();
    const again = await fresh.next("job.subscribe");
    expect(again.payload).toEqual({ job_id: "job_7", from_event_seq: 41, history: true });
    fresh.send("job.subscribed", { ...SUBSCRIBED, replayed: true });
    fresh.event("job_7", 42, "thought", { text: "b" }, { session_id: "ses_of_another" });
    fresh.result("job_7", undefined);
    expect((await events).map(({ seq }) => seq)).toEqual([41, 42]);
    await client.close();
  });

  it("has a history once that is told again because its reply was lost with the connection", async () => {
    covers("V11-7.6-08");
    const { client, server, runtime } = await reconnecting();
    const subscribing = client.subscribe("job_7", { history: true });
    await runtime.next("job.subscribe");
    runtime.log("job_7", 1, "a");
    await settle();
    runtime.drop();
    const again = await server.accept();
    await again.welcome();
    const { payload } = await again.next("job.subscribe");
    expect(payload).toEqual({ job_id: "job_7", history: true });
    again.log("job_7", 2, "b");
    again.send("job.subscribed", { ...SUBSCRIBED, replayed: true, subscribed_from: 4 });
    again.log("job_7", 3, "a");
    again.log("job_7", 4, "b");
    again.log("job_7", 5, "c");
    again.result("job_7", 6);
    expect((await collect(await subscribing)).map(({ body }) => (body as { message: string }).message)).toEqual([
      "a",
      "b",
      "c",
    ]);
    await client.close();
  });

  it("ends with its signal", async () => {
    const { client, runtime } = await connected();
    const abort = new AbortController();
    const subscribing = client.subscribe("job_7", { signal: abort.signal });
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", SUBSCRIBED);
    const subscription = await subscribing;
    abort.abort();
    await expect(subscription.done).rejects.toBeInstanceOf(CancelledError);
    await runtime.next("job.unsubscribe");
    // The signal comes with the reply, before anybody could act on it.
    const late = new AbortController();
    const stop = client.on("event", () => late.abort());
    const both = client.subscribe("job_9", { signal: late.signal });
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, job_id: "job_9" });
    runtime.log("job_9", 1);
    await expect((await both).done).rejects.toBeInstanceOf(CancelledError);
    await runtime.next("job.unsubscribe");
    stop();
    const waiting = client.subscribe("job_8", { signal: AbortSignal.abort(new Error("never mind")) });
    await expect(waiting).rejects.toThrow("never mind");
    await client.close();
  });

  it("of the submitter's own job does not detach it, nor show an event twice", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.log("job_1", 1);
    const subscribing = client.subscribe("job_1", { history: true });
    const request = await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, job_id: "job_1" });
    // Its events have come already.
    expect(request.payload).toEqual({ job_id: "job_1" });
    const subscription = await subscribing;
    const events = collect(handle);
    runtime.event("job_1", 2, "thought", { text: "a" }, { id: "same" });
    runtime.event("job_1", 3, "thought", { text: "a" }, { id: "same" });
    await settle();
    subscription.unsubscribe();
    runtime.result("job_1", 4);
    expect((await events).map(({ seq }) => seq)).toEqual([1, 2]);
    await handle.done;
    expect(runtime.ofType("job.unsubscribe")).toHaveLength(0);
    await client.close();
  });

  it("that was refused can be asked for again", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo", idempotencyKey: "of another session" });
    await runtime.accept("job_1");
    await submitting;
    const refused = client.subscribe("job_1", { fromEventSeq: 0 });
    const first = await runtime.next("job.subscribe");
    expect(first.payload).toEqual({ job_id: "job_1", from_event_seq: 0, history: true });
    runtime.send("session.error", { code: "INTERNAL_ERROR", message: "no", retryable: true, request_id: first.id });
    await expect(refused).rejects.toBeInstanceOf(InternalError);
    const again = client.subscribe("job_1", { fromEventSeq: 0 });
    expect((await runtime.next("job.subscribe")).payload).toEqual(first.payload);
    runtime.send("job.subscribed", { ...SUBSCRIBED, job_id: "job_1" });
    await again;
    await client.close();
  });

  it("to a job that is over settles without an ending being replayed", async () => {
    const { client, runtime } = await connected();
    const live = client.subscribe("job_7");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, current_status: "success", replayed: false });
    expect(await (await live).done).toEqual({ finalStatus: "success" });
    const failed = client.subscribe("job_8");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, job_id: "job_8", current_status: "error", replayed: false });
    await expect((await failed).done).rejects.toBeInstanceOf(InternalError);
    const replayed = client.subscribe("job_9", { history: true });
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, job_id: "job_9", current_status: "cancelled", subscribed_from: 2 });
    runtime.log("job_9", 1);
    runtime.log("job_9", 2);
    const subscription = await replayed;
    await expect(subscription.done).rejects.toBeInstanceOf(CancelledError);
    expect(await collect(subscription)).toHaveLength(2);
    await client.close();
  });

  it("takes events that carry the submitter's numbers and session", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const own = collect(await submitting);
    const subscribing = client.subscribe("job_7", { history: true });
    await runtime.next("job.subscribe");
    const foreign = { session_id: "ses_of_another" };
    runtime.event("job_7", 41, "thought", { text: "a" }, foreign);
    runtime.event("job_7", 43, "thought", { text: "b" }, foreign);
    runtime.event("job_7", 43, "thought", { text: "b" }, foreign);
    runtime.send("job.subscribed", SUBSCRIBED);
    runtime.log("job_1", 1);
    runtime.event("job_7", 44, "thought", { text: "c" }, foreign);
    runtime.log("job_1", 2);
    const subscription = await subscribing;
    runtime.result("job_7", undefined, { job_id: "job_7" });
    runtime.result("job_1", 3);
    expect((await collect(subscription)).map(({ seq }) => seq)).toEqual([41, 43, 44]);
    expect((await own).map(({ seq }) => seq)).toEqual([1, 2]);
    expect(client.resumeInfo?.lastEventSeq).toBe(3);
    await client.close();
  });

  it("is made again in a new session without showing anything twice or losing anything", async () => {
    const { client, server, runtime } = await reconnecting({ reconnect: { onExpired: "reattach" } });
    const subscribing = client.subscribe("job_7");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, replayed: false, subscribed_from: 0, job_last_event_seq: 50 });
    const subscription = await subscribing;
    const events = collect(subscription);
    runtime.log("job_7", 1, "a");
    runtime.log("job_7", 2, "b");
    await settle();
    runtime.drop();
    const refusing = await server.accept();
    await refusing.next("session.hello");
    refusing.send("session.error", { code: "RESUME_WINDOW_EXPIRED", message: "gone", retryable: false });
    const fresh = await server.accept();
    fresh.sessionId = "sess_2";
    await fresh.welcome();
    const again = await fresh.next("job.subscribe");
    expect(again.payload).toEqual({ job_id: "job_7", from_event_seq: 50, history: true });
    fresh.send("job.subscribed", { ...SUBSCRIBED, replayed: true, subscribed_from: 3 });
    fresh.log("job_7", 1, "a");
    fresh.log("job_7", 2, "b");
    fresh.log("job_7", 3, "c");
    fresh.result("job_7", 4);
    expect((await events).map(({ body }) => (body as { message: string }).message)).toEqual(["a", "b", "c"]);
    await client.close();
  });
});

describe("a subscription made again without a replay", () => {
  it("takes the first event that comes", async () => {
    const { client, server, runtime } = await reconnecting({ reconnect: { onExpired: "reattach" } });
    const subscribing = client.subscribe("job_7");
    await runtime.next("job.subscribe");
    runtime.send("job.subscribed", { ...SUBSCRIBED, replayed: false, job_last_event_seq: 50 });
    const events = collect(await subscribing);
    runtime.log("job_7", 1, "a");
    await settle();
    runtime.drop();
    const fresh = await server.accept();
    fresh.sessionId = "sess_2";
    await fresh.welcome();
    await fresh.next("job.subscribe");
    fresh.send("job.subscribed", { ...SUBSCRIBED, replayed: false });
    fresh.log("job_7", 1, "b");
    fresh.result("job_7", 2);
    expect((await events).map(({ body }) => (body as { message: string }).message)).toEqual(["a", "b"]);
    await client.close();
  });
});

describe("the inventory of jobs", () => {
  it("is filtered, paged and read from every SDK's form", async () => {
    covers("V11-6.6-01");
    const { client, runtime } = await connected();
    const listing = client.listJobs(
      { status: "running", agent: "echo", createdAfter: new Date(0), createdBefore: "2030-01-01T00:00:00Z" },
      { limit: 2 },
    );
    const request = await runtime.next("session.list_jobs");
    expect(request.payload).toEqual({
      filter: {
        status: ["running"],
        agent: "echo",
        created_after: "1970-01-01T00:00:00.000Z",
        created_before: "2030-01-01T00:00:00Z",
      },
      limit: 2,
    });
    runtime.send("session.jobs", {
      request_id: request.id,
      jobs: [
        {
          job_id: "job_1",
          agent: "echo@1",
          status: "running",
          lease: { "fs.read": ["/a"] },
          parent_job_id: null,
          created_at: "2026-01-01T00:00:00Z",
          trace_id: "t",
          last_event_seq: 9,
        },
        { job_id: "job_2", agent: "echo@1", status: "queued" },
      ],
      next_cursor: "c1",
    });
    expect(await listing).toEqual({
      jobs: [
        {
          jobId: "job_1",
          agent: "echo@1",
          status: "running",
          lease: { "fs.read": ["/a"] },
          parentJobId: undefined,
          createdAt: "2026-01-01T00:00:00Z",
          traceId: "t",
          lastEventSeq: 9,
        },
        {
          jobId: "job_2",
          agent: "echo@1",
          status: "queued",
          lease: {},
          parentJobId: undefined,
          createdAt: undefined,
          traceId: undefined,
          lastEventSeq: undefined,
        },
      ],
      nextCursor: "c1",
    });
    const all = collect(client.jobs({ agent: "echo" }, { limit: 1 }));
    const first = await runtime.next("session.list_jobs");
    runtime.send("session.jobs", {
      reply_to: first.id,
      jobs: [{ job_id: "job_1", agent: "e", status: "running" }],
      next_cursor: "c1",
    });
    const second = await runtime.next("session.list_jobs");
    expect(second.payload).toEqual({ filter: { agent: "echo" }, limit: 1, cursor: "c1" });
    runtime.send("session.jobs", { jobs: null }, { id: second.id });
    expect((await all).map(({ jobId }) => jobId)).toEqual(["job_1"]);
    await client.close();
  });
});
