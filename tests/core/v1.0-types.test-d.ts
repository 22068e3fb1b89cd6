import type { JobId, MessageId, SessionId } from "@arcp/core";
import type {
  Capabilities10,
  ClientMessage10,
  Message10,
  MessageOf10,
  PayloadOf10,
  Priority,
  RuntimeMessage10,
  Schedule10,
  StreamKind,
} from "@arcp/core/v1.0";
import { expectTypeOf, test } from "vitest";

test("a message is known by its type", () => {
  expectTypeOf<MessageOf10<"tool.invoke">["type"]>().toEqualTypeOf<"tool.invoke">();
  expectTypeOf<PayloadOf10<"tool.invoke">["tool"]>().toEqualTypeOf<string>();
  expectTypeOf<PayloadOf10<"session.open">["capabilities"]>().toEqualTypeOf<Capabilities10>();
  expectTypeOf<PayloadOf10<"job.schedule">["when"]>().toEqualTypeOf<Schedule10>();
  expectTypeOf<PayloadOf10<"stream.open">["kind"]>().toEqualTypeOf<StreamKind>();
  expectTypeOf<MessageOf10<"unsubscribe">["payload"]["subscription_id"]>().toEqualTypeOf<string>();
  expectTypeOf<MessageOf10<"human.input.response">["correlation_id"]>().toEqualTypeOf<MessageId>();
  expectTypeOf<MessageOf10<"job.accepted">["job_id"]>().toEqualTypeOf<JobId>();
  expectTypeOf<MessageOf10<"session.accepted">["session_id"]>().toEqualTypeOf<SessionId>();
  expectTypeOf<Message10["priority"]>().toEqualTypeOf<Priority | undefined>();
});

test("a switch over the types has all of them", () => {
  const isFromObserver = (message: ClientMessage10): boolean => {
    switch (message.type) {
      case "subscribe":
        return message.payload.filter.types !== undefined;
      case "unsubscribe":
        return message.payload.subscription_id !== "";
      default:
        // @ts-expect-error: the rest of the types is left
        message.type satisfies never;
        return false;
    }
  };
  expectTypeOf(isFromObserver).returns.toEqualTypeOf<boolean>();
  expectTypeOf<Extract<RuntimeMessage10, { type: "tool.invoke" }>>().toEqualTypeOf<never>();
});
