/** Base64 in every place a client runs: Node's Buffer, the platform's own decoder, or `atob`. */
import { InvalidRequestError } from "@arcp/core";

interface Platform {
  readonly Buffer?: {
    from(text: string, encoding: "base64"): Uint8Array;
    from(buffer: ArrayBufferLike, byteOffset: number, length: number): { toString(encoding: "base64"): string };
  };
  readonly Uint8Array: { fromBase64?(text: string): Uint8Array };
}

const platform = globalThis as unknown as Platform;

/** The bytes that `text` stands for. Throws {@link InvalidRequestError} when it is not base64. */
export function decodeBase64(text: string): Uint8Array {
  const bytes = decode(text);
  if (bytes === undefined || bytes.length !== decodedLength(text)) throw new InvalidRequestError("not valid base64");
  return bytes;
}

function decode(text: string): Uint8Array | undefined {
  if (platform.Buffer) {
    const { buffer, byteOffset, length } = platform.Buffer.from(text, "base64");
    return new Uint8Array(buffer, byteOffset, length);
  }
  try {
    if (platform.Uint8Array.fromBase64) return platform.Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
    return bytes;
  } catch {
    // Reported by the caller as one kind of failure, whichever decoder found it.
    return undefined;
  }
}

const EQUALS = 0x3d;

/** The number of bytes that well-formed base64 of this length and padding stands for. */
function decodedLength(text: string): number {
  let length = text.length;
  while (length > 0 && text.charCodeAt(length - 1) === EQUALS) length -= 1;
  return Math.floor((length * 3) / 4);
}

const CHUNK = 0x8000;

/** `bytes` as base64. */
export function encodeBase64(bytes: Uint8Array): string {
  if (platform.Buffer) {
    return platform.Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
  }
  let binary = "";
  for (let at = 0; at < bytes.length; at += CHUNK) binary += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(binary);
}
