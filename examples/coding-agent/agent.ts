/**
 * Repairs a repository: a model decides, and acts through tools that its job's lease binds. It reads what it likes and writes
 * what the lease covers; for any other file it has to ask, and may write that one while the permission lasts.
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { InvalidRequestError, type JobContext, PermissionDeniedError } from "@arcp/sdk";
import OpenAI from "openai";
import { z } from "zod";

export const version = "1.0.0";

const Commission = z.object({
  directory: z.string().describe("The repository, as an absolute path"),
  tests: z.string().describe("A file of tests for node:test, within it"),
  task: z.string().describe("What to do"),
  testTimeoutMs: z.int().positive().default(60_000).describe("How long the tests may run, in milliseconds"),
});
export type Commission = z.input<typeof Commission>;

export const options = { description: "Repairs a repository", inputSchema: Commission };

const INSTRUCTIONS = `You repair a small repository with the tools that you have. Run the tests first, and again after each
change. When they pass and the task is done, say in one sentence what you have changed.`;

const MAX_TURNS = 20;
const PERMISSION_SECONDS = 60;
/** Characters of what a program complains of. */
const MAX_ERRORS = 2_000;

/** Input: a {@link Commission}. The result is what the model says at the end. */
export default async function codingAgent(input: unknown, ctx: JobContext): Promise<string> {
  const commission = Commission.parse(input);
  const { OPENAI_MODEL = "gpt-4.1-mini" } = process.env;
  const openai = new OpenAI({ fetch: ctx.fetch });
  const tools = toolsFor(commission, ctx);
  const messages: OpenAI.ChatCompletionMessageParam[] = [
    { role: "system", content: INSTRUCTIONS },
    { role: "user", content: commission.task },
  ];
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    const { choices } = await ctx.useModel(OPENAI_MODEL, ({ model, signal }) =>
      openai.chat.completions.create({ model, messages, tools: definitionsOf(tools) }, { signal }),
    );
    const said = choices[0]?.message;
    if (said === undefined) throw new Error("the model says nothing");
    if (said.tool_calls === undefined) return said.content ?? "";
    messages.push(said);
    for (const call of said.tool_calls) {
      messages.push({ role: "tool", tool_call_id: call.id, content: await use(tools, call) });
    }
  }
  throw new Error(`not done after ${MAX_TURNS} turns`);
}

interface Tool {
  readonly description: string;
  readonly input: z.ZodType;
  readonly act: (input: unknown) => Promise<string>;
}

function tool<Input>(description: string, input: z.ZodType<Input>, act: (input: Input) => Promise<string>): Tool {
  return { description, input, act: (given) => act(input.parse(given)) };
}

/** Nothing here knows what the lease says: each act finds out. */
function toolsFor(commission: z.output<typeof Commission>, ctx: JobContext): Readonly<Record<string, Tool>> {
  const { directory } = commission;
  const Path = z.string().describe("Within the repository, such as src/main.js");
  return {
    read_file: tool("Reads a file", z.object({ path: Path }), ({ path }) => ctx.fs.read(join(directory, path), "utf8")),
    write_file: tool(
      "Writes a whole file",
      z.object({ path: Path, text: z.string(), why: z.string().describe("A sentence for who may have to allow it") }),
      async ({ path, text, why }) => {
        await write(join(directory, path), text, why, ctx);
        return "written";
      },
    ),
    run_tests: tool("Runs the tests", z.object({}), () => runTests(commission, ctx)),
  };
}

/** Writes the file, if need be with a permission for it, which the runtime looks at as it looks at the lease. */
async function write(file: string, text: string, why: string, ctx: JobContext): Promise<void> {
  try {
    await ctx.fs.write(file, text);
  } catch (error) {
    if (!(error instanceof PermissionDeniedError)) throw error;
    await ctx.requestPermission({
      ...{ permission: "fs.write", resource: file, operation: "write", reason: why },
      requestedLeaseSeconds: PERMISSION_SECONDS,
    });
    await ctx.fs.write(file, text);
  }
}

/**
 * Runs the tests in a process of their own, if the lease covers the tool `tests.run`. Node's permissions and an empty
 * environment keep accidents small; they are no sandbox for code that means harm.
 */
function runTests(commission: z.output<typeof Commission>, ctx: JobContext): Promise<string> {
  const { directory, tests, testTimeoutMs: timeout } = commission;
  const args = ["--permission", `--allow-fs-read=${directory}`, "--test-reporter=tap", tests];
  return ctx.operation(
    "tool.call",
    "tests.run",
    ({ signal }) =>
      new Promise<string>((resolve, reject) => {
        execFile(process.execPath, args, { cwd: directory, env: {}, signal, timeout }, (error, stdout, stderr) => {
          // Tests that fail, or do not end, are an answer; a process that never began is none, nor is the end of the job.
          if (error === null || typeof error.code === "number") resolve(verdictOf(stdout, stderr));
          else if (error.killed === true && !signal.aborted) resolve(`stopped after ${timeout} ms`);
          else reject(error);
        });
      }),
    { tool: "tests.run", args: { tests }, describe: (verdict) => verdict.split("\n").at(-1) },
  );
}

/** What a model needs of a report: each test, what was wrong with it or the program, and in the last line how many there are. */
function verdictOf(report: string, errors: string): string {
  const lines = report.split("\n").filter((line) => /^(?:not )?ok |^ +(?:error|expected|actual):/.test(line));
  const [, passed = "0"] = /^# pass (\d+)$/m.exec(report) ?? [];
  const [, failed = "0"] = /^# fail (\d+)$/m.exec(report) ?? [];
  return [...lines, errors.slice(0, MAX_ERRORS), `${passed} passed, ${failed} failed`].join("\n");
}

function definitionsOf(tools: Readonly<Record<string, Tool>>): OpenAI.ChatCompletionTool[] {
  return Object.entries(tools).map(([name, { description, input }]) => ({
    type: "function",
    function: { name, description, parameters: z.toJSONSchema(input) },
  }));
}

/** What a tool says, or why not: the model may find another way. What ends the job ends it here, too. */
async function use(tools: Readonly<Record<string, Tool>>, call: OpenAI.ChatCompletionMessageToolCall): Promise<string> {
  try {
    const known = call.type === "function" ? tools[call.function.name] : undefined;
    if (known === undefined || call.type !== "function") throw new InvalidRequestError("there is no such tool");
    return await known.act(JSON.parse(call.function.arguments));
  } catch (error) {
    const mayGoOn = [PermissionDeniedError, InvalidRequestError, z.ZodError, SyntaxError];
    if (error instanceof Error && mayGoOn.some((kind) => error instanceof kind)) return `error: ${error.message}`;
    throw error;
  }
}
