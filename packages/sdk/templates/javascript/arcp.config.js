/** What `arcp serve` reads. Paths are relative to this file. */
import { defineConfig } from "@arcp/sdk";

export default defineConfig({
  agents: {
    hello: "./agents/hello.js",
  },
});
