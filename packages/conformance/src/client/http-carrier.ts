/** Connections over HTTP: what the client says is posted, what it is told comes as Server-Sent Events. */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { textOf } from "../incoming-text.ts";
import type { Carrier } from "./carrier.ts";

/** What a connection that broke was closed with. */
export const CLOSED_ABNORMALLY = 1006;
const CLOSED_NORMALLY = 1000;
const PATH = /^\/([0-9a-f]+)\/arcp\/http(?:\/([0-9a-f]+)(\/events)?)?(?:$|\?)/;

/** The address of a client's connections over HTTP, below that of the listener. */
export const httpPathOf = (key: string): string => `/${key}/arcp/http`;

/** One connection: opened by a post, which is answered with the first message; what follows waits for who reads the events. */
class HttpCarrier implements Carrier {
  readonly kind = "http";
  readonly path: string;
  readonly key = randomBytes(16).toString("hex");
  onText: (text: string) => void = () => {};
  onBinary: (bytes: Uint8Array) => void = () => {};
  onClosed: (code: number) => void = () => {};
  readonly #location: string;
  #opening: ServerResponse | undefined;
  #events: ServerResponse | undefined;
  readonly #waiting: Buffer[] = [];
  #isLast = false;
  #isOver = false;

  constructor(path: string, location: string, opening: ServerResponse) {
    this.path = path;
    this.#location = location;
    this.#opening = opening;
    opening.once("close", () => {
      if (!opening.writableFinished) this.end(CLOSED_ABNORMALLY);
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  send(text: string): void {
    this.sendBytes(Buffer.from(text));
  }

  sendBytes(bytes: Uint8Array): void {
    const opening = this.#opening;
    if (opening === undefined) {
      this.#tell("message", Buffer.from(bytes).toString("latin1"));
      return;
    }
    this.#opening = undefined;
    const headers = { location: this.#location, "arcp-connection-key": this.key, "content-type": "application/json" };
    opening.writeHead(201, headers).end(bytes);
  }

  sendBinary(bytes: Uint8Array): void {
    this.sendBytes(bytes);
  }

  /** Whoever reads from now on. */
  follow(response: ServerResponse): void {
    this.#events = response;
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.once("close", () => this.end(CLOSED_ABNORMALLY));
    response.flushHeaders();
    for (const event of this.#waiting.splice(0)) response.write(event);
    if (this.#isLast) response.end();
  }

  close(code = CLOSED_NORMALLY, reason = ""): void {
    this.#opening?.writeHead(503, { "content-type": "text/plain" }).end(reason);
    this.#tell("close", JSON.stringify({ code, reason }));
    this.#isLast = true;
    this.#events?.end();
  }

  cut(): void {
    this.#opening?.socket?.destroy();
    this.#events?.socket?.destroy();
    this.end(CLOSED_ABNORMALLY);
  }

  end(code: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events?.end();
    this.onClosed(code);
  }

  /** An event whose data has one line for each of the text's, byte by byte. */
  #tell(type: string, latin1: string): void {
    const data = latin1.split("\n").map((line) => `data: ${line}\n`);
    const event = Buffer.from(`${type === "message" ? "" : `event: ${type}\n`}${data.join("")}\n`, "latin1");
    if (this.#events === undefined) this.#waiting.push(event);
    else this.#events.write(event);
  }
}

/** Answers the requests of connections over HTTP. */
export class HttpCarriers {
  readonly #takerOf: (berth: string) => ((carrier: Carrier) => void) | undefined;
  readonly #carriers = new Map<string, HttpCarrier>();

  constructor(takerOf: (berth: string) => ((carrier: Carrier) => void) | undefined) {
    this.#takerOf = takerOf;
  }

  /** Answers what is about such a connection, and anything else with 404. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? "";
    const [, berth = "", id, isEvents] = PATH.exec(path) ?? [];
    const take = this.#takerOf(berth);
    const body = await textOf(request);
    const carrier = id === undefined ? undefined : this.#carriers.get(id);
    const isKnown = carrier !== undefined && !carrier.isOver && request.headers["arcp-connection-key"] === carrier.key;
    if (take !== undefined && id === undefined && request.method === "POST")
      this.#open(path, berth, response, take, body);
    else if (!isKnown) response.writeHead(404, { "content-type": "application/json" }).end("{}");
    else if (isEvents !== undefined) carrier.follow(response);
    else if (request.method === "DELETE") {
      carrier.end(CLOSED_NORMALLY);
      response.writeHead(204).end();
    } else {
      const isMany = request.headers["content-type"]?.startsWith("application/x-ndjson") ?? false;
      for (const text of isMany ? body.split("\n").filter((line) => line !== "") : [body]) carrier.onText(text);
      response.writeHead(202).end();
    }
  }

  #open(path: string, berth: string, response: ServerResponse, take: (carrier: Carrier) => void, body: string): void {
    const id = randomBytes(8).toString("hex");
    const carrier = new HttpCarrier(path, `${httpPathOf(berth)}/${id}`, response);
    this.#carriers.set(id, carrier);
    take(carrier);
    carrier.onText(body);
  }
}
