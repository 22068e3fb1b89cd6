import type { Transport } from "./transport.ts";
import { WebSocketTransport } from "./websocket.browser.ts";
import type { WebSocketConnectOptions } from "./websocket-url.ts";

/** Connects to a `ws:` or `wss:` URL, the only ones that a page can reach. Rejects as {@link WebSocketTransport.connect}. */
export async function connectTransport(url: string, options: WebSocketConnectOptions = {}): Promise<Transport> {
  return WebSocketTransport.connect(url, options);
}
