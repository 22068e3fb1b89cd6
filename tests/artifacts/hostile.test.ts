/** What somebody hostile would do with artifacts, and what becomes of it when things fail. */
import { appendFileSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ArtifactCaps } from "../../packages/runtime/src/engine/artifacts/caps.ts";
import { BlobError, type BlobStore } from "../../packages/runtime/src/store/blobs.ts";
import { covers } from "../support/covers.ts";
import { bytesOf, collected, failureOf, inPieces, patterned, until } from "./content.ts";
import { openShelf, temporaryDirectory } from "./directory.ts";
import { NOT_FOUND, openFiles } from "./shelf.ts";

const exceeds = (limit: keyof ArtifactCaps) =>
  expect.objectContaining({
    code: "INTERNAL_ERROR",
    details: expect.objectContaining({ code: "RESOURCE_EXHAUSTED", limit }),
  });

/** A content that does not end, and how much of it was asked for. */
function endless(pieceBytes = 1000) {
  const asked = { pieces: 0, isDismissed: false };
  async function* source() {
    try {
      for (;;) {
        asked.pieces += 1;
        yield new Uint8Array(pieceBytes);
      }
    } finally {
      asked.isDismissed = true;
    }
  }
  return { asked, source: source() };
}

/** A content that stops coming after its first piece. */
function stuck() {
  const { promise, resolve: comeLoose } = Promise.withResolvers<void>();
  let isDismissed = false;
  async function* source() {
    try {
      yield patterned(100_000);
      await promise;
    } finally {
      isDismissed = true;
    }
  }
  return { source: source(), comeLoose, isDismissed: () => isDismissed };
}

/** `blobs`, in which some methods are others. */
const altered = (blobs: BlobStore, methods: Partial<BlobStore>): BlobStore => {
  const bound: BlobStore = {
    isDurable: blobs.isDurable,
    create: (name) => blobs.create(name),
    read: (blob, range) => blobs.read(blob, range),
    remove: (id) => blobs.remove(id),
    list: () => blobs.list(),
    close: () => blobs.close(),
    [Symbol.asyncDispose]: () => blobs.close(),
  };
  return { ...bound, ...methods };
};

describe("ids", () => {
  test.each([
    "",
    ".",
    "..",
    "../../etc/passwd",
    "art_01%2f..",
    "art_01\u0000",
    "art_01\n",
    "a/b",
    "a\\b",
    "-rf",
    "café",
    "\u202ecod.exe",
    "x".repeat(129),
    "x".repeat(1024 * 1024),
    "arcp://session/sess_1/artifact/art_1",
  ])("are looked up and never joined to a path: %j is none", async (artifactId) => {
    await using shelf = openShelf();
    await shelf.put("x");
    const refused = { code: "INVALID_REQUEST", details: { member: "artifact_id" } };
    expect(await failureOf(shelf.put("x", { artifactId }))).toMatchObject(refused);
    expect(await failureOf(shelf.artifacts.fetch("alice", artifactId))).toMatchObject(refused);
    expect(await failureOf(shelf.artifacts.release("alice", artifactId))).toMatchObject(refused);
    expect(readdirSync(shelf.directory).sort()).toEqual([
      "contents",
      ...["", "-lock", "-open", "-shm", "-wal"].map((suffix) => `journal.db${suffix}`),
    ]);
    expect(shelf.files).toHaveLength(1);
  });

  test("that are names of members of every object are ids like others", async () => {
    await using shelf = openShelf();
    for (const artifactId of ["constructor", "prototype", "toString", "con", "a.partial"]) {
      expect(await failureOf(shelf.text(artifactId))).toMatchObject(NOT_FOUND);
      await shelf.put(artifactId, { artifactId });
      expect(await shelf.text(artifactId)).toBe(artifactId);
    }
  });

  test("of a principal and its own cannot be put together to those of another", async () => {
    await using shelf = openShelf();
    await shelf.put("secret", { principal: 'a","b', artifactId: "c" });
    await shelf.put("secret", { principal: "null", artifactId: "d" });
    for (const principal of ["a", 'a","b","c', "b", ""]) {
      expect(await failureOf(shelf.text("c", principal))).toMatchObject(NOT_FOUND);
      expect(await failureOf(shelf.text("d", principal))).toMatchObject(NOT_FOUND);
    }
  });
});

describe("sizes", () => {
  test("a gibibyte that was declared and three bytes that came are nothing", async () => {
    await using shelf = openShelf({ caps: { maxArtifactBytes: 2 ** 30, maxPrincipalBytes: 2 ** 30 } });
    const failure = await failureOf(shelf.put(inPieces(bytesOf("abc")), { size: 2 ** 30 }));
    expect(failure).toMatchObject({ code: "INVALID_REQUEST", details: { member: "size" } });
    expect(shelf.files).toEqual([]);
    // The room that was set aside for it is there again.
    await shelf.put("x", { size: 1 });
  });

  test("more than the cap is refused before it is read, if it is declared", async () => {
    await using shelf = openShelf({ caps: { maxArtifactBytes: 10_000 } });
    const { asked, source } = endless();
    expect(await failureOf(shelf.put(source, { size: 10_001 }))).toEqual(exceeds("maxArtifactBytes"));
    expect(asked.pieces).toBe(0);
  });

  test("what does not end is read as far as the cap, and its source is told", async () => {
    await using shelf = openShelf({ caps: { maxArtifactBytes: 10_000 } });
    const { asked, source } = endless();
    expect(await failureOf(shelf.put(source))).toEqual(exceeds("maxArtifactBytes"));
    expect(asked).toEqual({ pieces: 11, isDismissed: true });
    expect(shelf.files).toEqual([]);
    await shelf.put(new Uint8Array(10_000));
    expect(await failureOf(shelf.put(new Uint8Array(10_001)))).toEqual(exceeds("maxArtifactBytes"));
  });

  test("what is longer than declared is read as far as that", async () => {
    await using shelf = openShelf();
    const { asked, source } = endless();
    expect(await failureOf(shelf.put(source, { size: 2500 }))).toMatchObject({ code: "INVALID_REQUEST" });
    expect(asked).toEqual({ pieces: 3, isDismissed: true });
    expect(shelf.files).toEqual([]);
  });
});

describe("quotas", () => {
  test("bound what one principal keeps, and nobody else", async () => {
    await using shelf = openShelf({ caps: { maxPrincipalBytes: 1000 } });
    const { artifact_id } = await shelf.put(new Uint8Array(600));
    expect(await failureOf(shelf.put(new Uint8Array(401)))).toEqual(exceeds("maxPrincipalBytes"));
    expect(await failureOf(shelf.put(inPieces(new Uint8Array(400), bytesOf("x"))))).toEqual(
      exceeds("maxPrincipalBytes"),
    );
    const { asked, source } = endless();
    expect(await failureOf(shelf.put(source, { size: 401 }))).toEqual(exceeds("maxPrincipalBytes"));
    expect(asked.pieces).toBe(0);
    await shelf.put(new Uint8Array(1000), { principal: "bob" });
    await shelf.put(new Uint8Array(400));
    await shelf.artifacts.release("alice", artifact_id);
    await shelf.put(new Uint8Array(600));
    expect(shelf.bytes).toBe(2000);
  });

  test("count artifacts without bytes", async () => {
    await using shelf = openShelf({ caps: { maxPrincipalArtifacts: 3 } });
    const refs = [await shelf.put(""), await shelf.put(""), await shelf.put("", { ttlSeconds: 1 })];
    expect(await failureOf(shelf.put(""))).toEqual(exceeds("maxPrincipalArtifacts"));
    await shelf.put("", { principal: "bob" });
    await shelf.artifacts.release("alice", refs[0]?.artifact_id ?? "");
    shelf.clock.advance(1000);
    await shelf.artifacts.removeExpired();
    await Promise.all([shelf.put(""), shelf.put("")]);
    expect(await failureOf(shelf.put(""))).toEqual(exceeds("maxPrincipalArtifacts"));
  });

  test("count what is on its way: many at once get no more than one after another", async () => {
    await using shelf = openShelf({ caps: { maxPrincipalBytes: 1000, maxPrincipalArtifacts: 8 } });
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => shelf.put(new Uint8Array(300))));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    expect(shelf.bytes).toBe(900);
    await shelf.put(new Uint8Array(100));
  });

  test("are known to the next process", async () => {
    const caps = { maxPrincipalBytes: 2000, maxPrincipalArtifacts: 600 };
    const first = openShelf({ caps });
    const { directory, clock } = first;
    for (let i = 0; i < 12; i += 1) await Promise.all(Array.from({ length: 50 }, () => first.put("xyz")));
    await first.close();
    await using second = openShelf({ caps, directory, clock });
    expect(await failureOf(second.put("x"))).toEqual(exceeds("maxPrincipalArtifacts"));
    const [record] = await second.records();
    await second.artifacts.release("alice", JSON.parse(record?.data ?? "").artifactId);
    expect(await failureOf(second.put(new Uint8Array(204)))).toEqual(exceeds("maxPrincipalBytes"));
    await second.put(new Uint8Array(203));
  });

  test("are right whatever is removed while they are being read", async () => {
    const caps = { maxPrincipalArtifacts: 20 };
    const first = openShelf({ caps });
    const { directory, clock } = first;
    await Promise.all(Array.from({ length: 10 }, () => first.put("x", { ttlSeconds: 10 })));
    const kept = await Promise.all(Array.from({ length: 10 }, () => first.put("x", { ttlSeconds: 100 })));
    await first.close();
    clock.advance(10_000);
    await using second = openShelf({ caps, directory, clock });
    const work = [
      second.put("x").catch(() => undefined),
      second.artifacts.removeExpired(),
      second.put("x").catch(() => undefined),
      second.artifacts.release("alice", kept[0]?.artifact_id ?? ""),
    ];
    await Promise.all(work);
    const left = 20 - (await second.records()).length;
    await Promise.all(Array.from({ length: left }, () => second.put("x")));
    expect(await failureOf(second.put("x"))).toEqual(exceeds("maxPrincipalArtifacts"));
  });

  test("bound what one principal puts and reads at the same time", async () => {
    await using shelf = openShelf({ caps: { maxConcurrentTransfers: 2 } });
    const { artifact_id } = await shelf.put(patterned(300_000));
    const { source, comeLoose } = stuck();
    const putting = shelf.put(source);
    const open = async () => (await shelf.artifacts.fetch("alice", artifact_id)).data[Symbol.asyncIterator]();
    const reading = await open();
    await reading.next();
    expect(await failureOf((await open()).next())).toEqual(exceeds("maxConcurrentTransfers"));
    expect(await failureOf(shelf.put("x"))).toEqual(exceeds("maxConcurrentTransfers"));
    await shelf.put("x", { principal: "bob" });
    await reading.return?.();
    expect(await shelf.fetched(artifact_id)).toHaveLength(300_000);
    comeLoose();
    await putting;
    await shelf.put("x");
  });
});

describe("a source", () => {
  test("that is slow is given up when nobody waits for it, and nothing of it stays", async () => {
    await using shelf = openShelf({ caps: { maxPrincipalArtifacts: 1, maxPrincipalBytes: 100_000 } });
    const { source, comeLoose, isDismissed } = stuck();
    const stop = new AbortController();
    const putting = failureOf(shelf.put(source, { artifactId: "slow", signal: stop.signal }));
    await until(() => shelf.files.some((name) => name.endsWith(".partial")) && shelf.bytes >= 65_536);
    const reason = new Error("the client is gone");
    stop.abort(reason);
    expect(await putting).toBe(reason);
    expect(shelf.files).toEqual([]);
    expect(openFiles(shelf.contents)).toEqual([]);
    comeLoose();
    await until(isDismissed);
    await shelf.put(new Uint8Array(100_000), { artifactId: "slow" });
  });

  test("is not begun for what was given up before", async () => {
    await using shelf = openShelf();
    const { asked, source } = endless();
    expect(await failureOf(shelf.put(source, { signal: AbortSignal.abort("no") }))).toBe("no");
    expect(asked.pieces).toBe(0);
  });

  test("that fails fails the put, as it does", async () => {
    await using shelf = openShelf();
    const failure = new Error("the source broke");
    async function* source() {
      yield bytesOf("x");
      throw failure;
    }
    expect(await failureOf(shelf.put(source()))).toBe(failure);
    const impatient = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          throw failure;
        },
        return: () => {
          throw new Error("and again");
        },
      }),
    };
    expect(await failureOf(shelf.put(impatient))).toBe(failure);
    expect(shelf.files).toEqual([]);
  });

  test.each([["text"], [[1, 2]], [null], [new ArrayBuffer(1)]])(
    "that gives %j instead of bytes is refused",
    async (piece) => {
      await using shelf = openShelf();
      const failure = await failureOf(shelf.put(inPieces(bytesOf("x"), piece as unknown as Uint8Array)));
      expect(failure).toMatchObject({ code: "INVALID_REQUEST" });
      expect(shelf.files).toEqual([]);
    },
  );
});

describe("content that is damaged on the disk", () => {
  test.each([
    ["changed", (path: string) => writeFileSync(path, "secreT")],
    ["longer", (path: string) => appendFileSync(path, "x")],
    ["gone", (path: string) => rmSync(path)],
    [
      "a link",
      (path: string) => {
        renameSync(path, `${path}.bak`);
        symlinkSync(`${path}.bak`, path);
      },
    ],
  ])("is never given out, and the operator hears of it: %s", async (_, damage) => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("secret");
    damage(join(shelf.contents, shelf.files[0] ?? ""));
    const { data } = await shelf.artifacts.fetch("alice", artifact_id);
    const pieces: Uint8Array[] = [];
    const read = async () => {
      for await (const piece of data) pieces.push(piece);
    };
    expect(await failureOf(read())).toMatchObject({ code: "DATA_LOSS", retryable: false, details: { artifact_id } });
    expect(pieces).toEqual([]);
    expect(shelf.logged.filter((line) => line.includes("damaged"))).toHaveLength(1);
    await shelf.artifacts.release("alice", artifact_id);
    await shelf.put("x");
  });
});

describe("the directory of contents, replaced", () => {
  test("takes nothing and gives nothing, wherever the new one leads", async () => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("secret");
    const elsewhere = temporaryDirectory();
    renameSync(shelf.contents, `${shelf.contents}-moved`);
    symlinkSync(elsewhere, shelf.contents);
    expect(await failureOf(shelf.put("x"))).toMatchObject({ code: "INTERNAL_ERROR" });
    expect(await failureOf(shelf.text(artifact_id))).toMatchObject({ code: "INTERNAL_ERROR" });
    expect(readdirSync(elsewhere)).toEqual([]);
    // Put back, all is as it was.
    rmSync(shelf.contents);
    renameSync(`${shelf.contents}-moved`, shelf.contents);
    expect(await shelf.text(artifact_id)).toBe("secret");
    await shelf.put("x");
  });

  test("says nothing of its path to whoever asks", async () => {
    await using shelf = openShelf();
    renameSync(shelf.contents, `${shelf.contents}-moved`);
    const failure = await failureOf(shelf.put("x"));
    expect(JSON.stringify((failure as { toWire(): unknown }).toWire())).not.toContain(shelf.directory);
    renameSync(`${shelf.contents}-moved`, shelf.contents);
  });
});

describe("what no record names", () => {
  const left = `ab.${"0".repeat(32)}`;

  test("is collected at the start and every hour, and nothing else is", async () => {
    await using shelf = openShelf();
    const { artifact_id } = await shelf.put("kept");
    for (const name of [left, `${left}.partial`, "README"]) writeFileSync(join(shelf.contents, name), "");
    shelf.artifacts.start();
    await until(() => shelf.files.length === 2);
    expect(await shelf.text(artifact_id)).toBe("kept");
    writeFileSync(join(shelf.contents, left), "");
    for (let sweep = 0; sweep < 120; sweep += 1) {
      await until(() => shelf.clock.pending === 1);
      shelf.clock.advance(30_000);
    }
    await until(() => !shelf.files.includes(left));
    expect(shelf.files).toContain("README");
    rmSync(join(shelf.contents, "README"));
  });

  test("is not what is being put, however often it is looked for", async () => {
    await using shelf = openShelf();
    let isOver = false;
    const collecting = (async () => {
      while (!isOver) await shelf.artifacts.collectOrphans();
    })();
    const ids = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const pieces = Array.from({ length: 5 }, () => patterned(20_000 + index));
        return (await shelf.put(inPieces(...pieces), index % 2 ? { artifactId: `a${index}` } : {})).artifact_id;
      }),
    );
    isOver = true;
    await collecting;
    for (const id of ids) expect((await shelf.fetched(id)).length).toBeGreaterThanOrEqual(100_000);
  });

  test("is the content of an earlier artifact of the same id", async () => {
    const kept: string[] = [];
    await using shelf = openShelf({
      // The content stays when its artifact is released.
      through: (blobs) => altered(blobs, { remove: async (id) => void kept.push(id) }),
    });
    await shelf.put("first", { artifactId: "a" });
    await shelf.artifacts.release("alice", "a");
    await shelf.put("second", { artifactId: "a" });
    expect(shelf.files).toHaveLength(2);
    expect(kept).toHaveLength(1);
    await shelf.artifacts.collectOrphans();
    expect(kept).toEqual([kept[0], kept[0]]);
    expect(await shelf.text("a")).toBe("second");
  });
});

describe("what fails", () => {
  test("a content that cannot be removed is no artifact any more, and is collected later", async () => {
    let isBroken = true;
    await using shelf = openShelf({
      through: (blobs) =>
        altered(blobs, {
          remove: async (id) => {
            if (isBroken) throw new BlobError("failed", "EIO");
            await blobs.remove(id);
          },
        }),
    });
    const { artifact_id } = await shelf.put("x");
    await shelf.artifacts.release("alice", artifact_id);
    expect(await failureOf(shelf.text(artifact_id))).toMatchObject(NOT_FOUND);
    expect(shelf.logged.filter((line) => line.includes("could not be removed"))).toHaveLength(1);
    isBroken = false;
    await shelf.artifacts.collectOrphans();
    expect(shelf.files).toEqual([]);
  });

  test("a sweep that fails is logged, and there is another", async () => {
    let isBroken = true;
    await using shelf = openShelf({
      through: (blobs) =>
        altered(blobs, {
          list: () => {
            if (isBroken) throw new BlobError("failed", "EIO");
            return blobs.list();
          },
        }),
    });
    await shelf.put("x", { ttlSeconds: 10 });
    shelf.artifacts.start();
    await until(() => shelf.logged.some((line) => line.includes("sweep")));
    isBroken = false;
    await until(() => shelf.clock.pending === 1);
    shelf.clock.advance(30_000);
    await until(() => shelf.files.length === 0);
  });

  test("a write that fails for want of space leaves nothing, and is worth another try", async () => {
    let isFull = true;
    await using shelf = openShelf({
      through: (blobs) =>
        altered(blobs, {
          create: async (name) => {
            const writer = await blobs.create(name);
            const write = async (bytes: Uint8Array): Promise<void> => {
              await writer.write(bytes);
              if (isFull) throw new BlobError("no_space", "ENOSPC");
            };
            return {
              write,
              finish: (sha256) => writer.finish(sha256),
              abort: () => writer.abort(),
              [Symbol.asyncDispose]: () => writer.abort(),
            };
          },
        }),
    });
    expect(await failureOf(shelf.put("x"))).toMatchObject({
      code: "INTERNAL_ERROR",
      retryable: true,
      details: { code: "RESOURCE_EXHAUSTED", reason: "no_space", retry: "after_capacity" },
    });
    expect(shelf.files).toEqual([]);
    isFull = false;
    await shelf.put("x");
  });

  test("a database that fails fails the put; what was stored is for the next start to see", async () => {
    covers("V10-16.3-03");
    const first = openShelf();
    const { directory, clock } = first;
    const kept = await first.put("kept");
    const { source, comeLoose } = stuck();
    const putting = failureOf(first.put(source));
    await until(() => first.files.length === 2);
    await first.store.close();
    comeLoose();
    expect(await putting).toBeInstanceOf(Error);
    expect(first.files).toHaveLength(2);
    await first.close();
    await using second = openShelf({ directory, clock });
    await second.artifacts.collectOrphans();
    expect(second.files).toHaveLength(1);
    expect(await second.text(kept.artifact_id)).toBe("kept");
  });

  test("a policy that throws lets nobody read", async () => {
    await using shelf = openShelf({
      mayRead: () => {
        throw new Error("the policy is broken");
      },
    });
    const { artifact_id } = await shelf.put("secret");
    expect(await failureOf(shelf.text(artifact_id, "mallory"))).toBeInstanceOf(Error);
    expect(await shelf.text(artifact_id)).toBe("secret");
  });
});

test("a directory in the place of a content is no content", async () => {
  await using shelf = openShelf();
  const { artifact_id } = await shelf.put("secret");
  const path = join(shelf.contents, shelf.files[0] ?? "");
  rmSync(path);
  mkdirSync(path);
  expect(await failureOf(collected((await shelf.artifacts.fetch("alice", artifact_id)).data))).toMatchObject({
    code: "DATA_LOSS",
  });
});
