/**
 * Keys that outlive the process: a file of JSON lines, one for each thing that happened. It holds digests and no keys.
 * What a request may cost is written before it goes out, so that one that a crash cut off counts as if it had cost that.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { type JsonObject, type Lease, type Logger, silentLogger } from "@arcp/core";
import type { Units } from "./ledger.ts";

/** What is kept of a key. */
export interface KeyRecord {
  readonly digest: string;
  readonly alias: string;
  readonly lease: Lease;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | null;
  readonly createdAt: number;
  readonly metadata: JsonObject;
  readonly isBlocked: boolean;
  readonly spent: Units;
}

type Line =
  | {
      readonly type: "key";
      readonly digest: string;
      readonly alias: string;
      readonly lease: Lease;
      readonly expires_at: number | null;
      readonly created_at: number;
      readonly metadata: JsonObject;
      readonly blocked: boolean;
      readonly spent: Readonly<Record<string, string>>;
    }
  | { readonly type: "blocked"; readonly digest: string; readonly blocked: boolean }
  | { readonly type: "deleted"; readonly digest: string }
  | {
      readonly type: "held" | "spent";
      readonly digest: string;
      readonly id: number;
      readonly units: Readonly<Record<string, string>>;
    }
  | { readonly type: "released"; readonly digest: string; readonly id: number };

/** Where what happens to keys is written. */
export interface KeyStore {
  /** The keys that there were when it was opened. */
  readonly keys: readonly KeyRecord[];
  added(key: KeyRecord): void;
  blocked(digest: string, isBlocked: boolean): void;
  deleted(digest: string): void;
  held(digest: string, id: number, units: Units): void;
  spent(digest: string, id: number, units: Units): void;
  released(digest: string, id: number): void;
  close(): void;
}

/** Keys that die with the process. */
export const noKeyStore: KeyStore = {
  keys: [],
  added() {},
  blocked() {},
  deleted() {},
  held() {},
  spent() {},
  released() {},
  close() {},
};

const OWNER_ONLY = 0o600;

/**
 * Opens the file at `path`, or makes it, and writes it anew with one line per key. One process at a time may have it.
 *
 * @throws Error if it cannot be read or written, or holds a line that is none of its own; a last line that was cut off
 *   is left out.
 */
export function openKeyFile(path: string, logger: Logger = silentLogger): KeyStore {
  const keys = readKeys(path);
  const draft = `${path}.new`;
  const file = openSync(draft, "w", OWNER_ONLY);
  const write = (line: Line, isDurable: boolean): void => {
    writeSync(file, `${JSON.stringify(line)}\n`);
    if (isDurable) fsyncSync(file);
  };
  for (const key of keys) write(lineOf(key), false);
  fsyncSync(file);
  renameSync(draft, path);
  logger.info({ path, keys: keys.length }, "the keys were read");
  let isOpen = true;
  return {
    keys,
    added: (key) => write(lineOf(key), true),
    blocked: (digest, blocked) => write({ type: "blocked", digest, blocked }, true),
    deleted: (digest) => write({ type: "deleted", digest }, true),
    held: (digest, id, units) => write({ type: "held", digest, id, units: textOf(units) }, false),
    spent: (digest, id, units) => write({ type: "spent", digest, id, units: textOf(units) }, false),
    released: (digest, id) => write({ type: "released", digest, id }, false),
    close() {
      if (isOpen) closeSync(file);
      isOpen = false;
    },
  };
}

/** What the lines come to. */
interface Tally {
  key: KeyRecord;
  readonly held: Map<number, Map<string, bigint>>;
}

function readKeys(path: string): KeyRecord[] {
  const tallies = new Map<string, Tally>();
  for (const line of linesOf(path)) {
    const tally = tallies.get(line.digest);
    if (line.type === "key") tallies.set(line.digest, { key: keyOf(line), held: new Map() });
    else if (line.type === "deleted") tallies.delete(line.digest);
    else if (tally === undefined)
      continue; // Of a key that was deleted while a request was under way.
    else if (line.type === "blocked") tally.key = { ...tally.key, isBlocked: line.blocked };
    else if (line.type === "released") tally.held.delete(line.id);
    else if (line.type === "held") tally.held.set(line.id, unitsIn(line.units));
    else spend(tally, line.id, unitsIn(line.units));
  }
  return [...tallies.values()].map(({ key, held }) => ({
    ...key,
    spent: [...held.values()].reduce<Units>(sum, key.spent),
  }));
}

function linesOf(path: string): Line[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const lines = text.split("\n");
  // What is behind the last line break was being written when the process ended.
  lines.pop();
  return lines.map((line, index) => {
    try {
      return JSON.parse(line) as Line;
    } catch (error) {
      throw new Error(`${path}:${index + 1} is not a line of a key file`, { cause: error });
    }
  });
}

function spend(tally: Tally, id: number, units: Units): void {
  tally.key = { ...tally.key, spent: sum(tally.key.spent, units) };
  const held = tally.held.get(id);
  for (const [currency, cost] of units) {
    const left = (held?.get(currency) ?? 0n) - cost;
    held?.set(currency, left > 0n ? left : 0n);
  }
}

function sum(a: Units, b: Units): Units {
  const result = new Map(a);
  for (const [currency, units] of b) result.set(currency, (result.get(currency) ?? 0n) + units);
  return result;
}

const lineOf = (key: KeyRecord): Line => ({
  type: "key",
  digest: key.digest,
  alias: key.alias,
  lease: key.lease,
  expires_at: key.expiresAt,
  created_at: key.createdAt,
  metadata: key.metadata,
  blocked: key.isBlocked,
  spent: textOf(key.spent),
});

const keyOf = (line: Extract<Line, { readonly type: "key" }>): KeyRecord => ({
  digest: line.digest,
  alias: line.alias,
  lease: line.lease,
  expiresAt: line.expires_at,
  createdAt: line.created_at,
  metadata: line.metadata,
  isBlocked: line.blocked,
  spent: unitsIn(line.spent),
});

const textOf = (units: Units): Record<string, string> =>
  Object.fromEntries([...units].map(([currency, value]) => [currency, value.toString()]));

const unitsIn = (text: Readonly<Record<string, string>>): Map<string, bigint> =>
  new Map(Object.entries(text).map(([currency, value]) => [currency, BigInt(value)]));
