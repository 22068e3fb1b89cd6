/** A model API over real HTTP: it speaks like OpenAI and Anthropic, counts as it is told, and remembers what it heard. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

export interface HeardRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The body as it came, and as JSON. */
  readonly text: string;
  readonly body: Record<string, unknown>;
  /** Resolves when the connection is gone before the response was whole. */
  readonly aborted: Promise<void>;
}

export interface FakeUsage {
  readonly input: number;
  readonly output: number;
  readonly cached?: number;
  readonly written?: number;
}

export type Behaviour = (heard: HeardRequest, response: ServerResponse) => void | Promise<void>;

export class FakeUpstream implements AsyncDisposable {
  readonly heard: HeardRequest[] = [];
  /** What the next responses say they took. */
  usage: FakeUsage = { input: 10, output: 20 };
  /** In place of what it would say by itself. */
  behaviour: Behaviour | undefined;
  /** Called for each request that has arrived, whole. */
  onHeard: (heard: HeardRequest) => void = () => {};
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => void this.#answer(request, response));
  }

  static async start(): Promise<FakeUpstream> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
    return new FakeUpstream(server);
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The request that was heard last. */
  get last(): HeardRequest {
    const last = this.heard.at(-1);
    if (last === undefined) throw new Error("the upstream has heard nothing");
    return last;
  }

  /** Resolves with the next request. */
  next(): Promise<HeardRequest> {
    return new Promise((resolve) => {
      this.onHeard = (heard) => {
        this.onHeard = () => {};
        resolve(heard);
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const aborted = new Promise<void>((resolve) => {
      response.once("close", () => {
        if (!response.writableFinished) resolve();
      });
    });
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString("utf8");
    const heard: HeardRequest = {
      path: request.url ?? "",
      headers: request.headers,
      text,
      body: text === "" ? {} : JSON.parse(text),
      aborted,
    };
    this.heard.push(heard);
    this.onHeard(heard);
    if (this.behaviour === undefined) this.speak(heard, response);
    else await this.behaviour(heard, response);
  }

  /** The ordinary response to `heard`. */
  speak({ path, body }: HeardRequest, response: ServerResponse, usage: FakeUsage = this.usage): void {
    if (path.endsWith("/count_tokens")) json(response, { input_tokens: usage.input });
    else if (body["stream"] === true) stream(response, eventsFor(path, body, usage));
    else json(response, bodyFor(path, body, usage));
  }
}

export function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json", "x-request-id": "req_1", server: "upstream/9" });
  response.end(JSON.stringify(body));
}

export function stream(response: ServerResponse, frames: readonly string[]): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  for (const frame of frames) response.write(frame);
  response.end();
}

const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`;
const named = (value: { readonly type: string }): string => `event: ${value.type}\n${data(value)}`;

const openaiUsage = ({ input, output, cached = 0 }: FakeUsage): object => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output,
  prompt_tokens_details: { cached_tokens: cached },
});

const responsesUsage = ({ input, output, cached = 0 }: FakeUsage): object => ({
  input_tokens: input,
  output_tokens: output,
  total_tokens: input + output,
  input_tokens_details: { cached_tokens: cached },
  output_tokens_details: { reasoning_tokens: output },
});

const anthropicUsage = ({ input, output, cached = 0, written = 0 }: FakeUsage): object => ({
  input_tokens: input,
  output_tokens: output,
  cache_read_input_tokens: cached,
  cache_creation_input_tokens: written,
});

type Body = Readonly<Record<string, unknown>>;

const message = (model: unknown, content: readonly object[], usage: object, stop: string | null): object => ({
  ...{ id: "msg_1", type: "message", role: "assistant", model, content, stop_reason: stop, stop_sequence: null },
  usage,
});

const modelResponse = (model: unknown, status: string, usage: object | null): object => ({
  ...{ id: "resp_1", object: "response", created_at: 0, model, status, error: null },
  output: [
    {
      ...{ type: "message", id: "msg_1", role: "assistant", status: "completed" },
      content: [{ type: "output_text", text: "Hello", annotations: [] }],
    },
  ],
  usage,
});

function bodyFor(path: string, { model }: Body, usage: FakeUsage): object {
  if (path.endsWith("/messages")) {
    return message(model, [{ type: "text", text: "Hello" }], anthropicUsage(usage), "end_turn");
  }
  if (path.endsWith("/responses")) return modelResponse(model, "completed", responsesUsage(usage));
  if (path.endsWith("/embeddings")) {
    return {
      ...{ object: "list", model, data: [{ object: "embedding", index: 0, embedding: [0.5] }] },
      usage: { prompt_tokens: usage.input, total_tokens: usage.input },
    };
  }
  const choice = { index: 0, finish_reason: "stop", logprobs: null };
  const isChat = path.endsWith("/chat/completions");
  return {
    ...{ id: "chatcmpl-1", object: isChat ? "chat.completion" : "text_completion", created: 0, model },
    choices: [isChat ? { ...choice, message: { role: "assistant", content: "Hello" } } : { ...choice, text: "Hello" }],
    usage: openaiUsage(usage),
  };
}

export function eventsFor(path: string, body: Body, usage: FakeUsage): string[] {
  const { model } = body;
  if (path.endsWith("/messages")) return anthropicEvents(model, usage);
  if (path.endsWith("/responses")) {
    return [
      named({ type: "response.created", ...{ response: modelResponse(model, "in_progress", null) } }),
      named({ type: "response.output_text.delta", ...{ delta: "Hello" } }),
      named({ type: "response.completed", ...{ response: modelResponse(model, "completed", responsesUsage(usage)) } }),
    ];
  }
  const options = (body["stream_options"] ?? {}) as Body;
  const chunk = (more: object): string =>
    data({ id: "chatcmpl-1", object: "chat.completion.chunk", created: 0, model, ...more });
  return [
    ": a comment\n\n",
    chunk({ choices: [{ index: 0, delta: { role: "assistant", content: "Hel" }, finish_reason: null }] }),
    chunk({ choices: [{ index: 0, delta: { content: "lo" }, finish_reason: "stop" }] }),
    ...(options["include_usage"] === true ? [chunk({ choices: [], usage: openaiUsage(usage) })] : []),
    "data: [DONE]\n\n",
  ];
}

export function anthropicEvents(model: unknown, usage: FakeUsage): string[] {
  return [
    named({ type: "message_start", ...{ message: message(model, [], anthropicUsage({ ...usage, output: 1 }), null) } }),
    named({ type: "content_block_start", ...{ index: 0, content_block: { type: "text", text: "" } } }),
    named({ type: "ping" }),
    named({ type: "content_block_delta", ...{ index: 0, delta: { type: "text_delta", text: "Hello" } } }),
    named({ type: "content_block_stop", ...{ index: 0 } }),
    named({
      type: "message_delta",
      ...{ delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: usage.output } },
    }),
    named({ type: "message_stop" }),
  ];
}
