/** What some SDKs write, and mean as the others spell it. */
import type { JsonObject } from "@arcp/core";

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `value` without the members that are `null`: some peers write absent members so. */
export const withoutNulls = (value: unknown): unknown =>
  isObject(value) ? Object.fromEntries(Object.entries(value).filter(([, member]) => member !== null)) : value;

/** One SDK writes a budget as it is in a lease, `CUR:amount`, where the others write amounts. */
export function withAmounts(frame: JsonObject): JsonObject {
  const { payload } = frame;
  const budget = isObject(payload) ? payload["budget"] : undefined;
  if (!isObject(payload) || !isObject(budget)) return frame;
  const amounts = Object.entries(budget).map(([currency, amount]) => [
    currency,
    typeof amount === "string" ? amount.slice(amount.indexOf(":") + 1) : amount,
  ]);
  return { ...frame, payload: { ...payload, budget: Object.fromEntries(amounts) } };
}

/**
 * A message that could not be decoded, as it may have been meant: `null` for absent members, an event without a body, the
 * number of replayed events for whether there were any, credentials of schemes of their own. `undefined` if that is
 * hopeless.
 */
export function respell(frame: JsonObject): JsonObject | undefined {
  const envelope = withoutNulls(frame) as JsonObject;
  const payload = envelope["payload"] ?? {};
  if (!isObject(payload)) return undefined;
  return { ...envelope, payload: respellPayload(envelope["type"], payload) };
}

function respellPayload(type: unknown, payload: JsonObject): unknown {
  // A result, or the body of an event, may be null and mean it.
  if (type === "job.result") return payload;
  if (type === "job.event") return { body: {}, ...payload };
  if (type === "job.subscribed" && typeof payload["replayed"] === "number") {
    return { ...payload, replayed: payload["replayed"] !== 0 };
  }
  const { credentials, ...rest } = withoutNulls(payload) as JsonObject;
  return credentials === undefined ? rest : { ...rest, credentials: ofKnownSchemes(credentials) };
}

/** Those that a client can do anything with: what others are made of is nobody's business here (§9.8.1). */
const ofKnownSchemes = (credentials: unknown): unknown =>
  Array.isArray(credentials)
    ? credentials.filter((entry) => isObject(entry) && entry["scheme"] === "bearer")
    : credentials;
