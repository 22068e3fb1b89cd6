/** `@arcp/sdk`: client, runtime and wire primitives under one name. */

/** These two are other things to a client than to a runtime, whose names they have. */
export type { Challenge as ReceivedChallenge, Delegation as ToolDelegation } from "@arcp/client";
export * from "@arcp/client";
export * from "@arcp/core";
export * from "@arcp/core/webhooks";
export * from "@arcp/runtime";
export { Challenge, type Delegation } from "@arcp/runtime";
export {
  type ARCPConfig,
  type AuthSettings,
  defineConfig,
  type GatewaySettings,
  type LiteLLMSettings,
  type PeerSettings,
  type PostgresSettings,
  type SecretSource,
  type TlsProxySettings,
  type WebhookEndpointSettings,
  type WebhookSettings,
} from "./config.ts";
export { type HandoffPeer, type HandoffPeersOptions, handoffPeers } from "./handoff.ts";
