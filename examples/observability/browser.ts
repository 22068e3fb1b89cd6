/**
 * One trace that begins in a page: `node examples/observability/browser.ts`.
 *
 * A page in Chromium submits a job to one runtime; what the job delegates runs in another process, where a tool is called. The
 * page and both runtimes send their spans to a collector, which draws them. Exits with 1 if they are not one tree.
 *
 * With PostgreSQL the runtimes are two nodes over one database. Without it the job is handed over from one runtime to another.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { chromiumPath, launchChromium, NO_CHROMIUM } from "../../tests/support/chromium.ts";
import { bundle } from "../browser/bundle.ts";
import { findDatabase, urlOf } from "../cluster/database.ts";
import { inNewsroom, SECRETS } from "./newsroom.ts";
import { OtlpReceiver } from "./receiver.ts";
import { SPAN } from "./story.ts";
import { drawTrace, pathTo } from "./tree.ts";

/** Serves the page with what it has to know, and returns its origin. */
async function servePage(settings: () => object, stack: AsyncDisposableStack): Promise<string> {
  const files = await bundle(fileURLToPath(new URL("page", import.meta.url)));
  const server = createServer((request, response) => {
    const path = request.url === "/" ? "/index.html" : (request.url ?? "");
    const content = path === "/settings" ? JSON.stringify(settings()) : files.get(path);
    const type = extname(path) === ".js" ? "text/javascript" : "text/html";
    response.writeHead(content === undefined ? 404 : 200, { "content-type": type }).end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** What a person would do. Returns what the page shows. */
async function readTheNews(origin: string): Promise<string> {
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    await page.goto(origin);
    await page.getByRole("button").click();
    const story = page.getByRole("status").filter({ hasText: /./ });
    await story.waitFor();
    return (await story.textContent()) ?? "";
  } finally {
    await browser.close();
  }
}

async function main(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const collector = stack.use(await OtlpReceiver.start());
  const found = await findDatabase();
  if (typeof found === "string") console.log(`Without a cluster: ${found}.\n`);
  const database = typeof found === "string" ? undefined : urlOf(stack.use(found));
  const reporter = database === undefined ? "courier" : "researcher";
  const settings = { runtimeUrl: "", collectorUrl: collector.url, token: SECRETS.client, reporter };
  const origin = await servePage(() => settings, stack);
  const shown = await inNewsroom({ collectorUrl: collector.url, allowedOrigins: [origin], database }, (ready) => {
    settings.runtimeUrl = ready.url;
    return readTheNews(origin);
  });
  console.log(`The page shows: ${shown}\n`);

  const tool = collector.spans.find(({ name }) => name === "execute_tool search");
  const spans = collector.spans.filter(({ traceId }) => traceId === tool?.traceId);
  console.log(`trace ${tool?.traceId}: ${spans.length} spans\n`);
  for (const line of drawTrace(spans)) console.log(line);
  const way = tool === undefined ? [] : pathTo(tool, spans);
  console.log(`\nthe way to the tool: ${way.map(({ service, name }) => `${name} (${service})`).join(" → ")}`);

  const services = [...new Set(way.map(({ service }) => service))];
  if (way[0]?.name !== SPAN || services.join() !== "browser,newsroom,archive") {
    throw new Error("the spans are not one tree");
  }
  // The newsroom has been asked besides whom it knows; whatever else was told belongs to the tree.
  const told = collector.spans.filter(({ traceId, service }) => traceId === tool?.traceId || service !== "newsroom");
  if (told.some((span) => pathTo(span, told)[0] !== way[0])) {
    throw new Error("a span has lost its parent");
  }
  for (const secret of Object.values(SECRETS)) {
    if (collector.bodies.some((body) => body.includes(secret))) throw new Error("a secret was told");
  }
}

if (chromiumPath() === undefined) {
  console.log(NO_CHROMIUM);
  if (process.env["CI"] === "true") process.exitCode = 1;
} else await main();
