/** A server on this machine that speaks as OpenAI's chat completions do, and says what a script has it say. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import type OpenAI from "openai";
import { z } from "zod";
import { type ChatRequest, chatRequest, textOf } from "./request.ts";
import type { Script } from "./script.ts";

export interface StandIn extends AsyncDisposable {
  /** What clients take as base URL. */
  readonly url: string;
}

export async function startStandIn(script: Script): Promise<StandIn> {
  let count = 0;
  const server = createServer((request, response) => {
    count += 1;
    answer(request, response, script, count).catch((error: unknown) => refuse(response, error));
  });
  await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, script: Script, n: number): Promise<void> {
  if (`${request.method} ${request.url}` !== "POST /v1/chat/completions")
    throw new Refusal(404, "there is nothing here");
  if (!/^Bearer \S+$/.test(request.headers.authorization ?? "")) throw new Refusal(401, "there is no API key");
  const body = await json(request).catch(() => {
    throw new Refusal(400, "the body is no JSON");
  });
  const { success, data, error } = chatRequest.safeParse(body);
  if (!success) throw new Refusal(400, z.prettifyError(error));

  const message = messageFor(data, script);
  const completion: OpenAI.ChatCompletion = {
    id: `chatcmpl-${n}`,
    object: "chat.completion",
    created: Math.floor(Date.now() / 1000),
    model: data.model,
    choices: [
      { index: 0, message, finish_reason: message.tool_calls === undefined ? "stop" : "tool_calls", logprobs: null },
    ],
    usage: usageOf(data, message),
  };
  if (data.stream !== true) {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(completion));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const chunk of chunksOf(completion, data.stream_options?.include_usage === true)) {
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  }
  response.end("data: [DONE]\n\n");
}

function refuse(response: ServerResponse, error: unknown): void {
  const { status, message } = error instanceof Refusal ? error : new Refusal(500, `the script failed: ${error}`);
  const type = status === 500 ? "server_error" : "invalid_request_error";
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ error: { message, type, param: null, code: null } }));
}

type Message = OpenAI.ChatCompletionMessage & { tool_calls?: OpenAI.ChatCompletionMessageFunctionToolCall[] };

function messageFor({ messages, tools = [] }: ChatRequest, script: Script): Message {
  const turn = script(messages);
  if (typeof turn === "string") return { role: "assistant", content: turn, refusal: null };
  const tool_calls = turn.map(({ name, args }, index) => {
    if (!tools.some((tool) => tool.function.name === name)) throw new Error(`no tool ${name} was offered`);
    const id = `call_${messages.length}_${index + 1}`;
    return { id, type: "function" as const, function: { name, arguments: JSON.stringify(args) } };
  });
  return { role: "assistant", content: null, refusal: null, tool_calls };
}

/** A token is a word: the same for every port, path and id that another run has. */
function usageOf({ messages }: ChatRequest, said: Message): OpenAI.CompletionUsage {
  const prompt_tokens = messages.reduce((sum, message) => sum + wordsOf(message), 0);
  const completion_tokens = wordsOf(said);
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
}

function wordsOf(message: ChatRequest["messages"][number] | Message): number {
  const calls = "tool_calls" in message ? (message.tool_calls ?? []) : [];
  const texts = [textOf(message), ...calls.map(({ function: { name, arguments: args } }) => `${name} ${args}`)];
  return texts.join(" ").match(/\w+/g)?.length ?? 0;
}

/** The same completion in pieces: who speaks, the text word by word or the calls, why it ended, and what it took. */
function* chunksOf(
  { choices, usage, ...rest }: OpenAI.ChatCompletion,
  withUsage: boolean,
): Generator<OpenAI.ChatCompletionChunk> {
  const common = { ...rest, object: "chat.completion.chunk" as const, ...(withUsage && { usage: null }) };
  const [choice] = choices as [OpenAI.ChatCompletion.Choice & { message: Message }];
  const { content, tool_calls = [] } = choice.message;
  const deltas: OpenAI.ChatCompletionChunk.Choice.Delta[] = [
    { role: "assistant", content: content === null ? null : "" },
    ...(content?.match(/\s*\S+\s*$|\s*\S+/g) ?? []).map((word) => ({ content: word })),
    ...tool_calls.map((toolCall, index) => ({ tool_calls: [{ index, ...toolCall }] })),
  ];
  for (const delta of deltas) yield { ...common, choices: [{ index: 0, delta, finish_reason: null }] };
  yield { ...common, choices: [{ index: 0, delta: {}, finish_reason: choice.finish_reason }] };
  if (withUsage && usage !== undefined) yield { ...common, choices: [], usage };
}
