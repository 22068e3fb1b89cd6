/** `@arcp/gateway`: a model gateway that takes job credentials. */
export {
  DEFAULT_GATEWAY_LIMITS,
  type GatewayLimits,
  type KeyAdminOptions,
  ModelGateway,
  type ModelGatewayOptions,
} from "./gateway.ts";
export type { ListenOptions } from "./listener.ts";
export type { ModelPrice } from "./price.ts";
export type { Api } from "./routes.ts";
export type { UpstreamOptions, UpstreamTimeouts } from "./upstream.ts";
