/** `@arcp/core` for pages and workers: everything that needs no Node. */
export * from "./shared.ts";
export { WebSocketTransport } from "./transport/websocket.browser.ts";
