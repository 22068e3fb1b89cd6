/** A runtime that is reached by plain HTTP: envelopes are posted, and come as Server-Sent Events. */
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { textOf } from "../incoming-text.ts";
import type { Connection, ConnectionReader, Target } from "./connection.ts";

/** A runtime whose endpoint for connections over HTTP is `url`. */
export function httpTarget(url: string): Target {
  return {
    kind: "http",
    isShared: true,
    name: url,
    dial: async (reader, signal) => new HttpConnection(url, reader, signal),
  };
}

/** What goes in one request, unless one message is longer. */
const BATCH_CHARS = 64 * 1024;

/** Opened by the first envelope: its answer says where the connection is. */
class HttpConnection implements Connection {
  readonly #endpoint: string;
  readonly #reader: ConnectionReader;
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  /** Requests leave one after the other: their order is that of the messages. */
  #turn: Promise<void> = Promise.resolve();
  readonly #waiting: string[] = [];
  #location: string | undefined;
  #headers: Record<string, string> = {};

  constructor(url: string, reader: ConnectionReader, signal: AbortSignal) {
    this.#endpoint = url;
    this.#reader = reader;
    this.#signal = AbortSignal.any([signal, this.#over.signal]);
  }

  send(text: string): void {
    this.#waiting.push(text);
    this.#turn = this.#turn.then(() => this.#say()).catch((thrown: unknown) => this.#end(String(thrown)));
  }

  /** Everything that waits goes together, once there is a connection. */
  async #say(): Promise<void> {
    const [first] = this.#waiting;
    if (first === undefined) return;
    if (this.#location === undefined) {
      this.#waiting.shift();
      await this.#open(first);
      return;
    }
    let chars = 0;
    const fitting = this.#waiting.findIndex((text, place) => {
      chars += text.length;
      return place > 0 && chars > BATCH_CHARS;
    });
    const batch = this.#waiting.splice(0, fitting < 0 ? this.#waiting.length : fitting);
    await this.#post(this.#location, batch.join("\n"));
  }

  async #open(text: string): Promise<void> {
    const response = await this.#request("POST", this.#endpoint, text);
    const { location, "arcp-connection-key": key } = response.headers;
    if (location !== undefined) this.#location = new URL(location, this.#endpoint).href;
    if (typeof key === "string") this.#headers = { "arcp-connection-key": key };
    this.#takeLines(await textOf(response));
    if (this.#location === undefined) this.#end(`answered with ${response.statusCode}`);
    else void this.#listen(this.#location);
  }

  async #post(location: string, text: string): Promise<void> {
    const response = await this.#request("POST", location, `${text}\n`);
    const answer = await textOf(response);
    if (response.statusCode !== 202) this.#takeLines(answer);
  }

  /** Each request has a connection of its own: one that was kept might be closed by the other side in that moment. */
  #request(method: "GET" | "POST", url: string, body?: string): Promise<IncomingMessage> {
    const type = this.#location === undefined ? "application/json" : "application/x-ndjson";
    const headers = {
      ...this.#headers,
      ...(body === undefined ? { accept: "text/event-stream" } : { "content-type": type }),
    };
    return new Promise((resolve, reject) => {
      const send = url.startsWith("https:") ? requestHttps : requestHttp;
      const request = send(url, { method, headers, agent: false, signal: this.#signal }, resolve);
      request.on("error", reject);
      request.end(body);
    });
  }

  async #listen(location: string): Promise<void> {
    try {
      const response = await this.#request("GET", `${location}/events`);
      if (response.statusCode !== 200) throw new Error(`the events were answered with ${response.statusCode}`);
      response.setEncoding("utf8");
      let rest = "";
      for await (const text of response) {
        const events = (rest + text).replaceAll("\r\n", "\n").split("\n\n");
        rest = events.pop() ?? "";
        for (const event of events) this.#take(event);
      }
      this.#end("closed by the runtime");
    } catch (thrown) {
      this.#end(String(thrown));
    }
  }

  #takeLines(text: string): void {
    for (const line of text.split("\n")) if (line !== "") this.#reader.onText(line);
  }

  #take(event: string): void {
    const fields = event.split("\n").map((line) => /^(\w+): ?(.*)$/s.exec(line));
    const having = (name: string): readonly string[] =>
      fields.filter((field) => field?.[1] === name).map((field) => field?.[2] ?? "");
    const data = having("data");
    if (data.length === 0) return;
    if (having("event").includes("close")) this.#end(`closed: ${data.join("\n")}`);
    else this.#reader.onText(data.join("\n"));
  }

  #end(why: string): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#reader.onEnd(why);
  }

  cut(): void {
    this.#over.abort();
  }
}
