/** `@arcp/core` for pages and workers: everything that needs no Node. */
export * from "./shared.ts";
export { connectTransport } from "./transport/connect.browser.ts";
export { WebSocketTransport } from "./transport/websocket.browser.ts";
