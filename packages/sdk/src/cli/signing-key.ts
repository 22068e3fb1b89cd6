/** The key with which `arcp token` signs: a file that nobody else can read, and for key pairs one that everybody may. */
import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  type CryptoKey,
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTPayload,
  SignJWT,
} from "jose";
import { UsageError } from "./exit-code.ts";
import { requirePrivate } from "./tokens.ts";

export type TokenAlgorithm = "ES256" | "HS256";

const SECRET_BYTES = 32;
const DEFAULT_FILES: Readonly<Record<TokenAlgorithm, string>> = {
  ES256: join(".arcp", "jwt-key.json"),
  HS256: join(".arcp", "jwt-secret"),
};

export class SigningKeyFile {
  readonly #alg: TokenAlgorithm;
  readonly #key: CryptoKey | Uint8Array;
  readonly #kid: string | undefined;
  /** What `arcp serve` is told, so that it takes what this key signs. */
  readonly serveOption: string;

  private constructor(alg: TokenAlgorithm, key: CryptoKey | Uint8Array, kid: string | undefined, serveOption: string) {
    this.#alg = alg;
    this.#key = key;
    this.#kid = kid;
    this.serveOption = serveOption;
  }

  /** The key in `path`, made if there is none. Throws {@link UsageError} for a file that others can read, or that is no key. */
  static async open(alg: TokenAlgorithm, path = DEFAULT_FILES[alg]): Promise<SigningKeyFile> {
    const facts = await lstat(path).catch(() => undefined);
    if (facts === undefined) await writePrivately(path, alg === "HS256" ? newSecret() : await newKey());
    else if (!facts.isFile()) throw new UsageError(`refused to use ${path}: it is not a plain file`);
    await requirePrivate(path);
    const text = (await readFile(path, "utf8")).trim();
    if (alg === "HS256") {
      if (Buffer.byteLength(text) < SECRET_BYTES) throw new UsageError(`${path} is no secret of at least 32 bytes`);
      return new SigningKeyFile(alg, Buffer.from(text), undefined, `--jwt-secret-file ${path}`);
    }
    const { d, ...published } = privateKeyIn(text, path);
    const publicPath = `${path.replace(/\.json$/, "")}.public.json`;
    const kid = published.kid ?? (await calculateJwkThumbprint(published));
    await writeFile(publicPath, `${JSON.stringify({ keys: [{ ...published, kid, alg, use: "sig" }] })}\n`);
    return new SigningKeyFile(
      alg,
      (await importJWK({ ...published, d }, alg)) as CryptoKey,
      kid,
      `--jwks ${publicPath}`,
    );
  }

  sign(claims: JWTPayload, seconds: number): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg: this.#alg, typ: "JWT", ...(this.#kid !== undefined && { kid: this.#kid }) })
      .setIssuedAt()
      .setExpirationTime(`${seconds}s`)
      .sign(this.#key);
  }
}

const newSecret = (): string => randomBytes(SECRET_BYTES).toString("base64url");

async function newKey(): Promise<string> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  return JSON.stringify(await exportJWK(privateKey));
}

function privateKeyIn(text: string, path: string): JWK & { readonly d: string } {
  try {
    const key = JSON.parse(text) as JWK & { readonly d: string };
    if (key.kty === "EC" && key.crv === "P-256" && typeof key.d === "string") return key;
  } catch {
    // It is said below, without a word of what is in the file.
  }
  throw new UsageError(`${path} is no private key for ES256: expected a JWK`);
}

/** Fails if there is something already. */
async function writePrivately(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(`${text}\n`);
  } finally {
    await file.close();
  }
}
