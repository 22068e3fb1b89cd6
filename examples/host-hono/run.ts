/** A runtime beside a Hono application, on Node: `node examples/host-hono/run.ts`. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { attachArcpToHono, createArcpHonoApp } from "@arcp/hono";
import { serve } from "@hono/node-server";
import { echoRuntime, useBoth } from "../host-echo.ts";

const allowedHosts = ["127.0.0.1", "localhost"];
const app = createArcpHonoApp({ allowedHosts });
app.get("/", (context) => context.text("the application"));

const arcp = echoRuntime();
const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
const handle = attachArcpToHono(server, { allowedHosts, onTransport: (transport) => arcp.accept(transport) });
await once(server, "listening");

await useBoth(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);

await arcp.close();
await handle.close();
server.close();
