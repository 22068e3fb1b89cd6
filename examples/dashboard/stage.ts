/** A runtime with the dashboard on its port, and jobs of every kind. */
import { dashboard } from "@arcp/dashboard";
import {
  type AgentOptions,
  ARCPClient,
  ARCPServer,
  StaticBearerVerifier,
  type SubmitOptions,
  startWebSocketServer,
} from "@arcp/sdk";
import { agents } from "./agents.ts";

export interface Stage extends AsyncDisposable {
  /** Where the page is. With `#token=` and the token behind it, it signs in. */
  readonly url: string;
  readonly token: string;
  /** In the name of whoever has the token. */
  readonly client: ARCPClient;
}

const TOKEN = "demo-token";
const MINUTE_MS = 60_000;

/** What some of them say of themselves: the form to submit is made of it. */
const DESCRIPTIONS: Readonly<Record<string, AgentOptions>> = {
  research: {
    description: "Reads what there is, has its draft reviewed, and reports in Markdown.",
    inputSchema: {
      type: "object",
      properties: {
        question: { type: "string", title: "Question", description: "What to find out", examples: ["Why is it slow?"] },
        depth: { type: "integer", title: "Depth", minimum: 1, maximum: 5, default: 2 },
        tone: { enum: ["brief", "thorough"], title: "Tone", default: "brief" },
        sources: {
          type: "array",
          title: "Sources",
          description: "Where to look first",
          items: { type: "string", format: "uri", title: "URL" },
          maxItems: 5,
        },
        deliver: {
          title: "Deliver",
          oneOf: [
            {
              title: "To a file",
              type: "object",
              properties: { path: { type: "string", title: "Path" } },
              required: ["path"],
            },
            {
              title: "By e-mail",
              type: "object",
              properties: { mail: { type: "string", format: "email", title: "Address" } },
              required: ["mail"],
            },
          ],
        },
      },
      required: ["question"],
    },
  },
};

/** Starts it on this machine alone; port 0 is any free one. */
export async function openStage(port = 0): Promise<Stage> {
  const server = new ARCPServer({
    runtime: { name: "demo", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(
      new Map([
        [TOKEN, { principal: "ada" }],
        ["other-token", { principal: "grace" }],
      ]),
    ),
    cancelAuthority: "principal",
  });
  for (const [name, agent] of Object.entries(agents)) {
    server.registerAgent(`${name}@1.0.0`, agent, DESCRIPTIONS[name] ?? {});
  }
  server.registerTool("search", {
    handler: async () => ({ hits: 3, best: "the price cache is empty after a deployment" }),
  });
  const pages = dashboard();
  const listener = await startWebSocketServer({
    port,
    onTransport: (transport) => void server.accept(transport),
    onRequest: (request, response) => pages.handle(request, response),
  });
  const client = await ARCPClient.connect(listener.url, { token: TOKEN });
  return {
    ...{ url: `http://127.0.0.1:${listener.port}/`, token: TOKEN, client },
    async [Symbol.asyncDispose]() {
      await client.close();
      await server.close();
      await listener.close();
    },
  };
}

const inAnHour = (): Date => new Date(Date.now() + 60 * MINUTE_MS);

/** What the demo submits, in this order. */
const SUBMISSIONS: readonly SubmitOptions[] = [
  {
    agent: "research",
    input: { question: "Why did checkout become slow?", depth: 3 },
    leaseRequest: { "tool.call": ["search"], "agent.delegate": ["review"], "cost.budget": ["USD:5.00"] },
    leaseConstraints: { expiresAt: inAnHour() },
  },
  { agent: "tidy", leaseRequest: { "fs.read": ["/srv/app/data/**"] } },
  { agent: "hostile" },
  { agent: "flood", input: { events: 2_000 } },
  { agent: "crawl", leaseRequest: { "cost.budget": ["USD:2.00"] }, leaseConstraints: { expiresAt: inAnHour() } },
  { agent: "crawl", leaseRequest: { "cost.budget": ["USD:0.60"] } },
  { agent: "deploy" },
  { agent: "fix" },
  { agent: "release" },
];

/** Submits them. Resolves with their ids by agent, when those that end by themselves have ended. */
export async function play({ client }: Stage): Promise<ReadonlyMap<string, string>> {
  const ids = new Map<string, string>();
  for (const submission of SUBMISSIONS) {
    const job = await client.submit(submission);
    ids.set(submission.agent, job.jobId);
    if (submission.agent === "crawl") continue;
    if (["deploy", "fix", "release"].includes(submission.agent)) continue;
    await job.done.catch(() => {
      // Some are made to fail.
    });
  }
  return ids;
}
