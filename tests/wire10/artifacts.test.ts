/** Contents that are referred to instead of sent (RFC §16), over the wire. */
import { createHash, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ALL_CAPABILITIES } from "../support/raw-client-10.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

describe("an artifact", () => {
  test("is put, fetched whole and in ranges, and released", async () => {
    covers(
      "V10-16.1-01",
      "V10-16.1-02",
      "V10-16.2-01",
      "V10-16.2-02",
      "V10-16.2-04",
      "V10-16.2-06",
      "V10-16.3-01",
      "V10-16.3-03",
    );
    await using harness = startHarness();
    const client = await harness.raw10();
    const accepted = await client.open();
    expect(accepted.payload.capabilities.artifact_retention).toEqual({ default_seconds: 3600, max_seconds: 86_400 });
    const bytes = randomBytes(1000);
    const ref = await client.ask("artifact.put", {
      media_type: "image/png",
      data: base64(bytes),
      sha256: sha256(bytes),
    });
    const { artifact_id } = ref.payload;
    expect(ref).toMatchObject({
      type: "artifact.ref",
      payload: {
        ...{ uri: `arcp://session/${client.sessionId}/artifact/${artifact_id}`, media_type: "image/png", size: 1000 },
        ...{ sha256: sha256(bytes), expires_at: expect.any(String) },
      },
    });
    const whole = await client.ask("artifact.fetch", { uri: ref.payload.uri });
    expect(whole).toMatchObject({
      type: "artifact.put",
      payload: { artifact_id, data: base64(bytes), encoding: "base64" },
    });
    const part = await client.ask("artifact.fetch", { artifact_id, offset: 990, length: 100 });
    expect(part.payload).toMatchObject({ offset: 990, length: 10, size: 1000, data: base64(bytes.subarray(990)) });
    expect((await client.ask("artifact.release", { artifact_id })).type).toBe("ack");
    expect((await client.ask("artifact.fetch", { artifact_id })).payload.code).toBe("NOT_FOUND");
  });

  test("is its principal's, in every session of theirs and nobody else's", async () => {
    covers("V10-16.2-05");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    const { payload } = await client.ask("artifact.put", { media_type: "text/plain", data: base64(Buffer.from("x")) });
    const { artifact_id } = payload;
    const other = await harness.rawSession10();
    expect((await other.ask("artifact.fetch", { artifact_id })).type).toBe("artifact.put");
    const foreign = await harness.rawSession10("bob");
    for (const type of ["artifact.fetch", "artifact.release"]) {
      expect((await foreign.ask(type, { artifact_id })).payload.code).toBe("NOT_FOUND");
    }
    expect((await client.ask("artifact.fetch", { artifact_id })).type).toBe("artifact.put");
  });

  test.each([
    ["another digest", { sha256: "0".repeat(64) }, "INVALID_ARGUMENT"],
    ["another size", { size: 2 }, "INVALID_ARGUMENT"],
    ["what is no base64", { data: "§§" }, "INVALID_ARGUMENT"],
    ["no media type", { media_type: "nonsense" }, "INVALID_ARGUMENT"],
    ["an id that is a path", { artifact_id: "../x" }, "INVALID_ARGUMENT"],
    ["too much", { size: 1024 ** 4 }, "RESOURCE_EXHAUSTED"],
  ])("with %s is refused, and nothing is kept", async (_what, wrong, code) => {
    covers("V10-16.2-03");
    await using harness = startHarness();
    const client = await harness.rawSession10();
    const right = { artifact_id: "a", media_type: "text/plain", data: base64(Buffer.from("x")) };
    expect(await client.ask("artifact.put", { ...right, ...wrong })).toMatchObject({ type: "nack", payload: { code } });
    expect((await client.ask("artifact.fetch", { artifact_id: "a" })).payload.code).toBe("NOT_FOUND");
  });

  test("is gone after its time", async () => {
    covers("V10-16.3-02", "V10-16.3-03");
    const clock = new ManualClock();
    await using harness = startHarness({ server: { clock } });
    const client = await harness.rawSession10("alice", {
      capabilities: { ...ALL_CAPABILITIES, heartbeat_interval_seconds: 3600 },
    });
    const { payload } = await client.ask("artifact.put", { media_type: "text/plain", data: "eA==", ttl_seconds: 10 });
    clock.advance(10_001);
    expect((await client.ask("artifact.fetch", { artifact_id: payload.artifact_id })).payload.code).toBe("NOT_FOUND");
  });

  test("needs the capability", async () => {
    covers("V10-7-02");
    await using harness = startHarness();
    const client = await harness.rawSession10("alice", { capabilities: {} });
    const answer = await client.ask("artifact.put", { media_type: "text/plain", data: "eA==" });
    expect(answer).toMatchObject({ type: "nack", payload: { code: "UNIMPLEMENTED" } });
  });
});

describe("an agent", () => {
  test("makes artifacts, and its large results become some", async () => {
    covers("V10-16.1-03");
    await using harness = startHarness({
      agents: {
        maker: async (_input, context) => {
          const ref = await context.putArtifact("hello", { mediaType: "text/plain" });
          await context.log("info", "made", { ref });
          return "x".repeat(2_000_000);
        },
      },
    });
    const client = await harness.rawSession10();
    const { job_id } = await client.invoke("maker");
    const { payload } = await client.ending(job_id);
    expect(payload.value).toBeUndefined();
    const { artifact_id, size } = payload.result_ref;
    expect(size).toBe(2_000_002);
    const pieces: string[] = [];
    for (let offset = 0; offset < size; ) {
      const part = await client.ask("artifact.fetch", { artifact_id, offset, length: 1_000_000 });
      pieces.push(Buffer.from(part.payload.data, "base64").toString());
      offset += part.payload.length;
    }
    expect(JSON.parse(pieces.join(""))).toBe("x".repeat(2_000_000));
    const [made] = client.ofType("log");
    const small = await client.ask("artifact.fetch", { artifact_id: made?.payload.attributes.ref.artifact_id });
    expect(Buffer.from(small.payload.data, "base64").toString()).toBe("hello");
  });
});
