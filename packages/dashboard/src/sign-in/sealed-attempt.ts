/**
 * A sign-in that has begun lives in the browser that began it, sealed: nothing is kept here for browsers that never come back,
 * and nobody else's browser can end it.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import type { Clock } from "@arcp/core";
import type { Attempt } from "./sign-in.ts";

/** How long a person may take at the provider. */
export const ATTEMPT_SECONDS = 600;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MAX_USED = 10_000;

interface Sealed extends Attempt {
  readonly expiresAt: number;
}

export class SealedAttempts {
  readonly #key = randomBytes(32);
  readonly #clock: Clock;
  /** States that have come back, with when that is no longer worth knowing, the oldest first. */
  readonly #used = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  seal(attempt: Attempt): string {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    const sealed: Sealed = { ...attempt, expiresAt: this.#clock.now() + ATTEMPT_SECONDS * 1000 };
    const parts = [nonce, cipher.update(JSON.stringify(sealed)), cipher.final(), cipher.getAuthTag()];
    return Buffer.concat(parts).toString("base64url");
  }

  /**
   * The attempt that came back with `state`, once. `undefined` for one that was not begun here or by this browser, took too
   * long, or has come back before.
   */
  take(sealed: string, state: string): Attempt | undefined {
    const attempt = this.#opened(sealed);
    const now = this.#clock.now();
    if (attempt === undefined || attempt.expiresAt <= now || attempt.state !== state) return undefined;
    const key = createHash("sha256").update(state).digest("base64url");
    if (this.#used.has(key)) return undefined;
    for (const [old, until] of this.#used) {
      if (until > now && this.#used.size < MAX_USED) break;
      this.#used.delete(old);
    }
    this.#used.set(key, attempt.expiresAt);
    return attempt;
  }

  #opened(text: string): Sealed | undefined {
    const bytes = Buffer.from(text, "base64url");
    if (bytes.length <= NONCE_BYTES + TAG_BYTES) return undefined;
    try {
      const cipher = createDecipheriv("aes-256-gcm", this.#key, bytes.subarray(0, NONCE_BYTES));
      cipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const plain = Buffer.concat([cipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), cipher.final()]);
      return JSON.parse(plain.toString()) as Sealed;
    } catch {
      // Not sealed with this key: forged, or by a process that is no more.
      return undefined;
    }
  }
}
