/** Contents to put, and what comes back. */
import { createHash } from "node:crypto";

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** `count` bytes that differ from place to place. */
export function patterned(count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  for (let index = 0; index < count; index += 1) bytes[index] = (index * 31 + (index >> 8)) % 251;
  return bytes;
}

export async function* inPieces(...pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* pieces;
}

export async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = [];
  for await (const item of items) list.push(item);
  return list;
}

export const collected = async (pieces: AsyncIterable<Uint8Array>): Promise<Buffer> => Buffer.concat(await all(pieces));

/** What a promise is rejected with. */
export const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    (value) => {
      throw new Error(`it succeeded: ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );

/** Resolves when `holds`, which other work of this process makes true. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve));
}
