/** `@arcp/fastify`: a runtime on a path of a Fastify application. */
import type { Server } from "node:http";
import type { Server as TlsServer } from "node:https";
import { type ArcpUpgradeHandle, type AttachArcpUpgradeOptions, attachArcpUpgrade } from "@arcp/node";
import type { FastifyPluginAsync } from "fastify";

/** What is needed of a Fastify application, over `http` or `https`. */
interface Application {
  readonly server: Server | TlsServer;
  addHook(name: "preClose", hook: () => Promise<void>): unknown;
}

/**
 * Takes WebSocket connections on a path of the application. `app.close()` ends them, unless the application had begun to
 * listen before this was called: then Fastify takes no more hooks, and the handle is to be closed before the application.
 *
 * @throws TypeError for a path that another runtime of this application has.
 */
export function attachArcpToFastify(app: Application, options: AttachArcpUpgradeOptions): ArcpUpgradeHandle {
  const handle = attachArcpUpgrade(app.server, options);
  try {
    app.addHook("preClose", () => handle.close());
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "FST_ERR_INSTANCE_ALREADY_LISTENING") throw error;
  }
  return handle;
}

/** The same as a plugin: `app.register(arcp, options)`. */
export const arcp: FastifyPluginAsync<AttachArcpUpgradeOptions> = async (app, options) => {
  attachArcpToFastify(app, options);
};
