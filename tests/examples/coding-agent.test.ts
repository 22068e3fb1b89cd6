/** The coding agent with models that try more than they may, or never end. */
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { ARCPClient, type Lease } from "@arcp/sdk";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import codingAgent from "../../examples/coding-agent/agent.ts";
import { makeRepository, type Repository } from "../../examples/coding-agent/repository.ts";
import { call, type Script, startModel, turns } from "../../examples/model/model.ts";
import { withRuntime } from "../../examples/runtime.ts";

let configured: string | undefined;
let repository: Repository;

beforeAll(() => {
  configured = process.env["OPENAI_MODEL"];
  delete process.env["OPENAI_MODEL"];
});
beforeEach(async () => {
  const made = await makeRepository();
  repository = made;
  return () => made[Symbol.asyncDispose]();
});
afterAll(() => {
  if (configured !== undefined) process.env["OPENAI_MODEL"] = configured;
});

/** How the job ends, and what people were asked for; they grant nothing. */
async function run(
  script: Script,
  lease: Lease = {},
  limits: { testTimeoutMs?: number } = {},
): Promise<{ result?: unknown; code?: string; asked: string[] }> {
  const asked: string[] = [];
  let end: { result?: unknown; code?: string } = {};
  const { directory } = repository;
  await using model = await startModel(script);
  await withRuntime({ coder: codingAgent }, async (connect) => {
    await using client = await ARCPClient.connect(connect, { token: "demo-token" });
    client.on("question", (question) => {
      if (question.kind === "permission") asked.push(question.resource);
      void client.respond(question.id, { granted: false });
    });
    const job = await client.submit({
      agent: "coder",
      input: { directory, tests: "test/slug.test.js", task: "repair it", ...limits },
      leaseRequest: {
        "fs.read": [`${directory}/**`],
        "fs.write": [`${directory}/src/**`],
        "model.use": [model.name],
        "net.fetch": [`${model.url}/**`],
        ...lease,
      },
    });
    end = await job.done.then(
      ({ result }) => ({ result }),
      ({ code }) => ({ code }),
    );
  });
  return { ...end, asked };
}

it("tells a model what it may not do, and does nothing of it", async () => {
  const name = `${basename(repository.directory)}-outside`;
  const outside = join(repository.directory, "..", name);
  symlinkSync(outside, join(repository.directory, "src", "link"));
  const before = readFileSync(join(repository.directory, "package.json"), "utf8");
  const told: string[] = [];
  const hear = (turn: ReturnType<typeof call>) => (last: string) => {
    told.push(last);
    return turn;
  };
  const file = { text: "evil", why: "because" };
  const { result, asked } = await run(
    turns(
      call("read_file", { path: `../../${"../".repeat(20)}etc/passwd` }),
      hear(call("write_file", { path: `../${name}`, ...file })),
      hear(call("write_file", { path: "package.json", ...file })),
      hear(call("write_file", { path: "src/../.git/hooks/pre-commit", ...file })),
      hear(call("write_file", { path: "src/new.js" })),
      hear(call("read_file", { path: "src/none.js" })),
      hear(call("read_file", { path: "src/link" })),
      hear(call("run_tests")),
      hear("I give up"),
    ),
  );
  expect(result).toBe("I give up");
  expect(told).toHaveLength(8);
  for (const text of told) expect(text).toMatch(/^error: /);
  expect(asked.map((path) => path.replace(repository.directory, ""))).toEqual([
    "-outside",
    "/package.json",
    "/.git/hooks/pre-commit",
  ]);
  expect(existsSync(outside)).toBe(false);
  expect(existsSync(join(repository.directory, ".git", "hooks", "pre-commit"))).toBe(false);
  expect(readFileSync(join(repository.directory, "package.json"), "utf8")).toBe(before);
});

it("ends a model that does not", async () => {
  let turns = 0;
  const { code } = await run(() => {
    turns += 1;
    return call("read_file", { path: "README.md" });
  });
  expect({ code, turns }).toEqual({ code: "INTERNAL_ERROR", turns: 20 });
});

/** What a model is told of the tests when the program is `text`. */
async function toldOf(text: string, limits: { testTimeoutMs?: number } = {}): Promise<unknown> {
  const write = call("write_file", { path: "src/slug.js", text, why: "because" });
  const script = turns(write, call("run_tests"), (last) => last);
  return (await run(script, { "tool.call": ["tests.run"] }, limits)).result;
}

it("tells a model of a program that is none, and of tests that do not end", async () => {
  expect(await toldOf("export const slug = ;")).toMatch(/SyntaxError: Unexpected token ';'.*\n0 passed, 0 failed$/s);
  const endless = "for (;;);\nexport const slug = 1;";
  expect(await toldOf(endless, { testTimeoutMs: 250 })).toBe("stopped after 250 ms");
});
