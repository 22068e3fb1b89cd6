import { InvalidRequestError } from "../errors.ts";
import type { CompressionOptions } from "./compression.ts";
import { isLoopbackHost } from "./transport.ts";

/** How a WebSocket is connected. */
export interface WebSocketConnectOptions {
  /** Gives up connecting when it aborts. */
  readonly signal?: AbortSignal;
  /** Allows `ws://` to a host other than this machine. The token then travels in the clear. Default: false. */
  readonly allowInsecure?: boolean;
  /** Bytes of one frame from the runtime. Default: 64 MiB. */
  readonly maxFrameBytes?: number;
  /**
   * Offers `permessage-deflate` to the runtime, which takes it if it was told to. Browsers offer it whatever is said here.
   * Default: false.
   */
  readonly compression?: boolean | CompressionOptions;
}

/**
 * The URL to connect to, and whether the connection is confidential. Throws {@link InvalidRequestError}, before a byte
 * is sent, for a URL that is not `ws:` or `wss:`, or is `ws:` beyond this machine without `allowInsecure` (§14).
 */
export function assertMayConnect(
  text: string,
  options: WebSocketConnectOptions,
): { readonly url: URL; readonly isConfidential: boolean } {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidRequestError("the runtime's address is not a URL");
  }
  if (url.protocol !== "ws:" && url.protocol !== "wss:") {
    throw new InvalidRequestError(`expected a ws: or wss: URL, got ${url.protocol}`);
  }
  const isConfidential = url.protocol === "wss:" || isLoopbackHost(url.hostname);
  if (!isConfidential && options.allowInsecure !== true) {
    throw new InvalidRequestError(
      `refused to send a token in the clear to ${url.host}: use wss://, or allow an insecure connection explicitly`,
    );
  }
  return { url, isConfidential };
}
