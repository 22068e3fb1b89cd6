/** `@arcp/core`: the wire primitives that client and runtime share. */
export * from "./shared.ts";
export type { ClientCertificate } from "./transport/client-certificate.ts";
export { connectTransport } from "./transport/connect.node.ts";
export { encodeEvent } from "./transport/event-stream.ts";
export { answerFetch, type FetchOrigin } from "./transport/fetch-exchange.ts";
export {
  HttpDoor,
  type HttpDoorOptions,
  HttpRefusal,
  type HttpRequest,
  type HttpResponse,
  pathOf,
  problemOf,
  sendJson,
  sendProblem,
  writeHead,
} from "./transport/http-door.ts";
export { type HttpTransportHandler, type HttpTransportOptions, httpTransport } from "./transport/http-server.ts";
export { EVENT_STREAM_HEADERS } from "./transport/http-stream.ts";
export {
  connectSocket,
  type RunningSocketServer,
  type SocketConnectOptions,
  type SocketServerOptions,
  startSocketServer,
} from "./transport/socket.ts";
export { socketPathOf, socketUrlOf } from "./transport/socket-address.ts";
export {
  type ProcessExit,
  SpawnedTransport,
  type StdioSpawnOptions,
  StdioTransport,
  type StdioTransportOptions,
} from "./transport/stdio.ts";
export { type NodeWebSocketConnectOptions, WebSocketTransport } from "./transport/websocket.node.ts";
export {
  type ClientCertificateOptions,
  type RunningWebSocketServer,
  startWebSocketServer,
  type WebSocketServerOptions,
  type WebSocketTlsOptions,
} from "./transport/websocket-server.ts";
export { type WebSocketUpgradeOptions, WebSocketUpgrades } from "./transport/websocket-upgrades.ts";
