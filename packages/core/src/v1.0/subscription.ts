/** The messages of observers (RFC §13). */
import { z } from "zod";
import { absentOr, jsonObject, messageId } from "../messages/envelope.ts";
import { entityId, message10, needed, PRIORITIES, word } from "./envelope.ts";

/** Values of which one has to match. One alone is a list of one; an empty list says nothing, as an absent one. */
const anyOf = absentOr(
  z.union([
    z
      .string()
      .max(256)
      .transform((only) => [only]),
    z.array(z.string().max(256)).max(256),
  ]),
).transform((list) => (list?.length === 0 ? undefined : list));

/** RFC §13.2. All members have to match. A name that is not one of these may mean a bound, so it is refused. */
const filter = z.strictObject({
  session_id: anyOf,
  trace_id: anyOf,
  job_id: anyOf,
  stream_id: anyOf,
  types: anyOf,
  min_priority: absentOr(word(PRIORITIES)),
});

/** What an observer wants to see (RFC §13.2). */
export type SubscriptionFilter10 = Readonly<Partial<z.infer<typeof filter>>>;

/** RFC §13.1. `since` without an id asks for everything that is kept. */
export const subscribe = message10(
  "subscribe",
  z.object({
    filter: filter.nullish().transform((given): SubscriptionFilter10 => given ?? {}),
    since: absentOr(z.object({ after_message_id: absentOr(messageId) })),
  }),
);

const ofSubscription = { subscription_id: absentOr(entityId) };

interface AboutSubscription {
  readonly subscription_id?: string | undefined;
  readonly payload: { readonly subscription_id?: string | undefined };
}

/** The subscription is named in the payload, on the envelope, or in both. */
function withSubscriptionId<Message extends AboutSubscription>(message: Message, context: z.RefinementCtx) {
  const named = message.payload.subscription_id ?? message.subscription_id;
  const subscription_id = needed(named, ["payload", "subscription_id"], context);
  return { ...message, subscription_id, payload: { ...message.payload, subscription_id } };
}

/** RFC §13.1. */
export const subscribeAccepted = message10("subscribe.accepted", z.object(ofSubscription)).transform(
  withSubscriptionId,
);

/** RFC §13.1. The event is an envelope; some senders do not say of which subscription. */
export const subscribeEvent = message10(
  "subscribe.event",
  z.object({ ...ofSubscription, event: jsonObject }),
).transform((message) => ({ ...message, subscription_id: message.subscription_id ?? message.payload.subscription_id }));

/** RFC §13.4. */
export const unsubscribe = message10("unsubscribe", z.object(ofSubscription)).transform(withSubscriptionId);

const openText = absentOr(z.string());

/** RFC §13.4. */
export const subscribeClosed = message10(
  "subscribe.closed",
  z.object({ ...ofSubscription, reason: openText, code: openText, message: openText }),
).transform((message) => ({
  ...message,
  subscription_id: message.subscription_id ?? message.payload.subscription_id,
}));
