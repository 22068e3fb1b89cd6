/** `@arcp/sdk`: client, runtime and wire primitives under one name. */
export * from "@arcp/client";
export * from "@arcp/core";
export * from "@arcp/runtime";
export {
  type ARCPConfig,
  type AuthSettings,
  defineConfig,
  type GatewaySettings,
  type LiteLLMSettings,
  type PeerSettings,
  type SecretSource,
} from "./config.ts";
