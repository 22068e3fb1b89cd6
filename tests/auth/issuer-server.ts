/** An issuer on the loopback: what it answers is the test's to say, and what it was asked is remembered. */
import type { RequestListener } from "node:http";
import { type ReceivedRequest, WebServer } from "../operations/web-server.ts";

export class IssuerServer implements AsyncDisposable {
  /** Answers the next requests. */
  answer: RequestListener;
  readonly #web: WebServer;
  readonly #arrivals: (() => void)[] = [];

  private constructor(web: WebServer, answer: RequestListener) {
    this.#web = web;
    this.answer = answer;
  }

  static async start(answer: RequestListener = json({})): Promise<IssuerServer> {
    const web = await WebServer.start((request, response) => {
      issuer.answer(request, response);
      for (const arrived of issuer.#arrivals.splice(0)) arrived();
    });
    const issuer = new IssuerServer(web, answer);
    return issuer;
  }

  get url(): URL {
    return new URL(this.#web.at("/issuer"));
  }

  get requests(): readonly ReceivedRequest[] {
    return this.#web.requests;
  }

  /** Resolves when the next request has arrived. */
  arrival(): Promise<void> {
    return new Promise((resolve) => void this.#arrivals.push(resolve));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#web[Symbol.asyncDispose]();
  }
}

/** Answers with `body` as JSON. */
export const json =
  (body: unknown, status = 200): RequestListener =>
  (_request, response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };

/** Sends a client elsewhere. */
export const redirectTo =
  (location: URL): RequestListener =>
  (_request, response) => {
    response.writeHead(302, { location: location.href }).end();
  };

/** Never answers. */
export const silent: RequestListener = () => {};

/** Begins an answer and sends no more. */
export const stalled: RequestListener = (_request, response) => void response.writeHead(200).write("{");

/** An answer of `bytes`, JSON from one end to the other. */
export const huge =
  (bytes: number, members: object = {}): RequestListener =>
  (_request, response) => {
    response.writeHead(200).end(JSON.stringify({ ...members, padding: "a".repeat(bytes) }));
  };
