/** `@arcp/bun`: a runtime served by `Bun.serve`. */
export type { BunServer, BunSocket, BunWebSocketHandler } from "./bun-types.ts";
export { type ArcpHandlers, type ArcpHandlersOptions, type ArcpSocketData, createArcpHandlers } from "./handlers.ts";
export { type ArcpServeHandle, type ServeArcpOptions, serveArcp } from "./serve.ts";
