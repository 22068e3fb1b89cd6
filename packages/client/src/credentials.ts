/** Provisioned credentials (§9.8): held in memory while their job lives, and only there. */
import type { JsonObject } from "@arcp/core";

/** The wire's form of a credential. */
interface WireCredential {
  readonly id: string;
  readonly scheme: string;
  readonly value?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly profile?: string | undefined;
  readonly constraints?: JsonObject | undefined;
}

/**
 * A credential that the runtime issued for one job. Present it to {@link endpoint} and to nothing else. The value is
 * not enumerable, is never part of JSON or a log, and is gone once the job has ended.
 */
export class ProvisionedCredential {
  readonly id: string;
  readonly scheme = "bearer";
  /** The base URL at which it is valid. */
  readonly endpoint: string | undefined;
  /** A hint at the API spoken at the endpoint, e.g. `openai`. */
  readonly profile: string | undefined;
  /** What the upstream enforces. A missing entry says nothing about the job's lease. */
  readonly constraints: JsonObject | undefined;
  #value: string | undefined;

  constructor(wire: WireCredential) {
    this.id = wire.id;
    this.endpoint = wire.endpoint;
    this.profile = wire.profile;
    this.constraints = wire.constraints;
    this.#value = wire.value;
  }

  /** The secret, as last rotated. `undefined` once the job has ended. */
  get value(): string | undefined {
    return this.#value;
  }

  /** Replaces the secret after a rotation. */
  rotate(value: string): void {
    this.#value = value;
  }

  /** Forgets the secret. */
  wipe(): void {
    this.#value = undefined;
  }
}

/** The credentials that a client may use: schemes other than `bearer` are ignored (§9.8.1). */
export const readCredentials = (wire: readonly WireCredential[] | undefined): readonly ProvisionedCredential[] =>
  (wire ?? []).filter((entry) => entry.scheme === "bearer").map((entry) => new ProvisionedCredential(entry));

/** A `status` event of phase `credential_rotated`: which credential, its new value, and the body without it. */
export interface Rotation {
  readonly id: string | undefined;
  readonly value: string | undefined;
  readonly publicBody: { readonly [key: string]: unknown; readonly phase: string };
}

/** Reads the four layouts in use: flat members, `details`, `fields`, and JSON text in `message`. */
export function readRotation(body: { readonly [key: string]: unknown; readonly phase: string }): Rotation {
  const nested = [body, asObject(body["details"]), asObject(body["fields"]), parseObject(body["message"])];
  const text = (name: string): string | undefined =>
    nested.map((part) => part?.[name]).find((member): member is string => typeof member === "string");
  const message = parseObject(body["message"]) === undefined ? body["message"] : undefined;
  const id = text("id") ?? (typeof message === "string" ? message : undefined);
  const publicBody: { [key: string]: unknown; phase: string } = { phase: body.phase };
  if (id !== undefined) publicBody["id"] = id;
  if (message !== undefined) publicBody["message"] = message;
  return { id, value: text("value"), publicBody };
}

const asObject = (value: unknown): JsonObject | undefined =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;

function parseObject(value: unknown): JsonObject | undefined {
  if (typeof value !== "string" || !value.startsWith("{")) return undefined;
  try {
    return asObject(JSON.parse(value));
  } catch {
    // An ordinary message that begins with a brace.
    return undefined;
  }
}
