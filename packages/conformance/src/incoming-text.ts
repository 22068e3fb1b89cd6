/** What came with a request or a response of HTTP. */
import type { IncomingMessage } from "node:http";

/** The whole body, as UTF-8. Rejects if it breaks off. */
export async function textOf(message: IncomingMessage): Promise<string> {
  let text = "";
  message.setEncoding("utf8");
  for await (const part of message) text += part;
  return text;
}
