/** The keys that the gateway takes. It knows them by their digests and cannot tell what they are. */
import { createHash, randomBytes } from "node:crypto";
import type { Lease } from "@arcp/core";
import type { Guard } from "@arcp/runtime";

/** A job's guard as far as the gateway goes through it: every request is one operation. */
export type ModelGuard = Pick<Guard, "lease" | "signal" | "operation">;

export interface KeyFacts {
  readonly digest: string;
  /** Unique among the keys that there are. */
  readonly alias: string;
  readonly lease: Lease;
  /** The currencies of the budget that bounds the key's job, its own or an ancestor's. */
  readonly currencies: ReadonlySet<string>;
  /** When the key expires, in milliseconds since the epoch. */
  readonly expiresAt: number | undefined;
  /** Undefined while the key is good for nothing. */
  readonly guard: () => ModelGuard | undefined;
}

/** A key and what is under way with it. */
export class Key {
  readonly facts: KeyFacts;
  #stop = new AbortController();
  #underWay = 0;

  constructor(facts: KeyFacts) {
    this.facts = facts;
  }

  /** Aborts when the key is revoked or blocked. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Takes one of `max` places. Returns what gives it back; undefined if there is none. */
  enter(max: number): (() => void) | undefined {
    if (this.#underWay >= max) return undefined;
    this.#underWay += 1;
    return () => {
      this.#underWay -= 1;
    };
  }

  /** Ends what is under way. */
  stop(reason: Error): void {
    this.#stop.abort(reason);
    this.#stop = new AbortController();
  }
}

const SECRET_BYTES = 32;

/** A new secret of 256 random bits. */
export const newSecret = (prefix: string): string => `${prefix}${randomBytes(SECRET_BYTES).toString("base64url")}`;

export const digestOf = (secret: string): string => createHash("sha256").update(secret).digest("hex");

/**
 * Keys by digest and by alias. The time a look-up takes says nothing about how much of a secret was right: what is
 * compared are digests.
 */
export class Keyring {
  readonly #byDigest = new Map<string, Key>();
  readonly #byAlias = new Map<string, Key>();

  /** Adds a key. One that has its alias is removed. */
  add(facts: KeyFacts, reason: Error): Key {
    this.remove(facts.alias, reason);
    const key = new Key(facts);
    this.#byDigest.set(facts.digest, key);
    this.#byAlias.set(facts.alias, key);
    return key;
  }

  find(secret: string): Key | undefined {
    return this.#byDigest.get(digestOf(secret));
  }

  /** Removes the key and ends what is under way with it. Idempotent. */
  remove(alias: string, reason: Error): void {
    const key = this.#byAlias.get(alias);
    if (key === undefined) return;
    this.#byAlias.delete(alias);
    this.#byDigest.delete(key.facts.digest);
    key.stop(reason);
  }

  /** Ends what is under way with any key. */
  stopAll(reason: Error): void {
    for (const key of this.#byDigest.values()) key.stop(reason);
  }
}
