/** Blobs in a store that speaks S3: what every store of blobs does, and what is particular to this one. */
import { randomBytes } from "node:crypto";
import type { BlobStore } from "@arcp/runtime";
import { type S3BlobsOptions, s3Blobs } from "@arcp/s3";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { blobContract, idsOf, isRefused, stored } from "../artifacts/blob-contract.ts";
import { bytesOf, collected, failureOf, patterned } from "../artifacts/content.ts";
import { Shelf } from "../artifacts/shelf.ts";
import { temporaryDirectory } from "../store/files.ts";
import { freePort } from "../support/postgres-server.ts";
import { S3Server, signatureOf } from "../support/s3-server.ts";

const KEY = Buffer.alloc(32, 7);
const OTHER_KEY = Buffer.alloc(32, 8);
const HOUR_MS = 3_600_000;
const MIB = 1024 * 1024;
/** Too much for one request. */
const LARGE = randomBytes(8 * MIB + 1_000);

let server: S3Server;

/** With nothing in the place of each but what the test puts there. */
function opened(options: Partial<S3BlobsOptions> = {}): BlobStore {
  const { endpoint, bucket, credentials } = server;
  const blobs = s3Blobs({ endpoint, bucket, credentials, ...options });
  onTestFinished(() => blobs.close());
  return blobs;
}

beforeAll(async () => {
  server = await S3Server.start();
});
afterEach(() => {
  server.objects.clear();
  server.uploads.clear();
  Object.assign(server, { pageSize: 1_000, isFull: false, brokenReads: 0, lostCompletions: 0 });
});
afterAll(() => server.close());

test("what the server verifies is what the documentation of S3 has as its example", () => {
  // "Example: GET Object" of "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)".
  const names = ["host", "range", "x-amz-content-sha256", "x-amz-date"];
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  const headers = {
    ...{ host: "examplebucket.s3.amazonaws.com", range: "bytes=0-9" },
    ...{ "x-amz-content-sha256": empty, "x-amz-date": "20130524T000000Z" },
  };
  const request = { method: "GET", path: "/test.txt", query: "", headers };
  const scope = "20130524/us-east-1/s3/aws4_request";
  expect(signatureOf(request, names, scope, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")).toBe(
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );
});

blobContract("S3", () => opened());
blobContract("S3, encrypted", () => opened({ encryptionKeys: [KEY] }));

describe("a blob in S3", () => {
  test.each([
    ["in parts", 9 * MIB + 5, undefined],
    ["in parts that fill the last one", 16 * MIB, undefined],
    ["in parts, encrypted", 9 * MIB + 5, [KEY]],
  ])("goes up %s when it is large, and comes back in ranges", async (_, size, encryptionKeys) => {
    const blobs = opened({ ...(encryptionKeys && { encryptionKeys }) });
    const content = randomBytes(size);
    const blob = await stored(blobs, content.subarray(0, 1), content.subarray(1));
    expect(server.uploads.size).toBe(0);
    const [object] = server.objects.values();
    expect(object?.content.includes(content.subarray(0, 64))).toBe(encryptionKeys === undefined);
    expect((await collected(blobs.read(blob))).equals(content)).toBe(true);
    const range = { offset: 8 * MIB - 3, length: MIB };
    const part = content.subarray(range.offset, range.offset + range.length);
    expect((await collected(blobs.read(blob, range))).equals(part)).toBe(true);
    await blobs.remove(blob.id);
    expect(server.objects.size).toBe(0);
  });

  test("is under its prefix, and what else is in the bucket is left alone", async () => {
    const [one, two] = [opened({ prefix: "one/" }), opened({ prefix: "two/deep/" })];
    await stored(two, bytesOf("x"));
    expect([...server.objects.keys()]).toEqual([expect.stringMatching(/^two\/deep\/ab12\.[0-9a-f]{32}$/)]);
    server.objects.set("one/readme.txt", { content: Buffer.from("hello"), tag: '"1"', at: 0 });
    expect(await idsOf(one)).toEqual([]);
  });

  test("is listed, page by page", async () => {
    const blobs = opened();
    for (let count = 0; count < 5; count += 1) await stored(blobs, bytesOf("x"));
    const names = await idsOf(blobs);
    server.pageSize = 2;
    expect(await idsOf(blobs)).toEqual(names);
  });

  test("is not listed for others before an hour, so that nobody collects what is about to be named", async () => {
    const [one, two] = [opened(), opened()];
    const { id } = await stored(one, bytesOf("x"));
    expect(await idsOf(one)).toEqual([id]);
    expect(await idsOf(two)).toEqual([]);
    server.age(HOUR_MS + 2_000);
    expect(await idsOf(two)).toEqual([id]);
  });

  test("that a dead process has begun is listed after an hour, and removed with its parts", async () => {
    const [dead, next] = [opened(), opened()];
    for (let count = 0; count < 3; count += 1) await (await dead.create("ab12")).write(LARGE);
    expect(server.uploads.size).toBe(3);
    expect(await idsOf(next)).toEqual([]);
    server.age(HOUR_MS + 2_000);
    server.pageSize = 2;
    const left = await idsOf(next);
    expect(left).toHaveLength(3);
    for (const id of left) await next.remove(id);
    expect(server.uploads.size).toBe(0);
  });

  test("that was aborted leaves no parts", async () => {
    const writer = await opened().create("ab12");
    await writer.write(LARGE);
    expect(server.uploads.size).toBe(1);
    await writer.abort();
    expect(server.uploads.size).toBe(0);
  });

  test("of another content, or of another length, is corrupt", async () => {
    const blobs = opened();
    const blob = await stored(blobs, patterned(100_000));
    const [[key, object]] = [...server.objects] as [[string, { content: Buffer; tag: string; at: number }]];
    const changed = Buffer.from(object.content);
    changed[50_000] = ~(changed[50_000] ?? 0);
    server.objects.set(key, { ...object, content: changed });
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("corrupt"));
    server.objects.set(key, { ...object, content: changed.subarray(1) });
    expect(await failureOf(collected(blobs.read(blob)))).toEqual(isRefused("corrupt"));
    expect(await failureOf(collected(blobs.read(blob, { offset: 5, length: 0 })))).toEqual(isRefused("corrupt"));
  });

  test("of an older key is read with it, and not without", async () => {
    const blob = await stored(opened({ encryptionKeys: [KEY] }), bytesOf("secret"));
    expect(await collected(opened({ encryptionKeys: [OTHER_KEY, KEY] }).read(blob))).toEqual(Buffer.from("secret"));
    for (const options of [{}, { encryptionKeys: [OTHER_KEY] }]) {
      expect(await failureOf(collected(opened(options).read(blob)))).toEqual(isRefused("unusable"));
    }
    const open = await stored(opened(), bytesOf("open"));
    expect(await collected(opened({ encryptionKeys: [KEY] }).read(open))).toEqual(Buffer.from("open"));
  });
});

describe("a store that speaks S3", () => {
  test.each(["busy", "cut"] as const)("and is %s for a moment is asked again", async (how) => {
    const blobs = opened();
    server.outage = { left: 2, how };
    const blob = await stored(blobs, bytesOf("x"));
    server.outage = { left: 2, how };
    expect(await collected(blobs.read(blob))).toEqual(Buffer.from("x"));
    expect(server.outage.left).toBe(0);
  });

  test.each([[undefined], [[KEY]]])("and loses a connection while it is read from is gone on with", async (keys) => {
    const blobs = opened({ ...(keys && { encryptionKeys: keys }) });
    const content = randomBytes(3_000_000);
    const blob = await stored(blobs, content);
    server.brokenReads = 3;
    expect((await collected(blobs.read(blob))).equals(content)).toBe(true);
    expect(server.brokenReads).toBe(0);
  });

  test("and puts the parts together without a word has done so once", async () => {
    const blobs = opened();
    server.lostCompletions = 1;
    expect((await collected(blobs.read(await stored(blobs, LARGE)))).equals(LARGE)).toBe(true);
  });

  test("and is full says so, leaves nothing, and is gone on with when it has room", async () => {
    const blobs = opened();
    server.isFull = true;
    expect(await failureOf(stored(blobs, bytesOf("x")))).toEqual(isRefused("no_space"));
    expect(await failureOf(stored(blobs, LARGE))).toEqual(isRefused("no_space"));
    expect(server.uploads.size).toBe(0);
    server.isFull = false;
    await stored(blobs, bytesOf("x"));
  });

  test.each([
    ["another secret", { credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "0ther" } }, "does not let"],
    ["another key", { credentials: { accessKeyId: "nobody", secretAccessKey: "0ther" } }, "does not let"],
    ["no such bucket", { bucket: "elsewhere" }, "no such bucket"],
  ])("is unusable: %s", async (_, options, message) => {
    const failure = await failureOf(stored(opened(options), bytesOf("x")));
    expect(failure).toEqual(isRefused("unusable"));
    expect((failure as Error).message).toContain(message);
    expect((failure as Error).message).not.toContain("0ther");
    expect(await failureOf(idsOf(opened(options)))).toEqual(isRefused("unusable"));
  });

  test("is unusable: nobody there", async () => {
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const failure = await failureOf(stored(opened({ endpoint }), bytesOf("x")));
    expect(failure).toEqual(isRefused("unusable"));
    expect((failure as Error).message).toContain("cannot be reached");
  });

  test("is asked with credentials that change", async () => {
    let asked = 0;
    const credentials = async () => {
      asked += 1;
      return server.credentials;
    };
    const blobs = opened({ credentials });
    await collected(blobs.read(await stored(blobs, bytesOf("x"))));
    expect(asked).toBe(2);
  });

  test.each<[string, Partial<S3BlobsOptions>]>([
    ["an endpoint without TLS", { endpoint: "http://s3.example.com" }],
    ["an endpoint that is none", { endpoint: "s3.example.com" }],
    ["a bucket that is none", { bucket: "a/b" }],
    ["a prefix that leads elsewhere", { prefix: "../" }],
    ["a prefix that has no end", { prefix: "arcp" }],
    ["no credentials", { credentials: undefined as never }],
  ])("cannot be meant: %s", (_, options) => {
    const given = { endpoint: "https://s3.example.com", bucket: "artifacts", credentials: server.credentials };
    expect(() => s3Blobs({ ...given, ...options })).toThrow(TypeError);
  });
});

describe("artifacts in S3", () => {
  test("are there for the next process, and their objects go when their time is over", async () => {
    const directory = temporaryDirectory();
    const retention = { default_seconds: 100, max_seconds: 200 };
    const first = new Shelf({ directory, retention, through: () => opened() });
    const { artifact_id } = await first.put("content");
    await first.close();
    await using second = new Shelf({ directory, retention, clock: first.clock, through: () => opened() });
    expect(await second.text(artifact_id)).toBe("content");
    expect(server.objects.size).toBe(1);
    second.clock.advance(100_000);
    await second.artifacts.removeExpired();
    expect(server.objects.size).toBe(0);
  });

  test("that no record names are collected, what others are about to name is not", async () => {
    await using shelf = new Shelf({ directory: temporaryDirectory(), through: () => opened() });
    const { artifact_id } = await shelf.put("kept");
    await stored(opened(), bytesOf("left behind"));
    await (await opened().create("ab12")).write(LARGE);
    await shelf.artifacts.collectOrphans();
    expect([server.objects.size, server.uploads.size]).toEqual([2, 1]);
    server.age(HOUR_MS + 2_000);
    await shelf.artifacts.collectOrphans();
    expect([server.objects.size, server.uploads.size]).toEqual([1, 0]);
    expect(await shelf.text(artifact_id)).toBe("kept");
  });
});
