/** What artifacts are, whose they are, and how long (RFC §16). */
import { newJobId } from "@arcp/core";
import { describe, expect, test } from "vitest";
import type { ArtifactView } from "../../packages/runtime/src/engine/artifacts/artifact.ts";
import type { ArtifactRange } from "../../packages/runtime/src/engine/artifacts/request.ts";
import { temporaryBlobs } from "../../packages/runtime/src/store/blobs-files.ts";
import { covers } from "../support/covers.ts";
import { bytesOf, collected, failureOf, inPieces, patterned, sha256Of, until } from "./content.ts";
import { openShelf } from "./directory.ts";
import { NOT_FOUND, openFiles, SESSION } from "./shelf.ts";

const HOUR_MS = 3_600_000;

describe("a reference", () => {
  test("names the artifact, its address, its kind, its size, its digest and its end", async () => {
    covers("V10-16.1-01", "V10-16.1-02");
    await using shelf = openShelf();
    const content = patterned(100_000);
    const ref = await shelf.put(content, { mediaType: "application/octet-stream" });
    expect(ref).toEqual({
      artifact_id: expect.stringMatching(/^art_[0-9A-HJKMNP-TV-Z]{26}$/),
      uri: `arcp://session/${SESSION}/artifact/${ref.artifact_id}`,
      media_type: "application/octet-stream",
      size: 100_000,
      sha256: sha256Of(content),
      expires_at: new Date(shelf.clock.now() + HOUR_MS).toISOString(),
    });
    const { ref: again, offset, length, data } = await shelf.artifacts.fetch("alice", ref.artifact_id);
    expect(again).toEqual(ref);
    expect([offset, length]).toEqual([0, 100_000]);
    expect(await collected(data)).toEqual(Buffer.from(content));
  });

  test("is one for a content that comes in pieces, and for one without bytes", async () => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put(inPieces(bytesOf("in "), new Uint8Array(), bytesOf("pieces")));
    expect(await shelf.text(artifact_id)).toBe("in pieces");
    const empty = await shelf.put("");
    expect(empty).toMatchObject({ size: 0, sha256: sha256Of(new Uint8Array()) });
    expect(await shelf.text(empty.artifact_id)).toBe("");
    expect(await shelf.text((await shelf.put(inPieces())).artifact_id)).toBe("");
  });

  test("takes the place of a value whose JSON is larger than what goes inline", async () => {
    covers("V10-16.1-03");
    await using shelf = openShelf();
    const owner = { principal: "alice", sessionId: SESSION };
    const value = { rows: ["é".repeat(10)] };
    const size = Buffer.byteLength(JSON.stringify(value));
    expect(await shelf.artifacts.reference(value, { ...owner, maxInlineBytes: size })).toBeUndefined();
    expect(await shelf.artifacts.reference(undefined, { ...owner, maxInlineBytes: 4 })).toBeUndefined();
    expect(shelf.files).toEqual([]);
    const ref = await shelf.artifacts.reference(value, { ...owner, maxInlineBytes: size - 1 });
    expect(ref).toMatchObject({ media_type: "application/json", size });
    expect(JSON.parse(await shelf.text(ref?.artifact_id ?? ""))).toEqual(value);
    const cycle: unknown[] = [];
    cycle.push(cycle);
    const failure = await failureOf(shelf.artifacts.reference(cycle, { ...owner, maxInlineBytes: 1 }));
    expect(failure).toMatchObject({ code: "INVALID_REQUEST" });
  });
});

describe("what was declared", () => {
  test("is compared with the content, in any spelling of the digest", async () => {
    await using shelf = openShelf();
    const sha256 = sha256Of(bytesOf("content")).toUpperCase();
    expect(await shelf.put("content", { size: 7, sha256 })).toMatchObject({ size: 7, sha256: sha256.toLowerCase() });
  });

  test.each([
    ["more bytes than declared", { size: 6 }],
    ["fewer bytes than declared", { size: 8 }],
    ["another digest", { sha256: sha256Of(bytesOf("another")) }],
    ["another digest, for the right size", { size: 7, sha256: sha256Of(bytesOf("another")) }],
  ])("refuses %s, and keeps nothing", async (_, declared) => {
    covers("V10-16.2-03");
    await using shelf = openShelf();
    const failure = await failureOf(shelf.put("content", declared));
    expect(failure).toMatchObject({ code: "INVALID_REQUEST", retryable: false });
    expect(shelf.files).toEqual([]);
    expect(await shelf.records()).toEqual([]);
  });

  test.each([
    ["size", { size: -1 }],
    ["size", { size: 1.5 }],
    ["size", { size: Number.NaN }],
    ["size", { size: Number.POSITIVE_INFINITY }],
    ["size", { size: 2 ** 53 }],
    ["sha256", { sha256: "" }],
    ["sha256", { sha256: "x".repeat(64) }],
    ["sha256", { sha256: `${"a".repeat(64)}\n` }],
    ["ttl_seconds", { ttlSeconds: 0 }],
    ["ttl_seconds", { ttlSeconds: -1 }],
    ["ttl_seconds", { ttlSeconds: Number.NaN }],
    ["ttl_seconds", { ttlSeconds: Number.POSITIVE_INFINITY }],
    ["media_type", { mediaType: "" }],
    ["media_type", { mediaType: "text" }],
    ["media_type", { mediaType: "text/plain\r\nx: y" }],
    ["media_type", { mediaType: "text/plain; name=\u0007" }],
    ["media_type", { mediaType: "text/pläin" }],
    ["media_type", { mediaType: `text/${"x".repeat(251)}` }],
  ])("is refused before anything is read: %s %j", async (member, declared) => {
    await using shelf = openShelf();
    let isRead = false;
    async function* source() {
      isRead = true;
      yield bytesOf("x");
    }
    expect(await failureOf(shelf.put(source(), declared))).toMatchObject({
      code: "INVALID_REQUEST",
      details: { member },
    });
    expect(isRead).toBe(false);
    expect(shelf.files).toEqual([]);
  });

  test("may have parameters in its media type", async () => {
    await using shelf = openShelf();
    const mediaType = 'text/plain; charset="utf-8"';
    expect((await shelf.put("x", { mediaType })).media_type).toBe(mediaType);
  });
});

describe("an id that a client chooses", () => {
  test("is the artifact's, if the principal has not given it to another", async () => {
    await using shelf = openShelf();
    expect(await shelf.put("mine", { artifactId: "report-1.txt" })).toMatchObject({
      artifact_id: "report-1.txt",
      uri: `arcp://session/${SESSION}/artifact/report-1.txt`,
    });
    const failure = await failureOf(shelf.put("again", { artifactId: "report-1.txt" }));
    expect(failure).toMatchObject({ code: "DUPLICATE_KEY", details: { artifact_id: "report-1.txt" } });
    expect(await shelf.text("report-1.txt")).toBe("mine");
    expect(shelf.files).toHaveLength(1);
  });

  test("says nothing of what others have chosen", async () => {
    await using shelf = openShelf();
    await shelf.put("alice's", { artifactId: "report" });
    await shelf.put("bob's", { artifactId: "report", principal: "bob" });
    expect(await shelf.text("report", "alice")).toBe("alice's");
    expect(await shelf.text("report", "bob")).toBe("bob's");
    await shelf.artifacts.release("bob", "report");
    expect(await shelf.text("report", "alice")).toBe("alice's");
  });

  test("is not one that the runtime has made for the same principal, and may be what it made for another", async () => {
    await using shelf = openShelf();
    const { artifact_id: artifactId } = await shelf.put("made");
    expect(await failureOf(shelf.put("chosen", { artifactId }))).toMatchObject({ code: "DUPLICATE_KEY" });
    await shelf.put("bob's", { artifactId, principal: "bob" });
    expect(await shelf.text(artifactId, "bob")).toBe("bob's");
    expect(await shelf.text(artifactId, "alice")).toBe("made");
  });

  test("is free again when its artifact was released, or its time is over", async () => {
    await using shelf = openShelf();
    await shelf.put("first", { artifactId: "a" });
    await shelf.artifacts.release("alice", "a");
    await shelf.put("second", { artifactId: "a", ttlSeconds: 1 });
    shelf.clock.advance(1000);
    await shelf.put("third", { artifactId: "a" });
    expect(await shelf.text("a")).toBe("third");
    expect(shelf.files).toHaveLength(1);
  });

  test("belongs to its principal, however the two are spelled one after the other", async () => {
    await using shelf = openShelf();
    await shelf.put("alice's", { principal: "alice", artifactId: "x1" });
    await shelf.put("alic's", { principal: "alic", artifactId: "ex1" });
    await shelf.put("null's", { principal: "null", artifactId: "x1" });
    expect(await shelf.text("x1", "alice")).toBe("alice's");
    expect(await shelf.text("ex1", "alic")).toBe("alic's");
    expect(await shelf.text("x1", "null")).toBe("null's");
  });

  test("goes to one of two that put at once; the other's content is not kept", async () => {
    await using shelf = openShelf();
    const outcomes = await Promise.allSettled([
      shelf.put("first", { artifactId: "a" }),
      shelf.put("second", { artifactId: "a" }),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: "DUPLICATE_KEY" } });
    expect(shelf.files).toHaveLength(1);
    expect(["first", "second"]).toContain(await shelf.text("a"));
  });
});

describe("reading", () => {
  test("is for the owner: what is another's looks like what there is not", async () => {
    covers("V10-16.2-05", "V10-16.3-03");
    await using shelf = openShelf();
    const made = await shelf.put("secret");
    await shelf.put("secret", { artifactId: "chosen" });
    const failures = [
      await failureOf(shelf.artifacts.fetch("mallory", made.artifact_id)),
      await failureOf(shelf.artifacts.fetch("mallory", "chosen")),
      await failureOf(shelf.artifacts.fetch("mallory", "never")),
      await failureOf(shelf.artifacts.release("mallory", made.artifact_id)),
      await failureOf(shelf.artifacts.release("mallory", "never")),
    ];
    for (const failure of failures) expect(failure).toMatchObject(NOT_FOUND);
    expect(new Set(failures.map((failure) => (failure as Error).message)).size).toBe(1);
    expect(await shelf.text(made.artifact_id)).toBe("secret");
  });

  test("is for others as far as the policy says; removing is not", async () => {
    const asked: [ArtifactView, string][] = [];
    await using shelf = openShelf({
      mayRead: async (artifact, principal) => asked.push([artifact, principal]) > 0 && principal === "oscar",
    });
    const jobId = newJobId();
    const { artifact_id } = await shelf.put("shared", { jobId });
    expect(await shelf.text(artifact_id, "oscar")).toBe("shared");
    expect(await failureOf(shelf.text(artifact_id, "mallory"))).toMatchObject(NOT_FOUND);
    expect(await failureOf(shelf.artifacts.release("oscar", artifact_id))).toMatchObject(NOT_FOUND);
    expect(asked.map(([, principal]) => principal)).toEqual(["oscar", "mallory"]);
    expect(asked[0]?.[0]).toMatchObject({ artifactId: artifact_id, owner: "alice", sessionId: SESSION, jobId });
    expect(await shelf.text(artifact_id, "alice")).toBe("shared");
    expect(asked).toHaveLength(2);
  });

  test.each([
    [{}, "0123456789"],
    [{ offset: 3 }, "3456789"],
    [{ length: 3 }, "012"],
    [{ offset: 8, length: 10 }, "89"],
    [{ offset: 10 }, ""],
    [{ offset: 0, length: 0 }, ""],
    [{ offset: 5, length: Number.MAX_SAFE_INTEGER }, "56789"],
  ])("gives the range %j", async (range: ArtifactRange, text) => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("0123456789");
    const { data, length, offset } = await shelf.artifacts.fetch("alice", artifact_id, range);
    expect([(await collected(data)).toString(), length, offset]).toEqual([text, text.length, range.offset ?? 0]);
  });

  test.each([
    [{ offset: -1 }, undefined],
    [{ offset: Number.NaN }, undefined],
    [{ offset: 0.5 }, undefined],
    [{ offset: Number.POSITIVE_INFINITY }, undefined],
    [{ length: -1 }, undefined],
    [{ length: Number.NaN }, undefined],
    [{ offset: 11 }, "OUT_OF_RANGE"],
    [{ offset: 11, length: 0 }, "OUT_OF_RANGE"],
    [{ offset: Number.MAX_SAFE_INTEGER, length: Number.MAX_SAFE_INTEGER }, "OUT_OF_RANGE"],
  ])("refuses the range %j", async (range, code) => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("0123456789");
    const failure = await failureOf(shelf.artifacts.fetch("alice", artifact_id, range));
    expect(failure).toMatchObject({ code: "INVALID_REQUEST" });
    expect((failure as { details?: Record<string, unknown> }).details?.["code"]).toBe(code);
  });
});

describe("the end of an artifact", () => {
  test("is when its owner releases it: the content goes", async () => {
    covers("V10-16.2-06");
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("x");
    await shelf.artifacts.release("alice", artifact_id);
    expect(await failureOf(shelf.text(artifact_id))).toMatchObject(NOT_FOUND);
    expect(await failureOf(shelf.artifacts.release("alice", artifact_id))).toMatchObject(NOT_FOUND);
    expect(shelf.files).toEqual([]);
    expect(await shelf.records()).toEqual([]);
  });

  test("is what was asked for, the default, or the longest that there is", async () => {
    covers("V10-16.3-01", "V10-16.3-02");
    await using shelf = openShelf({ retention: { default_seconds: 60, max_seconds: 120 } });
    expect(shelf.artifacts.retention).toEqual({ default_seconds: 60, max_seconds: 120 });
    const at = shelf.clock.now();
    const endOf = async (ttlSeconds?: number) => Date.parse((await shelf.put("x", { ttlSeconds })).expires_at) - at;
    expect(await endOf()).toBe(60_000);
    expect(await endOf(90)).toBe(90_000);
    expect(await endOf(0.5)).toBe(500);
    expect(await endOf(121)).toBe(120_000);
    expect(await endOf(Number.MAX_VALUE)).toBe(120_000);
  });

  test("is to the millisecond, and the content goes from the disk within a minute", async () => {
    covers("V10-16.3-02", "V10-16.3-03");
    await using shelf = openShelf({ retention: { default_seconds: 100, max_seconds: 200 } });
    shelf.artifacts.start();
    const { artifact_id } = await shelf.put("x");
    const longer = await shelf.put("y", { ttlSeconds: 200 });
    shelf.clock.advance(99_999);
    expect(await shelf.text(artifact_id)).toBe("x");
    shelf.clock.advance(1);
    expect(await failureOf(shelf.text(artifact_id))).toMatchObject(NOT_FOUND);
    expect(await failureOf(shelf.artifacts.release("alice", artifact_id))).toMatchObject(NOT_FOUND);
    shelf.clock.advance(59_999);
    await until(() => shelf.files.length === 1);
    expect((await shelf.records()).map(({ principal }) => principal)).toEqual(["alice"]);
    expect(await shelf.text(longer.artifact_id)).toBe("y");
  });

  test("comes for many at once, slice by slice, whoever they belong to", async () => {
    await using shelf = openShelf();
    const principals = ["alice", "bob", "carol"];
    await Promise.all(
      Array.from({ length: 150 }, (_, index) =>
        shelf.put("x", { principal: principals[index % 3] ?? "", ttlSeconds: 1 }),
      ),
    );
    const kept = await shelf.put("kept", { ttlSeconds: 2 });
    shelf.clock.advance(1000);
    await shelf.artifacts.removeExpired();
    expect(shelf.files).toHaveLength(1);
    expect(await shelf.text(kept.artifact_id)).toBe("kept");
  });

  test("lets whoever is reading read on", async () => {
    await using shelf = openShelf();
    const content = patterned(300_000);
    const released = await shelf.put(content);
    const expired = await shelf.put(content, { ttlSeconds: 1 });
    const expire = (): Promise<void> => {
      shelf.clock.advance(1000);
      return shelf.artifacts.removeExpired();
    };
    for (const [{ artifact_id }, end] of [
      [released, () => shelf.artifacts.release("alice", released.artifact_id)],
      [expired, expire],
    ] as const) {
      const pieces: Uint8Array[] = [];
      const { data } = await shelf.artifacts.fetch("alice", artifact_id);
      for await (const piece of data) {
        if (pieces.push(piece) === 1) await end();
      }
      expect(Buffer.concat(pieces)).toEqual(Buffer.from(content));
    }
    expect(shelf.files).toEqual([]);
    expect(openFiles(shelf.contents)).toEqual([]);
  });

  test("comes once, however many release it at the same time", async () => {
    await using shelf = openShelf({ caps: { maxPrincipalArtifacts: 3 } });
    const { artifact_id } = await shelf.put("x");
    await shelf.put("y");
    const outcomes = await Promise.allSettled([
      shelf.artifacts.release("alice", artifact_id),
      shelf.artifacts.release("alice", artifact_id),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(outcomes.find(({ status }) => status === "rejected")).toMatchObject({ reason: NOT_FOUND });
    await Promise.all([shelf.put("1"), shelf.put("2")]);
    expect(await failureOf(shelf.put("3"))).toMatchObject({ details: { limit: "maxPrincipalArtifacts" } });
  });

  test("is not that of another that has taken its id meanwhile", async () => {
    let duringList = async (): Promise<void> => {};
    await using shelf = openShelf({
      throughStore: (store) => ({
        findRecord: (kind, id) => store.findRecord(kind, id),
        listRecords: async (query) => {
          const records = await store.listRecords(query);
          if (query.dueBefore !== undefined) await duringList();
          return records;
        },
      }),
    });
    await shelf.put("first", { artifactId: "a", ttlSeconds: 1 });
    shelf.clock.advance(1000);
    duringList = async () => {
      duringList = async () => {};
      await shelf.put("second", { artifactId: "a" });
    };
    await shelf.artifacts.removeExpired();
    expect(await shelf.text("a")).toBe("second");
  });

  test("is no damage for whoever was about to read it, when another has its id", async () => {
    await using shelf = openShelf();
    await shelf.put("first", { artifactId: "a" });
    const { data } = await shelf.artifacts.fetch("alice", "a");
    await shelf.artifacts.release("alice", "a");
    await shelf.put("second", { artifactId: "a" });
    expect(await failureOf(collected(data))).toMatchObject(NOT_FOUND);
    expect(shelf.logged).toEqual([]);
  });

  test("before the first piece was asked for is the end of reading", async () => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("x");
    const { data } = await shelf.artifacts.fetch("alice", artifact_id);
    await shelf.artifacts.release("alice", artifact_id);
    expect(await failureOf(collected(data))).toMatchObject(NOT_FOUND);
    expect(shelf.logged).toEqual([]);
  });
});

describe("the next process", () => {
  test("finds artifacts as they were", async () => {
    covers("V10-16.3-04");
    const first = openShelf();
    const { directory, clock } = first;
    const ref = await first.put(patterned(100_000), { ttlSeconds: 10 });
    await first.close();
    await using second = openShelf({ directory, clock });
    second.artifacts.start();
    const { ref: found, data } = await second.artifacts.fetch("alice", ref.artifact_id);
    expect(found).toEqual(ref);
    expect(await collected(data)).toEqual(Buffer.from(patterned(100_000)));
    await second.artifacts.collectOrphans();
    expect(await second.fetched(ref.artifact_id)).toHaveLength(100_000);
  });

  test("removes at once what has expired while there was none", async () => {
    const first = openShelf();
    const { directory, clock } = first;
    await first.put("x", { ttlSeconds: 10 });
    await first.close();
    clock.advance(10_000);
    await using second = openShelf({ directory, clock });
    second.artifacts.start();
    await until(() => second.files.length === 0);
    expect(await second.records()).toEqual([]);
  });
});

test("contents that went with their process are no artifacts, though their records are there", async () => {
  const withoutContents = { through: () => temporaryBlobs() };
  const first = openShelf(withoutContents);
  const { directory, clock } = first;
  const { artifact_id } = await first.put("x");
  expect(await first.text(artifact_id)).toBe("x");
  await first.close();
  await using second = openShelf({ directory, clock, ...withoutContents });
  expect(await failureOf(second.text(artifact_id))).toMatchObject(NOT_FOUND);
  expect(second.logged).toEqual([]);
});

describe("closing", () => {
  test("gives up what is being put and read, and takes nothing more", async () => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put(patterned(300_000));
    const { data } = await shelf.artifacts.fetch("alice", artifact_id);
    const reading = data[Symbol.asyncIterator]();
    await reading.next();
    const { promise: stuck } = Promise.withResolvers<void>();
    async function* source() {
      yield bytesOf("x");
      await stuck;
    }
    const putting = failureOf(shelf.put(source()));
    await until(() => shelf.files.length === 2);
    await shelf.artifacts.close();
    expect(shelf.files).toHaveLength(1);
    const reason = { code: "INTERNAL_ERROR", details: { reason: "runtime_shutdown" } };
    expect(await putting).toMatchObject(reason);
    expect(await failureOf(reading.next())).toMatchObject(reason);
    expect(await failureOf(shelf.put("x"))).toMatchObject(reason);
    expect(shelf.clock.pending).toBe(0);
  });
});
