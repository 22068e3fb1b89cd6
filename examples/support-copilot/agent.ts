/** Answers customers. It may pay small amounts back by itself, out of a budget; for more it asks a person, each time. */
import { type AgentOptions, ARCPError, BudgetExhaustedError, type JobContext, type Operation } from "@arcp/sdk";
import OpenAI from "openai";
import { z } from "zod";

export const version = "1.0.0";

export interface Ticket {
  readonly id: string;
  readonly text: string;
}

export interface Reply {
  readonly ticket: string;
  readonly reply: string;
}

const Input = z.object({ tickets: z.array(z.object({ id: z.string(), text: z.string() })).max(100) });

export const options: AgentOptions = { description: "Answers the tickets of customers", inputSchema: Input };

/** EUR. What is more than that is for people to decide. */
const SMALL = 25;
const MINUTES_TO_DECIDE = 15;
const MAX_TURNS = 8;

const RULES = `You answer a customer of a shop. Look the order up before you promise anything. Refund what is broken or lost, and
never more than was paid. If a refund is refused, say that somebody will look into it, and do not try again.`;

const Order = z.string().regex(/^A-\d{4}$/);
const LookUp = z.object({ order: Order });
// To the cent: what a person is shown is what is paid.
const Refund = z.object({ order: Order, amount: z.number().positive().multipleOf(0.01), reason: z.string().min(1) });

const tool = (name: string, description: string, schema: z.ZodType): OpenAI.ChatCompletionFunctionTool => ({
  type: "function",
  function: { name, description, parameters: z.toJSONSchema(schema) },
});
const TOOLS = [
  tool("look_up_order", "What was ordered and paid, and where it is", LookUp),
  tool("refund", "Pays money back, in EUR. Somebody may have to agree to it first.", Refund),
];

export default async function supportCopilot(input: unknown, ctx: JobContext): Promise<readonly Reply[]> {
  const { tickets } = Input.parse(input);
  const replies: Reply[] = [];
  for (const ticket of tickets) {
    await ctx.status("answering", ticket.id);
    const reply = await answer(ctx, ticket);
    await ctx.log("info", reply);
    replies.push({ ticket: ticket.id, reply });
    await ctx.progress(replies.length, { total: tickets.length, units: "tickets" });
  }
  return replies;
}

/** The conversation of the model with its tools, up to what the customer is told. */
async function answer(ctx: JobContext, ticket: Ticket): Promise<string> {
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: "system", content: RULES },
    { role: "user", content: ticket.text },
  ];
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const message = await ask(ctx, messages);
    const { content, tool_calls: calls = [] } = message;
    if (calls.length === 0) return content ?? "";
    messages.push(message);
    for (const call of calls) {
      messages.push({ role: "tool", tool_call_id: call.id, content: JSON.stringify(await use(ctx, ticket, call)) });
    }
  }
  return "Somebody will look into it.";
}

function ask(ctx: JobContext, messages: OpenAI.ChatCompletionMessageParam[]): Promise<OpenAI.ChatCompletionMessage> {
  const name = process.env["OPENAI_MODEL"] ?? "gpt-5-mini";
  return ctx.useModel(name, async ({ model, signal, report }) => {
    const openai = new OpenAI({ fetch: ctx.fetch });
    const { choices, usage } = await openai.chat.completions.create({ model, messages, tools: TOOLS }, { signal });
    await report({ name: "cost.model", value: usage?.total_tokens ?? 0, unit: "tokens" });
    if (choices[0] === undefined) throw new Error("the model has said nothing");
    return choices[0].message;
  });
}

/** What a tool returns, or why it does not: the model is told, and goes on. What it asks for is whatever it was talked into. */
async function use(ctx: JobContext, ticket: Ticket, call: OpenAI.ChatCompletionMessageToolCall): Promise<unknown> {
  if (call.type !== "function") return { error: "there is no such tool" };
  const { name, arguments: text } = call.function;
  try {
    if (name === "refund") return await refund(ctx, ticket, Refund.parse(JSON.parse(text)));
    if (name === "look_up_order") return await ctx.callTool("orders.look_up", LookUp.parse(JSON.parse(text)));
    return { error: "there is no such tool" };
  } catch (error) {
    // Whoever has stopped the job has stopped the conversation.
    ctx.signal.throwIfAborted();
    return { error: error instanceof ARCPError ? `${error.code}: ${error.message}` : String(error) };
  }
}

async function refund(ctx: JobContext, ticket: Ticket, { order, amount, reason }: z.infer<typeof Refund>) {
  // One refund for a ticket, however often the model wants it.
  const pay = () => ctx.callTool("payments.refund", { order, amount, key: ticket.id });
  const eur = amount.toFixed(2);

  if (amount <= SMALL) {
    const payAndCount = async ({ report }: Operation) => {
      const receipt = await pay();
      await report({ name: "cost.refund", value: amount, unit: "EUR" });
      return receipt;
    };
    try {
      // The lease covers small refunds, and the budget says how many. What is asked for is held back until it is paid.
      const target = `small/${order}/${eur}`;
      return await ctx.operation(REFUND, target, payAndCount, { tool: "refund", cost: { EUR: amount } });
    } catch (error) {
      if (!(error instanceof BudgetExhaustedError)) throw error;
      return { error: "the money for today is spent: the customer will have it tomorrow" };
    }
  }

  // A person sees which order, how much and why, and says yes to nothing else. Without an answer nothing is paid.
  const grant = await ctx.requestPermission({
    ...{ permission: "payment.refund", resource: `large/${order}/${eur}`, operation: "refund" },
    ...{ reason: `ticket ${ticket.id}: ${reason}`, requestedLeaseSeconds: 60, expiresInMs: MINUTES_TO_DECIDE * 60_000 },
  });
  return grant.perform(pay, { tool: "refund" });
}

/** The capability of leases that the permission `payment.refund` stands for. */
const REFUND = "x-vendor.permission.payment.refund";
