/** Somebody who comes late, watches, and says nothing: history, a marker, and what happens then (RFC §13). */
import assert from "node:assert/strict";
import { ARCPToolClient, type TransportFactory } from "@arcp/sdk";

export async function observer(connect: TransportFactory, say: (line: string) => void): Promise<void> {
  const worker = await ARCPToolClient.open(connect, { token: "demo-token" });
  const isWatched = Promise.withResolvers<void>();
  worker.onHumanChoice(async () => {
    await isWatched.promise;
    return { choiceId: "yes" };
  });
  const invocation = worker.invoke("build");
  for await (const { kind } of invocation) if (kind === "log") break;

  // The dashboard comes in the middle, in a session of its own. Of all that happens it wants progress and the end.
  const dashboard = await ARCPToolClient.open(connect, { token: "demo-token", capabilities: { human_input: false } });
  const filter = { jobId: invocation.jobId ?? "", types: ["job.progress", "tool.result"] };
  const subscription = await dashboard.openSubscription(filter, { backfill: true });
  // From the marker on everything is new: only now does the job go on.
  await subscription.backfillComplete;
  isWatched.resolve();

  const seen: string[] = [];
  for await (const { type, payload, isHistory } of subscription) {
    if (!isHistory && !seen.at(-1)?.startsWith("live")) say("          what comes now is new");
    seen.push(`${isHistory ? "history" : "live"} ${type}`);
    say(`${isHistory ? "history  " : "live     "} ${type} ${payload["percent"] ?? payload["value"]}`);
    // Other jobs could follow. To leave the loop is to leave the subscription.
    if (type === "tool.result") break;
  }
  assert.deepEqual(seen, [
    ...["history job.progress", "history job.progress"],
    ...["live job.progress", "live job.progress", "live tool.result"],
  ]);
  await dashboard.close();
  await worker.close();
}
