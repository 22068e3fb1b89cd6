/** `@arcp/sdk`: client, runtime and wire primitives under one name. */

/** A client sees what a runtime's `Challenge` asks. */
export type { Challenge as ReceivedChallenge } from "@arcp/client";
export * from "@arcp/client";
export * from "@arcp/core";
export * from "@arcp/runtime";
export { Challenge } from "@arcp/runtime";
export {
  type ARCPConfig,
  type AuthSettings,
  defineConfig,
  type GatewaySettings,
  type LiteLLMSettings,
  type PeerSettings,
  type SecretSource,
} from "./config.ts";
