import { isAllowedHost } from "@arcp/core";
import type { MiddlewareHandler } from "hono";

/** Answers 421 to requests whose `Host` is none of these, with or without a port: against DNS rebinding. */
export function requireHost(allowedHosts: readonly string[]): MiddlewareHandler {
  return async (context, next) => {
    if (!isAllowedHost(context.req.header("host") ?? "", allowedHosts)) {
      return context.text("the Host is none of this server's", 421);
    }
    return next();
  };
}
