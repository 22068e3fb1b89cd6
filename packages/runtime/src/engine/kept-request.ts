/** What a job was asked for, as it is kept beside the job for whoever may observe it. */
import type { JsonObject, Lease } from "@arcp/core";
import type { SecretMask } from "./credentials/redaction.ts";

/** The members of what is kept, by their names on the wire. Without `input` the input was not kept. */
export interface AskedFor {
  readonly input?: unknown;
  readonly lease_request?: Lease;
  readonly max_runtime_sec?: number;
}

export interface KeptRequest {
  /** JSON of an {@link AskedFor}. */
  readonly text: string;
  /** Is the input in it, as it was given? */
  readonly isInputExact: boolean;
}

interface Request {
  readonly input: unknown;
  readonly leaseRequest: Lease | undefined;
  readonly maxRuntimeMs: number | undefined;
}

/** Bytes of an input's JSON beyond which it is not kept: a job's row is written anew whenever the job gets on. */
const MAX_INPUT_BYTES = 64 * 1024;
const MS_PER_SECOND = 1000;

/** What is kept of `request`, without the secrets that `mask` knows. */
export function keptRequest({ input, leaseRequest, maxRuntimeMs }: Request, mask: SecretMask | undefined): KeptRequest {
  const given = JSON.stringify(input ?? null);
  const isShort = Buffer.byteLength(given) <= MAX_INPUT_BYTES;
  const rest: JsonObject = {
    ...(leaseRequest && { lease_request: leaseRequest }),
    ...(maxRuntimeMs !== undefined && { max_runtime_sec: maxRuntimeMs / MS_PER_SECOND }),
  };
  const restText = JSON.stringify(rest);
  const text = isShort ? `{"input":${given}${restText === "{}" ? "" : `,${restText.slice(1, -1)}`}}` : restText;
  const masked = mask?.maskJson(text);
  return { text: masked?.text ?? text, isInputExact: isShort && masked?.found !== true };
}

/** Reads what {@link keptRequest} has written; nothing of what was not kept. */
export const readAskedFor = (text: string | undefined): AskedFor =>
  text === undefined ? {} : (JSON.parse(text) as AskedFor);
