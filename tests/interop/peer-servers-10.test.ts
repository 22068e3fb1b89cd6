/** The runtime in Rust (crate `arcp` 2.0.0) as it really answers, against the real client of wire 1.0. */
import { describe, expect, test } from "vitest";
import { scripted } from "../client10/scripted-runtime.ts";

describe("the runtime in Rust", () => {
  test.each([
    ["text", "utf8", ["aa", "bb"], "aabb"],
    ["bytes", "base64", ["YWE=", "YmI="], new TextEncoder().encode("aabb")],
  ])("sends a result of %s in pieces that are no stream", async (_what, encoding, pieces, value) => {
    await using scene = await scripted();
    const invocation = scene.client.invoke("chunks");
    const { id } = await scene.runtime.acceptJob();
    const members = { job_id: "job_1", correlation_id: id };
    for (const [index, data] of pieces.entries()) {
      const more = index < pieces.length - 1;
      const piece = { result_id: "res_job_1", chunk_seq: index, data, encoding, more };
      scene.runtime.send("job.result_chunk", piece, members);
    }
    scene.runtime.send("job.completed", { result_id: "res_job_1", result_size: 4 }, members);
    expect(await invocation.value()).toEqual(value);
  });

  test("ends a job once, for whoever asked for it under the same key", async () => {
    await using scene = await scripted();
    const first = scene.client.invoke("slow", {}, { idempotencyKey: "k" });
    const { id } = await scene.runtime.acceptJob();
    const second = scene.client.invoke("slow", {}, { idempotencyKey: "k" });
    await scene.runtime.acceptJob();
    expect([(await first.accepted).jobId, (await second.accepted).jobId]).toEqual(["job_1", "job_1"]);
    scene.runtime.send("job.completed", { value: 1 }, { job_id: "job_1", correlation_id: id });
    expect(await Promise.all([first.value(), second.value()])).toEqual([1, 1]);
  });

  test("puts the reference to an artifact into a member of its own", async () => {
    await using scene = await scripted();
    const putting = scene.client.putArtifact("hello");
    const reference = { artifact_id: "art_1", uri: "arcp://artifact/art_1", media_type: "text/plain", size: 5 };
    await scene.runtime.answer("artifact.put", "artifact.ref", { artifact: reference });
    expect(await putting).toMatchObject(reference);
  });
});
