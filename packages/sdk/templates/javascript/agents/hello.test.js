/** The agent as clients meet it: a runtime and a client of it, in memory. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ARCPClient, ARCPServer, pairMemoryTransports, StaticBearerVerifier } from "@arcp/sdk";
import hello, { options } from "./hello.js";

const server = new ARCPServer({
  runtime: { name: "tests", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["token", { principal: "tests" }]])),
});
const client = new ARCPClient({ token: "token", client: { name: "tests", version: "1.0.0" } });

before(async () => {
  server.registerAgent("hello", hello, options);
  const [clientEnd, serverEnd] = pairMemoryTransports();
  void server.accept(serverEnd);
  await client.connect(clientEnd);
});

after(async () => {
  await client.close();
  await server.close();
});

test("greets, and says how far it is", async () => {
  const job = await client.submit({ agent: "hello", input: { name: "Ada" } });
  /** @type {unknown[]} */
  const steps = [];
  for await (const event of job) if (event.kind === "progress") steps.push(event.body.current);
  const { result } = await job.done;
  assert.deepEqual(steps, [1, 2, 3, 4, 5]);
  assert.deepEqual(result, { greetings: ["Hello, Ada!", "Bonjour, Ada!", "Hallo, Ada!", "Ciao, Ada!", "Salam, Ada!"] });
});

test("refuses a name that is none", async () => {
  await assert.rejects(client.submit({ agent: "hello", input: { name: 7 } }), { code: "INVALID_REQUEST" });
});

test("stops when it is cancelled", async () => {
  const job = await client.submit({ agent: "hello", input: { name: "Ada" } });
  await job.cancel();
  await assert.rejects(job.done, { code: "CANCELLED" });
});
