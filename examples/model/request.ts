/** What a valid request for a chat completion is, as far as the examples go: anything else is refused, not guessed at. */
import { z } from "zod";

const text = z.union([z.string(), z.array(z.strictObject({ type: z.literal("text"), text: z.string() })).min(1)]);

const toolCall = z.strictObject({
  id: z.string().min(1),
  type: z.literal("function"),
  function: z.strictObject({ name: z.string().min(1), arguments: z.string() }),
});

const message = z.discriminatedUnion("role", [
  z.strictObject({ role: z.enum(["system", "developer", "user"]), content: text }),
  z
    .strictObject({
      role: z.literal("assistant"),
      content: text.nullish(),
      refusal: z.string().nullish(),
      tool_calls: z.array(toolCall).min(1).optional(),
    })
    .refine(({ content, tool_calls }) => content != null || tool_calls !== undefined, "says nothing and calls nothing"),
  z.strictObject({ role: z.literal("tool"), tool_call_id: z.string(), content: text }),
]);

const tool = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
    description: z.string().optional(),
    parameters: z.looseObject({ type: z.literal("object") }).optional(),
    strict: z.boolean().optional(),
  }),
});

export const chatRequest = z
  .strictObject({
    model: z.string().min(1),
    messages: z.array(message).min(1),
    tools: z.array(tool).min(1).optional(),
    tool_choice: z.enum(["none", "auto", "required"]).optional(),
    parallel_tool_calls: z.boolean().optional(),
    max_completion_tokens: z.int().positive().optional(),
    temperature: z.number().min(0).max(2).optional(),
    seed: z.int().optional(),
    stream: z.boolean().nullish(),
    stream_options: z.strictObject({ include_usage: z.boolean().optional() }).optional(),
  })
  .refine(({ stream, stream_options }) => stream === true || stream_options === undefined, {
    ...{ path: ["stream_options"], message: "only with stream: true" },
  })
  .superRefine(({ messages }, context) => {
    // Every call has its result, right after the message that made it, and there is no result without a call.
    let open = new Set<string>();
    const problem = (index: number, text: string): void =>
      context.addIssue({ code: "custom", path: ["messages", index], message: text });
    for (const [index, said] of messages.entries()) {
      if (said.role === "tool") {
        if (!open.delete(said.tool_call_id)) problem(index, "answers no tool call of the message before");
        continue;
      }
      if (open.size > 0) problem(index, `comes before the results of ${[...open].join(", ")}`);
      open = new Set(said.role === "assistant" ? said.tool_calls?.map(({ id }) => id) : []);
    }
    if (open.size > 0) problem(messages.length, `should be the results of ${[...open].join(", ")}`);
  });

export type ChatRequest = z.infer<typeof chatRequest>;
export type ChatMessage = ChatRequest["messages"][number];

/** What a message says, in one piece. */
export function textOf({ content }: Pick<ChatMessage, "content">): string {
  return typeof content === "string" ? content : (content ?? []).map(({ text }) => text).join("");
}
