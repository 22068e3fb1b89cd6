import { CancelledError, InternalError, JobNotFoundError } from "@arcp/core";
import { describe, expect, it } from "vitest";
import { covers } from "../support/covers.ts";
import { collect, connected, settle } from "./fake-runtime.ts";

describe("a submitted job", () => {
  it("is accepted, streams its events and resolves with its result", async () => {
    covers("V11-7.1-01", "V11-5.1-09", "V11-8.4-11");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo", input: { n: 1 }, maxRuntimeSec: 60 });
    const submit = await runtime.accept("job_1", {
      lease: { "fs.read": ["/a/**"] },
      budget: { USD: 5 },
      trace_id: "0af7651916cd43dd8448eb211c80319c",
      accepted_at: "2026-01-01T00:00:00Z",
    });
    const handle = await submitting;
    expect(submit.payload).toEqual({ agent: "echo", input: { n: 1 }, max_runtime_sec: 60 });
    expect(submit.session_id).toBe("sess_1");
    expect(handle.jobId).toBe("job_1");
    expect(handle.accepted).toMatchObject({
      agent: "echo@1.0.0",
      lease: { "fs.read": ["/a/**"] },
      budget: { USD: 5 },
      acceptedAt: "2026-01-01T00:00:00Z",
    });
    runtime.log("job_1", 1, "hello");
    runtime.event("job_1", 2, "progress", { current: 1, total: 2 });
    runtime.result("job_1", 3, { result: { ok: true }, summary: "done" });
    const events = await collect(handle);
    expect(events.map(({ kind, seq, jobId, ts }) => ({ kind, seq, jobId, ts }))).toEqual([
      { kind: "log", seq: 1, jobId: "job_1", ts: "2026-01-01T00:00:00.000Z" },
      { kind: "progress", seq: 2, jobId: "job_1", ts: "2026-01-01T00:00:00.000Z" },
    ]);
    expect(await handle.done).toEqual({ finalStatus: "success", result: { ok: true }, summary: "done" });
    expect(handle.finalStatus).toBe("success");
    await client.close();
  });

  it("rejects with the typed error of job.error", async () => {
    covers("V11-12-02");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    runtime.error("job_1", 1, { final_status: "error", code: "INTERNAL_ERROR", message: "no", retryable: true });
    await expect(handle.done).rejects.toBeInstanceOf(InternalError);
    expect(handle.finalStatus).toBe("error");
    await client.close();
  });

  it("settles everything when the client closes", async () => {
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const never = client.submit({ agent: "echo" });
    const iterating = collect(handle);
    const closing = client.close();
    await expect(never).rejects.toBeInstanceOf(CancelledError);
    await expect(iterating).rejects.toBeInstanceOf(CancelledError);
    await expect(handle.done).rejects.toBeInstanceOf(CancelledError);
    await runtime.next("session.close");
    await closing;
    await client.closed;
    await settle();
    expect(runtime.transport.isClosed).toBe(true);
  });

  it("that ends while its cancellation is asked for settles the request too", async () => {
    const { client, runtime } = await connected();
    for (const jobId of ["job_1", "job_2"]) {
      const submitting = client.submit({ agent: "echo" });
      await runtime.accept(jobId);
      const handle = await submitting;
      const cancelling = handle.cancel();
      const cancel = await runtime.next("job.cancel");
      if (jobId === "job_1") runtime.result(jobId, 1, { result: "too late" });
      else {
        const ending = { code: "CANCELLED", message: "x", retryable: false, final_status: "cancelled" };
        runtime.error(jobId, 2, { ...ending, request_id: cancel.id });
      }
      await cancelling;
      expect(handle.finalStatus).toBe(jobId === "job_1" ? "success" : "cancelled");
    }
    await client.close();
  });

  it("is cancelled with its id in both places", async () => {
    covers("V11-7.4-01", "V11-7.4-02");
    const { client, runtime } = await connected();
    const submitting = client.submit({ agent: "echo" });
    await runtime.accept("job_1");
    const handle = await submitting;
    const cancelling = handle.cancel("enough");
    const cancel = await runtime.next("job.cancel");
    expect(cancel.job_id).toBe("job_1");
    expect(cancel.payload).toEqual({ job_id: "job_1", reason: "enough" });
    runtime.send("job.cancelled", { reason: "enough" }, { job_id: "job_1" });
    await cancelling;
    runtime.error("job_1", 1, { code: "CANCELLED", message: "x", retryable: false, final_status: "cancelled" });
    await expect(handle.done).rejects.toBeInstanceOf(CancelledError);
    expect(handle.finalStatus).toBe("cancelled");
    await expect(client.cancelJob("job_1")).resolves.toBeUndefined();
    const unknown = client.cancelJob("job_9");
    const request = await runtime.next("job.cancel");
    runtime.send("session.error", { code: "JOB_NOT_FOUND", message: "no", retryable: false, request_id: request.id });
    await expect(unknown).rejects.toBeInstanceOf(JobNotFoundError);
    client.abort();
  });
});
