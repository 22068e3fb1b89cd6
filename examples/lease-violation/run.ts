/** An agent tries what its lease does not cover (§9.3): `node examples/lease-violation/run.ts`. */
import assert from "node:assert/strict";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCPClient, type JobContext, PermissionDeniedError } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

async function tidy(input: unknown, ctx: JobContext): Promise<string> {
  const { directory } = input as { readonly directory: string };
  const notes = await ctx.fs.read(join(directory, "notes.md"), "utf8");
  try {
    await ctx.fs.remove(join(directory, "notes.md"));
  } catch (error) {
    if (!(error instanceof PermissionDeniedError)) throw error;
    return `read ${notes.length} characters, and removed nothing`;
  }
  return "removed the notes";
}

const directory = await realpath(await mkdtemp(join(tmpdir(), "arcp-lease-")));
await writeFile(join(directory, "notes.md"), "bread, salt");

await withRuntime({ tidy }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const job = await client.submit({
    agent: "tidy",
    input: { directory },
    leaseRequest: { "fs.read": [`${directory}/**`] },
  });
  for await (const { kind, body } of job) {
    if (kind === "tool_call") console.log(`tries   ${body.tool}`);
    if (kind === "tool_result") console.log(`        ${body.error === undefined ? "allowed" : body.error.code}`);
  }
  const { result } = await job.done;
  console.log(`result  ${result}`);
  assert.match(String(result), /removed nothing/);
}).finally(() => rm(directory, { recursive: true }));
