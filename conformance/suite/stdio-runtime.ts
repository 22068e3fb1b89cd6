/** Our runtime as a program on standard input and output, for the suite. */
import { StdioTransport } from "@arcp/core";
import { startRuntime } from "./runtime.ts";

const server = startRuntime();
const transport = new StdioTransport();
await server.accept(transport);
await transport.closed;
await server.close();
