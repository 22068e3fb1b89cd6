/** `npx arcp serve`, in this directory. */
import { defineConfig } from "@arcp/sdk";
import { lookUpOrder, refund } from "./shop.ts";

export default defineConfig({
  agents: { "support-copilot": "./agent.ts" },
  tools: { "orders.look_up": lookUpOrder, "payments.refund": refund },
});
