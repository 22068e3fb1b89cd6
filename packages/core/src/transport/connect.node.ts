import { HttpTransport } from "./http.ts";
import { connectSocket } from "./socket.ts";
import { socketPathOf } from "./socket-address.ts";
import type { Transport } from "./transport.ts";
import { type NodeWebSocketConnectOptions, WebSocketTransport } from "./websocket.node.ts";

/**
 * Connects to a `ws:`, `wss:`, `http:` or `https:` URL, to `unix:///path/of/a/socket`, or on Windows to `pipe:name`.
 * Rejects with `InvalidRequestError` for any other address, and as the carriers do.
 */
export async function connectTransport(url: string, options: NodeWebSocketConnectOptions = {}): Promise<Transport> {
  if (/^https?:/i.test(url)) return HttpTransport.connect(url, options);
  return /^(?:unix|pipe):/i.test(url)
    ? connectSocket(socketPathOf(url), options)
    : WebSocketTransport.connect(url, options);
}
