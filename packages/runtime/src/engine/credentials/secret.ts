/** A value that must not be printed by accident. */
import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { REDACTED } from "@arcp/core";

/** Prints as `[redacted]` in text, JSON and `util.inspect`; {@link reveal} is the one way to the value. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  /** SHA-256 of the value, hexadecimal. */
  digest(): string {
    return createHash("sha256").update(this.#value).digest("hex");
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
