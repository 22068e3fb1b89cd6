/** The HTTP of webhooks: to where the operator has said, without redirects, bounded in time and size. */
import { Agent } from "undici";
import type { PostAnswer, PostWebhook } from "../engine/webhooks/courier.ts";

/** Bytes of an answer that are read, for its connection to be used again; then it is cut. What they say is not looked at. */
const MAX_ANSWER_BYTES = 16 * 1024;
/** How long the rest of an answer may take. */
const MAX_REST_MS = 1_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Connections to one endpoint, kept while nothing is sent. */
const IDLE_MS = 10_000;

export interface WebhookClient {
  readonly post: PostWebhook;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/** `agent` is the name that requests have. */
export function webhookClient(agent: string, timeoutMs: number): WebhookClient {
  // Of its own: the environment names no proxy for it. Time is the caller's; only what never settles gets as far as these.
  const socketMs = timeoutMs * 2;
  const settings: Agent.Options = {
    ...{ connect: { timeout: socketMs }, headersTimeout: socketMs, bodyTimeout: socketMs },
    ...{ keepAliveTimeout: IDLE_MS, maxHeaderSize: MAX_HEADER_BYTES },
  };
  let dispatcher: Agent | undefined;
  const post: PostWebhook = async (url, headers, body, signal) => {
    const { origin, pathname, search } = url;
    dispatcher ??= new Agent(settings);
    const response = await dispatcher.request({
      ...{ origin, path: `${pathname}${search}`, method: "POST", body, signal },
      headers: { ...headers, "user-agent": agent, accept: "*/*", "accept-encoding": "identity" },
    });
    await drained(response.body);
    return { status: response.statusCode, retryAfterMs: retryAfterOf(response.headers["retry-after"]) };
  };
  return { post, close: async () => dispatcher?.destroy() };
}

/** The status counts, whatever becomes of the rest. */
async function drained(body: AsyncIterable<Uint8Array> & { destroy(): void }): Promise<void> {
  const timer = setTimeout(() => body.destroy(), MAX_REST_MS);
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) break;
    }
  } catch {
    // The endpoint has answered by then.
  } finally {
    clearTimeout(timer);
    body.destroy();
  }
}

/** Seconds alone: a date would have to be compared with this machine's clock. */
function retryAfterOf(header: string | string[] | undefined): PostAnswer["retryAfterMs"] {
  return typeof header === "string" && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined;
}
