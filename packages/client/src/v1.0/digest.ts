/** SHA-256 of bytes, where the platform has it: everywhere but in pages that came over plain HTTP. */
import { CanonicalError } from "@arcp/core/v1.0";

const platform = globalThis as { readonly crypto: { readonly subtle?: SubtleDigest } };

interface SubtleDigest {
  digest(algorithm: "SHA-256", data: Uint8Array): Promise<ArrayBuffer>;
}

/** The digest in lower-case hexadecimal; `undefined` where it cannot be had. */
export async function sha256Of(bytes: Uint8Array): Promise<string | undefined> {
  const digest = await platform.crypto.subtle?.digest("SHA-256", bytes);
  return digest && Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Throws `DATA_LOSS` when `bytes` are not those that `sha256`, with or without its prefix, was made of. */
export async function checkDigest(bytes: Uint8Array, sha256: string | undefined, what: string): Promise<void> {
  if (sha256 === undefined) return;
  const actual = await sha256Of(bytes);
  const expected = sha256.replace(/^sha256:/i, "").toLowerCase();
  if (actual !== undefined && actual !== expected) {
    throw new CanonicalError("DATA_LOSS", `${what} does not have the digest that it came with`);
  }
}
