/** A runtime in a Fastify application: `node examples/host-fastify/run.ts`. */
import { arcp } from "@arcp/fastify";
import { fastify } from "fastify";
import { echoRuntime, useBoth } from "../host-echo.ts";

const runtime = echoRuntime();
const app = fastify();
app.get("/", () => "the application");
await app.register(arcp, { onTransport: (transport) => runtime.accept(transport) });

await useBoth(await app.listen({ port: 0, host: "127.0.0.1" }));

await runtime.close();
await app.close();
