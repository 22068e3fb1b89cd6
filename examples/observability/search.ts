/** A tool. Where it asked a server, it would send `traceHeaders` along (§11). */
import type { Tool } from "@arcp/sdk";

const search: Tool<{ readonly words: string }, readonly string[]> = {
  handler: async ({ words }, { traceHeaders }) => [`${words}, in the trace ${traceHeaders["traceparent"]}`],
};
export default search;
