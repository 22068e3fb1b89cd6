/** A runtime, and a receiver that is told what becomes of its jobs: one that asks, spends and ends, and one that fails. */
import type { AddressInfo } from "node:net";
import {
  ARCPClient,
  ARCPServer,
  InvalidRequestError,
  newWebhookSecret,
  pairMemoryTransports,
  StaticBearerVerifier,
  type WebhookEvent,
} from "@arcp/sdk";
import { webhookReceiver } from "./receiver.ts";

const secret = newWebhookSecret();
const told: WebhookEvent[] = [];
const all = Promise.withResolvers<void>();
/** What the runtime tells first is refused, as if something had gone wrong: it comes again. */
let refusals = 1;

const receiver = webhookReceiver(secret, async (event) => {
  if (refusals-- > 0) throw new Error("not now");
  told.push(event);
  if (told.length === 4) all.resolve();
});
await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
const { port } = receiver.address() as AddressInfo;

function line({ type, data }: WebhookEvent): string {
  if (type === "question.asked") return `${data.agent} asks for ${data.question}: ${data.prompt}`;
  if (type === "budget.threshold")
    return `${data.agent} has ${data.remaining} of ${data.initial} ${data.currency} left`;
  return `${data.agent} has ended: ${data.error?.code ?? data.status}`;
}

const server = new ARCPServer({
  runtime: { name: "example", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["tok", { principal: "me" }]])),
  webhooks: {
    endpoints: [{ name: "pager", url: `http://127.0.0.1:${port}/hooks`, secret, texts: true }],
    budgetThresholds: [0.8],
    firstRetryMs: 100,
  },
});
server.registerAgent("translator", async (_input, ctx) => {
  const { value } = await ctx.requestHumanInput({ prompt: "into which language?" });
  await ctx.metric({ name: "cost.tokens", value: 0.85, unit: "USD" });
  return { language: value };
});
server.registerAgent("typesetter", () => {
  throw new InvalidRequestError("there is no type left");
});

const [near, far] = pairMemoryTransports();
await server.accept(far);
const client = new ARCPClient({ token: "tok", client: { name: "example", version: "1.0.0" } });
client.on("question", ({ id }) => void client.respond(id, { value: "Frisian" }));
await client.connect(near);
await (await client.submit({ agent: "translator", input: {}, leaseRequest: { "cost.budget": ["USD:1.00"] } })).done;
await (await client.submit({ agent: "typesetter", input: {} })).done.catch(() => {});
await all.promise;

// They come in any order, and what was refused comes last: by agent, as the life of a job goes.
const LIFE = ["question.asked", "budget.threshold", "job.ended"];
told.sort((a, b) => a.data.agent.localeCompare(b.data.agent) || LIFE.indexOf(a.type) - LIFE.indexOf(b.type));
for (const event of told) console.log(line(event));

// Whoever does not know the secret is not believed.
const forged = await fetch(`http://127.0.0.1:${port}/hooks`, {
  method: "POST",
  headers: {
    "webhook-id": "msg_1",
    "webhook-timestamp": String(Math.floor(Date.now() / 1000)),
    "webhook-signature": "v1,AAAA",
  },
  body: JSON.stringify({ type: "job.ended" }),
});
console.log(`a forged one: ${forged.status}`);
if (forged.status !== 401) process.exitCode = 1;

await client.close();
await server.close();
receiver.closeAllConnections();
receiver.close();
