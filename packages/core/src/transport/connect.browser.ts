import { HttpTransport } from "./http.ts";
import type { Transport } from "./transport.ts";
import { WebSocketTransport } from "./websocket.browser.ts";
import type { WebSocketConnectOptions } from "./websocket-url.ts";

/** Connects to a `ws:`, `wss:`, `http:` or `https:` URL, as the carriers of those do, and rejects as they do. */
export async function connectTransport(url: string, options: WebSocketConnectOptions = {}): Promise<Transport> {
  return /^https?:/i.test(url) ? HttpTransport.connect(url, options) : WebSocketTransport.connect(url, options);
}
