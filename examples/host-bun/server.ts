/** A runtime served by Bun: `bun examples/host-bun/server.ts`. */
import { serveArcp } from "@arcp/bun";
import { echoRuntime, useBoth } from "../host-echo.ts";

const arcp = echoRuntime();
const handle = serveArcp({
  onTransport: (transport) => arcp.accept(transport),
  fallback: () => new Response("the application"),
});

await useBoth(`http://127.0.0.1:${handle.port}`);

await arcp.close();
await handle.close();
