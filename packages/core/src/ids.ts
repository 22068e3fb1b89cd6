/**
 * Identifiers of the protocol (§5.1): branded strings, and a monotonic ULID source.
 *
 * An id is `<prefix>_<ULID>`: 48 bits of milliseconds and 80 random bits in Crockford base 32. Ids from one
 * process sort in the order in which they were made.
 */

/** Marks a string as one kind of id. The member exists for the type checker alone. */
export interface Branded<Name extends string> {
  readonly __brand: Name;
}
type Brand<Name extends string> = string & Branded<Name>;

/** The id of a message: `msg_` and a ULID where this library made it (§5.1). */
export type MessageId = Brand<"MessageId">;
/** The id of a session: `sess_` and a ULID where this library made it (§6). */
export type SessionId = Brand<"SessionId">;
/** The id of a job: `job_` and a ULID where this library made it. */
export type JobId = Brand<"JobId">;
/** The id of a streamed result: `res_` and a ULID where this library made it (§8.4). */
export type ResultId = Brand<"ResultId">;
/** 32 lowercase hexadecimal characters, not all zero (W3C trace-id). */
export type TraceId = Brand<"TraceId">;
/** Position of a numbered message in one session's stream: 1, 2, 3, … without a gap (§8.3). */
export type EventSeq = number & Branded<"EventSeq">;

/** Names a string as a job id. The string is not checked beyond being non-empty. */
export const toJobId = (value: string): JobId => named(value, "job id") as JobId;
/** Names a string as a session id. The string is not checked beyond being non-empty. */
export const toSessionId = (value: string): SessionId => named(value, "session id") as SessionId;

const ID = /^[\x21-\x7e]{1,128}$/;

/** Is it what an id may be, whoever made it: 1 to 128 printable ASCII characters? */
export const isId = (text: string): boolean => ID.test(text);

function named(value: string, what: string): string {
  if (typeof value !== "string" || value.length === 0) throw new TypeError(`a ${what} is a non-empty string`);
  return value;
}

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** `value` (a non-negative safe integer) as `length` Crockford base-32 characters, most significant first. */
export function crockford(value: number, length: number): string {
  let text = "";
  let rest = value;
  for (let i = 0; i < length; i += 1) {
    text = ALPHABET.charAt(rest % 32) + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}

const POOL_BYTES = 4096;
const pool = new Uint8Array(POOL_BYTES);
let poolUsed = POOL_BYTES;

/** `count` bytes from the platform's cryptographic source, drawn through a pool (one system call per 4 KiB). */
export function randomBytes(count: number): Uint8Array {
  if (count > POOL_BYTES) throw new RangeError(`at most ${POOL_BYTES} random bytes at a time`);
  if (poolUsed + count > POOL_BYTES) {
    globalThis.crypto.getRandomValues(pool);
    poolUsed = 0;
  }
  const bytes = pool.slice(poolUsed, poolUsed + count);
  pool.fill(0, poolUsed, poolUsed + count);
  poolUsed += count;
  return bytes;
}

const HIGH_LIMIT = 2 ** 40;

function random40(): number {
  const bytes = randomBytes(5);
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

let lastTime = -1;
let lastTimeText = "";
let high = 0;
let low = 0;
let highText = "";

/** A ULID that sorts after every ULID made before it in this process. */
export function ulid(now: number = Date.now()): string {
  if (now > lastTime) {
    lastTime = now;
    lastTimeText = crockford(now, 10);
    high = random40();
    low = random40();
    highText = crockford(high, 8);
  } else {
    low += 1;
    if (low >= HIGH_LIMIT) {
      low = 0;
      high = (high + 1) % HIGH_LIMIT;
      highText = crockford(high, 8);
    }
  }
  return lastTimeText + highText + crockford(low, 8);
}

/** A new id: `msg_` and a ULID. */
export const newMessageId = (): MessageId => `msg_${ulid()}` as MessageId;
/** A new id: `sess_` and a ULID. */
export const newSessionId = (): SessionId => `sess_${ulid()}` as SessionId;
/** A new id: `job_` and a ULID. */
export const newJobId = (): JobId => `job_${ulid()}` as JobId;
/** A new id: `res_` and a ULID. */
export const newResultId = (): ResultId => `res_${ulid()}` as ResultId;
/** Shared by a `tool_call` and its `tool_result`. */
export const newCallId = (): string => `call_${ulid()}`;
/** A new id: `del_` and a ULID. */
export const newDelegateId = (): string => `del_${ulid()}`;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** `bytes` as lowercase hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** A random, non-zero W3C trace id. */
export function newTraceId(): TraceId {
  const bytes = randomBytes(16);
  bytes[15] = (bytes[15] ?? 0) | 1;
  return toHex(bytes) as TraceId;
}

/** An opaque resume token: `rt_` and 256 random bits in hexadecimal (§6.2, §14 asks for 128 or more). */
export const newResumeToken = (): string => `rt_${toHex(randomBytes(32))}`;
