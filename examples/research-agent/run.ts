/** A research with money enough, and one with too little: `node examples/research-agent/run.ts`. */
import assert from "node:assert/strict";
import { ARCPClient } from "@arcp/sdk";
import { startModel } from "../model/model.ts";
import { withRuntime } from "../runtime.ts";
import research from "./agent.ts";
import { openLibrary } from "./library.ts";
import { script } from "./model.ts";
import reader from "./reader.ts";

const say = (what: string, text: string): void => console.log(`${what.padEnd(9)} ${text}`);

await using library = await openLibrary();
await using model = await startModel(script);

async function researchFor(dollars: string, client: ARCPClient): Promise<string> {
  // By the job and by those that it has sent.
  let spent = 0;
  const stop = client.on("event", ({ kind, body }) => {
    if (kind === "metric" && body.name === "cost.inference") spent += body.value;
  });
  const job = await client.submit({
    agent: "research",
    input: { question: "Should we replace our street lamps with LEDs?", library: library.url },
    leaseRequest: {
      "cost.budget": [`USD:${dollars}`],
      "model.use": [model.name],
      "net.fetch": [`${library.url}**`, `${model.url}/**`],
      "agent.delegate": ["reader"],
    },
  });
  say("budget", `USD ${dollars}`);
  for await (const { kind, body } of job) {
    if (kind === "status") say("research", `is ${body.phase}`);
    if (kind === "log") say("", body.message);
    if (kind === "delegate") {
      const { "net.fetch": [page = ""] = [], "cost.budget": [money = ""] = [] } = body.lease_request ?? {};
      say("reader", `may fetch ${page} and spend ${money}`);
    }
    // The report, as it is being written.
    if (kind === "result_chunk") process.stdout.write(body.data.replaceAll(/^(.*)\n/gm, "  | $1\n"));
  }
  const { result } = await job.done;
  stop();
  say("spent", `USD ${spent.toFixed(4)}\n`);
  assert.ok(spent > 0 && spent <= Number(dollars), `spent ${spent}`);
  return String(result);
}

await withRuntime({ research, reader }, async (connect) => {
  await using client = await ARCPClient.connect(connect, { token: "demo-token" });
  const whole = await researchFor("0.2000", client);
  const part = await researchFor("0.0260", client);
  if (!model.isStandIn) return;
  assert.match(whole, /62 % less.* \[1\]/);
  assert.match(whole, /no more moths.* \[2\]/);
  assert.match(part, /The money was used up/);
});
