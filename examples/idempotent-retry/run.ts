/** The same order given twice is one job (§7.2): `node examples/idempotent-retry/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient, DuplicateKeyError } from "@arcp/sdk";
import { withRuntime } from "../runtime.ts";

let shipped = 0;

async function ship(): Promise<string> {
  shipped += 1;
  return `parcel ${shipped}`;
}

await withRuntime({ ship }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const order = { agent: "ship", input: { order: 4812 }, idempotencyKey: "order-4812" };

  const first = await client.submit(order);
  console.log(`first   ${(await first.done).result}`);

  // The answer was lost, or the client was restarted: it asks again.
  const again = await client.submit(order);
  console.log(`again   ${again.jobId === first.jobId ? "the same job" : "another job"}, ${shipped} shipped`);
  assert.equal(again.jobId, first.jobId);
  assert.equal(shipped, 1);

  await assert.rejects(client.submit({ ...order, input: { order: 4813 } }), DuplicateKeyError);
  console.log("other   DUPLICATE_KEY: the key belongs to another order");
});
