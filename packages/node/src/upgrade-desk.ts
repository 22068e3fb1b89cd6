import { type IncomingMessage, type Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { WebSocketUpgrades } from "@arcp/core";

const desks = new WeakMap<Server, UpgradeDesk>();

/** The one desk of a server, however many runtimes it has. */
export function deskOf(server: Server): UpgradeDesk {
  const desk = desks.get(server) ?? new UpgradeDesk(server);
  desks.set(server, desk);
  return desk;
}

/** Shows each upgrade of a server to the runtime whose path it names. */
export class UpgradeDesk {
  readonly #server: Server;
  readonly #places: WebSocketUpgrades[] = [];

  constructor(server: Server) {
    this.#server = server;
  }

  /** @throws TypeError for a path that is taken. */
  add(place: WebSocketUpgrades): void {
    const taken = this.#places.flatMap(({ paths }) => paths).find((path) => place.paths.includes(path));
    if (taken !== undefined) throw new TypeError(`another runtime of this server is at ${taken}`);
    if (this.#places.length === 0) this.#server.on("upgrade", this.#onUpgrade);
    this.#places.push(place);
  }

  remove(place: WebSocketUpgrades): void {
    const index = this.#places.indexOf(place);
    if (index === -1) return;
    this.#places.splice(index, 1);
    if (this.#places.length === 0) this.#server.off("upgrade", this.#onUpgrade);
  }

  readonly #onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const place = this.#places.find((candidate) => candidate.has(request));
    if (place !== undefined) place.take(request, socket, head);
    else if (this.#server.listenerCount("upgrade") === 1) this.#handBack(request, socket);
  };

  /**
   * Without a listener, Node takes a request that asks for an upgrade for any other one; and so it is when nobody else
   * listens. Its connection ends with the answer, since the parser has let go of it.
   */
  #handBack(request: IncomingMessage, socket: Duplex): void {
    socket.on("error", () => socket.destroy());
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Socket);
    response.once("finish", () => {
      response.detachSocket(socket as Socket);
      socket.once("finish", () => socket.destroy());
      socket.end();
    });
    if (hasBody(request)) response.writeHead(400).end("a request with a body cannot ask for an upgrade here");
    else this.#server.emit("request", request, response);
  }
}

/** Its bytes are in no stream any more. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
