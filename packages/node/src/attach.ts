import type { Server } from "node:http";
import type { Server as TlsServer } from "node:https";
import { type WebSocketUpgradeOptions, WebSocketUpgrades } from "@arcp/core";
import { deskOf } from "./upgrade-desk.ts";

/** What may connect, and what is done with it. */
export type AttachArcpUpgradeOptions = WebSocketUpgradeOptions;

/** A runtime's place on a server. */
export interface ArcpUpgradeHandle extends AsyncDisposable {
  /** Where clients connect. */
  readonly path: string;
  /** Those that are open. */
  readonly connections: number;
  /**
   * Gives the place free: refuses what comes (503), and ends the connections that are left with close code 1001. Resolves
   * when they are over; a peer that does not answer is cut off after 5 s. The server itself goes on. Idempotent.
   *
   * Close the `ARCPServer` first, so that its clients hear a goodbye, and the HTTP server last: it waits for connections.
   */
  close(reason?: string): Promise<void>;
}

/**
 * Takes WebSocket connections on a path of an existing `http` or `https` server (§4.1). Whether it listens already does
 * not matter. All other requests remain the server's, also those that ask for another upgrade.
 *
 * @throws TypeError for a path that another runtime on this server has.
 */
export function attachArcpUpgrade(server: Server | TlsServer, options: AttachArcpUpgradeOptions): ArcpUpgradeHandle {
  const upgrades = new WebSocketUpgrades(options);
  const desk = deskOf(server);
  desk.add(upgrades);
  const [path = ""] = upgrades.paths;
  const close = (reason?: string): Promise<void> => upgrades.close(reason).then(() => desk.remove(upgrades));
  return {
    path,
    get connections() {
      return upgrades.connections;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
