/**
 * `node examples/cluster/start.ts`: three nodes on the ports 7801, 7802 and 7803, and the proxy in front of them on 7777, until
 * Ctrl-C. Over the database that ARCP_DB names, or a throw-away server.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findDatabase, urlOf } from "./database.ts";
import { TcpProxy } from "./proxy.ts";
import { startThreeNodes } from "./three-nodes.ts";

const FIRST_PORT = 7801;
const PROXY_PORT = 7777;
const TOKEN = "demo-token";

const database = await findDatabase();
if (typeof database === "string") {
  console.error(`this needs PostgreSQL: ${database}`);
  process.exit(1);
}
await using stack = new AsyncDisposableStack();
const interrupted = new Promise((resolve) => process.once("SIGINT", resolve).once("SIGTERM", resolve));
stack.use(database);
const directory = await mkdtemp(join(tmpdir(), "arcp-cluster-"));
stack.defer(() => rm(directory, { recursive: true, force: true }));
const nodes = await startThreeNodes(stack, {
  ...{ database: urlOf(database), token: `${TOKEN}=demo`, directory, port: FIRST_PORT },
  onLog: (node, { level, msg }) => console.log(`${node} ${level} ${msg}`),
  onBack: (node) => console.log(`${node} is back`),
});
stack.use(
  await TcpProxy.listen({
    ...{ backends: [...nodes.values()], port: PROXY_PORT },
    onConnection: ({ name }) => console.log(`${name} takes a connection`),
  }),
);
console.log(`
export ARCP_DB='${urlOf(database)}' ARCP_TOKEN=${TOKEN}
npx arcp nodes                # who is there
npx arcp drain b              # one leaves, and nobody misses anything
npx arcp agents               # through the proxy on port ${PROXY_PORT}
`);
await interrupted;
