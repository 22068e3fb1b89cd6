/** A runtime to be killed: `node killable-runtime.ts DATABASE EFFECTS PORT`. Tells whoever forked it on which port it listens. */
import { appendFileSync } from "node:fs";
import { StaticBearerVerifier, silentLogger, startWebSocketServer } from "@arcp/core";
import { ARCPServer, sqliteStore } from "@arcp/runtime";

const [path = "", effects = "", port = "0"] = process.argv.slice(2);
const server = new ARCPServer({
  runtime: { name: "killable", version: "1.0.0" },
  capabilities: { encodings: ["json"], agents: [] },
  bearer: new StaticBearerVerifier(new Map([["alice", { principal: "alice" }]])),
  logger: silentLogger,
  eventLog: sqliteStore({ path }),
});

server.registerAgent(
  "counter",
  async (input, context) => {
    const { steps } = input as { readonly steps: number };
    let sum = 0;
    for (let n = 1; n <= steps; n += 1) {
      sum += await context.step(`count ${n}`, async () => {
        await context.log("debug", `counting ${n}`);
        appendFileSync(effects, `${n}\n`);
        await new Promise((resolve) => setTimeout(resolve, 10));
        return n;
      });
      await context.log("info", `counted ${n}`);
      if (n % 5 === 0) await context.sleep(20);
    }
    return { sum };
  },
  { durable: true },
);

const listener = await startWebSocketServer({
  port: Number(port),
  onTransport: (transport) => void server.accept(transport),
});
process.send?.(Number(new URL(listener.url).port));
// Whoever forked it has gone.
process.once("disconnect", () => process.exit());
