/** The messages by which a job asks people (RFC §12). */
import { z } from "zod";
import { absentOr, jsonObject, type messageId } from "../messages/envelope.ts";
import { anything, entityId, message10, needed, text } from "./envelope.ts";

const openText = absentOr(z.string());
const names = absentOr(z.array(z.string()));

/** Where a question was sent: one place or several. */
const destinations = { destination: openText, destinations: names };

/** RFC §12.1. Without a schema any value will do. */
export const humanInputRequest = message10(
  "human.input.request",
  z
    .object({
      prompt: z.string(),
      response_schema: absentOr(jsonObject),
      default: anything,
      expires_at: openText,
      ...destinations,
    })
    .transform(({ response_schema, destination, destinations, ...rest }) => ({
      ...rest,
      response_schema: response_schema ?? {},
      destinations: destinations ?? (destination === undefined ? [] : [destination]),
    })),
);

/** An answer names its question by `correlation_id`. */
interface Answer {
  readonly correlation_id?: z.infer<typeof messageId> | undefined;
}
const answering = <Message extends Answer>(message: Message, context: z.RefinementCtx) => ({
  ...message,
  correlation_id: needed(message.correlation_id, ["correlation_id"], context),
});

/** Who answered and when, as the sender has it. */
const provenance = { responded_by: text(256), responded_at: text(64) };

/** RFC §12.1. `null` is a value. */
export const humanInputResponse = message10(
  "human.input.response",
  z.object({ value: z.unknown().refine((value) => value !== undefined, "expected a value"), ...provenance }),
).transform(answering);

/** RFC §12.2. `default_choice_id` is another SDK's name for `default`. */
export const humanChoiceRequest = message10(
  "human.choice.request",
  z
    .object({
      prompt: z.string(),
      options: z.array(z.object({ id: z.string().min(1), label: openText, description: openText })).min(1),
      default: openText,
      default_choice_id: openText,
      expires_at: openText,
      ...destinations,
    })
    .transform(({ default_choice_id, destination, destinations, options, ...rest }) => ({
      ...rest,
      options: options.map((option) => ({ ...option, label: option.label ?? option.id })),
      default: rest.default ?? default_choice_id,
      destinations: destinations ?? (destination === undefined ? [] : [destination]),
    })),
);

/** RFC §12.2. */
export const humanChoiceResponse = message10(
  "human.choice.response",
  z.object({ choice_id: entityId, ...provenance }),
).transform(answering);

/** RFC §12.3, §12.4. The question is named by `correlation_id`. */
export const humanInputCancelled = message10(
  "human.input.cancelled",
  z
    .object({ code: openText, message: openText, reason: openText, details: absentOr(jsonObject).catch(undefined) })
    .transform(({ code, message, reason, details }) => ({
      code: code ?? "CANCELLED",
      message: message ?? reason ?? "",
      reason,
      details,
    })),
);
