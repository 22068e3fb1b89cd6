/** The inventory of jobs, filtered, and page by page (§6.6): `node examples/list-jobs/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, InvalidRequestError } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

async function resize(input: unknown): Promise<string> {
  if (input === "holiday.mov") throw new InvalidRequestError("not a picture");
  return `${input} is small`;
}

const count = async (input: unknown): Promise<number> => String(input).length;

await withRuntime({ resize, count }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  for (const [agent, input] of [
    ["resize", "beach.png"],
    ["resize", "holiday.mov"],
    ["count", "one two three"],
    ["resize", "hotel.png"],
  ] as const) {
    await (await client.submit({ agent, input })).done.catch(() => {});
  }

  for await (const { agent, status } of client.jobs()) console.log(`all      ${agent.padEnd(12)} ${status}`);

  const failed = await client.listJobs({ status: "error", agent: "resize" });
  console.log(`failed   ${failed.jobs.length} of resize`);
  assert.equal(failed.jobs.length, 1);

  let cursor: string | undefined;
  do {
    const page = await client.listJobs({}, { limit: 3, ...(cursor === undefined ? {} : { cursor }) });
    console.log(`page     of ${page.jobs.length}`);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
});
