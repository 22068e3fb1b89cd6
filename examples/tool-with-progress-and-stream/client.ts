/** A tool that says how far it is, and streams what it has (RFC §10, §11). */
import assert from "node:assert/strict";
import { ARCPToolClient, type TransportFactory } from "@arcp/sdk";

const TEXT = "read this while it is written";

export async function toolWithProgressAndStream(connect: TransportFactory, say: (line: string) => void): Promise<void> {
  const client = await ARCPToolClient.open(connect, { token: "demo-token" });
  const invocation = client.invoke("read", { text: TEXT });
  const { jobId } = await invocation.accepted;
  say(`accepted  ${jobId}`);

  const percents: number[] = [];
  let text: Promise<string> | undefined;
  // Every event in order, until the job ends. A stream is an event too: its chunks come while others do.
  for await (const event of invocation) {
    if (event.kind === "started") say("started");
    if (event.kind === "progress") {
      percents.push(event.body.percent ?? 0);
      say(`progress  ${event.body.percent} %`);
    }
    if (event.kind === "stream") text = readAloud(event.body, say);
  }
  const { value } = await invocation.done;
  say(`result    ${JSON.stringify(value)}`);

  assert.deepEqual(value, { words: 6 });
  assert.equal((await text)?.trim(), TEXT);
  assert.deepEqual(percents, [16, 33, 50, 66, 83, 100]);
  await client.close();
}

async function readAloud(stream: AsyncIterable<{ readonly data: unknown }>, say: (line: string) => void) {
  let text = "";
  for await (const { data } of stream) {
    text += data;
    say(`chunk     ${data}`);
  }
  return text;
}
