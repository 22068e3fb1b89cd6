import {
  AgentNotAvailableError,
  AgentVersionNotAvailableError,
  ARCPError,
  DuplicateKeyError,
  InternalError,
  JobNotFoundError,
  PermissionDeniedError,
  TimeoutError,
} from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { connected, type FakeRuntime, type Frame, settle } from "./fake-runtime.ts";

/** How each SDK's server names the request that it answers. */
const STYLES: Record<string, (submit: Frame) => { payload?: object; fields?: object }> = {
  "payload.request_id": (submit) => ({ payload: { request_id: submit.id } }),
  correlation_id: (submit) => ({ fields: { correlation_id: submit.id } }),
  "payload.reply_to": (submit) => ({ payload: { reply_to: submit.id } }),
  "the request's own id": (submit) => ({ fields: { id: submit.id } }),
  "the trace": (submit) => ({ fields: { trace_id: submit.trace_id } }),
};

const accept = (runtime: FakeRuntime, jobId: string, style: { payload?: object; fields?: object }): void =>
  runtime.send("job.accepted", { job_id: jobId, lease: {}, ...style.payload }, { job_id: jobId, ...style.fields });

describe("correlation", () => {
  for (const [name, style] of Object.entries(STYLES)) {
    it(`matches replies out of order by ${name}`, async () => {
      const { client, runtime } = await connected();
      const first = client.submit({ agent: "a" });
      const second = client.submit({ agent: "b" });
      const submits = [await runtime.next("job.submit"), await runtime.next("job.submit")] as const;
      accept(runtime, "job_b", style(submits[1]));
      accept(runtime, "job_a", style(submits[0]));
      expect((await first).jobId).toBe("job_a");
      expect((await second).jobId).toBe("job_b");
      await client.close();
    });

    it(`matches a refusal by ${name} and leaves the other request alone`, async () => {
      covers("V11-12-02");
      const { client, runtime } = await connected();
      const first = client.submit({ agent: "a" });
      const second = client.submit({ agent: "b" });
      const submits = [await runtime.next("job.submit"), await runtime.next("job.submit")] as const;
      const { payload, fields } = style(submits[1]);
      runtime.send(
        "session.error",
        { code: "AGENT_NOT_AVAILABLE", message: "no", retryable: false, ...payload },
        fields,
      );
      await expect(second).rejects.toBeInstanceOf(AgentNotAvailableError);
      accept(runtime, "job_a", style(submits[0]));
      expect((await first).jobId).toBe("job_a");
      await client.close();
    });
  }

  it("falls back on the order of requests", async () => {
    const { client, runtime } = await connected();
    const first = client.submit({ agent: "a" });
    const second = client.submit({ agent: "b" });
    await runtime.next("job.submit");
    await runtime.next("job.submit");
    accept(runtime, "job_a", {});
    accept(runtime, "job_b", {});
    expect((await first).jobId).toBe("job_a");
    expect((await second).jobId).toBe("job_b");
    await client.close();
  });

  it("counts an acceptance that is delivered twice once", async () => {
    covers("V11-7.2-10");
    const { client, runtime } = await connected();
    const first = client.submit({ agent: "a" });
    const second = client.submit({ agent: "b" });
    accept(runtime, "job_a", { fields: { id: "m1" } });
    accept(runtime, "job_a", { fields: { id: "m1" } });
    accept(runtime, "job_b", { fields: { id: "m2" } });
    expect((await first).jobId).toBe("job_a");
    expect((await second).jobId).toBe("job_b");
    await client.close();
  });

  it("never takes a delegated child for the answer to a submit", async () => {
    const { client, runtime } = await connected();
    const children: string[] = [];
    client.on("delegated", (child) => children.push(`${child.jobId} of ${child.accepted.parentJobId}`));
    const submitting = client.submit({ agent: "a" });
    await runtime.next("job.submit");
    accept(runtime, "job_child", { payload: { parent_job_id: "job_0", delegate_id: "d1" } });
    accept(runtime, "job_a", {});
    expect((await submitting).jobId).toBe("job_a");
    expect(children).toEqual(["job_child of job_0"]);
    await client.close();
  });

  it("does not give the reply of an abandoned request to the next one", async () => {
    const { client, runtime } = await connected();
    const abort = new AbortController();
    const first = client.submit({ agent: "a", signal: abort.signal });
    const second = client.submit({ agent: "b" });
    await runtime.next("job.submit");
    await runtime.next("job.submit");
    abort.abort(new Error("changed my mind"));
    await expect(first).rejects.toThrow("changed my mind");
    accept(runtime, "job_a", {});
    accept(runtime, "job_b", {});
    expect((await second).jobId).toBe("job_b");
    const cancel = await runtime.next("job.cancel");
    expect(cancel.job_id).toBe("job_a");
    await client.close();
  });

  it("ignores a reply to a request that it did not make", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "a" });
    await runtime.next("job.submit");
    accept(runtime, "job_x", { payload: { request_id: "msg_of_another" } });
    accept(runtime, "job_a", {});
    expect((await submitting).jobId).toBe("job_a");
    await client.close();
  });

  it("gives up a request that is not answered in time", async () => {
    const clock = new ManualClock();
    const { client, runtime } = await connected({ clock, requestTimeoutMs: 5_000 });
    const submitting = client.submit({ agent: "a" });
    await runtime.next("job.submit");
    clock.advance(5_000);
    await expect(submitting).rejects.toBeInstanceOf(TimeoutError);
    await client.close();
    expect(clock.pending).toBe(0);
  });
});

describe("refusals without a correlator", () => {
  it("fail the only request that they can mean", async () => {
    const { client, runtime } = await connected();
    const listing = client.listJobs();
    await runtime.next("session.list_jobs");
    runtime.send("session.error", { code: "INTERNAL_ERROR", message: "no", retryable: true });
    await expect(listing).rejects.toBeInstanceOf(InternalError);
    await client.close();
  });

  it("are told apart by code, by the type they name and by job", async () => {
    const { client, runtime } = await connected();
    const submit = client.submit({ agent: "a" });
    const list = client.listJobs();
    const subscribe = client.subscribe("job_9");
    await runtime.next("job.subscribe");
    runtime.send("session.error", { code: "AGENT_VERSION_NOT_AVAILABLE", message: "no", retryable: false });
    await expect(submit).rejects.toBeInstanceOf(AgentVersionNotAvailableError);
    runtime.send("session.error", {
      code: "INVALID_REQUEST",
      message: "no",
      retryable: false,
      details: { type: "session.list_jobs" },
    });
    await expect(list).rejects.toMatchObject({ code: "INVALID_REQUEST" });
    runtime.send("session.error", { code: "PERMISSION_DENIED", message: "no", retryable: false, job_id: "job_9" });
    await expect(subscribe).rejects.toBeInstanceOf(PermissionDeniedError);
    await client.close();
  });

  it("about the session are not taken for the answer to a request", async () => {
    const { client, runtime } = await connected();
    const codes: string[] = [];
    client.on("error", (error) => codes.push(error.code));
    const listing = client.listJobs();
    const list = await runtime.next("session.list_jobs");
    runtime.send("session.error", { code: "HEARTBEAT_LOST", message: "are you there?", retryable: true });
    runtime.send("session.jobs", { request_id: list.id, jobs: [] });
    expect((await listing).jobs).toEqual([]);
    expect(codes).toEqual(["HEARTBEAT_LOST"]);
    await client.close();
  });

  it("are reported when they can mean anything", async () => {
    const { client, runtime } = await connected();
    const errors: ARCPError[] = [];
    client.on("error", (error) => errors.push(error));
    runtime.send("session.error", { code: "ODD", message: "something", retryable: false });
    await settle();
    expect(errors).toMatchObject([{ code: "ODD", message: "something" }]);
    await expect(client.listJobs({}, { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow("stop");
    await client.close();
  });
});

describe("a job.error that refuses a request", () => {
  it("with an id that was never accepted fails the submit", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "a" });
    await runtime.next("job.submit");
    runtime.error("job_invented", 1, { code: "AGENT_NOT_AVAILABLE", message: "no", retryable: false });
    await expect(submitting).rejects.toBeInstanceOf(AgentNotAvailableError);
    await client.close();
  });

  it("with DUPLICATE_KEY on the existing job fails the submit and not the job", async () => {
    const { client, runtime } = await connected();
    const first = client.submit({ agent: "a", idempotencyKey: "k" });
    await runtime.accept("job_1");
    const handle = await first;
    const second = client.submit({ agent: "b", idempotencyKey: "k" });
    await runtime.next("job.submit");
    runtime.error("job_1", 1, {
      final_status: "error",
      code: "DUPLICATE_KEY",
      message: "no",
      retryable: false,
      details: { existing_job_id: "job_1" },
    });
    await expect(second).rejects.toBeInstanceOf(DuplicateKeyError);
    expect(handle.finalStatus).toBeUndefined();
    await client.close();
  });

  it("about a job that was asked for fails the subscription or the cancellation", async () => {
    const { client, runtime } = await connected();
    const subscribe = client.subscribe("job_8");
    await runtime.next("job.subscribe");
    runtime.error("job_8", 1, { code: "JOB_NOT_FOUND", message: "no", retryable: false });
    await expect(subscribe).rejects.toBeInstanceOf(JobNotFoundError);
    const cancel = client.cancelJob("job_9");
    await runtime.next("job.cancel");
    runtime.error("job_9", 2, { code: "PERMISSION_DENIED", message: "no", retryable: false });
    await expect(cancel).rejects.toBeInstanceOf(PermissionDeniedError);
    await client.close();
  });

  it("is not mistaken for an ending that overtakes the acceptance", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "a" });
    const submit = await runtime.next("job.submit");
    runtime.error("job_1", undefined, { job_id: "job_1", final_status: "error", code: "BOOM", retryable: false });
    accept(runtime, "job_1", { payload: { reply_to: submit.id } });
    const handle = await submitting;
    await expect(handle.done).rejects.toMatchObject({ code: "BOOM", message: "BOOM" });
    await client.close();
  });
});

describe("error codes", () => {
  it("that are unknown surface as they are", async () => {
    covers("V11-12-09");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "a" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.error("job_1", 1, { final_status: "error", code: "QUOTA_OF_TUESDAY", message: "", retryable: true });
    const error = await handle.done.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ARCPError);
    expect(error).toMatchObject({ code: "QUOTA_OF_TUESDAY", retryable: true });
    await client.close();
  });

  it("are read past members that are null", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "a" });
    const submit = await runtime.next("job.submit");
    const nulls = { message: null, retryable: null, details: null, request_id: submit.id };
    runtime.send("session.error", { code: "DUPLICATE_KEY", ...nulls }, { job_id: null });
    await expect(submitting).rejects.toBeInstanceOf(DuplicateKeyError);
    await client.close();
  });

  it("come with the peer's word on retrying", async () => {
    covers("V11-12-08");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "a" });
    const submit = await runtime.next("job.submit");
    runtime.send("session.error", {
      code: "INTERNAL_ERROR",
      message: "too large",
      retryable: true,
      details: { retry: "never" },
      request_id: submit.id,
    });
    await expect(submitting).rejects.toMatchObject({ code: "INTERNAL_ERROR", retryable: false });
    await client.close();
  });
});
