/** By what other runtimes and clients know this runtime again (RFC §8.3). */
import { createHash, createHmac, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { requirePrivate } from "./tokens.ts";

const KEY_BYTES = 32;

/**
 * The fingerprint that belongs to a database: the digest of a key that is kept in `file`, made at the first call. Without
 * a file it is another one each time.
 */
export async function ensureFingerprint(file: string | undefined): Promise<string> {
  const key = file === undefined ? randomBytes(KEY_BYTES) : ((await makeKey(file)) ?? (await readKey(file)));
  return fingerprintOf(key);
}

/** The same of all nodes over one database, from the secret that they share. */
export const sharedFingerprint = (secret: Uint8Array): string =>
  fingerprintOf(createHmac("sha256", secret).update("identity").digest());

const fingerprintOf = (key: Uint8Array): string => `sha256:${createHash("sha256").update(key).digest("hex")}`;

/** `undefined` if there is one. */
async function makeKey(path: string): Promise<Buffer | undefined> {
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  const file = await open(path, O_CREAT | O_EXCL | O_WRONLY, 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  const key = randomBytes(KEY_BYTES);
  try {
    await file.writeFile(`${key.toString("hex")}\n`);
    await file.sync();
    return key;
  } finally {
    await file.close();
  }
}

async function readKey(path: string): Promise<Buffer> {
  await requirePrivate(path);
  const text = (await readFile(path, "utf8")).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new Error(`${path} holds no key: restore it, or remove it and tell those who know this runtime by it`);
  }
  return Buffer.from(text, "hex");
}
