/** What an upstream answered, checked before anybody relies on it. */
import { type JsonObject, REDACTED } from "@arcp/core";
import type { IssuedCredential } from "./provisioner.ts";
import { Secret } from "./secret.ts";

/** A credential of a job, with its secret. */
export interface LiveCredential {
  /** Stable within the job, also when the credential is rotated. */
  readonly id: string;
  readonly scheme: string;
  readonly value: Secret;
  readonly endpoint: string;
  readonly profile: string | undefined;
  readonly constraints: JsonObject | undefined;
}

/** The answer cannot be used. The message tells what is wrong with it and nothing of what it holds. */
export class BadAnswerError extends Error {
  override readonly name = "BadAnswerError";
}

const MIN_VALUE_LENGTH = 8;
const MAX_VALUE_LENGTH = 16_384;
const MAX_NAME_LENGTH = 256;
/** RFC 6750. */
const BEARER_TOKEN = /^[A-Za-z0-9\-._~+/]+=*$/;
const VISIBLE = /^[\x21-\x7e]+$/;

/** The credential in an answer. @throws BadAnswerError */
export function checkedAnswer(id: string, answer: IssuedCredential): LiveCredential {
  const { scheme = "bearer", value, endpoint, profile, constraints } = answer;
  if (!isName(scheme)) throw new BadAnswerError("the scheme is not a name");
  if (typeof value !== "string" || value.length > MAX_VALUE_LENGTH || !isSecret(scheme, value)) {
    throw new BadAnswerError("the value is not a secret that the scheme can carry");
  }
  if (typeof endpoint !== "string" || !isEndpoint(endpoint, value)) {
    throw new BadAnswerError("the endpoint is not the URL of an HTTP service");
  }
  if (profile !== undefined && !isName(profile)) throw new BadAnswerError("the profile is not a name");
  if (constraints !== undefined && JSON.stringify(constraints).includes(value)) {
    throw new BadAnswerError("the constraints hold the value");
  }
  return { id, scheme, value: new Secret(value), endpoint, profile, constraints };
}

/** What the upstream calls the credential, if it says so and that can be written down; `null` otherwise. */
export function upstreamIdOf({ upstreamId, value }: IssuedCredential): string | null {
  const isFit = typeof upstreamId === "string" && isName(upstreamId) && !upstreamId.includes(value);
  return isFit ? upstreamId : null;
}

const isName = (text: unknown): text is string =>
  typeof text === "string" && text.length <= MAX_NAME_LENGTH && VISIBLE.test(text);

/** A secret that is as short, or nothing but digits, guards nothing, and could not be masked in what an agent emits. */
function isSecret(scheme: string, value: string): boolean {
  if (value.length < MIN_VALUE_LENGTH || /^\d+$/.test(value) || value.includes(REDACTED)) return false;
  return scheme === "bearer" ? BEARER_TOKEN.test(value) : VISIBLE.test(value);
}

function isEndpoint(text: string, value: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || text.length > 2048) return false;
  return url.username === "" && url.password === "" && url.hash === "" && !text.includes(value);
}

/** The credential as it stands in `job.accepted` (§9.8.1): with its secret, for the submitter alone. */
export function credentialPayload({ id, scheme, value, endpoint, profile, constraints }: LiveCredential): JsonObject {
  return {
    ...{ id, scheme, value: value.reveal(), endpoint },
    ...(profile !== undefined && { profile }),
    ...(constraints !== undefined && { constraints }),
  };
}
