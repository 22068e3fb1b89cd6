/** A credential as the agent of its job sees it (§9.8). */
import type { JsonObject } from "@arcp/core";

/** A credential that was issued to a job, with its secret (§9.8). */
export interface JobCredential {
  /** Stable within the job, also when the credential is rotated. */
  readonly id: string;
  readonly scheme: string;
  /** The base URL at which it is valid. It must be presented nowhere else. */
  readonly endpoint: string;
  /** A hint at the API spoken there: `openai`, `anthropic`, `generic`, … */
  readonly profile?: string;
  /** What the upstream enforces. A missing entry says nothing about the lease. */
  readonly constraints?: JsonObject;
  /** The secret, as last rotated. Not part of JSON, logs or events: what an agent emits is masked. */
  reveal(): string;
}
