/** `@arcp/hono`: a runtime beside a Hono application on `@hono/node-server`. Elsewhere: `@arcp/hono/fetch`. */
import { Server } from "node:http";
import { Server as TlsServer } from "node:https";
import { type ArcpUpgradeHandle, type AttachArcpUpgradeOptions, attachArcpUpgrade } from "@arcp/node";
import { Hono } from "hono";
import { requireHost } from "./require-host.ts";

export { requireHost } from "./require-host.ts";

/** How {@link createArcpHonoApp} makes its application. */
export interface CreateArcpHonoAppOptions {
  /** Names that the `Host` header of every request may carry; see {@link requireHost}. Default: any. */
  readonly allowedHosts?: readonly string[];
}

/** A new Hono application that answers only to its own names, if it is told them. */
export function createArcpHonoApp(options: CreateArcpHonoAppOptions = {}): Hono {
  const app = new Hono();
  if (options.allowedHosts) app.use(requireHost(options.allowedHosts));
  return app;
}

/**
 * Takes WebSocket connections on a path of the server that `serve()` of `@hono/node-server` returns. They do not pass the
 * application's middleware. Do not give that server the option `websocket` as well: it would answer all upgrades.
 *
 * @throws TypeError for a server of HTTP/2, and for a path that another runtime on this server has.
 */
export function attachArcpToHono(server: object, options: AttachArcpUpgradeOptions): ArcpUpgradeHandle {
  if (!(server instanceof Server || server instanceof TlsServer)) throw new TypeError("expected a server of HTTP/1.1");
  return attachArcpUpgrade(server, options);
}
