/** Bearer tokens: how they are written, and the files that may hold them. */
import { constants } from "node:fs";
import { lstat, mkdir, open, readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newResumeToken } from "@arcp/core";
import { UsageError } from "./exit-code.ts";

/** Where a developer's runtime leaves its token, below the directory in which it was started. */
const DEVELOPER_TOKEN_FILE = join(".arcp", "token");
/** Who uses a token that names nobody. */
export const LOCAL_PRINCIPAL = "local";

export interface Token {
  readonly value: string;
  readonly principal: string;
}

/**
 * `TOKEN` or `TOKEN=PRINCIPAL`. The principal is what follows the last `=`; a token that ends with `=` has none.
 * Throws {@link UsageError} for text that cannot be sent as a token.
 */
export function parseToken(text: string): Token {
  const [, value = text, principal = LOCAL_PRINCIPAL] = /^(.+)=([^=]+)$/.exec(text) ?? [];
  if (!/^[\x21-\x7e]{1,4096}$/.test(value)) throw new UsageError("a token is 1 to 4096 printable ASCII characters");
  return { value, principal };
}

/** Tokens separated by commas, as `ARCP_TOKEN` has them. */
export const parseTokenList = (text: string): readonly Token[] =>
  text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseToken);

/** A file with one token per line; empty lines and lines that begin with `#` do not count. */
export async function readTokenFile(path: string): Promise<readonly Token[]> {
  await requirePrivate(path);
  const lines = (await readFile(path, "utf8")).split("\n").map((line) => line.trim());
  const tokens = lines.filter((line) => line !== "" && !line.startsWith("#")).map(parseToken);
  if (tokens.length === 0) throw new UsageError(`${path} holds no token`);
  return tokens;
}

/** Throws unless `path` belongs to this user and nobody else can read it. Says nothing on Windows. */
export async function requirePrivate(path: string): Promise<void> {
  const facts = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`cannot read ${path}: ${cause.code ?? cause.message}`);
  });
  if (process.platform === "win32") return;
  const isOwn = facts.uid === process.getuid?.() || facts.uid === 0;
  if (!isOwn) throw new UsageError(`refused to use ${path}: it belongs to another user`);
  if ((facts.mode & 0o077) !== 0) throw new UsageError(`refused to use ${path}: others can read it; chmod 600 it`);
}

/** The token that a developer's runtime in this directory uses; `undefined` if there is none. */
export async function findDeveloperToken(): Promise<Token | undefined> {
  const facts = await lstat(DEVELOPER_TOKEN_FILE).catch(() => undefined);
  if (facts === undefined) return undefined;
  if (!facts.isFile()) throw new UsageError(`refused to use ${DEVELOPER_TOKEN_FILE}: it is not a plain file`);
  return (await readTokenFile(DEVELOPER_TOKEN_FILE))[0];
}

/** The developer's token, made and stored at the first call. */
export async function ensureDeveloperToken(): Promise<Token> {
  const known = await findDeveloperToken();
  if (known !== undefined) return known;
  await mkdir(dirname(DEVELOPER_TOKEN_FILE), { recursive: true, mode: 0o700 });
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  const file = await open(DEVELOPER_TOKEN_FILE, O_CREAT | O_EXCL | O_WRONLY, 0o600);
  try {
    const token = { value: newResumeToken().replace(/^rt_/, "dev_"), principal: LOCAL_PRINCIPAL };
    await file.writeFile(`${token.value}\n`);
    return token;
  } finally {
    await file.close();
  }
}
