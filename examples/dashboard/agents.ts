/** What the dashboard has to show: agents that work, wait, ask, spend, fail, delegate, and one that means no good. */
import type { AgentHandler, JobContext } from "@arcp/sdk";
import { barsPng } from "./picture.ts";

const sleep = (ms: number, { signal }: JobContext): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });

const SOURCES = [
  "the change log",
  "the incident report",
  "last week's traces",
  "the design of the cache",
  "two interviews",
];

/** Of the day of the deployment, by the hour, as parts of three seconds. */
const P99 = [0.14, 0.13, 0.14, 0.12, 0.13, 0.14, 0.16, 0.2, 0.24, 0.22, 0.97, 0.92, 0.7, 0.41, 0.24, 0.2, 0.18, 0.16];

const REPORT = `# Why checkout became slow

**In short:** the cache of prices is cold after each deployment, and \`/checkout\` waits for it.

| Where | Before | After |
| --- | --- | --- |
| p50 | 120 ms | 180 ms |
| p99 | 410 ms | 2.9 s |

1. Each deployment starts with an empty cache.
2. Every request then asks the price service, one price at a time.
3. The price service allows 50 requests at once, and the others wait.

> Warming the cache before the switch would take 8 s of each deployment.

\`\`\`sql
select sku, price from prices where updated_at > now() - interval '1 day';
\`\`\`

See [the design of the cache](https://wiki.example/cache) and ![a graph](https://wiki.example/p99.png).
`;

/** Reads, thinks, pays for a model, has its draft reviewed, and reports in Markdown. */
const research: AgentHandler = async (_input, ctx) => {
  await ctx.log("info", "reading what there is about checkout");
  const notes = ctx.openStream({ kind: "text", contentType: "text/markdown" });
  for (const [index, source] of SOURCES.entries()) {
    await ctx.thought(`${source} may say when it began. The deployment on Tuesday is the first suspect.`);
    await ctx.thought("If it was the deployment, the traces of Tuesday have to look different from those of Monday.");
    await ctx.callTool("search", { query: source, limit: 20 });
    await ctx.metric({ name: "cost.inference", value: 0.31, unit: "USD" });
    await ctx.progress(index + 1, { total: SOURCES.length, units: "sources", message: `read ${source}` });
    await notes.write(`- ${source}: 3 hits, the best of them says that the price cache is empty after a deployment\n`);
    await sleep(150, ctx);
  }
  await notes.close();
  await ctx.checkpoint({ read: SOURCES }, { label: "all sources read" });
  await keep(ctx, "p99-by-hour.png", "image/png", barsPng(P99));
  await keep(ctx, "p99-by-hour.csv", "text/csv", `hour,p99\n${P99.map((p99, hour) => `${hour},${p99}`).join("\n")}\n`);
  const reviewing = ctx.delegate({
    agent: "review",
    input: { draft: REPORT.length },
    lease_request: { "cost.budget": ["USD:0.50"], "tool.call": ["search"] },
  });
  const { result } = await reviewing.done;
  await ctx.log("info", "reviewed", { verdict: result });
  return REPORT;
};

/** Keeps a content, and tells of it. */
async function keep(ctx: JobContext, name: string, mediaType: string, data: Uint8Array | string): Promise<void> {
  const ref = await ctx.putArtifact(data, { artifactId: `${ctx.jobId}.${name}`, mediaType });
  await ctx.artifactRef({ uri: ref.uri, content_type: mediaType, byte_size: ref.size });
}

const review: AgentHandler = async (_input, ctx) => {
  await ctx.progress(1, { total: 2, message: "reading the draft" });
  await ctx.metric({ name: "cost.inference", value: 0.12, unit: "USD" });
  await ctx.callTool("search", { query: "does the cache warm up by itself?" });
  await sleep(400, ctx);
  await ctx.callTool("search", { query: "who else has seen it" });
  await ctx.progress(2, { total: 2, message: "no objections" });
  return { verdict: "fine", remarks: 2 };
};

/** Goes on until it is cancelled. */
const crawl: AgentHandler = async (_input, ctx) => {
  await ctx.status("crawling");
  for (let page = 1; ; page += 1) {
    await ctx.progress(page % 400, { total: 400, units: "pages", message: `https://docs.example/page/${page}` });
    if (page % 7 === 0) await ctx.log("warn", `page ${page} answered slowly`, { ms: 900 + page });
    if (page % 3 === 0) await ctx.metric({ name: "cost.search", value: 0.01, unit: "USD" });
    await sleep(700, ctx);
  }
};

/** Tries more than its lease covers. */
const tidy: AgentHandler = async (_input, ctx) => {
  await ctx.log("info", "looking for old logs");
  await ctx.fs.read("/srv/app/logs/yesterday.log").catch(() => undefined);
  await ctx.log("error", "that was not allowed; trying elsewhere");
  return ctx.fs.read("/etc/passwd");
};

const deploy: AgentHandler = async (_input, ctx) => {
  await ctx.log("info", "build 4711 is ready");
  const grant = await ctx.requestPermission({
    permission: "deploy.production",
    resource: "eu-west/checkout",
    operation: "roll out build 4711 to 5 % of the traffic",
    reason: "The tests pass, and p99 in staging is 380 ms.",
    requestedLeaseSeconds: 900,
    expiresInMs: 45 * 60_000,
  });
  await ctx.log("info", "granted", { for: grant.permission });
  return { rolledOut: "5 %" };
};

const BRANCH = {
  type: "object",
  properties: {
    branch: { type: "string", title: "Branch", description: "Lower case, such as fix/cache" },
    reviewers: { type: "integer", title: "Reviewers", default: 2 },
    isUrgent: { type: "boolean", title: "Is it urgent?" },
  },
  required: ["branch"],
};

const fix: AgentHandler = async (_input, ctx) => {
  const { value } = await ctx.requestHumanInput({
    prompt: "On which branch do you want the fix of the cold cache?",
    responseSchema: BRANCH,
  });
  return value;
};

const release: AgentHandler = async (_input, ctx) => {
  const { choiceId } = await ctx.requestHumanChoice({
    prompt: "1.9.0 has one known fault in the export. What now?",
    options: [
      { id: "ship", label: "Release it", description: "The fault goes into the notes." },
      { id: "wait", label: "Wait for the fix", description: "Tomorrow, at the earliest." },
    ],
    default: "wait",
    expiresInMs: 20 * 60_000,
  });
  return { choiceId };
};

/** Everything that an agent could try on whoever looks at it. */
const hostile: AgentHandler = async (_input, ctx) => {
  const tricks = [
    `<img src=x onerror="document.title='owned'">`,
    `</script><script>document.title='owned'</script>`,
    `<svg/onload=document.title='owned'>`,
    "\u001b]52;c;cm0gLXJmIC8=\u0007\u001b[2K\u001b[1AAPPROVED by alice",
    "pay 10\u202e00 DSU to \u200bmallory",
  ];
  for (const trick of tricks) await ctx.log("info", trick, { id: trick, __proto__x: trick });
  await ctx.thought(tricks[0] ?? "");
  await ctx.status("running", tricks[2]);
  await ctx.progress(1, { total: 2, message: `${tricks[1]}`, units: `${tricks[4]}` });
  return `# ${tricks[0]}\n\n[click](javascript:document.title='owned') ![x](https://evil.test/beacon?c=1)\n\n${tricks.join("\n\n")}`;
};

/** `{"events": 100000}` of them. */
const flood: AgentHandler = async (input, ctx) => {
  const { events = 10_000 } = (input ?? {}) as { readonly events?: number };
  for (let index = 1; index <= events; index += 1) await ctx.log("info", `event ${index} of ${events}`);
  return { events };
};

export const agents: Readonly<Record<string, AgentHandler>> = {
  ...{ research, review, crawl, tidy, deploy, fix, release, hostile, flood },
};
