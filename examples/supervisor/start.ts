/** Supervises a runtime until Ctrl-C: `ARCP_TOKEN=… node examples/supervisor/start.ts ws://127.0.0.1:7777/arcp`. */
import { ARCPClient } from "@arcp/sdk";
import { policy } from "./policy.ts";
import { Supervisor } from "./supervisor.ts";

const [url = "ws://127.0.0.1:7777/arcp"] = process.argv.slice(2);
const client = await ARCPClient.connect(url, { token: process.env["ARCP_TOKEN"] ?? "" });
// The dashboard has a page for it. Send it to one person, by a way that others do not read.
const page = new URL("/", url.replace(/^ws/, "http"));
const supervisor = new Supervisor(
  client,
  { ...policy, escalate: async (_question, token) => console.log(`to be answered at ${page}#/answer?link=${token}`) },
  (jobId, { kind, because }) => console.log(`${jobId}  ${kind}: ${because}`),
);
process.once("SIGINT", () => void supervisor.close().then(() => client.close()));
await supervisor.look();
await client.closed;
