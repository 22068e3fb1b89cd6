/** A job that asks a person: a wrong answer is refused, and no answer is one where the agent has a default (RFC §12). */
import assert from "node:assert/strict";
import { ARCPToolClient, type TransportFactory } from "@arcp/sdk";

export async function humanInput(connect: TransportFactory, say: (line: string) => void): Promise<void> {
  const client = await ARCPToolClient.open(connect, { token: "demo-token" });
  const refusals: string[] = [];

  // What it returns is the answer. A terminal would ask its user here.
  client.onHumanInput(({ prompt, refusal, ...question }) => {
    if (refusal !== undefined) {
      refusals.push(refusal.code);
      say(`refused   ${refusal.message}`);
      return { value: { branch: "fix/jwt-validation" }, respondedBy: "terminal:demo" };
    }
    say(`question  ${prompt}`);
    // Left to others, or to the default.
    if (question.default !== undefined) return undefined;
    return { value: { branch: "Fix JWT!" } };
  });

  const invocation = client.invoke("fix");
  const states: string[] = [];
  for await (const event of invocation) {
    if (event.kind === "log") say(`log       ${event.body.message}`);
    if (event.kind === "state") {
      states.push(event.body.state);
      say(`state     ${event.body.state}`);
    }
  }
  const { value } = await invocation.done;
  say(`result    ${JSON.stringify(value)}`);

  assert.deepEqual(refusals, ["INVALID_REQUEST"]);
  assert.deepEqual(states, ["blocked", "running", "blocked", "running"]);
  assert.deepEqual(value, { branch: "fix/jwt-validation", remark: "nothing to add", remarkBy: "default" });
  assert.deepEqual(client.questions, []);
  await client.close();
}
