/**
 * A library that lends books, publishes reports and sends letters: the world outside, which a crash does not undo.
 *
 * Like any good service it knows a call by its `Idempotency-Key`: the second one with a key gets the first one's answer.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

const BOOKS: Readonly<Record<string, string>> = {
  "On Ledgers": "what is written before it is told cannot be lost",
  "The Tenth Step": "a step is the smallest thing that is worth doing again",
  "Letters from a Harbour": "a key on the envelope makes the second letter harmless",
  "A Theory of Echoes": "who has heard up to the seventh asks for the eighth",
  "Small Hours": "a sleeper who is woken asks for the time, not how long it slept",
  "The Night Shift": "whoever takes over reads the notes first",
};

/** What was asked for, how often, and how often it was done. */
export interface Deed {
  readonly what: string;
  requests: number;
  effects: number;
  answer: unknown;
}

/** When the runtime dies on the first request for something: before it is done, or after it, before the answer. */
export type Moment = "before" | "after";

export class Library implements AsyncDisposable {
  readonly origin: string;
  /** By key, in the order of the first requests. */
  readonly deeds = new Map<string, Deed>();
  readonly #close: () => Promise<void>;

  private constructor(origin: string, close: () => Promise<void>) {
    this.origin = origin;
    this.#close = close;
  }

  /** Opens on any free port of this machine. `onMoment` is called while nothing has been answered; no answer follows. */
  static async open(moments: ReadonlyMap<string, Moment>, onMoment: (what: string, moment: Moment) => void) {
    const server = createServer(async (request, response) => {
      const what = `${request.url} ${Object.values((await bodyOf(request)) as object)[0]}`.split("\n")[0] ?? "";
      const deed = library.#deed(String(request.headers["idempotency-key"]), what);
      const moment = deed.requests === 1 ? [...moments].find(([start]) => what.startsWith(start))?.[1] : undefined;
      if (moment === "before") {
        onMoment(what, moment);
        return request.socket.destroy();
      }
      if (deed.effects === 0) {
        deed.effects += 1;
        deed.answer = answerTo(request.url ?? "", what);
      }
      if (moment === "after") {
        onMoment(what, moment);
        return request.socket.destroy();
      }
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(deed.answer));
    });
    await new Promise<void>((resolve) => server.listen({ host: "127.0.0.1", port: 0 }, resolve));
    const library = new Library(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return library;
  }

  #deed(key: string, what: string): Deed {
    const deed = this.deeds.get(key) ?? { what, requests: 0, effects: 0, answer: undefined };
    this.deeds.set(key, deed);
    deed.requests += 1;
    return deed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }
}

const bodyOf = (request: IncomingMessage): Promise<unknown> => json(request);

function answerTo(path: string, what: string): unknown {
  if (path === "/searches") return Object.keys(BOOKS);
  if (path === "/loans") return { text: BOOKS[what.slice("/loans ".length)] ?? "" };
  return { id: path === "/reports" ? "report-1" : "letter-1" };
}
