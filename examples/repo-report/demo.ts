/**
 * `npm run demo`, or `node examples/repo-report/demo.ts [directory]`: the agent at work in a real runtime.
 *
 * A runtime on an SQLite file listens on a WebSocket; a client submits a job and shows it live. In the middle the
 * connection is cut, and stays down for a while. The client comes back by itself, and the numbers of the events prove that
 * nothing was missed. The report arrives in pieces and ends up in ./reports.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, relative, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  ARCPClient,
  ARCPServer,
  type JobEvent,
  type JobHandle,
  StaticBearerVerifier,
  sqliteStore,
  startWebSocketServer,
  type Transport,
  WebSocketTransport,
} from "@arcp/sdk";
import { Terminal, TerminalView } from "@arcp/sdk/terminal";
import repoReport, { version } from "./agent.ts";

/** The connection is cut when so much of the files is read, and comes back after so long. */
const CUT_AT = 0.4;
const OUTAGE_MS = 1_200;
/** Slows the agent down, so that there is something to see; `maxFiles` keeps that within half a minute. */
const PACE = { paceMs: 10, maxFiles: 2_000 };
const FIRST_LINES = 12;

/** A runtime on a file, listening on any free port of this machine. */
async function startRuntime(database: string) {
  const store = sqliteStore({ path: database });
  const server = new ARCPServer({
    runtime: { name: "demo", version: "1.0.0" },
    capabilities: { encodings: ["json"], agents: [] },
    bearer: new StaticBearerVerifier(new Map([["demo-token", { principal: "demo" }]])),
    eventLog: store,
  });
  server.registerAgent(`repo-report@${version}`, repoReport);
  const listener = await startWebSocketServer({ onTransport: (transport) => void server.accept(transport) });
  return {
    url: listener.url,
    async [Symbol.asyncDispose]() {
      await server.close();
      await listener.close();
      await store.close();
    },
  };
}

/** A way to the runtime that can be cut, and is then down for a while. */
class FragileLine {
  readonly #url: string;
  #transport: Transport | undefined;
  #downUntil = 0;

  constructor(url: string) {
    this.#url = url;
  }

  readonly connect = async (signal: AbortSignal): Promise<Transport> => {
    await delay(Math.max(this.#downUntil - Date.now(), 0), undefined, { signal });
    this.#transport = await WebSocketTransport.connect(this.#url, { signal });
    return this.#transport;
  };

  cut(): void {
    this.#downUntil = Date.now() + OUTAGE_MS;
    this.#transport?.abort("cut by the demo");
  }
}

/** Which events came, as they came, and which of them happened while nobody could hear them. */
class Delivery {
  readonly #numbers: number[] = [];
  readonly #times: number[] = [];
  #cut: { readonly after: number; readonly at: number } | undefined;
  #resumedAt = Number.POSITIVE_INFINITY;

  onEvent(event: JobEvent): void {
    this.#numbers.push(event.seq ?? Number.NaN);
    this.#times.push(Date.parse(event.ts ?? ""));
  }

  onCut(): void {
    this.#cut = { after: this.#numbers.length, at: Date.now() };
  }

  onResume(): void {
    this.#resumedAt = Date.now();
  }

  /** Throws if there was no cut, or an event is missing, came twice, or came out of order. */
  proof(): string[] {
    const numbers = this.#numbers;
    if (this.#cut === undefined) throw new Error("the connection was not cut: there was nothing to prove");
    const { after, at } = this.#cut;
    const wrong = numbers.findIndex((number, index) => number !== index + 1);
    if (wrong !== -1) throw new Error(`event ${wrong + 1} is missing: ${numbers[wrong]} came in its place`);
    const away = this.#times.filter((time) => time >= at && time < this.#resumedAt).length;
    return [
      `last event before the cut   ${numbers[after - 1]}`,
      `first event after it        ${numbers[after]}`,
      `in all                      1 to ${numbers.length}, each once and in order`,
      `while the line was down     ${away} events happened, and were delivered afterwards`,
    ];
  }
}

/** Shows the job until it ends, and cuts the line on the way. Returns the report. */
async function watch(client: ARCPClient, job: JobHandle, line: FragileLine, delivery: Delivery): Promise<string> {
  const view = new TerminalView(new Terminal(process.stdout), { showsResult: false });
  const { accepted } = job;
  client.on("event", (event) => delivery.onEvent(event));
  client.on("state", (state) => {
    view.onConnection(state);
    if (state.phase === "connected") delivery.onResume();
  });
  const { agent, lease, budget, traceId } = accepted;
  await view.onJob({ jobId: job.jobId, agent, lease, expiresAt: undefined, budget, traceId, relation: "submitted" });
  let isCut = false;
  for await (const event of job) {
    await view.onEvent(event);
    if (!isCut && isHalfWay(event)) {
      isCut = true;
      delivery.onCut();
      line.cut();
    }
  }
  const result = await job.done;
  await view.onEnd({ status: "success", result, savedTo: undefined });
  view.close();
  return String(result.result);
}

/** Well into the files; or past them, where there are none. */
function isHalfWay({ kind, body }: JobEvent): boolean {
  if (kind === "status") return body.phase === "history";
  return kind === "progress" && body.total !== undefined && body.current >= body.total * CUT_AT;
}

async function saveReport(name: string, report: string): Promise<string> {
  await mkdir("reports", { recursive: true });
  const file = join("reports", `${name.replaceAll(/[^\w.-]+/g, "-")}-report.md`);
  await writeFile(file, report);
  return file;
}

async function main(): Promise<void> {
  const startedAt = performance.now();
  const directory = resolve(process.argv[2] ?? join(import.meta.dirname, "..", ".."));
  const temporary = await mkdtemp(join(tmpdir(), "arcp-demo-"));
  const delivery = new Delivery();
  let report: string;
  try {
    await using runtime = await startRuntime(join(temporary, "runtime.db"));
    console.log(`A runtime listens on ${runtime.url}. It is asked for a report on ${directory}.\n`);
    const line = new FragileLine(runtime.url);
    await using client = await ARCPClient.connect(line.connect, { token: "demo-token" });
    const job = await client.submit({ agent: "repo-report", input: { directory, ...PACE } });
    report = await watch(client, job, line, delivery);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  const file = await saveReport(basename(directory) || "root", report);
  console.log(`\nThe connection was cut, and nothing was missed:\n  ${delivery.proof().join("\n  ")}`);
  console.log(`\nThe report is in ${relative(process.cwd(), file)}. It begins:\n`);
  console.log(report.split("\n").slice(0, FIRST_LINES).join("\n").replace(/^/gm, "  "));
  console.log(`\nAll of it took ${((performance.now() - startedAt) / 1000).toFixed(1)} s.`);
}

try {
  await main();
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
