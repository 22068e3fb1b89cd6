/** A runtime beside an Express application: `node examples/host-express/run.ts`. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { attachArcpToExpress, createArcpExpressApp } from "@arcp/express";
import { echoRuntime, useBoth } from "../host-echo.ts";

const allowedHosts = ["127.0.0.1", "localhost"];
const app = createArcpExpressApp({ allowedHosts });
app.get("/", (_request, response) => void response.send("the application"));

const arcp = echoRuntime();
const server = app.listen(0, "127.0.0.1");
const handle = attachArcpToExpress(server, { allowedHosts, onTransport: (transport) => arcp.accept(transport) });
await once(server, "listening");

await useBoth(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);

await arcp.close();
await handle.close();
server.close();
