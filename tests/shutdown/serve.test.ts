/** `arcp serve`, told to stop, and started again. */
import { readFile, writeFile } from "node:fs/promises";
import { ARCPClient, ARCPToolClient } from "@arcp/client";
import { type JsonObject, StdioTransport, silentLogger } from "@arcp/core";
import { expect, test } from "vitest";
import { type JsonLine, Workspace } from "../cli/arcp.ts";
import { covers } from "../support/covers.ts";

/** Appends the name of each step that it does to a file; between them, waits for a file to be there. */
const STEPS = `
import { appendFile, access } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
export const options = { durable: true };
export default async (input, ctx) => {
  for (let n = 1; n <= 6; n += 1) {
    await ctx.step("step " + n, async () => {
      await appendFile(input.file, n + "\\n");
      while (n >= 3 && !(await access(input.gate).then(() => true, () => false))) await delay(5);
    });
    await ctx.log("info", String(n));
  }
  return "all";
};
`;

/** Goes on until it is told to stop. */
const ENDLESS = `
export const options = { concurrency: 1 };
export default async (input, ctx) => {
  await ctx.log("info", "begun");
  await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve));
  throw ctx.signal.reason;
};
`;

const FILES = { "steps.ts": STEPS, "endless.ts": ENDLESS };
const AGENTS = ["--agent", "steps=./steps.ts", "--agent", "endless=./endless.ts"];

const tokenOf = async (workspace: Workspace): Promise<string> =>
  (await readFile(workspace.path(".arcp/token"), "utf8")).trim();

const lastLog = (stderr: string): JsonLine => JSON.parse(stderr.trim().split("\n").at(-1) ?? "{}");

/** Serves, stops in the midst of a durable job, and serves again, under a client that is not told of any of it. */
async function restartUnder(
  watch: (url: string, token: string, input: JsonObject, onLog: (text: string) => void) => Promise<unknown>,
): Promise<void> {
  await using workspace = await Workspace.create(FILES);
  const first = await workspace.serve([...AGENTS, "--drain", "60"]);
  const input = { file: workspace.path("steps.txt"), gate: workspace.path("gate") };
  const logs: string[] = [];
  const reached = Promise.withResolvers<void>();
  const result = watch(first.url, await tokenOf(workspace), input, (text) => {
    logs.push(text);
    if (text === "2") reached.resolve();
  });
  await reached.promise;
  const stopping = first.command.kill("SIGTERM");
  await first.command.complains("shutting down");
  await writeFile(input.gate, "");
  const stopped = await stopping;
  expect(stopped.code).toBe(0);
  expect(lastLog(stopped.stderr)).toMatchObject({ msg: "stopped", handedOver: 1, interrupted: 0, finished: 0 });

  await workspace.serve([...AGENTS, "--port", String(first.port)]);
  expect(await result).toBe("all");
  expect(logs).toEqual(["1", "2", "3", "4", "5", "6"]);
  expect(await readFile(input.file, "utf8")).toBe("1\n2\n3\n4\n5\n6\n");
}

test("SIGTERM hands a durable job over, and a client of wire 1.1 notices nothing", async () => {
  covers("V11-6.7-05", "V11-6.7-07");
  await restartUnder(async (url, token, input, onLog) => {
    await using client = await ARCPClient.connect(url, { token, logger: silentLogger });
    const job = await client.submit({ agent: "steps", input });
    for await (const event of job) if (event.kind === "log") onLog(event.body.message);
    return (await job.done).result;
  });
});

test("the same under a client of wire 1.0", async () => {
  covers("V10-8.5-03");
  await restartUnder(async (url, token, input, onLog) => {
    await using client = await ARCPToolClient.open(url, {
      token,
      logger: silentLogger,
    });
    const invocation = client.invoke("steps", input);
    for await (const event of invocation) if (event.kind === "log") onLog(event.body.message);
    return (await invocation.done).value;
  });
});

test("what is not durable is ended when its time is over; what waits is begun by the next start", async () => {
  await using workspace = await Workspace.create(FILES);
  const first = await workspace.serve([...AGENTS, "--drain", "0"]);
  const env = { ARCP_URL: first.url };
  await using client = await ARCPClient.connect(first.url, { token: await tokenOf(workspace), logger: silentLogger });
  const submitted = [];
  for (let left = 3; left > 0; left -= 1) submitted.push(await client.submit({ agent: "endless" }));
  const watching = workspace.start(["submit", "endless", "--no-json"], env);
  await watching.shows("pending: waits for capacity, number 3 of 3");
  watching.process.kill("SIGKILL");
  const table = await workspace.run(["jobs", "--no-json"], { env });
  expect(table.stdout).toMatch(/running[\s\S]*pending, 1st of 3[\s\S]*pending, 2nd of 3[\s\S]*pending, 3rd of 3/);

  const stopped = await first.command.kill("SIGTERM");
  expect(stopped.code).toBe(0);
  expect(lastLog(stopped.stderr)).toMatchObject({
    waiting: 3,
    interrupted: 1,
    interruptedJobs: [submitted[0]?.jobId],
  });

  await workspace.serve([...AGENTS, "--port", String(first.port)]);
  // The client has come back by itself.
  await expect(submitted[0]?.done).rejects.toMatchObject({ retryable: true, details: { reason: "runtime_restarted" } });
  const listed: unknown[] = [];
  for await (const { status, place } of client.jobs()) listed.push([status, place]);
  expect(listed).toEqual([
    ["error", undefined],
    ["running", undefined],
    ["pending", { position: 1, length: 2 }],
    ["pending", { position: 2, length: 2 }],
  ]);
  for (const job of submitted) job.done.catch(() => {});
});

test("a second signal ends it at once", async () => {
  await using workspace = await Workspace.create(FILES);
  const { command, url } = await workspace.serve([...AGENTS, "--drain", "600"]);
  await using client = await ARCPClient.connect(url, { token: await tokenOf(workspace), logger: silentLogger });
  const job = await client.submit({ agent: "endless" });
  job.done.catch(() => {});
  command.process.kill("SIGTERM");
  await command.complains("shutting down");
  expect((await command.kill("SIGTERM")).code).toBe(143);
});

test("over stdio it says goodbye, too", async () => {
  covers("V11-6.7-05");
  await using workspace = await Workspace.create(FILES);
  const child = workspace.start(["serve", "--stdio", ...AGENTS, "--drain", "0.05"]);
  const { stdin: output, stdout: input } = child.process;
  const client = new ARCPClient({ logger: silentLogger });
  await client.connect(new StdioTransport({ input, output }));
  const job = await client.submit({ agent: "endless" });
  const over = job.done.catch((error: unknown) => error);
  for await (const event of job) if (event.kind === "log") break;
  child.process.kill("SIGTERM");
  expect(await over).toMatchObject({ code: "INTERNAL_ERROR", retryable: true });
  const { code } = await child.end();
  expect(code).toBe(0);
  expect(child.lines.at(-1)).toMatchObject({ type: "session.bye" });
  client.closed.catch(() => {});
  await client.close();
});
