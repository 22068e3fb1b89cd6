/**
 * Our runtime against the conformance suite, over every transport and on both wires: `npm run conformance-suite`. With
 * `--mutants` broken runtimes, each of which has to be caught.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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
import { httpTransport, startWebSocketServer } from "@arcp/core";
import { startRuntime, TOKEN, TOKEN_B } from "./runtime.ts";

const { values } = parseArgs({
  options: {
    wire: { type: "string", multiple: true, default: ["1.1", "1.0"] },
    only: { type: "string", multiple: true },
    transport: { type: "string", multiple: true, default: ["websocket", "http", "stdio"] },
    verbose: { type: "boolean", short: "v", default: false },
  },
});

async function against(target: Target, wire: Wire): Promise<Report> {
  const report = await runServerSuite({
    ...{ target, wire, token: TOKEN, tokenB: TOKEN_B },
    // The machine may be busy with other things.
    patienceMs: 15_000,
    ...(values.only && { only: values.only }),
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
const child = fileURLToPath(new URL("stdio-runtime.ts", import.meta.url));
const targets: Readonly<Record<string, Target>> = {
  websocket: webSocketTarget(sockets.url),
  http: httpTarget(`http://127.0.0.1:${(http.address() as AddressInfo).port}/arcp/http`),
  stdio: commandTarget([process.execPath, child]),
};
let failed = 0;
for (const wire of values.wire) {
  for (const transport of values.transport)
    failed += (await against(targets[transport] as Target, wire as Wire)).counts.failed;
}
connections.close();
http.closeAllConnections();
http.close();
await sockets.close();
await runtime.close();
process.exitCode = failed === 0 ? 0 : 1;
