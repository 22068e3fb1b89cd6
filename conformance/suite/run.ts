/**
 * Our runtime against the conformance suite, over every transport and on both wires: `npm run conformance-suite`. With
 * `--mutants` broken runtimes, each of which has to be caught.
 */
import { writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  commandTarget,
  httpTarget,
  type Report,
  runServerSuite,
  type ServerSuiteOptions,
  type Target,
  textReport,
  type Wire,
  webSocketTarget,
} from "@arcp/conformance";
import { httpTransport, startSocketServer, startWebSocketServer } from "@arcp/core";
import { reportCounts } from "../../scripts/counts.ts";
import { mutantProblems } from "./mutants.ts";
import { PAGE, page } from "./page.ts";
import { MANIFEST, startRuntime, TOKEN, TOKEN_B, TOKEN_BRIEF, TOKEN_OBSERVER, WINDOW_SECONDS } from "./runtime.ts";

const RELAY = `
const socket = require("node:net").connect(process.argv[1]);
process.stdin.pipe(socket).pipe(process.stdout);
socket.on("close", () => process.exit());
`;

/** Several runs are under way at once. */
const CONCURRENCY = 6;

/** What is asked of a runtime that is a program itself, and of one whose sessions do not live long. */
const ASKED: Readonly<Record<string, readonly string[]>> = {
  "stdio-program": ["transport/", "handshake/welcome", "session/accepted", "envelope/text"],
  "short-window": ["resume/window"],
};

const { values } = parseArgs({
  options: {
    wire: { type: "string", multiple: true, default: ["1.1", "1.0"] },
    only: { type: "string", multiple: true },
    transport: {
      type: "string",
      multiple: true,
      default: ["websocket", "http", "stdio", "stdio-program", "short-window"],
    },
    docs: { type: "boolean", default: false },
    mutants: { type: "boolean", default: false },
    verbose: { type: "boolean", short: "v", default: false },
  },
});

if (values.docs) {
  writeFileSync(PAGE, page());
  process.exit();
}

if (values.mutants) {
  const started = performance.now();
  const found = await Promise.all(values.wire.map((wire) => mutantProblems(wire as Wire, values.only)));
  const problems = found.flatMap((each) => each.problems);
  const count = found.reduce((all, each) => all + each.mutants, 0);
  for (const problem of problems) process.stdout.write(`${problem}\n`);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${count} broken runtimes, ${problems.length} problems; ${seconds} s\n`);
  reportCounts("mutants", { passed: Math.max(0, count - problems.length), failed: problems.length, skipped: 0 });
  process.exit(problems.length > 0 ? 1 : 0);
}

async function against(
  target: Target,
  wire: Wire,
  only: readonly string[] | undefined,
  concurrency: number,
): Promise<Report> {
  // The machine may be busy with other things.
  const tokens = { token: TOKEN, tokenB: TOKEN_B, tokenBrief: TOKEN_BRIEF, tokenObserver: TOKEN_OBSERVER };
  const terms = { target, wire, ...tokens, manifest: MANIFEST, patienceMs: 30_000, deadlineMs: 90_000 };
  const report = await runServerSuite({ ...terms, concurrency, ...(only && { only }) });
  process.stdout.write(textReport(report, { isVerbose: values.verbose }));
  return report.counts.failed === 0 ? report : onceMore(report, terms);
}

/** Asks again, one after the other, what failed while much was going on. What passes then is named, and is to be mended. */
async function onceMore(report: Report, terms: ServerSuiteOptions): Promise<Report> {
  const only = report.verdicts.filter(({ outcome }) => outcome === "failed").map(({ case: id }) => id);
  const again = await runServerSuite({ ...terms, concurrency: 1, only });
  for (const { case: id, outcome } of again.verdicts) {
    if (outcome === "passed" && only.includes(id))
      process.stdout.write(`${id} at ${report.target}: passed the second time\n`);
  }
  const counts = { ...again.counts, passed: report.counts.passed + again.counts.passed };
  return {
    ...report,
    counts,
    verdicts: [...report.verdicts.filter(({ outcome }) => outcome !== "failed"), ...again.verdicts],
  };
}

/** Requirements that a case names and passed without having looked at, and skips whose reason is ours. */
function problemsOf({ target, verdicts }: Report): readonly string[] {
  return verdicts.flatMap(({ case: id, outcome, reason = "", requirements, judged }) => {
    if (outcome === "passed") {
      const unseen = requirements.filter((name) => !judged.includes(name));
      return unseen.map((name) => `${id} at ${target}: names ${name}, and does not look at it`);
    }
    const isOurs = outcome === "skipped" && /manifest|token|offers no|not offered/.test(reason);
    return isOurs ? [`${id} at ${target}: skipped, ${reason}`] : [];
  });
}

const directory = await mkdtemp(join(tmpdir(), "arcp-suite-"));
const runtime = startRuntime({ directory });
const connections = httpTransport({ onTransport: (transport) => void runtime.accept(transport) });
const http = createServer((request, response) => {
  if (!connections.handle(request, response)) response.writeHead(404).end();
});
await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
const sockets = await startWebSocketServer({ onTransport: (transport) => void runtime.accept(transport) });
const lines = await startSocketServer({
  path: join(directory, "runtime.sock"),
  onTransport: (transport) => void runtime.accept(transport),
});
const short = startRuntime({ resumeWindowSeconds: WINDOW_SECONDS });
const shortSockets = await startWebSocketServer({ onTransport: (transport) => void short.accept(transport) });
const child = fileURLToPath(new URL("stdio-runtime.ts", import.meta.url));
const targets: Readonly<Record<string, Target>> = {
  websocket: webSocketTarget(sockets.url),
  http: httpTarget(`http://127.0.0.1:${(http.address() as AddressInfo).port}/arcp/http`),
  // A program of a few lines passes the bytes on: a runtime for each connection would take all the time there is.
  stdio: { ...commandTarget([process.execPath, "-e", RELAY, lines.path], { isShared: true }), name: "stdio" },
  "short-window": { ...webSocketTarget(shortSockets.url), name: "a runtime with a short window" },
  // The real thing, for what is about lines.
  "stdio-program": { ...commandTarget([process.execPath, child]), name: "stdio, a program" },
};
const runs = values.wire
  .flatMap((wire) => values.transport.map((transport) => ({ wire: wire as Wire, transport })))
  .filter(({ wire, transport }) => wire === "1.1" || transport !== "short-window");
const reports = await Promise.all(
  runs.map(({ wire, transport }) => {
    const only = values.only ?? ASKED[transport];
    return against(targets[transport] as Target, wire, only, transport === "stdio-program" ? 1 : CONCURRENCY);
  }),
);
connections.close();
http.closeAllConnections();
http.close();
await sockets.close();
await shortSockets.close();
await short.close();
await lines.close();
await runtime.close();
await runtime.eventLog.close();
await rm(directory, { recursive: true });
for (const problem of reports.flatMap(problemsOf)) {
  process.stdout.write(`${problem}\n`);
  process.exitCode = 1;
}
const sum = (outcome: "passed" | "failed"): number => reports.reduce((all, { counts }) => all + counts[outcome], 0);
if (sum("failed") > 0) process.exitCode = 1;
// What was skipped is about another transport: it was asked there.
reportCounts("conformance", { passed: sum("passed"), failed: sum("failed"), skipped: 0 });
