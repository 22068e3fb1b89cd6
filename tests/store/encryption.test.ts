import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  backUpDatabase,
  checkDatabase,
  type DatabaseProblem,
  exportDatabase,
  fileBlobs,
  rekeyDatabase,
  type Store,
  sqliteStore,
} from "@arcp/runtime";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { covers } from "../support/covers.ts";
import { startHarness } from "../support/harness.ts";
import { EMPTY, freshPath, putJob, storeFailure } from "./files.ts";

const [KEY, OLD_KEY, STRANGE_KEY] = [randomBytes(32), randomBytes(32), randomBytes(32)];
const sources = new URL("../support/sources.mjs", import.meta.url).href;
const program = fileURLToPath(new URL("./rekey-process.ts", import.meta.url));

/** The files under a directory that have `text` in them. */
function filesWith(text: string, directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    if (statSync(path).isDirectory()) return filesWith(text, path);
    return readFileSync(path).includes(text) ? [path] : [];
  });
}

/** Stores something that nobody should read, in every place that has a content. */
async function putSecret(store: Store, secret: string, jobs = 1): Promise<void> {
  for (let index = 0; index < jobs; index += 1) await putJob(store, 3, {}, JSON.stringify({ secret }));
  const id = `r${randomBytes(4).toString("hex")}`;
  await store.commit({
    ...EMPTY,
    records: [{ kind: "step", id, principal: "alice", jobId: null, dueAt: null, data: JSON.stringify({ secret }) }],
    audit: [{ at: 1, action: "test", principal: "alice", facts: JSON.stringify({ secret }) }],
  });
}

/** Everything that a database says, or the reason why it does not. */
async function told(path: string, ...encryptionKeys: Buffer[]): Promise<string> {
  try {
    return [...exportDatabase({ path, encryptionKeys })].join("\n");
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error);
  }
}

async function problemsOf(path: string, ...encryptionKeys: Buffer[]): Promise<DatabaseProblem[]> {
  const problems: DatabaseProblem[] = [];
  await using blobs = fileBlobs({ directory: `${path}.artifacts`, encryptionKeys });
  await checkDatabase({ path, encryptionKeys, blobs, readsBlobs: true }, (problem) => problems.push(problem));
  return problems;
}

describe("an encrypted database", () => {
  test("has nothing in its files that jobs were given, said, made or ended with", async () => {
    covers("V11-14-08");
    const path = freshPath();
    const directory = dirname(path);
    const secret = `canary-${randomBytes(8).toString("hex")}`;
    const store = sqliteStore({ path, encryptionKeys: [KEY] });
    await using blobs = fileBlobs({ directory: `${path}.artifacts`, encryptionKeys: [KEY] });
    const harness = startHarness({ server: { eventLog: store, blobs } });
    harness.server.registerAgent(
      "keeper",
      async (input, context) => {
        await context.log("info", `it was ${JSON.stringify(input)}`);
        await context.step("one", async () => ({ step: input }));
        await context.putArtifact(`the artifact of ${JSON.stringify(input)}`);
        return { result: input };
      },
      { durable: true },
    );
    const client = await harness.client();
    const handle = await client.submit({ agent: "keeper", input: { secret } });
    expect(await handle.done).toMatchObject({ result: { result: { secret } } });
    backUpDatabase({
      ...{ path, target: `${path}.copy` },
      ...{ blobDirectory: `${path}.artifacts`, blobTarget: `${path}.copy.artifacts` },
    });
    // While it is open: there is a log. And when it is closed.
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
    expect(filesWith(secret, directory)).toEqual([]);
    await harness[Symbol.asyncDispose]();
    await store.close();
    expect(filesWith(secret, directory)).toEqual([]);
    expect(readdirSync(`${path}.copy.artifacts`)).toHaveLength(1);
    for (const file of [path, `${path}.copy`]) {
      expect(await problemsOf(file, KEY)).toEqual([]);
      // What it was given, its log and its end; its steps went with it.
      expect((await told(file, KEY)).split(secret)).toHaveLength(4);
    }
  });

  test("opens with its key alone, and says which one that is", async () => {
    const path = freshPath();
    const store = sqliteStore({ path, encryptionKeys: [KEY] });
    await putSecret(store, "psst");
    await store.close();
    for (const readOnly of [false, true]) {
      const without = await storeFailure(() => sqliteStore({ path, readOnly }));
      expect([without.reason, without.message]).toEqual([
        "key",
        expect.stringMatching(/^the database is encrypted, and its key [0-9a-f]{8} is missing \(none was given\)$/),
      ]);
      const wrong = await storeFailure(() => sqliteStore({ path, readOnly, encryptionKeys: [STRANGE_KEY] }));
      expect(wrong.message).toMatch(/its key [0-9a-f]{8} is missing \(given: [0-9a-f]{8}\)$/);
    }
    const short = await storeFailure(() => sqliteStore({ path, encryptionKeys: [KEY.subarray(1)] }));
    expect(short.reason).toBe("key");
    expect(await told(path, KEY)).toContain("psst");
  });

  test("is not begun in a file that holds something: a key for that is refused", async () => {
    const path = freshPath();
    const store = sqliteStore({ path });
    await putSecret(store, "psst");
    await store.close();
    const { reason, message } = await storeFailure(() => sqliteStore({ path, encryptionKeys: [KEY] }));
    expect([reason, message]).toEqual([
      "key",
      "the database is not encrypted, and a key was given: `arcp db rekey` encrypts it",
    ]);
  });

  test("notices rows that were put into each other's place, and rows that were put there in the open", async () => {
    const path = freshPath();
    const store = sqliteStore({ path, encryptionKeys: [KEY] });
    const job = await putJob(store, 3);
    await store.commit({
      ...{ ...EMPTY, audit: [{ at: 1, action: "test", principal: "", facts: "{}" }] },
      records: ["alice", "mallory"].map((principal) => ({
        ...{ kind: "step", id: `of-${principal}`, principal, jobId: null, dueAt: null, data: `{"of":"${principal}"}` },
      })),
    });
    await store.close();
    const db = new Database(path);
    // With sums that fit: whoever does this on purpose can compute those.
    db.exec(`
      UPDATE entry SET sum = null, payload = (SELECT payload FROM entry WHERE key % 1048576 = 1) WHERE key % 1048576 = 0;
      UPDATE entry SET sum = null, payload = '{"kind":"lie"}' WHERE key % 1048576 = 2;
      UPDATE record SET sum = null, principal = 'mallory' WHERE principal = 'alice';
      UPDATE audit SET facts = '{}';
    `);
    db.close();
    const again = sqliteStore({ path, encryptionKeys: [KEY] });
    for (const n of [1, 3]) {
      expect((await storeFailure(() => again.readJournal(job.id, n, n))).reason).toBe("corrupt");
    }
    expect(await again.readJournal(job.id, 2, 2)).toHaveLength(1);
    expect((await storeFailure(() => again.findRecord("step", "of-alice"))).reason).toBe("corrupt");
    expect(await again.findRecord("step", "of-mallory")).toMatchObject({ data: '{"of":"mallory"}' });
    expect((await storeFailure(() => again.readAudit(undefined, 9))).reason).toBe("corrupt");
    await again.close();
  });

  test("takes up a new key, and goes on reading what the old one has encrypted", async () => {
    const path = freshPath();
    const before = sqliteStore({ path, encryptionKeys: [OLD_KEY] });
    await putSecret(before, "of the old key");
    await before.close();
    const between = sqliteStore({ path, encryptionKeys: [KEY, OLD_KEY] });
    await putSecret(between, "of the new key");
    await between.close();
    const text = await told(path, KEY, OLD_KEY);
    expect([text.includes("of the old key"), text.includes("of the new key")]).toEqual([true, true]);
    expect(await told(path, KEY)).toBe("key");
  });
});

describe("encrypting anew", () => {
  /** A database that is not encrypted, with a content beside it. */
  async function plain(secret: string): Promise<string> {
    const path = freshPath();
    const store = sqliteStore({ path });
    await putSecret(store, secret, 600);
    await using blobs = fileBlobs({ directory: `${path}.artifacts` });
    await using writer = await blobs.create("ab");
    await writer.write(Buffer.from(secret.repeat(10_000)));
    const blob = await writer.finish();
    const artifact = { kind: "artifact", id: "ab", principal: "alice", jobId: null, dueAt: 1 };
    await store.commit({ ...EMPTY, records: [{ ...artifact, data: JSON.stringify({ blob }) }] });
    await store.close();
    return path;
  }

  test("encrypts what was not, and leaves nothing of that", async () => {
    const path = await plain("open-secret");
    const before = await told(path);
    expect(filesWith("open-secret", dirname(path))).toHaveLength(2);
    const blobDirectory = `${path}.artifacts`;
    expect(await rekeyDatabase({ path, encryptionKeys: [KEY], blobDirectory })).toEqual({ rows: 1_803, blobs: 1 });
    expect(filesWith("open-secret", dirname(path))).toEqual([]);
    expect(await told(path, KEY)).toBe(before);
    expect(await problemsOf(path, KEY)).toEqual([]);
    expect(await rekeyDatabase({ path, encryptionKeys: [KEY], blobDirectory })).toEqual({ rows: 0, blobs: 0 });
  });

  test("with another key forgets the one before", async () => {
    const path = await plain("a-secret");
    const before = await told(path);
    const blobDirectory = `${path}.artifacts`;
    await rekeyDatabase({ path, encryptionKeys: [OLD_KEY], blobDirectory });
    expect(await rekeyDatabase({ path, encryptionKeys: [KEY, OLD_KEY], blobDirectory })).toEqual({
      rows: 1_803,
      blobs: 1,
    });
    expect(await told(path, OLD_KEY)).toBe("key");
    expect(await told(path, KEY)).toBe(before);
    expect(await problemsOf(path, KEY)).toEqual([]);
  });

  test.each([0, 2, 5])(
    "is gone on with when it was killed, and the database can be used in between (%i)",
    async (slices) => {
      const path = await plain("open-secret");
      const before = await told(path);
      const blobDirectory = `${path}.artifacts`;
      const order = { path, keys: [KEY.toString("hex")], blobDirectory, slices };
      const child = spawnSync(process.execPath, ["--import", sources, program, JSON.stringify(order)]);
      expect([child.signal, String(child.stderr)]).toEqual(["SIGKILL", ""]);
      const store = sqliteStore({ path, encryptionKeys: [KEY] });
      expect(await store.listRecords({ kind: "artifact", limit: 1 })).toHaveLength(1);
      await store.close();
      expect(await told(path, KEY)).toBe(before);
      await rekeyDatabase({ path, encryptionKeys: [KEY], blobDirectory });
      expect(filesWith("open-secret", dirname(path))).toEqual([]);
      expect(await told(path, KEY)).toBe(before);
    },
  );
});
