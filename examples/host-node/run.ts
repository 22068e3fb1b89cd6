/** A runtime on a server of `node:http`: `node examples/host-node/run.ts`. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { attachArcpUpgrade } from "@arcp/node";
import { echoRuntime, useBoth } from "../host-echo.ts";

const arcp = echoRuntime();
const server = createServer((_request, response) => void response.end("the application"));
const handle = attachArcpUpgrade(server, { onTransport: (transport) => arcp.accept(transport) });
server.listen(0, "127.0.0.1");
await once(server, "listening");

await useBoth(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);

// In this order: clients hear a goodbye, connections end, and nothing keeps the server.
await arcp.close();
await handle.close();
server.close();
