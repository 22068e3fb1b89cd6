/** The research agent with models and libraries that are of little use. */
import { ARCPClient } from "@arcp/sdk";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { type Model, type Script, startModel } from "../../examples/model/model.ts";
import research from "../../examples/research-agent/agent.ts";
import { type Library, openLibrary } from "../../examples/research-agent/library.ts";
import { script } from "../../examples/research-agent/model.ts";
import reader from "../../examples/research-agent/reader.ts";
import { withRuntime } from "../../examples/runtime.ts";

let configured: string | undefined;
let library: Library;
let model: Model;
let says: Script;

beforeAll(async () => {
  configured = process.env["OPENAI_MODEL"];
  delete process.env["OPENAI_MODEL"];
  library = await openLibrary();
});
beforeEach(async () => {
  model = await startModel((messages) => says(messages));
});
afterEach(() => model[Symbol.asyncDispose]());
afterAll(async () => {
  if (configured !== undefined) process.env["OPENAI_MODEL"] = configured;
  await library[Symbol.asyncDispose]();
});

interface End {
  readonly result?: unknown;
  readonly code?: string;
  readonly delegated: number;
}

async function run(url: string, budget: readonly string[] = ["USD:1"]): Promise<End> {
  let delegated = 0;
  let end: Omit<End, "delegated"> = {};
  await withRuntime({ research, reader }, async (connect) => {
    await using client = await ARCPClient.connect(connect, { token: "demo-token" });
    client.on("delegated", () => {
      delegated += 1;
    });
    const job = await client.submit({
      agent: "research",
      input: { question: "LEDs?", library: url },
      leaseRequest: {
        ...(budget.length > 0 && { "cost.budget": [...budget] }),
        "model.use": [model.name],
        "net.fetch": [`${library.url}**`, `${model.url}/**`],
        "agent.delegate": ["reader"],
      },
    });
    end = await job.done.then(
      ({ result }) => ({ result }),
      ({ code }) => ({ code }),
    );
  });
  return { ...end, delegated };
}

it("sends nobody to pages that a model makes up, and says that nothing was found", async () => {
  says = () => [
    { name: "read_page", args: { url: `${library.url}made-up` } },
    { name: "read_page", args: { url: "https://www.example.com/" } },
    { name: "read_page", args: {} },
  ];
  expect(await run(library.url)).toEqual({ result: "# LEDs?\n\nNothing was found.\n", delegated: 0 });
});

it("needs no budget", async () => {
  says = script;
  const { result, delegated } = await run(library.url, []);
  expect(result).toMatch(/62 % less.* \[1\]/);
  expect(delegated).toBe(4);
});

it("fails where nothing can be chosen: no library, and no money at all", async () => {
  says = script;
  expect(await run(`${library.url}nowhere`)).toEqual({ code: "INVALID_REQUEST", delegated: 0 });
  expect(await run(library.url, ["USD:0.0001"])).toEqual({ code: "BUDGET_EXHAUSTED", delegated: 0 });
});
