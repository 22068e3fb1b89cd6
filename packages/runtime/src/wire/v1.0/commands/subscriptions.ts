/** RFC §13: `subscribe` and `unsubscribe`. */
import { type Command, requireCapability } from "./command.ts";

export const subscribe: Command<"subscribe"> = async (message, caller, reply) => {
  requireCapability(caller, "subscriptions");
  const { filter, since } = message.payload;
  await caller.subscriptions.subscribe(filter, since, (id) =>
    reply(() => {
      const named = { subscription_id: id };
      caller.outbox.reply(message, "subscribe.accepted", named, named);
    }),
  );
};

export const unsubscribe: Command<"unsubscribe"> = (message, caller, reply) => {
  const named = { subscription_id: message.subscription_id };
  caller.subscriptions.unsubscribe(message.subscription_id);
  reply(
    () =>
      void caller.outbox.reply(message, "subscribe.closed", { ...named, code: "OK", reason: "unsubscribed" }, named),
  );
};
