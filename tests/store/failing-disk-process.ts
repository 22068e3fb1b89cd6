/** Runs where no file may grow beyond a size: a disk that refuses to write. Says what a runtime made of that. */
import { writeSync } from "node:fs";
import { createLogger, pairMemoryTransports, StaticBearerVerifier } from "@arcp/core";
import { ARCPServer, sqliteStore } from "@arcp/runtime";
import { Puppet } from "../support/puppet.ts";
import { RawClient } from "../support/raw-client.ts";

const [path = ""] = process.argv.slice(2);
// Otherwise the signal that goes with the refusal ends the process.
process.on("SIGXFSZ", () => {});
const errors: string[] = [];
const store = sqliteStore({ path });
const server = new ARCPServer({
  runtime: { name: "failing", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
  logger: createLogger((line) => errors.push(line), "error"),
  eventLog: store,
});
const puppet = new Puppet();
server.registerAgent("puppet", puppet.handler);
const [left, right] = pairMemoryTransports();
await server.accept(right);
const client = new RawClient(left);
await client.hello();
const { job_id: jobId } = (await client.submit("puppet")).payload;
const { context } = await puppet.next();

let taken = 0;
try {
  for (;;) {
    await context.log("info", "x".repeat(50_000));
    await context.flush();
    taken += 1;
  }
} catch {
  // What could not be stored was not acknowledged.
}
await left.closed;
const last = client.frames.at(-1);
await store.close();
const line = JSON.parse(errors.find((text) => text.includes("a commit failed")) ?? "{}");
const said = { jobId, taken, seen: client.numbered.length, last: [last?.type, last?.payload.code], error: line.err };
writeSync(1, JSON.stringify(said));
process.exit();
