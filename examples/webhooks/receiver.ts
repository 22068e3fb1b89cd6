/** What hears of a runtime's jobs: an HTTP server that believes nothing but what is signed. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { buffer } from "node:stream/consumers";
import { verifyWebhook, type WebhookEvent, WebhookVerificationError } from "@arcp/sdk";

const MAX_BYTES = 256 * 1024;

/**
 * A server that hands each event on once. It answers when `onEvent` has resolved: what it does not get done, the runtime sends again.
 * `now` is the time by the runtime's clock.
 */
export function webhookReceiver(
  secret: string,
  onEvent: (event: WebhookEvent) => Promise<void>,
  now: () => number = Date.now,
): Server {
  // A receiver that is to outlive its process keeps the ids where it keeps what it makes of the events.
  const seen = new Set<string>();
  return createServer(async (request, response) => {
    response.writeHead(await statusOf(request)).end();
  });

  async function statusOf(request: IncomingMessage): Promise<number> {
    if (Number(request.headers["content-length"] ?? 0) > MAX_BYTES) return 413;
    try {
      const { headers } = request;
      const { id, event } = await verifyWebhook({ headers, body: await buffer(request) }, { secret, now: now() });
      if (seen.has(id)) return 200;
      await onEvent(event);
      seen.add(id);
      return 204;
    } catch (error) {
      return error instanceof WebhookVerificationError ? 401 : 500;
    }
  }
}
