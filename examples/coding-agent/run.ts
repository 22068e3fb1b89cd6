/** An agent repairs a repository, and asks before it writes outside of src/: `node examples/coding-agent/run.ts`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { relative } from "node:path";
import { ARCPClient, type JobEvent, type Question, type QuestionAnswer } from "@arcp/sdk";
import { startModel } from "../model/model.ts";
import { withRuntime } from "../runtime.ts";
import codingAgent, { type Commission } from "./agent.ts";
import { script } from "./model.ts";
import { makeRepository } from "./repository.ts";

const say = (who: string, what: string): void => console.log(`${who.padEnd(9)} ${what}`);

await using repository = await makeRepository();
await using model = await startModel(script);
const { directory, git } = repository;
const shown = (path: unknown): string => relative(directory, String(path));

/** The person: documentation may be changed, releases are made by people. */
function decide(question: Question): QuestionAnswer {
  assert.equal(question.kind, "permission");
  const file = shown(question.resource);
  say("asks", `to ${question.operation} ${file} for ${question.requestedLeaseSeconds} s: ${question.reason}`);
  const isGranted = file === "README.md";
  say("person", isGranted ? "yes, for 30 s" : "no: I release it myself");
  return isGranted ? { granted: true, leaseSeconds: 30 } : { granted: false, reason: "I release it myself" };
}

/** What the runtime lets the agent do, and what not, as its journal tells it. */
const calls = new Map<string, { readonly tool: string; readonly args?: unknown }>();
function narrate({ kind, body }: JobEvent): void {
  if (kind === "tool_call") calls.set(body.call_id, body);
  if (kind !== "tool_result") return;
  const { tool = "", args } = calls.get(body.call_id) ?? {};
  const outcome = body.error?.code ?? "";
  if (tool.startsWith("fs.")) say(tool, `${shown((args as { path: string }).path).padEnd(14)}${outcome}`);
  if (tool === "tests.run") say("tests", outcome || String(body.result));
}

await withRuntime({ coder: codingAgent }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  client.on("event", narrate);
  client.on("question", (question) => void client.respond(question.id, decide(question)));

  const input: Commission = {
    directory,
    tests: "test/slug.test.js",
    task: "The tests fail. Repair it, and release it.",
  };
  say("task", input.task);
  const leaseRequest = {
    "fs.read": [`${directory}/**`],
    "fs.write": [`${directory}/src/**`],
    "tool.call": ["tests.run"],
    "model.use": [model.name],
    "net.fetch": [`${model.url}/**`],
  };
  say("lease", "fs.read **, fs.write src/**, tool.call tests.run");
  const job = await client.submit({ agent: "coder", input, leaseRequest });
  const { result } = await job.done;
  say("agent", String(result));

  console.log(`\n${git("diff", "--stat").trimEnd()}`);
  // Throws if a test fails.
  execFileSync(process.execPath, [input.tests], { cwd: directory });
  console.log("\nThe tests pass.");
  const changed = git("diff", "--name-only").trim().split("\n");
  const isAllowed = (file: string): boolean => file === "README.md" || file.startsWith("src/");
  assert.ok(changed.every(isAllowed), `changed: ${changed}`);
  if (model.isStandIn) assert.deepEqual(changed, ["README.md", "src/slug.js"]);
});
