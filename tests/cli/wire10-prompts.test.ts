import type { ToolQuestion } from "@arcp/client";
import type { JsonObject } from "@arcp/core";
import { describe, expect, it } from "vitest";
import {
  askPerson,
  type ChoicePrompt,
  type Prompter,
  type TextPrompt,
} from "../../packages/sdk/src/cli/question-prompt.ts";

/** A person who says what is on a list. What a prompt does not take is said to them, and they go on. */
class Script implements Prompter {
  readonly asked: (TextPrompt | ChoicePrompt)[] = [];
  readonly problems: string[] = [];
  readonly #answers: (string | undefined)[];

  constructor(...answers: (string | undefined)[]) {
    this.#answers = answers;
  }

  async text(options: TextPrompt): Promise<string | undefined> {
    this.asked.push(options);
    for (;;) {
      const answer = this.#answers.shift();
      const problem = answer === undefined ? undefined : options.problem?.(answer);
      if (problem === undefined) return answer;
      this.problems.push(problem);
    }
  }

  async choose(options: ChoicePrompt): Promise<string | undefined> {
    this.asked.push(options);
    const answer = this.#answers.shift();
    return options.options.find(({ label }) => label === answer)?.value;
  }

  get messages(): string[] {
    return this.asked.map(({ message }) => message);
  }
}

const facts = {
  ...{ id: "msg_1", jobId: "job_1", sessionId: "sess_1", refusal: undefined, expiresAt: undefined, destinations: [] },
};
const input = (responseSchema: JsonObject, more: object = {}): ToolQuestion<"input"> => ({
  ...{ ...facts, kind: "input", prompt: "What?", responseSchema },
  ...more,
});
const never = new AbortController().signal;

describe("a question for a value", () => {
  const table: readonly (readonly [string, JsonObject, readonly string[], unknown])[] = [
    ["any value, as text", {}, ["plain text"], "plain text"],
    ["any value, as JSON", {}, ['{"a":1}'], { a: 1 }],
    ["a text", { type: "string", minLength: 2 }, ["x", "xy"], "xy"],
    ["a text that looks like a number", { type: "string" }, ["1"], "1"],
    ["a number", { type: "number", minimum: 1 }, ["", "zero", "0", "1.5"], 1.5],
    ["a whole number", { type: "integer", maximum: 9 }, ["1.5", "10", "9"], 9],
    ["yes or no", { type: "boolean" }, ["no"], false],
    ["one of a few", { enum: ["a", 2, null] }, ["2"], 2],
    ["the one that there is", { const: 7 }, [], 7],
    ["nothing", { type: "null" }, [], null],
    ["a list", { type: "array", items: { type: "number" } }, ["1, 2", "[1, 2]"], [1, 2]],
    ["one of several forms", { oneOf: [{}, {}] }, ["nope", "1"], 1],
    [
      "an object, member by member",
      {
        type: "object",
        properties: {
          name: { type: "string" },
          count: { type: "integer", title: "How many" },
          force: { type: "boolean" },
          inner: { type: "object", properties: { deep: { type: "string" } }, required: ["deep"] },
        },
        required: ["name", "inner"],
      },
      ["main", "", "(leave out)", "x"],
      { name: "main", inner: { deep: "x" } },
    ],
    ["an object of unknown members", { type: "object" }, ["x", "{}"], {}],
  ];
  it.each(table)("asks for %s", async (_, schema, answers, value) => {
    const script = new Script(...answers);
    expect(await askPerson(input(schema), script, never)).toEqual({ value });
    expect(script.problems.length + script.asked.length).toBeGreaterThanOrEqual(answers.length);
  });

  it("names members by their titles, and offers what counts otherwise", async () => {
    const schema = {
      type: "object",
      properties: { branch: { type: "string", title: "Branch" }, keep: { type: "boolean", default: true } },
    };
    const script = new Script("main", "yes");
    await askPerson(input(schema, { default: { branch: "dev" } }), script, never);
    expect(script.messages).toEqual(["What? · Branch (empty: leave it out)", "What? · keep"]);
    expect(script.asked).toMatchObject([{ initial: "dev" }, { initial: "0" }]);
  });

  it("shows what an agent wrote without letting it act on the terminal", async () => {
    const schema = { enum: ["\u001b[2J", "\u202eok"] };
    const script = new Script();
    await askPerson({ ...input(schema), prompt: "\u001b]0;x\u0007\nline" }, script, never);
    const { message, options } = script.asked[0] as ChoicePrompt;
    expect([message, ...options.map(({ label }) => label)]).toEqual([
      String.raw`\u{1b}]0;x\u{7}\nline`,
      String.raw`\u{1b}[2J`,
      String.raw`\u{202e}ok`,
    ]);
  });

  it("does not follow a schema beyond reason, and takes JSON then", async () => {
    const deep = (levels: number): JsonObject =>
      levels === 0 ? { type: "string" } : { type: "object", properties: { in: deep(levels - 1) }, required: ["in"] };
    const script = new Script('{"in":"x"}');
    const said = await askPerson(input(deep(9)), script, never);
    expect(said).toEqual({ value: { in: { in: { in: { in: "x" } } } } });
    const wide = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`p${at}`, { type: "string" }]));
    const many = new Script("{}");
    await askPerson(input({ type: "object", properties: wide }), many, never);
    expect(many.messages).toEqual(["What? (as JSON)"]);
  });

  it("takes a member of any name for a member", async () => {
    const properties = JSON.parse('{"__proto__":{"type":"string"},"toString":{"type":"string"}}') as JsonObject;
    const said = await askPerson(input({ type: "object", properties }), new Script("a", "b"), never);
    expect(JSON.stringify(said)).toBe('{"value":{"__proto__":"a","toString":"b"}}');
  });

  it("is left to others when nobody answers it here", async () => {
    expect(await askPerson(input({ type: "string" }), new Script(undefined), never)).toBeUndefined();
  });
});

it("a choice is made by its label, and means its id", async () => {
  const options = [
    { id: "a", label: "First" },
    { id: "b", label: "Second", description: "the other" },
  ];
  const question: ToolQuestion<"choice"> = { ...facts, kind: "choice", prompt: "Which?", options, default: "b" };
  const script = new Script("Second");
  expect(await askPerson(question, script, never)).toEqual({ choiceId: "b" });
  expect(script.asked[0]).toMatchObject({ initial: "b", options: [{ label: "First" }, { hint: "the other" }] });
});

describe("a request for permission", () => {
  const question: ToolQuestion<"permission"> = {
    ...{ ...facts, kind: "permission", permission: "fs.write", resource: "/etc/passwd", operation: "write" },
    ...{ reason: "because", requestedLeaseSeconds: 60 },
  };
  it("is denied unless somebody says otherwise", async () => {
    const script = new Script("Grant");
    expect(await askPerson(question, script, never)).toEqual({ granted: true });
    expect(script.asked[0]).toMatchObject({
      message: "May it write /etc/passwd (fs.write) for 60 s? — because",
      initial: "deny",
    });
    expect(await askPerson(question, new Script("Deny", ""), never)).toEqual({ granted: false });
    const said = await askPerson(question, new Script("Deny", "no"), never);
    expect(said).toEqual({ granted: false, reason: "no" });
  });
});
