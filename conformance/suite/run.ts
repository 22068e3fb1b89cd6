/**
 * Our runtime against the conformance suite, over every transport and on both wires: `npm run conformance-suite`. With
 * `--mutants` broken runtimes, each of which has to be caught.
 */
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
  type Target,
  textReport,
  type Wire,
  webSocketTarget,
} from "@arcp/conformance";
import { httpTransport, startSocketServer, startWebSocketServer } from "@arcp/core";
import { mutantProblems } from "./mutants.ts";
import { startRuntime, TOKEN, TOKEN_B } from "./runtime.ts";

const RELAY = `
const socket = require("node:net").connect(process.argv[1]);
process.stdin.pipe(socket).pipe(process.stdout);
socket.on("close", () => process.exit());
`;

/** What is asked of a runtime that is a program itself. */
const PROGRAM_ONLY = ["transport/", "handshake/welcome"];

const { values } = parseArgs({
  options: {
    wire: { type: "string", multiple: true, default: ["1.1", "1.0"] },
    only: { type: "string", multiple: true },
    transport: { type: "string", multiple: true, default: ["websocket", "http", "stdio", "stdio-program"] },
    mutants: { type: "boolean", default: false },
    verbose: { type: "boolean", short: "v", default: false },
  },
});

if (values.mutants) {
  const started = performance.now();
  for (const wire of values.wire) {
    const problems = await mutantProblems(wire as Wire, values.only);
    for (const problem of problems) process.stdout.write(`${problem}\n`);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stdout.write(`wire ${wire}: ${problems.length} problems with mutants; ${seconds} s\n`);
    if (problems.length > 0) process.exitCode = 1;
  }
  process.exit();
}

async function against(target: Target, wire: Wire, only: readonly string[] | undefined): Promise<Report> {
  const report = await runServerSuite({
    ...{ target, wire, token: TOKEN, tokenB: TOKEN_B },
    // The machine may be busy with other things.
    patienceMs: 15_000,
    ...(only && { only }),
  });
  process.stdout.write(textReport(report, { isVerbose: values.verbose }));
  return report;
}

const runtime = startRuntime();
const connections = httpTransport({ onTransport: (transport) => void runtime.accept(transport) });
const http = createServer((request, response) => {
  if (!connections.handle(request, response)) response.writeHead(404).end();
});
await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
const sockets = await startWebSocketServer({ onTransport: (transport) => void runtime.accept(transport) });
const directory = await mkdtemp(join(tmpdir(), "arcp-suite-"));
const lines = await startSocketServer({
  path: join(directory, "runtime.sock"),
  onTransport: (transport) => void runtime.accept(transport),
});
const child = fileURLToPath(new URL("stdio-runtime.ts", import.meta.url));
const targets: Readonly<Record<string, Target>> = {
  websocket: webSocketTarget(sockets.url),
  http: httpTarget(`http://127.0.0.1:${(http.address() as AddressInfo).port}/arcp/http`),
  // A program of a few lines passes the bytes on: a runtime for each connection would take all the time there is.
  stdio: commandTarget([process.execPath, "-e", RELAY, lines.path], { isShared: true }),
  // The real thing, for what is about lines.
  "stdio-program": commandTarget([process.execPath, child]),
};
let failed = 0;
for (const wire of values.wire) {
  for (const transport of values.transport) {
    const only = values.only ?? (transport === "stdio-program" ? PROGRAM_ONLY : undefined);
    failed += (await against(targets[transport] as Target, wire as Wire, only)).counts.failed;
  }
}
connections.close();
http.closeAllConnections();
http.close();
await sockets.close();
await lines.close();
await rm(directory, { recursive: true });
await runtime.close();
process.exitCode = failed === 0 ? 0 : 1;
