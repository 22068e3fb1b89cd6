/**
 * Arrays as PostgreSQL takes them in binary: neither side has to look for quotes and backslashes in what is mostly JSON.
 *
 * An array: dimensions, whether there are nulls, the type of the elements, length, lower bound; then each element after its
 * length, -1 for a null. All numbers are 32 bits wide, the highest byte first.
 */
const HEADER_BYTES = 20;
const TEXT_OID = 25;
const BIGINT_OID = 20;
const WORD = 2 ** 32;

/** A `bigint[]`. Numbers are safe integers. */
export function bigintArray(values: readonly (number | null)[]): Buffer {
  if (values.length === 0) return empty(BIGINT_OID);
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + values.length * 12);
  let at = header(buffer, BIGINT_OID, values.length, values.includes(null));
  for (const value of values) {
    if (value === null) {
      at = buffer.writeInt32BE(-1, at);
      continue;
    }
    at = buffer.writeInt32BE(8, at);
    at = buffer.writeInt32BE(Math.floor(value / WORD), at);
    at = buffer.writeUInt32BE(value >>> 0, at);
  }
  return buffer.subarray(0, at);
}

/** A `text[]`. */
export function textArray(values: readonly (string | null)[]): Buffer {
  if (values.length === 0) return empty(TEXT_OID);
  let bytes = HEADER_BYTES;
  // What UTF-8 takes at most, so that no text is measured twice.
  for (const value of values) bytes += 4 + (value === null ? 0 : value.length * 3);
  const buffer = Buffer.allocUnsafe(bytes);
  let at = header(buffer, TEXT_OID, values.length, values.includes(null));
  for (const value of values) {
    if (value === null) {
      at = buffer.writeInt32BE(-1, at);
      continue;
    }
    const written = buffer.write(value, at + 4);
    buffer.writeInt32BE(written, at);
    at += 4 + written;
  }
  return buffer.subarray(0, at);
}

function header(buffer: Buffer, type: number, length: number, hasNulls: boolean): number {
  let at = buffer.writeInt32BE(1, 0);
  at = buffer.writeInt32BE(hasNulls ? 1 : 0, at);
  at = buffer.writeInt32BE(type, at);
  at = buffer.writeInt32BE(length, at);
  return buffer.writeInt32BE(1, at);
}

function empty(type: number): Buffer {
  const buffer = Buffer.alloc(12);
  buffer.writeInt32BE(type, 8);
  return buffer;
}
