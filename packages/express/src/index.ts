/** `@arcp/express`: a runtime beside an Express application, of version 4 or 5. */
import type { Server } from "node:http";
import type { Server as TlsServer } from "node:https";
import { isAllowedHost } from "@arcp/core";
import { type ArcpUpgradeHandle, type AttachArcpUpgradeOptions, attachArcpUpgrade } from "@arcp/node";
import express, { type Express, type RequestHandler } from "express";

/** How {@link createArcpExpressApp} makes its application. */
export interface CreateArcpExpressAppOptions {
  /** Leaves out the header that names Express. Default: true. */
  readonly disablePoweredBy?: boolean;
  /** Names that the `Host` header of every request may carry; see {@link requireHost}. Default: any. */
  readonly allowedHosts?: readonly string[];
}

/** A new Express application that answers only to its own names, if it is told them. */
export function createArcpExpressApp(options: CreateArcpExpressAppOptions = {}): Express {
  const app = express();
  if (options.disablePoweredBy !== false) app.disable("x-powered-by");
  if (options.allowedHosts) app.use(requireHost(options.allowedHosts));
  return app;
}

/** Answers 421 to requests whose `Host` is none of these, with or without a port: against DNS rebinding. */
export function requireHost(allowedHosts: readonly string[]): RequestHandler {
  return (request, response, next) => {
    if (isAllowedHost(request.headers.host ?? "", allowedHosts)) next();
    else response.status(421).type("text/plain").send("the Host is none of this server's");
  };
}

/**
 * Takes WebSocket connections on a path of the server that an Express application is served by: what `app.listen()` or
 * `createServer(app)` returns. They do not pass the application's middleware.
 *
 * @throws TypeError for a path that another runtime on this server has.
 */
export function attachArcpToExpress(server: Server | TlsServer, options: AttachArcpUpgradeOptions): ArcpUpgradeHandle {
  return attachArcpUpgrade(server, options);
}
