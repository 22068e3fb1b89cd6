import { InvalidRequestError } from "../errors.ts";
import { HttpTransport } from "./http.ts";
import { connectSocket } from "./socket.ts";
import type { Transport } from "./transport.ts";
import { type NodeWebSocketConnectOptions, WebSocketTransport } from "./websocket.node.ts";

/**
 * Connects to a `ws:`, `wss:`, `http:` or `https:` URL, or to `unix:///path/of/a/socket`. Rejects with {@link InvalidRequestError} for any
 * other address, and as the carriers do.
 */
export async function connectTransport(url: string, options: NodeWebSocketConnectOptions = {}): Promise<Transport> {
  if (/^https?:/i.test(url)) return HttpTransport.connect(url, options);
  return /^unix:/i.test(url) ? connectSocket(socketPath(url), options) : WebSocketTransport.connect(url, options);
}

function socketPath(text: string): string {
  const url = URL.parse(text);
  // `unix://run/arcp.sock` would be the machine "run".
  if (url === null || url.host !== "" || !url.pathname.startsWith("/") || url.search !== "" || url.hash !== "") {
    throw new InvalidRequestError("expected unix:///path, with percent-encoding where a URL needs it");
  }
  try {
    return decodeURIComponent(url.pathname);
  } catch (cause) {
    throw new InvalidRequestError("the socket's path is not percent-encoded UTF-8", { cause });
  }
}
