/** A model whose calls are paid from the budget of a job: what one may cost is set aside before, what it did cost taken after. */
import type { JobContext, ModelUse } from "@arcp/sdk";
import OpenAI from "openai";

type Messages = readonly OpenAI.ChatCompletionMessageParam[];

export interface Question {
  readonly messages: Messages;
  readonly tools?: OpenAI.ChatCompletionTool[];
  /** Of the answer. */
  readonly maxTokens: number;
}

/** USD per million tokens: what the vendor of your model says. */
const PRICE = { input: 10, output: 40 };
/** Few texts have more tokens than that. */
const CHARACTERS_PER_TOKEN = 3;

const dollars = (inputTokens: number, outputTokens: number): number =>
  (inputTokens * PRICE.input + outputTokens * PRICE.output) / 1_000_000;

export class PricedModel {
  /** As leases name it. */
  readonly name: string;
  readonly #openai: OpenAI;
  readonly #ctx: JobContext;

  constructor(ctx: JobContext) {
    const { OPENAI_MODEL = "gpt-4.1-mini" } = process.env;
    this.name = OPENAI_MODEL;
    this.#openai = new OpenAI({ fetch: ctx.fetch });
    this.#ctx = ctx;
  }

  /** What a lease needs to use this model. */
  get lease() {
    return { "model.use": [this.name], "net.fetch": [`${this.#openai.baseURL}/**`] };
  }

  /** Throws BudgetExhaustedError, and asks nothing, if the answer could cost more than is left. */
  ask(question: Question): Promise<OpenAI.ChatCompletionMessage> {
    return this.#use(question, async (body, use) => {
      const { choices, usage } = await this.#openai.chat.completions.create(body, { signal: use.signal });
      await this.#pay(use, usage);
      const [choice] = choices;
      if (choice === undefined) throw new Error("the model says nothing");
      return choice.message;
    });
  }

  /** The same in pieces, which are told as they come. */
  tell(question: Question, onText: (text: string) => Promise<void>): Promise<void> {
    return this.#use(question, async (body, use) => {
      const streamed = { ...body, stream: true, stream_options: { include_usage: true } } as const;
      const stream = await this.#openai.chat.completions.create(streamed, { signal: use.signal });
      for await (const { choices, usage } of stream) {
        const text = choices[0]?.delta.content;
        if (text) await onText(text);
        if (usage) await this.#pay(use, usage);
      }
    });
  }

  #use<Result>(
    { messages, tools, maxTokens }: Question,
    call: (body: OpenAI.ChatCompletionCreateParamsNonStreaming, use: ModelUse) => Promise<Result>,
  ): Promise<Result> {
    const most = dollars(JSON.stringify([messages, tools]).length / CHARACTERS_PER_TOKEN, maxTokens);
    return this.#ctx.useModel(
      this.name,
      (use) =>
        call(
          {
            model: use.model,
            messages: [...messages],
            max_completion_tokens: maxTokens,
            ...(tools && { tools }),
          },
          use,
        ),
      { cost: { USD: most } },
    );
  }

  async #pay(use: ModelUse, usage: OpenAI.CompletionUsage | undefined): Promise<void> {
    const { prompt_tokens = 0, completion_tokens = 0 } = usage ?? {};
    await use.report({ name: "cost.inference", value: dollars(prompt_tokens, completion_tokens), unit: "USD" });
  }
}
