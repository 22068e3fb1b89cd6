import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { call, startModel, turns } from "../../examples/model/model.ts";
import { type StandIn, startStandIn } from "../../examples/model/stand-in.ts";

const weather = { type: "function" as const, function: { name: "weather", parameters: { type: "object" } } };
const question = { role: "user" as const, content: "Is it raining in Oslo?" };

let standIn: StandIn;
let openai: OpenAI;

beforeAll(async () => {
  standIn = await startStandIn(turns(call("weather", { city: "Oslo" }), (result) => `The sky says: ${result}.`));
  openai = new OpenAI({ baseURL: standIn.url, apiKey: "none", maxRetries: 0 });
});
afterAll(() => standIn[Symbol.asyncDispose]());

const asked = { model: "stand-in", tools: [weather], messages: [question] };
/** The second turn. */
const answered = {
  ...asked,
  messages: [
    question,
    {
      role: "assistant" as const,
      tool_calls: [{ id: "call_1_1", type: "function" as const, function: { name: "weather", arguments: "{}" } }],
    },
    { role: "tool" as const, tool_call_id: "call_1_1", content: "rain" },
  ],
};

describe("the model of the examples", () => {
  it("calls tools and answers, turn after turn, and counts words", async () => {
    const first = await openai.chat.completions.create(asked);
    expect(first.choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        content: null,
        tool_calls: [{ id: "call_1_1", function: { name: "weather", arguments: '{"city":"Oslo"}' } }],
      },
    });
    expect(first.usage).toEqual({ prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 });

    const second = await openai.chat.completions.create(answered);
    expect(second.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "The sky says: rain." } });
  });

  it("says the same in pieces", async () => {
    for (const body of [asked, answered]) {
      const whole = await openai.chat.completions.create(body);
      const stream = openai.chat.completions.stream({ ...body, stream_options: { include_usage: true } });
      const { choices, usage } = await stream.finalChatCompletion();
      expect(usage).toEqual(whole.usage);
      expect(choices[0]?.message).toMatchObject({ content: whole.choices[0]?.message.content });
      expect(choices[0]?.message.tool_calls).toEqual(whole.choices[0]?.message.tool_calls);
      expect(choices[0]?.finish_reason).toBe(whole.choices[0]?.finish_reason);
    }
  });

  it.each([
    ["no messages", { ...asked, messages: [] }, /messages/],
    ["what it does not know", { ...asked, top_p: 1 }, /top_p/],
    ["a call without a result", { ...answered, messages: answered.messages.slice(0, 2) }, /results of call_1_1/],
    [
      "something else before the result",
      { ...answered, messages: [...answered.messages.slice(0, 2), question] },
      /before/,
    ],
    ["a result without a call", { ...answered, messages: [question, answered.messages[2]] }, /answers no tool call/],
    ["stream options without a stream", { ...asked, stream_options: { include_usage: true } }, /stream: true/],
  ])("refuses %s", async (_what, body, message) => {
    await expect(openai.chat.completions.create(body as typeof asked)).rejects.toMatchObject({
      status: 400,
      message: expect.stringMatching(message),
    });
  });

  it("refuses what is no request at all", async () => {
    const post = (body: string, headers: Record<string, string>) =>
      fetch(`${standIn.url}/chat/completions`, { method: "POST", body, headers });
    const key = { authorization: "Bearer none" };
    expect((await post(JSON.stringify(asked), {})).status).toBe(401);
    expect((await post("{", key)).status).toBe(400);
    expect((await fetch(`${standIn.url}/models`, { headers: key })).status).toBe(404);
  });

  it("fails where its script does: at its end, and at a tool that nobody offered", async () => {
    const said = { role: "assistant" as const, content: "yes" };
    const beyond = { ...asked, messages: [question, said, question, said, question] };
    await expect(openai.chat.completions.create(beyond)).rejects.toMatchObject({
      ...{ status: 500, message: expect.stringContaining("the script ends after 2 turns") },
    });
    const { tools: _, ...bare } = asked;
    await expect(openai.chat.completions.create(bare)).rejects.toMatchObject({
      ...{ status: 500, message: expect.stringContaining("no tool weather was offered") },
    });
  });

  it("is named by the environment while it is there, and is the one that is named there before", async () => {
    const keys = ["OPENAI_MODEL", "OPENAI_BASE_URL", "OPENAI_API_KEY"] as const;
    const before = keys.map((key) => process.env[key]);
    for (const key of keys) delete process.env[key];
    try {
      const model = await startModel(() => "hello");
      const { choices } = await new OpenAI().chat.completions.create({ model: model.name, messages: [question] });
      expect(choices[0]?.message.content).toBe("hello");
      await model[Symbol.asyncDispose]();
      expect(keys.map((key) => process.env[key])).toEqual([undefined, undefined, undefined]);

      Object.assign(process.env, { OPENAI_MODEL: "gpt-x", OPENAI_BASE_URL: "https://models.example.com/v1/" });
      await using real = await startModel(() => "hello");
      expect(real).toMatchObject({ name: "gpt-x", url: "https://models.example.com/v1", isStandIn: false });
    } finally {
      for (const [index, key] of keys.entries()) {
        if (before[index] === undefined) delete process.env[key];
        else process.env[key] = before[index];
      }
    }
  });
});
